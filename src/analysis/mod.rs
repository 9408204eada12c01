//! What the server finds out about a repository before the model's first call.
//!
//! Repository text is data: it is quoted and labelled, never obeyed. Start with [`brief()`].

mod brief;

pub use brief::{BriefFile, BriefInput, brief, wanted};
