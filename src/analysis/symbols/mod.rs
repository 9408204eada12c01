//! What the code says of itself: a map of its symbols, how it is written, what is nearest to the
//! request, and syntax errors after edits.
//!
//! Parsing is done by [`Parsers`], in a throwaway sandbox; everything else here is pure and takes
//! what came back for hostile: bounded, quoted, on one line. Without it a brief is made all the
//! same. Start with [`sources`], then [`Symbols`].

mod edits;
mod exported;
mod map;
mod nearest;
mod postings;
mod render;
mod sandboxed;
mod sources;
mod style;

pub use edits::{Edited, can_be_checked, told};
pub use exported::{Offered, has_outline, offered};
pub use nearest::nearest;
pub(super) use render::render;
pub use sandboxed::{Parsers, ParsersError};
pub use sources::sources;

use parsers::Index;
use postings::Postings;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::OnceLock};

/// Changes whenever the same base would give other [`Symbols`].
pub const VERSION: u32 = parsers::VERSION * 100 + 1;

/// What the parsers found in a base, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Symbols {
    /// The files that were given to the parsers, which name them by their place here.
    pub paths: Vec<String>,
    pub index: Index,
    /// Made when a request is first compared with them.
    #[serde(skip)]
    postings: OnceLock<Postings>,
}

impl Symbols {
    /// `paths` are those that the parsers were given, in their order.
    pub fn new(paths: Vec<String>, index: Index) -> Self {
        Self { paths, index, postings: OnceLock::new() }
    }

    pub(super) fn path(&self, file: u32) -> &str {
        self.paths.get(file as usize).map_or("", String::as_str)
    }

    fn postings(&self) -> &Postings {
        self.postings.get_or_init(|| Postings::of(self))
    }
}

/// What a brief is given of the code.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    pub symbols: &'a Symbols,
    /// The contents of the files that [`nearest`] names, by path; what is absent is not shown.
    pub samples: &'a BTreeMap<String, Vec<u8>>,
}
