//! All SQL. A function is one statement or one transaction; its name says what it does, its types
//! are the domain's. This room decides nothing: conditions come in as arguments, and a change that
//! was decided from a state that has moved on is refused as stale.
//!
//! Start with [`log`], which everything else serves.

pub mod accounts;
pub mod analyses;
pub mod api_keys;
pub mod approvals;
pub mod audit;
pub mod backup;
pub mod baselines;
pub mod blobs;
pub mod budgets;
pub mod caps;
pub mod deadlines;
pub mod earlier_tasks;
pub mod effects;
pub mod endings;
pub mod environments;
pub mod erasure_steps;
pub mod erasures;
mod error;
pub mod forks;
pub mod git_credentials;
pub mod idempotency;
pub mod identities;
pub mod instructions;
pub mod jobs;
pub mod learnings;
pub mod linked_accounts;
pub mod live;
pub mod log;
pub mod members;
pub mod memories;
pub mod memory_forgetting;
pub mod memory_history;
pub mod memory_learning;
pub mod merges;
pub mod operator_tasks;
pub mod outward;
pub mod own_data;
mod pools;
pub mod publishings;
pub mod recall;
pub mod retention;
pub mod roles;
pub mod sealed;
pub mod sessions;
pub mod switches;
pub mod task_edits;
pub mod task_views;
pub mod tasks;
pub mod teams;
mod together;
pub mod trackers;
pub mod uploads;
pub mod usage;
pub mod users;
pub mod vectors;
pub mod webhooks;

pub use error::StoreError;
pub use pools::{AcrossTx, Settings, Store, TeamTx};
