//! Markdown without the HTML that forges understand and others show as it stands: what folds, and comments.

use regex::Regex;
use std::sync::LazyLock;

static SUMMARY: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i)<summary>\s*(?:<b>)?([^<\n]*)(?:</b>)?\s*</summary>").ok());
static FOLDS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?i)</?details(?:\s[^>\n]*)?>").ok());
static COMMENT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"<!--.*?-->").ok());

/// What is folded is laid open, under its summary in bold; comments of one line are gone. Blocks of code stay as they are.
pub(super) fn unfolded(markdown: &str) -> String {
    let mut fence = Fence::default();
    let mut lines: Vec<String> = Vec::new();
    // A line has gone, and an empty one stands for it.
    let mut gap = false;
    for line in markdown.lines() {
        if fence.holds(line) {
            lines.push(line.to_owned());
            gap = false;
            continue;
        }
        let without = replaced(&COMMENT, &replaced(&FOLDS, line, ""), "");
        let shown = replaced(&SUMMARY, &without, "**$1**");
        let is_empty = shown.trim().is_empty();
        let gone = is_empty && !line.trim().is_empty();
        if (gone && lines.last().is_none_or(|last| last.trim().is_empty())) || (is_empty && gap) {
            gap = true;
            continue;
        }
        gap = gone;
        lines.push(if gone { String::new() } else { shown });
    }
    lines.join("\n").trim().to_owned()
}

fn replaced(pattern: &LazyLock<Option<Regex>>, text: &str, with: &str) -> String {
    pattern.as_ref().map_or_else(|| text.to_owned(), |pattern| pattern.replace_all(text, with).into_owned())
}

/// Whether lines belong to a block of code between fences (`CommonMark` 4.5).
#[derive(Default)]
pub(super) struct Fence {
    /// What it was opened with.
    open: Option<(char, usize)>,
}

impl Fence {
    /// Whether this line is one of a block's, its fences included.
    pub(super) fn holds(&mut self, line: &str) -> bool {
        let text = line.trim_start();
        let mark = text.chars().next().filter(|mark| matches!(mark, '`' | '~'));
        let length = mark.map_or(0, |mark| text.chars().take_while(|c| *c == mark).count());
        match (self.open, mark) {
            (None, Some(mark)) if length >= 3 && !(mark == '`' && text[length..].contains('`')) => {
                self.open = Some((mark, length));
                true
            }
            (None, _) => false,
            (Some((open, least)), Some(mark))
                if mark == open && length >= least && text[length..].trim().is_empty() =>
            {
                self.open = None;
                true
            }
            (Some(_), _) => true,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }
}
