//! The pure core of `edit`: one text put in the place of another.

use super::{
    Hunk, HunkLine, Mark, Marked, apply, place,
    refusal::{missing_lines, numbers},
    text::Text,
};
use crate::workspace::FILE_LIMIT_BYTES;
use std::borrow::Cow;

const PLACES_COUNTED_MAX: usize = 100;
/// The largest text that an edit makes.
const CONTENT_BYTES_MAX: usize = FILE_LIMIT_BYTES as usize;

/// A file's content after an edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    pub content: String,
    pub times: usize,
    /// The line of the first replacement, from 1, as it is numbered afterwards.
    pub line: usize,
    /// What was taken for the same although it is not.
    pub note: Option<String>,
}

/// Puts `new` in the place of `old`, which must stand in `content` exactly once unless `all`.
/// Line endings of `old` and `new` are those of the file, however they are written. The error
/// says where it stands or what is most like it.
pub fn replace(content: &str, old: &str, new: &str, all: bool) -> Result<Replaced, String> {
    if old.is_empty() {
        return Err("`old` is empty, but the file is not: copy the text to replace from the file".to_owned());
    }
    let file = Lines::new(content);
    let (old, new) = (old.replace("\r\n", "\n"), new.replace("\r\n", "\n"));
    if old == new {
        return Err("`old` and `new` are the same: nothing would change".to_owned());
    }
    if all && file.text.contains(&old) {
        return file.spliced(|| file.text.match_indices(&old).map(|(at, _)| at), old.len(), &new);
    }
    let starts = occurrences(&file.text, &old);
    match starts.as_slice() {
        [] => by_lines(content, &old, &new),
        [one] => file.spliced(|| [*one].into_iter(), old.len(), &new),
        several => Err(format!(
            "`old` stands at {}{} places, lines {}: take in lines around the one that is meant, or set `replace_all`",
            if several.len() < PLACES_COUNTED_MAX { "" } else { "more than " },
            several.len(),
            numbers(&several.iter().map(|at| line_of(&file.text, *at)).collect::<Vec<_>>()),
        )),
    }
}

/// A content with `\n` for every line ending, and where the others were.
struct Lines {
    text: String,
    /// Positions in `text` of line breaks that were `\r\n`.
    crlf: Vec<usize>,
}

impl Lines {
    fn new(content: &str) -> Self {
        let mut text = String::with_capacity(content.len());
        let mut crlf = Vec::new();
        for line in content.split_inclusive('\n') {
            match line.strip_suffix("\r\n") {
                Some(line) => {
                    text.push_str(line);
                    crlf.push(text.len());
                    text.push('\n');
                }
                None => text.push_str(line),
            }
        }
        Self { text, crlf }
    }

    fn is_crlf(&self, at: usize) -> bool {
        self.crlf.binary_search(&at).is_ok()
    }

    /// Puts `new` at each of `starts`, which are asked for twice: what would become too large is not begun.
    fn spliced<I: Iterator<Item = usize>>(
        &self,
        starts: impl Fn() -> I,
        length: usize,
        new: &str,
    ) -> Result<Replaced, String> {
        let times = starts().count();
        let with_breaks = if self.crlf.is_empty() { Cow::Borrowed(new) } else { Cow::Owned(new.replace('\n', "\r\n")) };
        let kept = (self.text.len() + self.crlf.len()).saturating_sub(times.saturating_mul(length));
        let size = kept.saturating_add(times.saturating_mul(with_breaks.len()));
        if size > CONTENT_BYTES_MAX {
            return Err(format!(
                "with `new` at {times} places the file would have {size} bytes, and one may have {CONTENT_BYTES_MAX}: \
                 nothing larger is written. Make `new` shorter, or replace fewer places"
            ));
        }
        let mut content = String::with_capacity(size);
        let mut style = Style { file: self, next: None };
        let mut from = 0;
        for start in starts() {
            self.push_own(&mut content, from, start);
            content.push_str(if style.is_crlf_at(start) { &with_breaks } else { new });
            from = start + length;
        }
        self.push_own(&mut content, from, self.text.len());
        let line = starts().next().map_or(0, |at| line_of(&self.text, at)) + 1;
        Ok(Replaced { content, times, line, note: None })
    }

    fn push_own(&self, content: &mut String, from: usize, to: usize) {
        for (i, c) in self.text[from..to].char_indices() {
            if c == '\n' && self.is_crlf(from + i) {
                content.push('\r');
            }
            content.push(c);
        }
    }
}

/// Which line breaks are new ones' model, for places in their order: the file is gone through once.
struct Style<'a> {
    file: &'a Lines,
    /// The line break that was found last, and whether it is `\r\n`.
    next: Option<(usize, bool)>,
}

impl Style<'_> {
    /// Whether new line breaks at `at` are `\r\n`: as the next line break, else the last.
    fn is_crlf_at(&mut self, at: usize) -> bool {
        if self.file.crlf.is_empty() {
            return false;
        }
        if self.next.is_none_or(|(found, _)| found < at) {
            let text = &self.file.text;
            let found = text[at..].find('\n').map(|i| at + i);
            // Behind the last one all places have the same.
            let place = found.unwrap_or(text.len());
            let model = found.or_else(|| text[..at].rfind('\n'));
            self.next = Some((place, model.is_some_and(|at| self.file.is_crlf(at))));
        }
        self.next.is_some_and(|(_, crlf)| crlf)
    }
}

/// Positions at which `old` begins, overlapping ones too: those are several places as well.
fn occurrences(text: &str, old: &str) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find(old))
        && starts.len() < PLACES_COUNTED_MAX
    {
        starts.push(from + at);
        from += at + text[from + at..].chars().next().map_or(1, char::len_utf8);
    }
    starts
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count()
}

/// Tries `old` as whole lines with a patch's tolerance, and refuses unless one place fits.
fn by_lines(content: &str, old: &str, new: &str) -> Result<Replaced, String> {
    let text = Text::new(content);
    let wanted: Vec<&str> = old.lines().collect();
    let whole = wanted.iter().any(|line| !line.trim().is_empty());
    match place::occurrences(&text, &wanted).as_slice() {
        [_] if whole => {
            let hunk = as_hunk(&wanted, &new.lines().collect::<Vec<_>>());
            let (content, edits) = apply::update("", content, &[hunk])
                .map_err(|problems| problems.into_iter().map(|problem| problem.why).collect::<Vec<_>>().join("\n"))?;
            let line = edits.lines.first().map_or(1, |(first, _)| *first);
            Ok(Replaced {
                content,
                times: 1,
                line,
                note: edits.notes.into_iter().next().map(|note| note.replace("the patch", "`old`")),
            })
        }
        [_, _, ..] if whole => {
            let starts: Vec<usize> = place::occurrences(&text, &wanted).into_iter().map(|(start, _)| start).collect();
            Err(format!(
                "`old` is not in the file as it is given; but for white space it stands at lines {}: copy the one that \
                 is meant exactly, with lines around it",
                numbers(&starts),
            ))
        }
        _ => Err(format!("{}{}", hint(content, old), missing_lines(&text, &wanted))),
    }
}

/// The replacement as a hunk; lines that both begin or end with stay the file's own.
fn as_hunk(old: &[&str], new: &[&str]) -> Hunk {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let most = old.len().min(new.len()) - head;
    let tail = old.iter().rev().zip(new.iter().rev()).take(most).take_while(|(a, b)| a == b).count();
    let line = |mark| move |text: &&str| HunkLine { mark, text: (*text).to_owned(), marked: Marked::Yes };
    let lines = old[..head]
        .iter()
        .map(line(Mark::Keep))
        .chain(old[head..old.len() - tail].iter().map(line(Mark::Remove)))
        .chain(new[head..new.len() - tail].iter().map(line(Mark::Add)))
        .chain(old[old.len() - tail..].iter().map(line(Mark::Keep)))
        .collect();
    Hunk { lines, ..Hunk::default() }
}

/// What was probably done wrong, where it can be told from `old` itself.
fn hint(content: &str, old: &str) -> &'static str {
    let numbered = |line: &str| {
        let rest = line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit());
        rest.len() < line.trim_start().len() && rest.starts_with(['\t', '|', ':'])
    };
    if old.lines().filter(|line| !line.trim().is_empty()).all(numbered) {
        "`old` seems to hold the line numbers that read_file shows: leave them out. "
    } else if !content.contains("\\n") && old.contains("\\n") && content.contains(&old.replace("\\n", "\n")) {
        "`old` holds a backslash and an n where the file has a line break: write \\n once in JSON. "
    } else {
        ""
    }
}
