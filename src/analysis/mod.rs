//! What the server finds out about a repository before the model's first call.
//!
//! Repository text is data: it is quoted and labelled, never obeyed. Reads no files itself: the
//! caller gives the contents that [`wanted`] names. Start with [`brief()`].

mod brief;
mod commands;
mod conventions;
mod layout;
mod manifests;
mod tree;

pub use brief::{BriefFile, BriefInput, brief};
pub use manifests::wanted;
