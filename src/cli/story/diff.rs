//! Diffs: a patch with its colours, and small ones of single edits.

use super::words;
use crate::cli::screen::{Line, Tone, clean};

/// Lines of one edit that are shown, at most.
const SNIPPET_LINES_MAX: usize = 14;
/// Columns of a snippet's line that are kept, at most.
const SNIPPET_COLUMNS_MAX: usize = 300;

/// One file's part of an edit: its path and the lines with their marks (`+`, `-`, ` `).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileEdit {
    pub path: String,
    /// Such as `new file`, `deleted`, `moved to x`.
    pub note: Option<String>,
    pub lines: Vec<(char, String)>,
}

impl FileEdit {
    pub fn additions(&self) -> usize {
        self.lines.iter().filter(|(mark, _)| *mark == '+').count()
    }

    pub fn deletions(&self) -> usize {
        self.lines.iter().filter(|(mark, _)| *mark == '-').count()
    }
}

/// A unified diff (the output of `git diff`) with its colours, whole.
pub fn patch(text: &str, indent: usize) -> Vec<Line> {
    let mut in_hunk = false;
    text.lines()
        .map(|line| {
            in_hunk = (in_hunk && !line.starts_with("diff --git ")) || line.starts_with("@@");
            let tone = match line.as_bytes().first() {
                Some(b'@') if line.starts_with("@@") => Tone::Hunk,
                Some(b'+') if in_hunk => Tone::Added,
                Some(b'-') if in_hunk => Tone::Removed,
                _ if in_hunk => Tone::Plain,
                _ if line.starts_with("diff --git ") => Tone::Strong,
                _ => Tone::Dim,
            };
            Line::at(indent).with(clean(line), tone).keep()
        })
        .collect()
}

/// An edit's head and its changed lines, shortened to what is worth a look.
pub(super) fn snippet(edit: &FileEdit, indent: usize) -> Vec<Line> {
    let mut head = Line::at(indent).with("✎ ", Tone::Accent).plain(clean(&edit.path));
    if edit.additions() > 0 {
        head = head.with(format!("  +{}", edit.additions()), Tone::Added);
    }
    if edit.deletions() > 0 {
        head = head.with(format!("  −{}", edit.deletions()), Tone::Removed);
    }
    if let Some(note) = &edit.note {
        head = head.dim(format!("  {}", clean(note)));
    }
    let mut lines = vec![head.cut()];
    let shown = shown_lines(&edit.lines);
    for (mark, text) in shown.iter().take(SNIPPET_LINES_MAX) {
        let tone = match mark {
            '+' => Tone::Added,
            '-' => Tone::Removed,
            _ => Tone::Dim,
        };
        let text = words::shorten(&clean(text), SNIPPET_COLUMNS_MAX);
        lines.push(Line::at(indent + 2).dim("│ ").with(format!("{mark} {text}"), tone).cut());
    }
    if shown.len() > SNIPPET_LINES_MAX {
        let more = words::count((shown.len() - SNIPPET_LINES_MAX) as u64, "more line", "more lines");
        lines.push(Line::at(indent + 2).dim(format!("│ … {more}")));
    }
    lines
}

/// The changed lines with one line of context around each change.
fn shown_lines(lines: &[(char, String)]) -> Vec<(char, String)> {
    let changed = |at: usize| lines.get(at).is_some_and(|(mark, _)| *mark != ' ');
    let near = |at: usize| changed(at) || changed(at + 1) || (at > 0 && changed(at - 1));
    lines.iter().enumerate().filter(|(at, _)| near(*at)).map(|(_, line)| line.clone()).collect()
}

/// The edit that puts `new` in the place of `old`, as lines.
pub fn replaced(path: &str, old: &str, new: &str) -> FileEdit {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let mut lines = Vec::new();
    let mut take = |mark: char, part: &[&str]| lines.extend(part.iter().map(|line| (mark, (*line).to_owned())));
    take(' ', &old[..head]);
    take('-', &old[head..old.len() - tail]);
    take('+', &new[head..new.len() - tail]);
    take(' ', &old[old.len() - tail..]);
    FileEdit { path: path.to_owned(), note: None, lines }
}

/// The files of an `apply_patch` text (`*** Begin Patch` …); tolerant, for show alone.
pub fn apply_patch(text: &str) -> Vec<FileEdit> {
    let mut files: Vec<FileEdit> = Vec::new();
    for line in text.lines() {
        let named =
            [("*** Update File: ", None), ("*** Add File: ", Some("new file")), ("*** Delete File: ", Some("deleted"))]
                .into_iter()
                .find_map(|(head, note)| Some((line.strip_prefix(head)?, note)));
        if let Some((path, note)) = named {
            let note = note.map(str::to_owned);
            files.push(FileEdit { path: path.trim().to_owned(), note, lines: Vec::new() });
        } else if let Some(file) = files.last_mut() {
            if let Some(to) = line.strip_prefix("*** Move to: ") {
                file.note = Some(format!("moved to {}", to.trim()));
            } else if let Some(mark @ ('+' | '-' | ' ')) = line.chars().next() {
                file.lines.push((mark, line[1..].to_owned()));
            }
        }
    }
    files
}
