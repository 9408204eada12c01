//! The pure loop: a task's log is folded into a [`Session`], and [`next_step`] says what follows.
//!
//! No I/O, no clock, no randomness: the same log gives the same step on any machine. Prompts are
//! the Markdown files in `prompts`. Start with [`step`].

pub mod approver;
mod background;
mod budget;
mod circles;
mod cited;
pub mod compact;
mod created;
mod criteria;
mod cut;
mod fleeting;
mod fold;
mod formatted;
mod gate;
mod intent;
mod json;
mod ledger;
mod outcome;
mod progress;
pub mod prompt;
pub mod review;
mod revision;
pub mod rules;
mod session;
mod step;
mod structured;
pub mod verdict;
mod weakening;
mod weight;

pub use budget::{ModelFacts, Reviewer, affords, aside_reservation, repeats_left, reservation, wall_left};
pub use circles::Moves;
pub use formatted::{formatted, told};
pub use intent::{announces_more, ends_in_call};
pub use outcome::{result_at_rest, task_result};
pub use progress::{Progress, Score, Validated};
pub use session::{
    Asked, AtRest, Briefed, Checked, CheckpointRef, Decided, Input, PendingCall, PlanApproval, Reserved, Session,
    Weakening,
};
pub use step::{End, Step, give_up_calls, next_step, puts_back, refines, started};
pub use weakening::{asks_about_tests, tests_subject};
pub use weight::tokens_at_most;
