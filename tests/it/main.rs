//! The one integration binary.
#![expect(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]
#![expect(clippy::pedantic, reason = "a test is read as a story: its helpers stand where they are used")]
#![expect(clippy::disallowed_methods, reason = "tests start processes, read the environment and measure")]

mod agent;
mod analysis;
mod api;
mod approvals;
mod architecture;
mod archives;
mod baseline;
mod branches;
mod budgets;
mod checks;
mod cli;
mod compaction;
mod config;
mod crash;
mod domain;
mod end_to_end;
mod execd;
mod fairness;
mod fallback;
mod faults;
mod forks;
mod format;
mod full_disk;
mod golden;
mod llm;
mod memory;
mod monorepo;
mod net;
mod operator;
mod postgres;
mod prefixes;
mod prohibited;
mod questions;
mod queue;
mod replicas;
mod repository;
mod review;
mod rules;
mod run;
mod scripted;
mod scrubbed;
mod secrets;
mod shutdown;
mod steering;
mod store;
mod structured;
mod support;
mod teams;
mod throwaway;
mod tools;
mod validation;
mod watching;
mod workspace;
