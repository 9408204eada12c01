//! The call `search`: a regular expression over the lines of the working copy's files.

use crate::{
    connection::refused,
    files::{open_regular, shown},
    list::{Matcher, lines, start},
    walk,
    worker::{Cancelled, Given},
};
use execd::message::{Answer, FILE_LIMIT_BYTES, SearchHit};
use regex::bytes::{Regex, RegexBuilder};
use std::{
    io::Read,
    path::Path,
    time::{Duration, Instant},
};

const HITS_MAX: usize = 1_000;
const LINE_LIMIT_BYTES: usize = 400;
const PROGRAM_LIMIT_BYTES: usize = 8 << 20;
const TIME_LIMIT: Duration = Duration::from_secs(20);
/// A file with a NUL among its first bytes is no text.
const BINARY_LOOK_BYTES: usize = 8 * 1024;

pub(crate) fn search(
    root: &Path,
    pattern: &str,
    path: Option<&str>,
    glob: Option<&str>,
    limit: usize,
    cancelled: &Cancelled,
) -> Given {
    let begun = Instant::now();
    let regex = RegexBuilder::new(pattern)
        .multi_line(true)
        .crlf(true)
        .size_limit(PROGRAM_LIMIT_BYTES)
        .dfa_size_limit(PROGRAM_LIMIT_BYTES)
        .build()
        .map_err(|error| refused(format!("pattern: {error}")))?;
    // A pattern that names a line's end is meant to cross it; any other is of one line, whatever its
    // classes of white space could reach.
    let find = if pattern.contains("\\n") { find_across } else { find_in_lines };
    let start = start(root, path)?;
    let matcher = glob.map(Matcher::new).transpose()?;
    let limit = limit.min(HITS_MAX);
    let mut hits = Vec::new();
    let mut files = 0;
    let mut truncated = false;
    let mut builder = walk::visible(&start, |_| true);
    builder.sort_by_file_name(std::ffi::OsStr::cmp);
    for entry in builder.build() {
        cancelled.check()?;
        if begun.elapsed() > TIME_LIMIT {
            truncated = true;
            break;
        }
        let Ok(entry) = entry else { continue };
        let path = shown(root, entry.path());
        if !entry.file_type().is_some_and(|kind| kind.is_file())
            || matcher.as_ref().is_some_and(|matcher| !matcher.matches(&path))
        {
            continue;
        }
        let Some(content) = text(entry.path()) else { continue };
        files += 1;
        truncated = find(&regex, &path, &content, limit, &mut hits);
        if truncated {
            break;
        }
    }
    Ok((lines(hits.into_iter())?, Answer::Found { truncated, files }))
}

/// The file's content, if it can be read and is text.
fn text(path: &Path) -> Option<Vec<u8>> {
    let (file, metadata) = open_regular(path).ok()?;
    let mut content = Vec::with_capacity(metadata.len().min(FILE_LIMIT_BYTES) as usize);
    file.take(FILE_LIMIT_BYTES).read_to_end(&mut content).ok()?;
    let binary = content.iter().take(BINARY_LOOK_BYTES).any(|byte| *byte == 0);
    (!binary).then_some(content)
}

/// Adds a hit for each matching line; `true`: there are more than `limit`.
fn find_in_lines(regex: &Regex, path: &str, content: &[u8], limit: usize, hits: &mut Vec<SearchHit>) -> bool {
    // No line matches where the whole does not; nothing has no lines.
    if content.is_empty() || !regex.is_match(content) {
        return false;
    }
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !regex.is_match(line) {
            continue;
        }
        if hits.len() == limit {
            return true;
        }
        hits.push(hit(path, index as u64 + 1, line));
    }
    false
}

fn hit(path: &str, number: u64, line: &[u8]) -> SearchHit {
    let cut = &line[..line.len().min(LINE_LIMIT_BYTES)];
    SearchHit { path: path.to_owned(), line: number, text: String::from_utf8_lossy(cut).into_owned() }
}

/// The same for matches that may begin on one line and end on another: the line of their beginning.
fn find_across(regex: &Regex, path: &str, content: &[u8], limit: usize, hits: &mut Vec<SearchHit>) -> bool {
    let mut number = 1;
    let mut counted = 0;
    let mut from = 0;
    while let Some(found) = regex.find_at(content, from) {
        // A match of nothing behind the last line end is no line.
        if found.start() == content.len() && (content.is_empty() || content.ends_with(b"\n")) {
            return false;
        }
        if hits.len() == limit {
            return true;
        }
        let line_start = content[..found.start()].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let rest = &content[found.start()..];
        let line_end = rest.iter().position(|byte| *byte == b'\n').map_or(content.len(), |at| found.start() + at);
        number += content[counted..line_start].split(|byte| *byte == b'\n').count() as u64 - 1;
        counted = line_start;
        let line = &content[line_start..line_end];
        hits.push(hit(path, number, line.strip_suffix(b"\r").unwrap_or(line)));
        from = line_end + 1;
        if from > content.len() {
            return false;
        }
    }
    false
}
