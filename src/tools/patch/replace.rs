//! The pure core of `edit`: one text put in the place of another.

use super::{
    Hunk, HunkLine, Mark, Marked, apply, place,
    refusal::{missing_lines, numbers},
    text::Text,
};

const PLACES_COUNTED_MAX: usize = 100;

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
        let starts: Vec<usize> = file.text.match_indices(&old).map(|(at, _)| at).collect();
        return Ok(file.spliced(&starts, old.len(), &new));
    }
    let starts = occurrences(&file.text, &old);
    match starts.as_slice() {
        [] => by_lines(content, &old, &new),
        [one] => Ok(file.spliced(&[*one], old.len(), &new)),
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

    /// Whether new line breaks at `at` are `\r\n`: as the next line break, else the last.
    fn style_at(&self, at: usize) -> bool {
        let next = self.text[at..].find('\n').map(|i| at + i).or_else(|| self.text[..at].rfind('\n'));
        next.is_some_and(|at| self.is_crlf(at))
    }

    fn spliced(&self, starts: &[usize], length: usize, new: &str) -> Replaced {
        let mut content = String::with_capacity(self.text.len() + self.crlf.len());
        let mut from = 0;
        for start in starts {
            self.push_own(&mut content, from, *start);
            let new = if self.style_at(*start) { new.replace('\n', "\r\n") } else { new.to_owned() };
            content.push_str(&new);
            from = start + length;
        }
        self.push_own(&mut content, from, self.text.len());
        let line = starts.first().map_or(0, |at| line_of(&self.text, *at)) + 1;
        Replaced { content, times: starts.len(), line, note: None }
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
