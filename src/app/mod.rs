//! The one composition root: builds every room from the settings, in one place, and runs them.
//!
//! Nothing here decides anything about tasks. Start with [`serve`].

mod admin;
mod answers;
mod backup;
mod build;
mod doctor;
mod doors;
mod embedded;
mod hooks;
mod keeping;
mod keys;
mod operate;
mod publishing;
mod serve;
mod signing_in;
mod webhooks;

pub use admin::{AdminAction, admin};
pub use backup::{LeftOut, Place};
pub use build::{Parts, RunningDatabase};
pub use doctor::{Line, State, doctor};
pub use embedded::{Embedded, local_key_of};
pub use operate::{CancelFilter, Operation};
pub use serve::{Role, Server, serve};
