//! The scripted model server behind `journeyman model`: it plays a script over all three wires.
//!
//! It is stateless: which line it plays follows from what the request holds. It says in a header
//! of each answer and in its banner that it is scripted, and it never thinks. Start with
//! [`script`] (the format) and [`server`].

pub mod script;
pub mod server;

pub use script::{Script, ScriptError};
pub use server::{ScriptedError, serve};
