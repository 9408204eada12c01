//! Outlines of source files, the map that they make together, and syntax errors.
//!
//! tree-sitter is named in this package alone, behind one table of languages ([`language_of`]).
//! It reads what anybody may have written, in C: so it runs as `journeyman outline`, a process of
//! its own in a throwaway sandbox, and the server only writes a [`Batch`] to it and reads an
//! [`Index`] or [`Checked`] from it. What comes back is data to be bounded and quoted, not trusted.
//!
//! Start with [`answer`], then `table.rs` and `outline.rs`.

mod batch;
mod errors;
mod grammar;
mod index;
mod outline;
mod rank;
mod skip;
mod style;
mod table;
pub mod words;
mod work;

pub use batch::{Batch, BatchError, File, Wanted};
pub use errors::{Checked, SyntaxError};
pub use index::{Definition, Index, IndexedFile, Kind, LanguageStyle, Skipped, VERSION};
pub use table::{can_be_checked, language_of};
pub use work::answer;
