//! What a task's log says so far: the state from which the next step follows.
//!
//! A session is made by folding ([`Session::apply`]) and by nothing else, so that any worker that
//! reads the log has the same one.

mod parts;
mod state;
mod used;

pub use parts::{
    Asked, AtRest, Briefed, Checked, CheckpointRef, Decided, Input, PendingCall, PlanApproval, Reserved, Weakening,
};
pub(super) use parts::{LastWords, Published, RunStart};
pub use state::Session;
pub(super) use used::RunUse;
