//! What a patch makes of files: all of it or nothing.

use super::{
    Hunk, Mark, Patch, Section,
    level::{Indent, Level},
    place::{self, Placed},
    refusal::{self, Problem, Refusal},
    text::Text,
};
use std::collections::BTreeMap;

/// The most lines of a file times hunks for it.
const WORK_MAX: usize = 50_000_000;

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    File(Vec<u8>),
    /// Something that cannot be patched; says what it is.
    Other(String),
}

/// What is to be done with one file, and how to tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Add {
        path: String,
        content: String,
        executable: bool,
    },
    Delete {
        path: String,
    },
    /// Also a move, where `move_to` is set. `content` is the whole new content.
    Update {
        path: String,
        move_to: Option<String>,
        content: String,
        executable: Option<bool>,
        edits: Edits,
    },
}

/// What an update does, for the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    pub added: usize,
    pub removed: usize,
    /// The changed lines as they are numbered afterwards: first and last, from 1. A hunk that
    /// only removes has the line before.
    pub lines: Vec<(usize, usize)>,
    /// What was taken for the same although it is not, by hunk from 1.
    pub notes: Vec<String>,
}

/// Every path that a patch names: what [`apply`] has to know of.
pub fn paths(patch: &Patch) -> impl Iterator<Item = &str> {
    patch.sections.iter().flat_map(|section| [Some(section.path()), section.move_to()]).flatten()
}

/// Applies `patch` to `files`, which has an entry for each of [`paths`] where something is there.
/// The changes come in the order of the patch; sections that change nothing give none.
pub fn apply(files: &BTreeMap<String, Entry>, patch: &Patch) -> Result<Vec<Change>, Refusal> {
    let mut changes = Vec::new();
    let mut problems = Vec::new();
    for section in &patch.sections {
        match change(files, section) {
            Ok(change) => changes.extend(change),
            Err(mut found) => problems.append(&mut found),
        }
    }
    if changes.is_empty() && problems.is_empty() {
        let path = patch.sections.first().map_or("", Section::path);
        problems.push(Problem::of_file(
            path,
            "the patch leaves everything as it is: the lines that come are those that go",
        ));
    }
    if problems.is_empty() { Ok(changes) } else { Err(Refusal { problems }) }
}

fn change(files: &BTreeMap<String, Entry>, section: &Section) -> Result<Option<Change>, Vec<Problem>> {
    let problem = |path: &str, why: &str| Err(vec![Problem::of_file(path, why)]);
    match section {
        Section::Add { path, content, executable } => match files.get(path) {
            None => Ok(Some(Change::Add { path: path.clone(), content: content.clone(), executable: *executable })),
            Some(Entry::File(have)) if have == content.as_bytes() => {
                problem(path, "this file is there already, with this very content")
            }
            Some(Entry::File(_)) => problem(
                path,
                "this file is there already: change it with `*** Update File:` (read it first), or choose another name",
            ),
            Some(Entry::Other(what)) => problem(path, &format!("there is already {what} of this name")),
        },
        Section::Delete { path } => match files.get(path) {
            Some(Entry::File(_)) => Ok(Some(Change::Delete { path: path.clone() })),
            Some(Entry::Other(what)) => problem(path, &format!("this is {what}: remove it with `shell`")),
            None => Err(vec![Problem::missing(path)]),
        },
        Section::Update { path, move_to, executable, hunks } => {
            let content = text_of(files, path).map_err(|problem| vec![problem])?;
            let move_to = move_to.clone().filter(|to| to != path);
            if let Some(to) = move_to.as_ref().filter(|to| files.contains_key(*to)) {
                return problem(path, &format!("it cannot be moved to {to}: that is there already"));
            }
            let (new, edits) = update(path, content, hunks)?;
            let changed = new != content || move_to.is_some() || executable.is_some();
            let update = Change::Update { path: path.clone(), move_to, content: new, executable: *executable, edits };
            Ok(changed.then_some(update))
        }
    }
}

/// The text of a file that is to be changed.
pub fn text_of<'a>(files: &'a BTreeMap<String, Entry>, path: &str) -> Result<&'a str, Problem> {
    let bytes = match files.get(path) {
        Some(Entry::File(bytes)) => bytes,
        Some(Entry::Other(what)) => return Err(Problem::of_file(path, format!("this is {what}, not a text file"))),
        None => return Err(Problem::missing(path)),
    };
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        Ok(_) => Err(Problem::of_file(path, "this file is binary (it holds NUL bytes): change it with `shell`")),
        Err(error) => Err(Problem::of_file(
            path,
            format!("this file is not UTF-8 text (byte {}): change it with `shell`", error.valid_up_to() + 1),
        )),
    }
}

/// Applies the hunks of one file.
pub(super) fn update(path: &str, content: &str, hunks: &[Hunk]) -> Result<(String, Edits), Vec<Problem>> {
    let text = Text::new(content);
    if text.lines.len().saturating_mul(hunks.len()) > WORK_MAX {
        return Err(vec![Problem::of_file(path, "the file is too long for so many hunks at once: split the patch")]);
    }
    let mut placed = place::place(&text, hunks).map_err(|misfits| refusal::of_hunks(path, &text, hunks, &misfits))?;
    placed.sort_by_key(|one| one.at.core);
    let mut removed = vec![false; text.lines.len()];
    let mut added = vec![Vec::new(); text.lines.len() + 1];
    let mut edits = Edits::default();
    let mut problems = Vec::new();
    let mut final_newline = None;
    for one in &placed {
        final_newline = final_newline.or(hunks[one.hunk].final_newline);
        edits.notes.extend(note(one, hunks.len()));
        if let Err(why) = perform(&text, one, &mut removed, &mut added) {
            let hunk = Some((one.hunk + 1, hunks.len()));
            problems.push(Problem { hunk, ..Problem::of_file(path, why) });
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    edits.added = added.iter().map(Vec::len).sum();
    edits.removed = removed.iter().filter(|gone| **gone).count();
    edits.lines = changed_lines(&removed, &added);
    Ok((text.edited(&removed, &added, final_newline), edits))
}

/// Notes what one hunk takes away and what it puts where.
fn perform(text: &Text<'_>, one: &Placed, removed: &mut [bool], added: &mut [Vec<String>]) -> Result<(), String> {
    let old = one.reading.iter().filter(|(mark, _)| *mark != Mark::Add).map(|(_, text)| text.as_str());
    let pairs = old.zip((one.at.start..one.at.end).map(|line| text.line(line)));
    let adds = one.reading.iter().any(|(mark, line)| *mark == Mark::Add && !line.trim().is_empty());
    let indent = if one.at.level >= Level::Trim && adds { Indent::between(pairs) } else { Some(Indent::Same) };
    let uneven = || {
        format!(
            "its lines are indented otherwise than the file's (from line {}), and not evenly: copy the indentation from \
             the file",
            one.at.start + 1,
        )
    };
    let indent = indent.ok_or_else(uneven)?;
    let mut at = one.at.start;
    for (mark, line) in &one.reading {
        match mark {
            Mark::Add => added[at].push(indent.line(line).ok_or_else(uneven)?),
            Mark::Keep => at += 1,
            Mark::Remove => {
                removed[at] = true;
                at += 1;
            }
        }
    }
    Ok(())
}

fn note(one: &Placed, hunks: usize) -> Option<String> {
    let what = match one.at.level {
        Level::Exact => return None,
        Level::TrimRight => "white space at the ends of lines",
        Level::Trim => "indentation",
        Level::Plain => "typographic characters or white space",
    };
    let which = if hunks > 1 { format!("hunk {}: ", one.hunk + 1) } else { String::new() };
    Some(format!("{which}the file differs from the patch in {what}; matched nonetheless"))
}

/// The changed ranges as they are numbered in the new file, neighbours joined.
fn changed_lines(removed: &[bool], added: &[Vec<String>]) -> Vec<(usize, usize)> {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    let mut push = |range: (usize, usize)| match ranges.last_mut() {
        Some(last) if range.0 <= last.1 + 1 => last.1 = last.1.max(range.1),
        _ => ranges.push(range),
    };
    let mut number = 0;
    let mut open = false;
    for (i, new) in added.iter().enumerate() {
        let gone = removed.get(i).copied().unwrap_or(false);
        if !new.is_empty() {
            push((number + 1, number + new.len()));
        } else if open && !gone {
            push((number.max(1), number.max(1)));
        }
        open = gone;
        number += new.len() + usize::from(!gone);
    }
    ranges
}
