//! A patch as a reviewer sees it: each line with its number in the new file, the files that matter most first, cut to
//! a budget that says what it left out.

use crate::agent::ledger::head;
use std::fmt::Write;

/// Of a patch that is looked at.
const PATCH_BYTES_MAX: usize = 8 << 20;

/// Of one line, in characters.
const LINE_CHARS_MAX: usize = 400;
/// Below this a file is named and not begun, in bytes.
const PIECE_BYTES_MIN: usize = 1_500;
/// Files that are named as left out.
const NAMED_MAX: usize = 50;

/// What a patch does to one file.
#[derive(Debug, Default)]
struct FileDiff {
    path: String,
    /// What became of it besides its lines: new, gone, renamed, binary.
    notes: Vec<String>,
    lines: Vec<String>,
    bytes: usize,
    added: u32,
    removed: u32,
}

/// The patch in at most about so many bytes.
pub(super) fn shown(patch: &str, bytes: usize) -> String {
    let read = head(patch, PATCH_BYTES_MAX);
    let mut files = files(read);
    files.sort_by(|a, b| (rank(&a.path), &a.path).cmp(&(rank(&b.path), &b.path)));
    // One file may not take the room of all others.
    let most = if files.len() > 1 { bytes / 2 } else { bytes };
    let (mut text, mut left, mut left_out) = (String::new(), bytes, Vec::new());
    for file in &files {
        let room = if file.bytes <= most { left } else { left.min(most) };
        if file.bytes > room && room < PIECE_BYTES_MIN {
            left_out.push(file);
            continue;
        }
        let before = text.len();
        file.write(&mut text, room);
        left = left.saturating_sub(text.len() - before);
    }
    if !left_out.is_empty() {
        let _ = writeln!(text, "Not shown, for want of room:");
        for file in left_out.iter().take(NAMED_MAX) {
            let _ = writeln!(text, "- {} (+{} -{})", file.path, file.added, file.removed);
        }
        if left_out.len() > NAMED_MAX {
            let _ = writeln!(text, "- and {} more", left_out.len() - NAMED_MAX);
        }
    }
    if read.len() < patch.len() {
        let _ =
            writeln!(text, "[The patch has {} bytes, of which the first {} were looked at.]", patch.len(), read.len());
    }
    text
}

impl FileDiff {
    fn write(&self, text: &mut String, room: usize) {
        let notes = if self.notes.is_empty() { String::new() } else { format!(", {}", self.notes.join(", ")) };
        let _ = writeln!(text, "File {} (+{} -{}{notes})", self.path, self.added, self.removed);
        let mut left = room;
        for (at, line) in self.lines.iter().enumerate() {
            if line.len() + 1 > left {
                let _ = writeln!(text, "[{} more lines of this file are left out]", self.lines.len() - at);
                break;
            }
            left -= line.len() + 1;
            text.push_str(line);
            text.push('\n');
        }
        text.push('\n');
    }

    fn line(&mut self, number: Option<u32>, sign: char, rest: &str) {
        let mut line = number.map_or_else(|| " ".repeat(6), |number| format!("{number:>6}"));
        line.push(' ');
        line.push(sign);
        line.extend(rest.chars().take(LINE_CHARS_MAX));
        if rest.chars().nth(LINE_CHARS_MAX).is_some() {
            line.push('…');
        }
        self.bytes += line.len() + 1;
        self.lines.push(line);
    }
}

/// The parts of a patch as git writes it. Lines that a hunk does not hold are not taken for its lines.
fn files(patch: &str) -> Vec<FileDiff> {
    let mut files: Vec<FileDiff> = Vec::new();
    let (mut number, mut old_left, mut new_left) = (0_u32, 0_u32, 0_u32);
    for line in patch.lines() {
        if old_left + new_left == 0 {
            if let Some(rest) = line.strip_prefix("diff --git ") {
                files.push(FileDiff { path: header_path(rest), ..FileDiff::default() });
                continue;
            }
            let Some(file) = files.last_mut() else { continue };
            if let Some((start, old, new)) = hunk(line) {
                (number, old_left, new_left) = (start, old, new);
                let context = line.splitn(3, "@@").nth(2).unwrap_or_default();
                file.line(None, '@', &format!("@{context}"));
            } else if let Some(path) = line.strip_prefix("+++ ").or_else(|| line.strip_prefix("--- ")) {
                if let Some(path) = side_path(path) {
                    file.path = path;
                }
            } else if line.starts_with("new file") {
                file.notes.push("new".to_owned());
            } else if line.starts_with("deleted file") {
                file.notes.push("gone".to_owned());
            } else if let Some(from) = line.strip_prefix("rename from ") {
                file.notes.push(format!("was {from}"));
            } else if line.starts_with("GIT binary patch") || line.starts_with("Binary files ") {
                file.notes.push("binary".to_owned());
            }
            continue;
        }
        let Some(file) = files.last_mut() else { continue };
        match line.chars().next() {
            Some('+') => {
                file.line(Some(number), '+', &line[1..]);
                (number, new_left, file.added) = (number + 1, new_left.saturating_sub(1), file.added + 1);
            }
            Some('-') => {
                file.line(None, '-', &line[1..]);
                (old_left, file.removed) = (old_left.saturating_sub(1), file.removed + 1);
            }
            Some('\\') => {}
            _ => {
                file.line(Some(number), ' ', line.get(1..).unwrap_or_default());
                (number, old_left, new_left) = (number + 1, old_left.saturating_sub(1), new_left.saturating_sub(1));
            }
        }
    }
    files
}

/// `@@ -1,2 +3,4 @@` into 3, 2 and 4.
fn hunk(line: &str) -> Option<(u32, u32, u32)> {
    let mut words = line.strip_prefix("@@ ")?.split(' ');
    let side = |word: &str, sign: char| -> Option<(u32, u32)> {
        let range = word.strip_prefix(sign)?;
        let (start, count) = range.split_once(',').unwrap_or((range, "1"));
        Some((start.parse().ok()?, count.parse().ok()?))
    };
    let (_, old) = side(words.next()?, '-')?;
    let (start, new) = side(words.next()?, '+')?;
    Some((start, old, new))
}

/// `a/x b/x`: where a rename has not said otherwise both are the same.
fn header_path(rest: &str) -> String {
    let half = rest.len() / 2;
    let path = rest.get(half + 1..).unwrap_or(rest);
    unquoted(path).strip_prefix("b/").map_or_else(|| rest.to_owned(), str::to_owned)
}

/// The path of a `---` or `+++` line; absent for `/dev/null`.
fn side_path(text: &str) -> Option<String> {
    let path = unquoted(text.trim_end_matches('\t'));
    path.strip_prefix("b/").or_else(|| path.strip_prefix("a/")).map(str::to_owned)
}

fn unquoted(path: &str) -> String {
    match path.strip_prefix('"').and_then(|path| path.strip_suffix('"')) {
        Some(path) => path.replace("\\\"", "\"").replace("\\t", "\t").replace("\\\\", "\\"),
        None => path.to_owned(),
    }
}

/// Code first, then tests, words, and what tools write.
fn rank(path: &str) -> u8 {
    let lower = path.to_ascii_lowercase();
    let name = lower.rsplit('/').next().unwrap_or(&lower);
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    let below = |directories: &[&str]| lower.split('/').any(|part| directories.contains(&part));
    let locks = ["package-lock.json", "go.sum", "npm-shrinkwrap.json", "pnpm-lock.yaml"];
    if ends(&[".lock", ".min.js", ".min.css", ".map", ".snap", ".svg", ".csv"])
        || locks.contains(&name)
        || below(&["vendor", "node_modules", "dist", "generated", "__snapshots__"])
    {
        3
    } else if ends(&[".md", ".rst", ".txt", ".adoc"]) {
        2
    } else {
        u8::from(
            below(&["test", "tests", "spec", "specs", "__tests__"])
                || name.starts_with("test_")
                || ["_test.", ".test.", ".spec.", "_spec.", "test.java", "tests.cs"]
                    .iter()
                    .any(|mark| name.contains(mark)),
        )
    }
}
