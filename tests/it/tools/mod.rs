//! Tests of tools.

mod arguments;
mod corpus;
mod cut;
mod edit;
mod generated;
mod sandbox;
