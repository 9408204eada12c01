//! The HTTP interface over real HTTP on a real database. Nothing here needs a worker: where a task
//! must run, a test claims it and writes its log as a worker would.

mod accounts;
mod approvals;
mod audit;
mod documents;
mod environments;
mod harness;
mod idempotency;
mod instructions;
mod intake;
mod integrations;
mod isolation;
mod key_sets;
mod limits;
mod links;
mod members;
mod memories;
mod polling;
mod requests;
mod streams;
mod tasks;
mod tenancy;
mod uploads;
