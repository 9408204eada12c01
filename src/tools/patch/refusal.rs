//! Why a patch or an edit is not applied, in words that a model can act on.

use super::{
    Hunk, Mark,
    place::{self, Misfit},
    similar::{self, short},
    text::Text,
};
use std::fmt::{self, Write};

const PROBLEMS_SHOWN_MAX: usize = 5;
const PLACES_SHOWN_MAX: usize = 10;

/// A patch that does not fit the files as they are. Nothing of it was applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// At least one, in the order of the patch.
    pub problems: Vec<Problem>,
}

/// What is wrong with one section of a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub path: String,
    /// The number of the hunk, from 1, and how many the section has.
    pub hunk: Option<(usize, usize)>,
    /// What is wrong and how to mend it; may have several lines.
    pub why: String,
    /// There is no such file: names like it may help.
    pub missing: bool,
}

impl Problem {
    pub(super) fn of_file(path: &str, why: impl Into<String>) -> Self {
        Self { path: path.to_owned(), hunk: None, why: why.into(), missing: false }
    }

    pub(super) fn missing(path: &str) -> Self {
        Self { missing: true, ..Self::of_file(path, "there is no such file") }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.hunk {
            Some((hunk, of)) => write!(f, "{}, hunk {hunk} of {of}: {}", self.path, self.why),
            None => write!(f, "{}: {}", self.path, self.why),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().take(PROBLEMS_SHOWN_MAX).enumerate() {
            let gap = if i == 0 { "" } else { "\n" };
            write!(f, "{gap}{problem}")?;
        }
        match self.problems.len().saturating_sub(PROBLEMS_SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, "\n… and {more} more"),
        }
    }
}

/// Says of each of the hunks that have no place why; of the first ones in detail.
pub(super) fn of_hunks(path: &str, text: &Text<'_>, hunks: &[Hunk], misfits: &[(usize, Misfit)]) -> Vec<Problem> {
    let detailed = misfits.iter().take(PROBLEMS_SHOWN_MAX).map(|(i, misfit)| of_hunk(path, text, hunks, *i, misfit));
    let brief = misfits
        .iter()
        .skip(PROBLEMS_SHOWN_MAX)
        .map(|(i, _)| Problem { hunk: Some((i + 1, hunks.len())), ..Problem::of_file(path, "it does not fit either") });
    detailed.chain(brief).collect()
}

/// Says why hunk number `index` of `hunks` has no place in the file.
fn of_hunk(path: &str, text: &Text<'_>, hunks: &[Hunk], index: usize, misfit: &Misfit) -> Problem {
    let hunk = &hunks[index];
    let why = match misfit {
        Misfit::NotFound => not_found(text, hunk),
        Misfit::NoContext { context, elsewhere } => no_context(text, context, elsewhere),
        Misfit::CommonContext { context } => {
            format!(
                "`@@ {}` stands at too many lines to tell anything: name a line that is rare",
                short(context.trim())
            )
        }
        Misfit::OutsideContext { context, found } => format!(
            "its lines stand at line {}, but not in what `@@ {}` heads: correct the `@@` line, or take in more lines",
            numbers(found),
            short(context.trim()),
        ),
        Misfit::NotAtEnd { found } => format!(
            "its lines stand at line {}, not at the end of the file (it has {} lines): leave `*** End of File` out",
            numbers(found),
            text.lines.len(),
        ),
        Misfit::Ambiguous { starts } => format!(
            "its lines fit at several places, lines {}: take in more lines around the change, or name the class or \
             function around it after `@@`",
            numbers(starts),
        ),
        Misfit::Overlap { other } => {
            format!("it changes lines that hunk {} changes too: put the two into one", other + 1)
        }
        Misfit::Nowhere => {
            "it has only new lines and nothing that tells where they go: take in lines that stay, before or after"
                .to_owned()
        }
    };
    Problem { path: path.to_owned(), hunk: Some((index + 1, hunks.len())), why, missing: false }
}

fn not_found(text: &Text<'_>, hunk: &Hunk) -> String {
    let side = |without: Mark| -> Vec<&str> {
        hunk.lines.iter().filter(|line| line.mark != without).map(|line| line.text.as_str()).collect()
    };
    let (old, new) = (side(Mark::Add), side(Mark::Remove));
    if new.len() > old.len().min(1)
        && new != old
        && let [(start, _)] = place::occurrences(text, &new).as_slice()
    {
        return format!(
            "its old lines are not in the file, but its new ones are, at lines {}-{}: this change is there already",
            start + 1,
            start + new.len(),
        );
    }
    missing_lines(text, &old)
}

/// The words for lines that the file does not have: which one fails, and what is most like them.
pub(super) fn missing_lines(text: &Text<'_>, old: &[&str]) -> String {
    let mut why = String::from("these lines are not in the file as they are given");
    let absent =
        |line: &&&str| !line.trim().is_empty() && text.lines.iter().all(|have| have.text.trim() != line.trim());
    if let Some(line) = old.iter().find(absent) {
        let _ = write!(why, "; the first that stands nowhere is\n  `{}`", short(line));
    } else if old.len() > 1 {
        why.push_str(": each of them stands somewhere, but not in this order without others between");
    }
    match similar::window(text, old) {
        Some(window) => {
            let shown = similar::shown(text, window, old);
            let _ = write!(
                why,
                "\nmost like them are lines {}-{} of the file (* differs):\n{shown}Copy the lines from the file as it is \
                 now (read_file shows more).",
                window.start + 1,
                window.end,
            );
        }
        None => {
            let _ = write!(
                why,
                "\nnothing in the file ({} lines) is like them: look for the right file.",
                text.lines.len()
            );
        }
    }
    why
}

fn no_context(text: &Text<'_>, context: &str, elsewhere: &[usize]) -> String {
    let mut why = format!("no line of the file is or holds what stands after `@@`: `{}`", short(context.trim()));
    if let Some(window) = similar::window(text, &[context]) {
        let _ = write!(why, "\nmost like it is line {}: `{}`", window.start + 1, short(text.line(window.start).trim()));
    }
    match elsewhere {
        [] => why.push_str("\nName a line that is in the file, or leave the text after `@@` out."),
        [one] => {
            let _ = write!(
                why,
                "\nThe lines of the hunk stand at line {} alone: if that is the place, leave the text after `@@` out.",
                one + 1,
            );
        }
        several => {
            let _ = write!(why, "\nThe lines of the hunk stand at lines {}.", numbers(several));
        }
    }
    why
}

/// Line numbers from 1 of lines from 0, as a list in words.
pub(super) fn numbers(lines: &[usize]) -> String {
    let shown: Vec<String> = lines.iter().take(PLACES_SHOWN_MAX).map(|line| (line + 1).to_string()).collect();
    match (shown.as_slice(), lines.len().saturating_sub(PLACES_SHOWN_MAX)) {
        (_, more @ 1..) => format!("{} and {more} more", shown.join(", ")),
        ([before @ .., last], _) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        _ => shown.join(", "),
    }
}
