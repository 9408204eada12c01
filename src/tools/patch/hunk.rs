//! What a patch is made of: sections per file, hunks per section, lines per hunk.

/// What a patch says, file by file. Paths are relative, with `/` and without `.` and `..`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    pub sections: Vec<Section>,
}

/// What is to become of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Section {
    Add { path: String, content: String, executable: bool },
    Delete { path: String },
    Update { path: String, move_to: Option<String>, executable: Option<bool>, hunks: Vec<Hunk> },
}

impl Section {
    /// The file that it is about; of a move the one moved from.
    pub fn path(&self) -> &str {
        match self {
            Self::Add { path, .. } | Self::Delete { path } | Self::Update { path, .. } => path,
        }
    }

    pub fn move_to(&self) -> Option<&str> {
        match self {
            Self::Update { move_to, .. } => move_to.as_deref(),
            Self::Add { .. } | Self::Delete { .. } => None,
        }
    }
}

/// One change inside a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hunk {
    /// What stood after `@@`, from outer to inner.
    pub contexts: Vec<String>,
    /// The contexts are a diff's own section heading, which may be cut or stale: a hint at most.
    pub contexts_are_hints: bool,
    /// Where a diff says that its old lines begin, from 1, and how many they are; where there are
    /// none, the line that the new ones go after. Trusted only to choose between places that fit
    /// equally.
    pub old: Option<(usize, usize)>,
    pub lines: Vec<HunkLine>,
    /// The hunk ends where the file ends.
    pub end_of_file: bool,
    /// Whether the last new line ends with a line break, where the patch says so.
    pub final_newline: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Keep,
    Remove,
    Add,
}

/// One line of a hunk, without its mark and its line ending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HunkLine {
    pub mark: Mark,
    pub text: String,
    /// How the line came by its mark.
    pub marked: Marked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marked {
    /// It has one.
    Yes,
    /// It is empty: a blank line that stays, or only the patch's own layout.
    Blank,
    /// Its mark is missing: taken whole, as a line that stays.
    Bare,
}

/// Why a text is no patch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the patch: {why}")]
pub struct SyntaxError {
    /// From 1.
    pub line: usize,
    pub why: String,
}

impl SyntaxError {
    pub(super) fn new(line: usize, why: impl Into<String>) -> Self {
        Self { line, why: why.into() }
    }
}
