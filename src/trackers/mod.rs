//! Trackers and forges as others wrote them: their own words, addresses and habits, and nothing of tasks.
//!
//! Start with [`forge`] for what goes out.

pub mod forge;
