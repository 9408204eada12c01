//! Drives one task: asks the agent for the next step, performs it, appends what happened.
//!
//! Decides nothing that the log should decide: after a crash another driver folds the same log and
//! goes on. Nothing that a workspace or a model says leads to more than an event. Start with
//! [`drive`](Runner::drive).

mod analyse;
mod approve;
mod aside;
mod beside;
mod blobs;
mod budget;
mod caches;
mod caller;
mod change;
mod clean;
mod compact;
mod compatibility;
mod copy;
mod decisions;
mod deps;
mod drive;
mod evidence;
mod forbidden;
mod format;
mod instructions;
mod journal;
mod laying;
mod licences;
mod links;
mod live;
mod mcp;
mod model;
mod needed;
mod network;
mod origin;
mod outfit;
mod pass;
pub mod replay;
mod review;
mod scrub;
mod secret;
mod setup;
mod skills;
mod symbols;
mod tools;
mod validate;
mod vault;

pub use blobs::{BlobError, Blobs};
pub use budget::KnownCaps;
pub use clean::Baselines;
pub use deps::{Deps, Failpoint, Runner};
pub use drive::Driven;
pub use needed::needed;
pub use origin::{OriginError, base};
pub use skills::OperatorSkills;
pub use symbols::Analyses;
pub use vault::{OpenSecret, Vault, VaultError};
