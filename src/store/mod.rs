//! All SQL. A function is one statement or one transaction; its name says what it does, its types
//! are the domain's. This room decides nothing: conditions come in as arguments, and a change that
//! was decided from a state that has moved on is refused as stale.
//!
//! Start with [`log`], which everything else serves.

pub mod accounts;
pub mod analyses;
pub mod api_keys;
pub mod approvals;
pub mod baselines;
pub mod blobs;
pub mod budgets;
pub mod deadlines;
pub mod environments;
mod error;
pub mod forks;
pub mod git_credentials;
pub mod idempotency;
pub mod instructions;
pub mod jobs;
pub mod live;
pub mod log;
pub mod memories;
mod pools;
pub mod retention;
pub mod roles;
pub mod sealed;
pub mod task_edits;
pub mod task_views;
pub mod tasks;
pub mod uploads;

pub use error::StoreError;
pub use pools::{Settings, Store, TeamTx};
