//! The brief as text for the model and facts for programs.

use super::{commands, conventions, layout, manifests::Repository, tree};
use crate::domain::brief::Brief;
use std::{collections::BTreeMap, fmt::Write};

/// A file of the base.
#[derive(Clone, Copy, Debug)]
pub struct BriefFile<'a> {
    pub path: &'a str,
    /// In bytes.
    pub size: u64,
}

/// What a brief is made from.
#[derive(Clone, Copy, Debug)]
pub struct BriefInput<'a> {
    /// Every file of the base.
    pub files: &'a [BriefFile<'a>],
    /// The contents of the files that [`super::wanted`] names, by path; what is absent is not
    /// looked at.
    pub contents: &'a BTreeMap<String, Vec<u8>>,
    pub request: &'a str,
    /// Of the model.
    pub window_tokens: u64,
    /// Lines of recent history, newest first.
    pub history: &'a [String],
    /// Programs and Python modules that the workspace is known to have; absent: unknown.
    pub programs: Option<&'a [&'a str]>,
}

/// Characters that a token is taken to have.
const CHARS_PER_TOKEN: u64 = 4;
/// The brief's part of the window, in hundredths.
const WINDOW_PERCENT: u64 = 12;
/// Below this a brief says nothing; above that it says too much.
const CHARS_MIN: usize = 1_500;
const CHARS_MAX: usize = 60_000;
/// Lines of history.
const HISTORY_MAX: usize = 10;
/// Files that the request names.
const NAMED_MAX: usize = 12;

/// Makes the brief. The same input gives the same text, byte for byte.
pub fn brief(input: &BriefInput<'_>) -> Brief {
    let repository = Repository::of(input);
    let languages = layout::languages(&repository.paths);
    let found = commands::find(&repository);
    let window = (input.window_tokens * CHARS_PER_TOKEN * WINDOW_PERCENT / 100) as usize;
    let budget = window.clamp(CHARS_MIN, CHARS_MAX);

    let mut text = String::from("# The repository, as the server found it before your first turn\n");
    if repository.paths.is_empty() {
        text.push_str("\nThe working copy is empty: nothing is there yet.\n");
    } else {
        let total = repository.paths.len();
        let _ = writeln!(text, "\n{total} files. Languages by files: {}.", layout::language_line(&languages));
        line(&mut text, "Build and packages", &found.managers);
        line(&mut text, "Frameworks and libraries", &found.frameworks);
        line(&mut text, "Entry points", &layout::entry_points(&repository));
        line(&mut text, "How files are named and laid out", &layout::habits(&repository.paths));
    }
    if !found.commands.is_empty() {
        text.push_str("\n## Commands found in manifests\n");
        for command in &found.commands {
            let _ = writeln!(text, "- {}: `{}` ({})", command.purpose, command.line, command.origin);
        }
    }
    if !found.checks.is_empty() {
        text.push_str("\nValidation will run, unless the task names checks of its own: ");
        let checks = found.checks.iter().map(|check| match &check.workdir {
            Some(directory) => format!("`{}` in `{directory}`", check.command),
            None => format!("`{}`", check.command),
        });
        let _ = writeln!(text, "{}.", checks.collect::<Vec<_>>().join(", "));
    }
    let named = named_by(input.request, &repository.paths);
    if !named.is_empty() {
        let _ = writeln!(text, "\nFiles that the request names: {}.", quoted(&named));
    }
    if !input.history.is_empty() {
        text.push_str("\n## Recent history, newest first\n");
        for entry in input.history.iter().take(HISTORY_MAX) {
            let _ = writeln!(text, "- {}", plain(entry, 160));
        }
    }
    let mut text = cut(text, budget * 45 / 100);

    let conventions = conventions::read(&repository, budget.saturating_sub(text.len()) * 65 / 100);
    let room = budget.saturating_sub(text.len() + conventions.text.len());
    if !repository.paths.is_empty() {
        let tree = tree::render(&repository.paths, room.saturating_sub(60));
        if !tree.is_empty() {
            let _ = write!(text, "\n## Tree\n```\n{tree}```\n");
        }
    }
    text.push_str(&conventions.text);
    Brief {
        languages,
        conventions: conventions.paths,
        checks: found.checks,
        files: u32::try_from(input.files.len()).unwrap_or(u32::MAX),
        text,
    }
}

fn line(text: &mut String, title: &str, parts: &[String]) {
    if !parts.is_empty() {
        let _ = writeln!(text, "{title}: {}.", parts.join(", "));
    }
}

/// Files whose path or name stands in the request.
fn named_by<'a>(request: &str, paths: &[&'a str]) -> Vec<&'a str> {
    let words: std::collections::BTreeSet<&str> = request
        .split(|letter: char| !(letter.is_alphanumeric() || "._-/".contains(letter)))
        .map(|word| word.trim_matches(['.', '/', '-']))
        .filter(|word| word.contains('.') && word.len() > 3)
        .collect();
    if words.is_empty() {
        return Vec::new();
    }
    let names = |path: &&&str| words.contains(**path) || words.contains(path.rsplit('/').next().unwrap_or(path));
    paths.iter().filter(names).take(NAMED_MAX).copied().collect()
}

fn quoted(paths: &[&str]) -> String {
    paths.iter().map(|path| format!("`{}`", plain(path, 200))).collect::<Vec<_>>().join(", ")
}

/// One line without control characters, of at most `limit` characters.
pub(super) fn plain(text: &str, limit: usize) -> String {
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).take(limit).collect()
}

/// Cut at the end of a line.
pub(super) fn cut(mut text: String, limit: usize) -> String {
    if text.len() <= limit {
        return text;
    }
    let mut end = limit.saturating_sub(8);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let end = text[..end].rfind('\n').map_or(end, |at| at + 1);
    text.truncate(end);
    text.push_str("[cut]\n");
    text
}
