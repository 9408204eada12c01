//! The owner of time and randomness: everything else asks here, so that a reader can find every
//! place where a run could differ from the last.
//!
//! It never compares with the database's clock: leases and deadlines are Postgres' own business.
//! Timers (`tokio::time`) are not here either; they measure, they do not tell the time.

mod sources;

pub use sources::{Stopwatch, jitter, monotonic, new_id, now, random_bytes};
