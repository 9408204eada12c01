//! The worker's side of the queue: claims work, holds its leases by one heartbeat for all, and
//! gives it to whoever drives it. Knows nothing of agents.
//!
//! A lease that is lost tells the one who drives by a token; that he writes nothing more is held by
//! the epoch in the store, not by this token.

mod worker;

pub use worker::{Done, Queue, QueueSettings};
