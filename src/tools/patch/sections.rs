//! The grammar between the marks: sections per file, hunks per section.

use super::{
    Hunk, HunkLine, Mark, Marked, Patch, Section, SyntaxError,
    envelope::{FORM, Numbered},
    path, unified,
};
use std::collections::HashSet;

/// A patch whose sections still know the line that they began in.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) patch: Patch,
    pub(super) lines: Vec<usize>,
}

impl Draft {
    pub(super) fn push(&mut self, line: usize, section: Section) {
        self.lines.push(line);
        self.patch.sections.push(section);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Header<'a> {
    Add(&'a str),
    Update(&'a str),
    Delete(&'a str),
    MoveTo(&'a str),
    EndOfFile,
}

/// The most files that one patch may name.
const SECTIONS_MAX: usize = 500;

pub(super) fn is_header(line: &str) -> bool {
    matches!(header(line), Some(Header::Add(_) | Header::Update(_) | Header::Delete(_)))
}

/// Reads `*** Word File: path`, with the words that models use for the three.
fn header(line: &str) -> Option<Header<'_>> {
    let rest = line.strip_prefix("***")?.trim();
    if rest.eq_ignore_ascii_case("end of file") {
        return Some(Header::EndOfFile);
    }
    let (words, path) = rest.split_once(':')?;
    let path = path.trim();
    let words = words.to_ascii_lowercase();
    let mut words = words.split_whitespace();
    match (words.next()?, words.next()?, words.next()) {
        ("add" | "create" | "new", "file", None) => Some(Header::Add(path)),
        ("update" | "edit" | "modify" | "change", "file", None) => Some(Header::Update(path)),
        ("delete" | "remove", "file", None) => Some(Header::Delete(path)),
        ("move" | "rename", "to", None) => Some(Header::MoveTo(path)),
        _ => None,
    }
}

pub(super) fn parse(lines: &[Numbered<'_>]) -> Result<Draft, SyntaxError> {
    let mut draft = Draft::default();
    let mut rest = lines;
    while let Some(((number, line), after)) = rest.split_first() {
        if line.trim().is_empty() {
            rest = after;
            continue;
        }
        let end = after.iter().position(|(_, line)| is_header(line)).unwrap_or(after.len());
        let (own, next) = after.split_at(end);
        rest = next;
        let section = match header(line) {
            Some(Header::Add(path)) => add(path, own)?,
            Some(Header::Delete(path)) => delete(path, own)?,
            Some(Header::Update(path)) => update(path, *number, own)?,
            Some(Header::MoveTo(_)) => {
                return Err(SyntaxError::new(*number, "`*** Move to:` belongs right after `*** Update File:`"));
            }
            Some(Header::EndOfFile) | None => {
                let shown: String = line.chars().take(80).collect();
                return Err(SyntaxError::new(*number, format!("`{shown}` begins no section: {FORM}")));
            }
        };
        draft.push(*number, section);
    }
    Ok(draft)
}

fn add(path: &str, lines: &[Numbered<'_>]) -> Result<Section, SyntaxError> {
    let lines = without_diff_heads(lines);
    let filled = lines.iter().rposition(|(_, line)| !line.trim().is_empty()).map_or(0, |last| last + 1);
    let lines = &lines[..filled];
    let marked = lines.iter().filter(|(_, line)| line.starts_with('+')).count();
    let mut content = String::new();
    let mut newline = true;
    for (number, line) in lines {
        match line.strip_prefix('+') {
            Some(text) => content.push_str(text),
            None if line.starts_with("\\ No newline") || header(line) == Some(Header::EndOfFile) => {
                newline = newline && header(line).is_some();
                continue;
            }
            None if marked == 0 => content.push_str(line),
            None if line.trim().is_empty() => {}
            None if line.starts_with("@@") => continue,
            None => {
                return Err(SyntaxError::new(*number, "in a new file every line begins with `+`, this one does not"));
            }
        }
        content.push('\n');
    }
    if !newline {
        content.pop();
    }
    Ok(Section::Add { path: path.to_owned(), content, executable: false })
}

fn delete(path: &str, lines: &[Numbered<'_>]) -> Result<Section, SyntaxError> {
    match lines.iter().find(|(_, line)| !(line.trim().is_empty() || line.starts_with('-') || line.starts_with("@@"))) {
        Some((number, _)) => Err(SyntaxError::new(
            *number,
            "nothing may follow `*** Delete File:`; to change the file use `*** Update File:`",
        )),
        None => Ok(Section::Delete { path: path.to_owned() }),
    }
}

fn update(path: &str, number: usize, lines: &[Numbered<'_>]) -> Result<Section, SyntaxError> {
    let mut lines = lines;
    let mut move_to = None;
    while let Some(((at, line), after)) = lines.split_first() {
        match header(line) {
            Some(Header::MoveTo(_)) if move_to.is_some() => {
                return Err(SyntaxError::new(*at, "the file is moved twice"));
            }
            Some(Header::MoveTo(to)) => move_to = Some(to.to_owned()),
            None if line.trim().is_empty() && move_to.is_some() => {}
            _ => break,
        }
        lines = after;
    }
    let hunks = hunks(without_diff_heads(lines))?;
    if hunks.is_empty() && move_to.is_none() {
        return Err(SyntaxError::new(number, "this update says no change: give lines with `-` and `+` after it"));
    }
    Ok(Section::Update { path: path.to_owned(), move_to, executable: None, hunks })
}

/// Without the `---` and `+++` lines of a diff that stand where the section's own head has said
/// it all.
fn without_diff_heads<'a, 'b>(lines: &'a [Numbered<'b>]) -> &'a [Numbered<'b>] {
    let first = lines.iter().position(|(_, line)| !line.trim().is_empty()).unwrap_or(0);
    match &lines[first..] {
        [(_, old), (_, new), rest @ ..] if old.starts_with("--- ") && new.starts_with("+++ ") => rest,
        _ => lines,
    }
}

/// Reads hunks: each begins with one or more `@@` lines, which the first may lack.
fn hunks(lines: &[Numbered<'_>]) -> Result<Vec<Hunk>, SyntaxError> {
    let mut hunks = Vec::new();
    let mut hunk = Hunk::default();
    let mut opened = None;
    for (number, line) in lines {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if let Some(at) = line.strip_prefix("@@") {
            if !is_blank(&hunk) {
                finish(&mut hunks, std::mem::take(&mut hunk));
            } else if opened.is_some() && hunk.contexts.is_empty() && hunk.old.is_none() {
                hunk = Hunk::default();
            }
            hunk.lines.clear();
            opened = Some(*number);
            unified::read_position(&mut hunk, at);
            continue;
        }
        match header(line) {
            Some(Header::EndOfFile) => {
                hunk.end_of_file = true;
                continue;
            }
            Some(_) => return Err(SyntaxError::new(*number, "this does not belong into the lines of an update")),
            None if line.starts_with("***") && !line.starts_with("****") => {
                return Err(SyntaxError::new(*number, format!("`{line}` is no mark of a patch: {FORM}")));
            }
            None => {}
        }
        if hunk.end_of_file && !line.trim().is_empty() {
            return Err(SyntaxError::new(*number, "after `*** End of File` a new part begins with `@@`"));
        }
        push_line(&mut hunk, line);
    }
    if is_blank(&hunk) {
        if let Some(number) = opened {
            return Err(SyntaxError::new(number, "no lines follow this `@@`"));
        }
    } else {
        finish(&mut hunks, hunk);
    }
    Ok(hunks)
}

pub(super) fn push_line(hunk: &mut Hunk, line: &str) {
    if line.starts_with("\\ No newline") || line.starts_with("\\No newline") {
        match hunk.lines.last().map(|last| last.mark) {
            Some(Mark::Add | Mark::Keep) => hunk.final_newline = Some(false),
            Some(Mark::Remove) => hunk.final_newline = Some(true),
            None => {}
        }
        return;
    }
    let (mark, marked, text) = match line.chars().next() {
        None => (Mark::Keep, Marked::Blank, ""),
        Some(' ') => (Mark::Keep, Marked::Yes, &line[1..]),
        Some('-') => (Mark::Remove, Marked::Yes, &line[1..]),
        Some('+') => (Mark::Add, Marked::Yes, &line[1..]),
        Some(_) => (Mark::Keep, Marked::Bare, line),
    };
    hunk.lines.push(HunkLine { mark, text: text.to_owned(), marked });
}

/// Nothing but layout has been read into it.
fn is_blank(hunk: &Hunk) -> bool {
    hunk.lines.iter().all(|line| line.marked == Marked::Blank)
}

/// Blank lines at the end belong to the patch's layout as often as to the file: they say nothing
/// that the other lines do not, so they are dropped.
pub(super) fn finish(hunks: &mut Vec<Hunk>, mut hunk: Hunk) {
    while hunk.lines.last().is_some_and(|line| line.marked == Marked::Blank) {
        hunk.lines.pop();
    }
    hunks.push(hunk);
}

/// Resolves the paths of all sections and refuses a file that is named twice.
pub(super) fn normalise_paths(draft: &mut Draft, base: Option<&str>) -> Result<(), SyntaxError> {
    let mut seen: HashSet<String> = HashSet::new();
    if let Some(line) = draft.lines.get(SECTIONS_MAX) {
        return Err(SyntaxError::new(*line, format!("a patch may have {SECTIONS_MAX} sections at most: split it")));
    }
    for (section, line) in draft.patch.sections.iter_mut().zip(&draft.lines) {
        let (own, to) = match section {
            Section::Add { path, .. } | Section::Delete { path } => (path, None),
            Section::Update { path, move_to, .. } => (path, move_to.as_mut()),
        };
        *own = path::relative(own, base).map_err(|why| SyntaxError::new(*line, why))?;
        let mut named = vec![own.clone()];
        if let Some(to) = to {
            *to = path::relative(to, base).map_err(|why| SyntaxError::new(*line, why))?;
            if to != own {
                named.push(to.clone());
            }
        }
        if let Some(twice) = named.iter().find(|path| seen.contains(*path)) {
            let why = format!(
                "{twice} is named by two sections: put all that is said of a file into one, with `@@` between the parts"
            );
            return Err(SyntaxError::new(*line, why));
        }
        seen.extend(named);
    }
    Ok(())
}
