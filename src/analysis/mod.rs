//! What the server finds out about a repository before the model's first call.
//!
//! Repository text is data: it is quoted and labelled, never obeyed. Reads no files itself: the
//! caller gives the contents that [`wanted`] names. Start with [`brief()`], then [`discover`].

mod affected;
mod brief;
mod continuous;
mod conventions;
mod detected;
mod discovery;
mod ecosystems;
mod facts;
pub mod format;
mod layout;
mod manifests;
mod members;
mod prohibitions;
mod purpose;
mod reach;
mod read;
mod runners;
mod said;
mod setup;
pub mod skills;
pub mod symbols;
mod toolchains;
mod tree;

pub use affected::{Affected, affected};
pub use brief::{BRIEF_BYTES_MIN, BriefFile, BriefInput, brief, brief_with, room_bytes};
pub use detected::{FoundSetup, detected_setup};
pub use discovery::{discover, packages};
pub use facts::{Authority, Command, Discovery, Package, Pin, Purpose};
pub use manifests::wanted;
pub use prohibitions::{prohibitions, prohibitions_in};
pub use setup::shapes_setup;
