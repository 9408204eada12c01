//! The brief as text for the model and facts for programs.

use crate::domain::brief::Brief;
use std::collections::BTreeMap;

/// A file of the base.
#[derive(Clone, Copy, Debug)]
pub struct BriefFile<'a> {
    pub path: &'a str,
    /// In bytes.
    pub size: u64,
}

/// What a brief is made from.
#[derive(Clone, Copy, Debug)]
pub struct BriefInput<'a> {
    /// Every file of the base.
    pub files: &'a [BriefFile<'a>],
    /// The contents of the files that [`wanted`] names, by path; what is absent is not looked at.
    pub contents: &'a BTreeMap<String, Vec<u8>>,
    pub request: &'a str,
    /// Of the model.
    pub window_tokens: u64,
    /// Lines of recent history, newest first.
    pub history: &'a [String],
    /// Programs that the workspace is known to have; absent: unknown.
    pub programs: Option<&'a [&'a str]>,
}

/// The files whose contents the brief reads: few and small (at most 64 of at most 256 KiB), so that
/// the caller can read them in one go.
pub fn wanted<'a>(_files: &[BriefFile<'a>]) -> Vec<&'a str> {
    Vec::new()
}

/// Makes the brief. The same input gives the same text, byte for byte.
pub fn brief(input: &BriefInput<'_>) -> Brief {
    Brief {
        languages: Vec::new(),
        conventions: Vec::new(),
        checks: Vec::new(),
        files: u32::try_from(input.files.len()).unwrap_or(u32::MAX),
        text: String::new(),
    }
}
