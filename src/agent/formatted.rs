//! What the server had formatted before the checks: told to the model once, and to people with the result.

use super::session::Session;
use crate::domain::{
    check::{Finding, FindingKind, Severity},
    event::{Formatted, TreeDelta},
};
use std::collections::BTreeMap;

/// Files that are named of one formatter.
const NAMED_MAX: usize = 30;

/// What the model is told of it.
pub fn told(formatted: &[Formatted]) -> Option<String> {
    if formatted.is_empty() {
        return None;
    }
    let files: BTreeMap<&str, &str> = formatted.iter().map(|file| (file.path.as_str(), file.by.as_str())).collect();
    let lines = by_formatter(files.into_iter()).join("\n- ");
    Some(format!(
        "Before the checks, files that you changed were formatted by the repository's own formatter:\n- {lines}\n\
         Read them again before you edit them."
    ))
}

/// What people are told beside the verdict, of the files that the patch still changes.
pub fn formatted(session: &Session, patch: &TreeDelta) -> Vec<Finding> {
    let changed = |path: &str| patch.changed.iter().any(|entry| entry.path == path);
    let files = session.formatted.iter().map(|(path, by)| (path.as_str(), by.as_str()));
    let files = files.filter(|(path, _)| changed(path));
    let finding = |line| Finding::new(FindingKind::Formatted, Severity::Info, format!("formatted by {line}"));
    by_formatter(files).into_iter().map(finding).collect()
}

/// A line for each formatter with its files.
fn by_formatter<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    let mut by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (path, formatter) in files {
        by.entry(formatter).or_default().push(path);
    }
    by.into_iter()
        .map(|(formatter, paths)| {
            let more = paths.len().saturating_sub(NAMED_MAX);
            let named = paths[..paths.len() - more].join(", ");
            if more > 0 { format!("{formatter}: {named} and {more} more") } else { format!("{formatter}: {named}") }
        })
        .collect()
}
