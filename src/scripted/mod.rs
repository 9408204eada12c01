//! The scripted model server behind `journeyman model`: it plays a script over all three wires,
//! streaming or not, as fast as a benchmark needs.
//!
//! It is stateless but for faults with `times`: which line it plays follows from what the request
//! holds, so that crashes, restarts and several replicas change nothing. It says in a header of
//! each answer and in its banner that it is scripted; it never thinks, and it never shows a key
//! in its log. docs/scripted-model.md tells the format; start reading with [`script`], then
//! `play` (which line) and `answer` (what goes out).

mod answer;
mod cache;
mod embeddings;
mod fault;
mod log;
mod play;
mod request;
pub mod script;
pub mod server;
mod when;
mod wire;

pub use embeddings::{EmbeddingFault, EmbeddingScript};
pub use fault::{Fault, FaultKind, UnknownFault};
pub use script::{Script, ScriptError};
pub use server::{ScriptedError, serve};
