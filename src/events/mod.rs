//! The tail of the log: what was committed, told to those who watch, on any replica.
//!
//! The log is the truth and a wake is a hint: a stream reads the log after its own cursor, so that
//! nothing depends on a wake that came. Watchers of one task share what one of them has read, so
//! that the database's load does not grow with their number. Nothing here writes the log.
//!
//! Start with [`Hub::follow`].

mod channel;
mod follow;
mod hub;
mod relay;

pub use channel::Encoded;
pub use hub::{Horizon, Hub};
pub use relay::Driving;
