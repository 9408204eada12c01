//! Cancellation and drain: one [`Shutdown`] per process, cloned into whatever runs.
//!
//! It has two stages. *Draining*: claim nothing new, park what runs at its next step, answer
//! readiness with 503. *Cut*: return at once; what is cut is recovered as after a crash. It never
//! waits longer than [`DRAIN`] plus [`CUT`], and never ends the process itself.

mod stages;

pub use stages::{CUT, DRAIN, Drained, Shutdown, ShutdownError};
