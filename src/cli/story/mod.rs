//! A task's events as a story for people: a fold from events to lines, and nothing else.
//!
//! [`Story::event`] gives the lines that an event adds, [`Story::status`] the one line that says
//! what is going on right now, [`ending`] the verdict with its evidence. No clock, no terminal:
//! the same events give the same lines, live or long after.

mod calls;
mod checks;
mod diff;
mod ending;
mod fold;
mod planning;
mod publish;
mod words;

pub use diff::{FileEdit, apply_patch, patch, replaced};
pub use ending::{Ending, ending};
pub use fold::Story;
pub use planning::whole as plan;
pub use words::{count, duration};
