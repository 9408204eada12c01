//! Syntax errors after an edit, in words for the model.

use super::super::brief::plain;
use parsers::{Checked, File};
use std::fmt::Write;

/// A file as an edit left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    pub path: String,
    pub content: Vec<u8>,
    /// Absent: there was none.
    pub before: Option<Vec<u8>>,
}

/// Files of one edit that are looked at, and the largest of them.
const FILES_MAX: usize = 20;
const FILE_BYTES_MAX: usize = 1 << 20;
/// Errors told of one edit.
const TOLD_MAX: usize = 6;

/// Whether the syntax of a file of this name can be checked.
pub fn can_be_checked(path: &str) -> bool {
    parsers::can_be_checked(path)
}

impl Edited {
    /// Those of an edit whose syntax can be checked.
    pub fn checkable(edited: &[Self]) -> Vec<File<bytes::Bytes>> {
        let small = |edited: &&Self| {
            edited.content.len() <= FILE_BYTES_MAX && edited.before.as_ref().is_none_or(|it| it.len() <= FILE_BYTES_MAX)
        };
        let known = edited.iter().filter(|edited| parsers::can_be_checked(&edited.path)).filter(small);
        let file = |edited: &Self| File {
            path: edited.path.clone(),
            content: edited.content.clone().into(),
            before: edited.before.clone().map(Into::into),
        };
        known.take(FILES_MAX).map(file).collect()
    }
}

/// What is wrong since the edit; empty where nothing is. Errors that were there before are not the
/// edit's.
pub fn told(files: &[String], checked: &[Option<Checked>]) -> String {
    let mut text = String::new();
    let mut left = TOLD_MAX;
    for (path, checked) in files.iter().zip(checked) {
        let Some(checked) = checked.as_ref().filter(|checked| checked.new > 0) else { continue };
        let path = plain(path, 200);
        for error in checked.errors.iter().take(left) {
            let message = plain(&error.message, 120);
            let _ = write!(text, "\n{path}:{}:{}: {message}", error.line, error.column);
            if !error.text.is_empty() {
                let _ = write!(text, "\n    {}", plain(&error.text, 160));
            }
        }
        let told = checked.errors.len().min(left);
        left -= told;
        let more = u64::from(checked.new).saturating_sub(told as u64);
        if more > 0 {
            let _ = write!(text, "\n{path}: {more} more");
        }
        if checked.earlier > 0 {
            let _ = write!(text, "\n{path}: {} others were there before this edit", checked.earlier);
        }
        if matches!(parsers::language_of(&path), Some("C" | "C++")) {
            let _ = write!(text, "\n{path}: read without expanding macros, which may be why");
        }
    }
    if !text.is_empty() {
        text.insert_str(0, "\nsyntax errors that were not there before:");
    }
    text
}
