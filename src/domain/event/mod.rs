//! The events of a task's log: all that is known of it.
//!
//! An event has public `data`, which is the contract with everyone who reads a stream, and
//! sometimes a private part, which the fold needs and nobody may read. An event that has been
//! written is never changed, but for words of users who are erased; a new field needs a default so that
//! older rows still read.

mod cache;
mod kinds;
mod private;
mod unsaid;

pub use cache::{CacheMiss, CacheUse, MissCause, PrefixMark, PromptSeen};
pub use kinds::{Aside, AsideOutcome, Event, EventData, LimitKind, Record, RecoveredAfter};
pub use private::{
    DeltaEntry, Formatted, LOOP_VERSION, PatchPaths, Private, PromptForm, PromptHead, ToolSpecs, TreeDelta,
};
pub use unsaid::{ERASED, GONE};
