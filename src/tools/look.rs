//! `read_file`, `search` and `list_files`: they only read.
//!
//! Their answers stay below the length at which outputs are cut, and say how to go on.

use super::{
    ToolAnswer,
    cut::{OUTPUT_LIMIT_BYTES, grouped},
    files,
};
use crate::workspace::{
    EntryKind, FILE_LIMIT_BYTES, FileContent, ListEntry, ListQuery, SearchHits, SearchQuery, Workspace, WorkspaceError,
};
use std::fmt::Write;

const ANSWER_MAX_BYTES: usize = OUTPUT_LIMIT_BYTES - 2_000;
const LINE_MAX_CHARS: usize = 2_000;
const HIT_MAX_CHARS: usize = 300;
const ENTRIES_MAX: usize = 500;
const RETRY_HITS: usize = 5;

pub(super) async fn read_file(
    workspace: &Workspace,
    path: &str,
    offset: u64,
    limit: u64,
) -> Result<ToolAnswer, WorkspaceError> {
    match workspace.read(path, FILE_LIMIT_BYTES).await {
        Ok(file) => Ok(shown_file(path, &file, offset as usize, limit as usize)),
        Err(WorkspaceError::NotFound { .. }) => {
            let near = files::names_like(workspace, path).await?;
            Ok(ToolAnswer::refused(format!("{path}: there is no such file{near}")))
        }
        Err(WorkspaceError::Refused { why }) if why.ends_with("is a directory") => {
            Ok(ToolAnswer::refused(format!("{why}: list_files shows what is in it")))
        }
        Err(error) => Err(error),
    }
}

fn shown_file(path: &str, file: &FileContent, offset: usize, limit: usize) -> ToolAnswer {
    if file.bytes.contains(&0) {
        let start: Vec<String> = file.bytes.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        return ToolAnswer::refused(format!(
            "{path} is a binary file of {} bytes, beginning with {}; `shell` has tools for it (file, xxd, strings)",
            grouped(file.size as usize),
            start.join(" "),
        ));
    }
    if file.bytes.is_empty() {
        return ToolAnswer::said(format!("({path} is empty)"));
    }
    let text = String::from_utf8_lossy(&file.bytes);
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    if offset > lines.len() {
        return ToolAnswer::refused(format!("{path} has only {} lines: `offset` {offset} is beyond them", lines.len()));
    }
    let mut out = String::new();
    let mut next = offset - 1;
    for line in lines.iter().skip(offset - 1).take(limit) {
        let before = out.len();
        let line = line.strip_suffix('\n').unwrap_or(line);
        let _ = write!(out, "{}\t", next + 1);
        push_visible(&mut out, line.strip_suffix('\r').unwrap_or(line), LINE_MAX_CHARS);
        out.push('\n');
        if out.len() > ANSWER_MAX_BYTES && before > 0 {
            out.truncate(before);
            break;
        }
        next += 1;
    }
    push_remarks(&mut out, file, &text, (offset, next, lines.len()));
    ToolAnswer::said(out)
}

/// What the lines alone do not tell.
fn push_remarks(out: &mut String, file: &FileContent, text: &str, (first, last, all): (usize, usize, usize)) {
    let all_text = if file.truncated { format!("more than {}", grouped(all)) } else { grouped(all) };
    if last < all {
        let _ = writeln!(out, "(lines {first}-{last} of {all_text}; go on with `offset` {})", last + 1);
    } else if first > 1 || file.truncated {
        let _ = writeln!(out, "(lines {first}-{last} of {all_text})");
    }
    if text.contains("\r\n") {
        let mixed = text.split_inclusive('\n').any(|line| !line.ends_with("\r\n") && line.ends_with('\n'));
        out.push_str(if mixed { "(some lines end with CRLF)\n" } else { "(lines end with CRLF)\n" });
    }
    if last == all && !file.truncated && !text.ends_with('\n') {
        out.push_str("(no line break at the end of the file)\n");
    }
    if std::str::from_utf8(&file.bytes).is_err() {
        out.push_str("(not UTF-8: other bytes are shown as \u{fffd})\n");
    }
}

/// Pushes a line with its control characters written out, at most `most` characters of it.
fn push_visible(out: &mut String, line: &str, most: usize) {
    for c in line.chars().take(most) {
        if c.is_control() && c != '\t' {
            let _ = write!(out, "\\x{:02x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    if line.len() > most {
        let more = line.chars().count().saturating_sub(most);
        if more > 0 {
            let _ = write!(out, "… (+{} characters)", grouped(more));
        }
    }
}

pub(super) async fn search(
    workspace: &Workspace,
    pattern: &str,
    path: Option<&str>,
    glob: Option<&str>,
    limit: usize,
) -> Result<ToolAnswer, WorkspaceError> {
    let query = SearchQuery {
        pattern: pattern.to_owned(),
        path: path.map(str::to_owned),
        glob: glob.map(str::to_owned),
        limit,
    };
    let found = match workspace.search(query.clone()).await {
        Ok(found) => found,
        Err(WorkspaceError::Refused { why }) => return Ok(ToolAnswer::refused(refused_pattern(pattern, &why))),
        Err(WorkspaceError::NotFound { path }) => {
            let near = files::names_like(workspace, &path).await?;
            return Ok(ToolAnswer::refused(format!("{path}: there is no such file or directory{near}")));
        }
        Err(error) => return Err(error),
    };
    if !found.hits.is_empty() {
        return Ok(ToolAnswer::said(shown_hits(&found)));
    }
    let mut answer = format!("no line matches, in {} files", grouped(found.files_searched as usize));
    if found.files_searched == 0 {
        answer.push_str(": no file fits `path` and `glob`");
    } else if let Some((how, near)) = otherwise(workspace, &query).await? {
        let _ = write!(answer, "; {how}:\n{}", shown_hits(&near));
    }
    Ok(ToolAnswer::said(answer))
}

fn shown_hits(found: &SearchHits) -> String {
    let mut out = String::new();
    let mut shown = 0;
    for hit in &found.hits {
        let before = out.len();
        push_visible(&mut out, &hit.path, LINE_MAX_CHARS);
        let _ = write!(out, ":{}: ", hit.line);
        push_visible(&mut out, &hit.text, HIT_MAX_CHARS);
        out.push('\n');
        if out.len() > ANSWER_MAX_BYTES {
            out.truncate(before);
            break;
        }
        shown += 1;
    }
    if found.truncated || shown < found.hits.len() {
        let _ = writeln!(out, "(the first {shown} lines; there are more: narrow the pattern, `path` or `glob`)");
    }
    out
}

/// The same search as plain text, or without regard to case, where that finds something.
async fn otherwise(
    workspace: &Workspace,
    query: &SearchQuery,
) -> Result<Option<(&'static str, SearchHits)>, WorkspaceError> {
    let literal = regex::escape(&query.pattern);
    let tries = [
        ("taken as plain text it stands at", (literal != query.pattern).then(|| literal.clone())),
        ("without regard to case", Some(format!("(?i:{})", query.pattern))),
    ];
    for (how, pattern) in tries {
        let Some(pattern) = pattern else { continue };
        let found = workspace.search(SearchQuery { pattern, limit: RETRY_HITS, ..query.clone() }).await;
        match found {
            Ok(found) if !found.hits.is_empty() => return Ok(Some((how, found))),
            Err(error @ (WorkspaceError::Gone { .. } | WorkspaceError::Setup { .. })) => return Err(error),
            _ => {}
        }
    }
    Ok(None)
}

/// Where a pattern is wrong, and how its text would be found as it is.
fn refused_pattern(pattern: &str, why: &str) -> String {
    let Err(error) = regex::Regex::new(pattern) else { return why.to_owned() };
    let literal = regex::escape(pattern);
    let mut text = format!("`pattern` is no valid regular expression:\n{error}");
    if pattern.contains("(?=") || pattern.contains("(?!") || pattern.contains("(?<") {
        text.push_str("\nthere is no look-around here");
    }
    let _ = write!(text, "\nto find this text as it is, use the pattern `{literal}`");
    text
}

pub(super) async fn list_files(
    workspace: &Workspace,
    path: Option<&str>,
    depth: u32,
    glob: Option<&str>,
) -> Result<ToolAnswer, WorkspaceError> {
    let query = ListQuery {
        path: path.map(str::to_owned),
        depth: depth as usize,
        glob: glob.map(str::to_owned),
        limit: ENTRIES_MAX,
    };
    let listing = match workspace.list(query).await {
        Ok(listing) => listing,
        Err(WorkspaceError::NotFound { path }) => {
            let near = files::names_like(workspace, &path).await?;
            return Ok(ToolAnswer::refused(format!("{path}: there is no such directory{near}")));
        }
        Err(error) => return Err(error),
    };
    if listing.entries.is_empty() {
        let what = if glob.is_some() { "no file fits `glob`" } else { "nothing is here" };
        return Ok(ToolAnswer::said(format!("({what}; ignored files are left out)")));
    }
    let mut out = String::new();
    let mut shown = 0;
    for entry in &listing.entries {
        let before = out.len();
        push_entry(&mut out, entry, path, glob.is_none());
        if out.len() > ANSWER_MAX_BYTES {
            out.truncate(before);
            break;
        }
        shown += 1;
    }
    if listing.truncated || shown < listing.entries.len() {
        let _ = writeln!(out, "(the first {shown} entries; there are more: give `path`, `glob` or less `depth`)");
    } else if glob.is_none() && listing.entries.iter().any(|entry| is_deepest(entry, path, depth)) {
        let _ = writeln!(out, "({depth} levels; what is deeper is not shown)");
    }
    Ok(ToolAnswer::said(out))
}

/// One line: in a tree the name below its directory, else the whole path.
fn push_entry(out: &mut String, entry: &ListEntry, root: Option<&str>, tree: bool) {
    let shown = if tree && root != Some(&entry.path) {
        let level = below(&entry.path, root).matches('/').count();
        out.push_str(&"  ".repeat(level));
        entry.path.rsplit('/').next().unwrap_or(&entry.path)
    } else {
        &entry.path
    };
    push_visible(out, shown, LINE_MAX_CHARS);
    out.push_str(match entry.kind {
        EntryKind::Directory => "/\n",
        EntryKind::Symlink => "@\n",
        EntryKind::File | EntryKind::Other => "\n",
    });
}

fn is_deepest(entry: &ListEntry, root: Option<&str>, depth: u32) -> bool {
    entry.kind == EntryKind::Directory && below(&entry.path, root).matches('/').count() + 1 >= depth as usize
}

fn below<'a>(path: &'a str, root: Option<&str>) -> &'a str {
    root.and_then(|root| path.strip_prefix(root)?.strip_prefix('/')).unwrap_or(path)
}
