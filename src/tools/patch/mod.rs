//! The pure core of `apply_patch` and `edit`: what a patch says, and what it makes of files.
//!
//! The grammar is that of codex's tool of the same name; unified diffs are understood too. The
//! rule above all others: where a change would fit several places equally, or none, nothing is
//! applied and the refusal says where the places are.
//!
//! Start with [`parse`], then `apply`. Nothing here reads or writes a file.

mod apply;
mod context;
mod envelope;
mod hunk;
mod level;
mod path;
mod place;
mod refusal;
mod replace;
mod sections;
mod similar;
mod text;
mod unified;

pub use apply::{Change, Edits, Entry, apply, paths, text_of};
pub use envelope::{Pasted, in_command, parse, parse_below};
pub use hunk::{Hunk, HunkLine, Mark, Marked, Patch, Section, SyntaxError};
pub use path::relative as relative_path;
pub use refusal::{Problem, Refusal};
pub use replace::{Replaced, replace};
