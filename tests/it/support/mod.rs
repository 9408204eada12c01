//! What tests of several rooms share: real components, started once.

pub(crate) mod database;
pub(crate) mod service;

pub(crate) use database::{database, empty_database, store};
pub(crate) mod sandbox;
