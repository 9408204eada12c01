//! The tools that a model sees: their descriptions, the check of their arguments, their running
//! in a workspace, and the form of their answers.
//!
//! [`specs`] is what goes to the model, [`parse`] turns what comes back into a [`Parsed`] call or
//! into a text that tells the model what to mend, [`run`] performs it in a workspace, [`cut`]
//! makes what is recorded out of what was given. [`patch`] is the pure core of `apply_patch`.
//!
//! A tool never touches the host: everything goes through the workspace's client. It never
//! applies half a change, and never guesses where several places fit.

mod answer;
mod arguments;
mod command;
mod cut;
mod files;
mod look;
mod nearest;
mod parse;
pub mod patch;
mod plan;
mod run;
mod schema;
mod specs;

pub use answer::ToolAnswer;
pub use cut::{OUTPUT_LIMIT_BYTES, cut};
pub use parse::{Parsed, RememberScope, object, parse};
pub use run::run;
pub use specs::{ToolSet, specs, specs_for_window};
