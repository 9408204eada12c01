//! Sandboxes that are ready before a task wants one. Start with [`pool`], what is kept; [`take`] is how a task comes by one.

mod pool;
mod take;

pub(super) use pool::Pool;
pub use pool::PoolSettings;
pub use take::{TakeSandbox, Taken};
