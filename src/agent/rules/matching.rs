//! Whether a rule speaks of a simple command, or of a text that could not be taken apart.

use super::{
    loopback::only_loopback,
    shell::{Known, Word},
};
use crate::domain::rule::{CommandRule, Token};

/// The words that a rule speaks of, as a key for commands that are alike; none where it does not speak of them.
pub(super) fn speaks_of(rule: &CommandRule, words: &[Word]) -> Option<String> {
    let mut key = prefix(&rule.prefix, words)?;
    if !rule.paths.is_empty() {
        let named = words.iter().find(|word| names_path(rule, &word.text))?;
        if rule.prefix.is_empty() {
            key.extend(words.first().map(|word| word.text.as_str()));
        }
        key.push(&named.text);
    }
    if rule.except_loopback && only_loopback(words.get(1..).unwrap_or_default()) {
        return None;
    }
    (!key.is_empty()).then(|| key.join(" "))
}

/// As much of a rule as can be told of a text whose commands are not known: its first word, or one of its paths.
pub(super) fn may_speak_of(rule: &CommandRule, text: &str) -> bool {
    let bare: String = text.chars().filter(|c| !matches!(c, '\'' | '"' | '\\')).collect();
    match rule.prefix.first() {
        Some(first) => {
            let named = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '+' | '-');
            bare.split(|c| !named(c)).any(|word| first.words().iter().any(|known| known == word))
        }
        None => bare
            .split(char::is_whitespace)
            .any(|word| names_path(rule, word.trim_matches(['(', ')', ';', ',', '[', ']']))),
    }
}

/// The words that fit a prefix; options and what belongs to them may stand between.
fn prefix<'a>(prefix: &[Token], words: &'a [Word]) -> Option<Vec<&'a str>> {
    let Some((program, rest)) = prefix.split_first() else { return Some(Vec::new()) };
    let first = words.first().filter(|word| word.known == Known::Whole && fits(program, &word.text))?;
    let mut key = vec![first.text.as_str()];
    follow(rest, &words[1..], false, &mut key).then_some(key)
}

fn fits(token: &Token, text: &str) -> bool {
    token.words().iter().any(|word| word == text)
}

fn follow<'a>(tokens: &[Token], words: &'a [Word], after_option: bool, key: &mut Vec<&'a str>) -> bool {
    let Some((token, later)) = tokens.split_first() else { return true };
    let Some((word, rest)) = words.split_first() else { return false };
    let kept = key.len();
    if word.known == Known::Whole && fits(token, &word.text) {
        key.push(&word.text);
        if follow(later, rest, false, key) {
            return true;
        }
        key.truncate(kept);
    }
    if word.text.len() > 1 && word.text.starts_with(['-', '+']) {
        return follow(tokens, rest, !word.text.contains('='), key);
    }
    if after_option {
        return follow(tokens, rest, false, key);
    }
    match word.known {
        Known::Whole => false,
        // It may be the word.
        Known::One => {
            key.push(&word.text);
            follow(later, rest, false, key)
        }
        Known::Open => {
            key.push(&word.text);
            true
        }
    }
}

fn names_path(rule: &CommandRule, text: &str) -> bool {
    let pieces = text.split(['=', ':', ',', '@']);
    std::iter::once(text).chain(pieces).filter_map(place).any(|place| {
        rule.paths.iter().any(|path| lies_in(path, &place))
            && !rule.except_paths.iter().any(|path| lies_in(path, &place))
    })
}

/// A path as its parts from the root, home directories being `~`; none for a path of the working copy.
pub(super) fn place(text: &str) -> Option<Vec<String>> {
    let text = text.strip_prefix("file://").unwrap_or(text);
    let whole = match text.strip_prefix("${HOME}").or_else(|| text.strip_prefix("$HOME")) {
        Some(rest) => format!("~{rest}"),
        None if text.starts_with("..") => format!("/workspace/{text}"),
        None => text.to_owned(),
    };
    if !whole.starts_with(['/', '~']) {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    let home = match parts.as_slice() {
        ["root", ..] => 1,
        ["home", _, ..] => 2,
        [first, ..] if first.starts_with('~') => 1,
        _ => 0,
    };
    let start = (home > 0).then_some("~");
    Some(start.into_iter().chain(parts.into_iter().skip(home)).map(str::to_owned).collect())
}

/// A part with a `*` in a rule stands for any; one in a command may be any.
fn lies_in(path: &str, place: &[String]) -> bool {
    let wanted: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    place.len() >= wanted.len()
        && wanted
            .iter()
            .zip(place)
            .all(|(wanted, part)| wanted == part || *wanted == "*" || part.contains(['*', '?', '[']))
}
