//! What tests of several rooms share: real components, started once.

pub(crate) mod calculator;
#[cfg(feature = "kubernetes-cluster")]
pub(crate) mod cluster;
pub(crate) mod compose;
pub(crate) mod database;
pub(crate) mod engine;
pub(crate) mod failpoint;
pub(crate) mod fetched;
pub(crate) mod images;
pub(crate) mod oidc;
pub(crate) mod people;
pub(crate) mod process;
pub(crate) mod ready;
pub(crate) mod replayed;
pub(crate) mod s3;
pub(crate) mod sandbox;
pub(crate) mod service;
pub(crate) mod signing;
pub(crate) mod stream;

pub(crate) use database::{database, empty_database, store};
