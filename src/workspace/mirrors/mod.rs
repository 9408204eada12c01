//! The server's own bare repositories, one per team and origin: fetched when a task asks, and before the next one does.
//!
//! Workspaces see their objects read-only and nothing else of them. Start with [`mirror`].

mod lately;
mod mirror;
mod partial;
mod place;
mod publish;
mod refresh;
mod refs;
mod remote;
mod ssh;

pub use lately::FreshSettings;
pub(super) use lately::Lately;
pub(super) use mirror::{Mirror, Origin};
pub use publish::{Built, Committed, NewCommit, Resolved, Signature};
pub use refresh::Refreshed;
pub(super) use refs::Found;
