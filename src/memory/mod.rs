//! Recall of what users and teams have taught the service: which memories go into a task's
//! prompt, and why.
//!
//! Memories are data in a prompt's memory place, never instructions of the server, and they are
//! chosen once, before the first model call. Start with [`recall`].

mod recall;

pub use recall::{Budget, Recalled, Wanted, choose, reason, recall};
