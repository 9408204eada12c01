//! What many files say together: small enough to be kept, and all that a brief needs.

use serde::{Deserialize, Serialize};

/// Changes whenever the same files would give another [`Index`].
pub const VERSION: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Function,
    Type,
    Constant,
    Macro,
}

/// Something with a name that a file defines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    pub name: String,
    pub kind: Kind,
    /// From 1: where its name stands, and where it ends.
    pub line: u32,
    pub end: u32,
    /// On one line, cut.
    pub signature: String,
    /// The class, module or type that it is in.
    pub holder: Option<String>,
    /// Seen from outside of its file.
    pub exported: bool,
    /// Other files that name it.
    pub users: u32,
    /// How much the rest refers to it, in millionths of all.
    pub score: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexedFile {
    /// Its place in the batch.
    pub file: u32,
    pub language: String,
    /// In millionths of all.
    pub score: u32,
    /// In the order of their lines.
    pub definitions: Vec<Definition>,
    /// Words that tell this file from others, the most telling first.
    pub words: Vec<String>,
}

/// How one language is written: counts by group and label, most frequent first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LanguageStyle {
    pub language: String,
    pub files: u32,
    pub groups: Vec<(String, Vec<(String, u32)>)>,
}

/// Files whose content says nothing of how people write here, or that were not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    pub binary: u32,
    pub generated: u32,
    pub minified: u32,
    /// There was no time.
    pub unread: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    pub version: u32,
    /// The most referred to first.
    pub files: Vec<IndexedFile>,
    /// Most files first.
    pub styles: Vec<LanguageStyle>,
    pub skipped: Skipped,
}
