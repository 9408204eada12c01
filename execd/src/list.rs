//! The call `list`, and lines of JSON as the bulk of an answer.

use crate::{
    connection::refused,
    files::{below, io_failure, shown},
    walk,
    worker::{Cancelled, Given},
};
use execd::message::{ANSWER_LIMIT_BYTES, Answer, EntryKind, Failure, ListEntry};
use globset::{Glob, GlobBuilder, GlobMatcher};
use serde::Serialize;
use std::path::Path;

const ENTRIES_MAX: usize = 10_000;
/// Entries that are looked at for a listing.
const LOOKS_MAX: usize = 1_000_000;

pub(crate) fn list(
    root: &Path,
    path: Option<&str>,
    depth: usize,
    glob: Option<&str>,
    limit: usize,
    cancelled: &Cancelled,
) -> Given {
    let start = start(root, path)?;
    let matcher = glob.map(Matcher::new).transpose()?;
    let limit = limit.min(ENTRIES_MAX);
    let mut entries = Vec::new();
    let mut truncated = false;
    let mut builder = walk::visible(&start, |_| true);
    builder.max_depth(Some(depth.max(1))).sort_by_file_name(std::ffi::OsStr::cmp);
    for (count, entry) in builder.build().enumerate() {
        if count.is_multiple_of(64) {
            cancelled.check()?;
        }
        let Ok(entry) = entry else { continue };
        let kind = entry.file_type().map_or(EntryKind::Other, kind_of);
        if entry.depth() == 0 && kind == EntryKind::Directory {
            continue;
        }
        let path = shown(root, entry.path());
        if let Some(matcher) = &matcher
            && (kind == EntryKind::Directory || !matcher.matches(&path))
        {
            continue;
        }
        if entries.len() == limit || count >= LOOKS_MAX {
            truncated = true;
            break;
        }
        let size = if kind == EntryKind::File { entry.metadata().map_or(0, |metadata| metadata.len()) } else { 0 };
        entries.push(ListEntry { path, kind, size });
    }
    Ok((lines(entries.into_iter())?, Answer::Listed { truncated }))
}

/// A glob on a path, or on the name alone where it has no `/`.
#[derive(Debug)]
pub(crate) struct Matcher {
    glob: GlobMatcher,
    by_name: bool,
}

impl Matcher {
    pub(crate) fn new(glob: &str) -> Result<Self, Failure> {
        let bad = |error: globset::Error| refused(format!("glob: {error}"));
        let glob = glob.strip_prefix("./").unwrap_or(glob);
        let by_name = !glob.contains('/');
        let glob: Glob = GlobBuilder::new(glob).literal_separator(true).build().map_err(bad)?;
        Ok(Self { glob: glob.compile_matcher(), by_name })
    }

    pub(crate) fn matches(&self, path: &str) -> bool {
        let path = if self.by_name { path.rsplit('/').next().unwrap_or(path) } else { path };
        self.glob.is_match(path)
    }
}

/// Where a listing or a search begins: must be there, and be in the working copy.
pub(crate) fn start(root: &Path, path: Option<&str>) -> Result<std::path::PathBuf, Failure> {
    let Some(path) = path.filter(|path| !path.is_empty()) else { return Ok(root.to_owned()) };
    let start = below(root, path)?.canonicalize().map_err(|error| io_failure(path, &error))?;
    if start.starts_with(root) { Ok(start) } else { Err(crate::files::outside(path)) }
}

/// Values as lines of JSON.
pub(crate) fn lines(values: impl Iterator<Item = impl Serialize>) -> Result<Vec<u8>, Failure> {
    let mut data = Vec::new();
    for value in values {
        serde_json::to_writer(&mut data, &value).map_err(|error| refused(error.to_string()))?;
        data.push(b'\n');
        if data.len() > ANSWER_LIMIT_BYTES {
            return Err(refused("the answer is larger than allowed"));
        }
    }
    Ok(data)
}

fn kind_of(kind: std::fs::FileType) -> EntryKind {
    if kind.is_dir() {
        EntryKind::Directory
    } else if kind.is_file() {
        EntryKind::File
    } else if kind.is_symlink() {
        EntryKind::Symlink
    } else {
        EntryKind::Other
    }
}
