//! What is said to the service in a comment: `@bot fix this with model=X checks="make test"`.

use regex::Regex;
use std::sync::LazyLock;

/// Checks that one comment can name, at most.
const CHECKS_MAX: usize = 10;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// What is wanted in words; perhaps nothing.
    pub text: String,
    pub model: Option<String>,
    pub checks: Vec<String>,
    /// The task of the issue is to end.
    pub cancel: bool,
}

/// `name=value`, the value perhaps in quotes.
static SETTING: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(?i)(?:\bwith\s+|,\s*|\band\s+)?\b(model|checks?)\s*=\s*(?:"([^"\n]*)"|'([^'\n]*)'|([^\s,"']+))"#)
        .ok()
});

/// What a text says to `mention` (with or without its `@`), if it speaks to it at all. What is quoted or in a block of
/// code is said to nobody.
pub fn command(text: &str, mention: &str) -> Option<Command> {
    let name = mention.trim().trim_start_matches('@').to_lowercase();
    if name.is_empty() {
        return None;
    }
    let spoken = spoken(text);
    let after = after_mention(&spoken, &name)?;
    let mut command = Command::default();
    let words = match SETTING.as_ref() {
        Some(setting) => setting.replace_all(after, |found: &regex::Captures<'_>| {
            let value = (2..=4).find_map(|group| found.get(group)).map_or("", |value| value.as_str()).trim();
            if value.is_empty() {
                return String::new();
            }
            if found[1].eq_ignore_ascii_case("model") {
                command.model = Some(value.to_owned());
            } else if command.checks.len() < CHECKS_MAX {
                command.checks.push(value.to_owned());
            }
            String::new()
        }),
        None => after.into(),
    };
    let lines: Vec<&str> = words.lines().map(str::trim_end).collect();
    lines.join("\n").trim().trim_start_matches([',', ':']).trim().clone_into(&mut command.text);
    let word = command.text.trim_end_matches(['.', '!']).to_lowercase();
    command.cancel = matches!(word.as_str(), "cancel" | "stop");
    Some(command)
}

/// The text without quotes and blocks of code.
fn spoken(text: &str) -> String {
    let mut fence = None;
    let mut lines = Vec::new();
    for line in text.lines() {
        let start = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, None) if !start.starts_with('>') => lines.push(line),
            _ => {}
        }
    }
    lines.join("\n")
}

/// What follows the first `@name` that is a word of its own.
fn after_mention<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    text.match_indices('@').find_map(|(at, _)| {
        // An address of mail, or code.
        if text[..at].ends_with(|c: char| is_part(c) || c == '`' || c == '.' || c == '/') {
            return None;
        }
        let rest = &text[at + 1..];
        let end = rest.find(|c: char| !is_part(c) && !matches!(c, '[' | ']' | ':' | '.' | '~')).unwrap_or(rest.len());
        let word = rest[..end].trim_end_matches(['.', ':']);
        (word.to_lowercase() == name).then(|| &rest[word.len()..])
    })
}
