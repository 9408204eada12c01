//! What an `@@` line means: the lines that it names and how far what they head reaches.

use super::{
    level::{Level, indentation},
    place::Misfit,
    text::Text,
};

/// A line that stands more often than this names nothing.
const SCOPES_MAX: usize = 100;

/// A line that an `@@` line names, with the end of what it heads; both from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) line: usize,
    pub(super) end: usize,
}

/// Why `@@` lines lead nowhere; holds the one that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Missing(String),
    Common(String),
}

impl Fault {
    /// As the reason of a hunk whose lines alone would fit at `elsewhere`.
    pub(super) fn misfit(self, elsewhere: Vec<usize>) -> Misfit {
        match self {
            Self::Missing(context) => Misfit::NoContext { context, elsewhere },
            Self::Common(context) => Misfit::CommonContext { context },
        }
    }
}

/// Follows `contexts` from outer to inner and gives every line that the last one may name: at
/// least one where there are contexts.
pub(super) fn scopes(text: &Text<'_>, contexts: &[String]) -> Result<Vec<Scope>, Fault> {
    let mut scopes = Vec::new();
    for (i, context) in contexts.iter().enumerate() {
        let allowed = |line: usize| i == 0 || scopes.iter().any(|s: &Scope| s.line < line && line < s.end);
        let lines = named(text, context, allowed);
        if lines.is_empty() {
            return Err(Fault::Missing(context.clone()));
        }
        if lines.len() > SCOPES_MAX {
            return Err(Fault::Common(context.clone()));
        }
        scopes = lines.into_iter().map(|line| Scope { line, end: end_of(text, line) }).collect();
    }
    Ok(scopes)
}

/// The lines that `context` names: the same line, else lines that begin with it, else lines that
/// hold it.
fn named(text: &Text<'_>, context: &str, allowed: impl Fn(usize) -> bool) -> Vec<usize> {
    let plain = Level::Plain.of(context);
    if plain.is_empty() {
        return Vec::new();
    }
    let matching = |fits: &dyn Fn(&str) -> bool| -> Vec<usize> {
        (0..text.lines.len()).filter(|line| allowed(*line) && fits(text.line(*line))).collect()
    };
    let same = Level::ALL.iter().map(|level| matching(&|line| level.of(line) == level.of(context)));
    let partly = [
        matching(&|line: &str| Level::Plain.of(line).starts_with(&*plain)),
        matching(&|line: &str| Level::Plain.of(line).contains(&*plain)),
    ];
    same.chain(partly).find(|lines| !lines.is_empty()).unwrap_or_default()
}

/// The line after the last that line `head` heads.
///
/// What is indented deeper belongs to it, with the closing lines after it. Where nothing is, it
/// heads what comes until a line of the same kind (`## …`, `[…]`), or else all the rest.
fn end_of(text: &Text<'_>, head: usize) -> usize {
    let depth = |line: &str| indentation(line).chars().count();
    let own = depth(text.line(head));
    let rest = || (head + 1..text.lines.len()).filter(|line| !text.line(*line).trim().is_empty());
    let heads_block = rest().find(|line| !closes(text.line(*line))).is_some_and(|line| depth(text.line(line)) > own);
    if heads_block {
        let outside = |line: &usize| depth(text.line(*line)) <= own && !closes(text.line(*line));
        return rest().find(outside).unwrap_or(text.lines.len());
    }
    let kind = Heading::of(text.line(head));
    let next =
        |line: &usize| kind.is_some_and(|kind| Heading::of(text.line(*line)).is_some_and(|other| kind.ends_at(other)));
    rest().find(next).unwrap_or(text.lines.len())
}

/// Whether a line belongs to the block before it although it stands as far left as its head.
fn closes(line: &str) -> bool {
    let line = line.trim_start();
    let words =
        ["else", "elif", "elsif", "except", "finally", "catch", "rescue", "ensure", "end", "then", "do", "begin"];
    let word: &str = line.split(|c: char| !c.is_alphanumeric()).next().unwrap_or("");
    line.starts_with(['{', '}', ')', ']']) || words.contains(&word)
}

/// The sign that a heading of flat text begins with, and how often.
#[derive(Clone, Copy, Debug)]
struct Heading {
    sign: char,
    times: usize,
}

impl Heading {
    fn of(line: &str) -> Option<Self> {
        let sign = line.chars().next().filter(|c| !c.is_alphanumeric() && !c.is_whitespace())?;
        Some(Self { sign, times: line.chars().take_while(|c| *c == sign).count() })
    }

    fn ends_at(self, other: Self) -> bool {
        self.sign == other.sign && other.times <= self.times
    }
}
