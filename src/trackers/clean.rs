//! Texts of issues and comments as a reader of the tracker sees them: what is hidden from him is hidden from the model.

use regex::Regex;
use std::sync::LazyLock;

/// How often comments are looked for anew: what is taken out can leave another.
const ROUNDS_MAX: usize = 8;

/// A definition of a link to nowhere, as people write comments in Markdown: `[//]: # (text)`.
static NOWHERE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?m)^[ ]{0,3}\[[^\]\n]*\]:[ \t]*(?:#|<>)?[ \t]*(?:\(.*|".*|'.*)$"#).ok());

/// A definition of a link, with a title that is not shown with it.
static TITLED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?m)^([ ]{0,3}\[[^\]\n]+\]:[ \t]*\S+)[ \t]+(?:\(.*|".*|'.*)$"#).ok());

/// Takes out characters that are not seen (of zero width, of direction, tags, controls), HTML comments, and links to
/// nowhere; ends lines with `\n`.
pub fn cleaned(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let mut text: String = text.chars().filter(|c| is_seen(*c)).collect();
    for _ in 0..ROUNDS_MAX {
        if !text.contains("<!--") {
            break;
        }
        text = without_comments(&text);
    }
    // Who nests them so deep has something to hide.
    if let Some(at) = text.find("<!--") {
        text.truncate(at);
    }
    let text = NOWHERE.as_ref().map_or(text.as_str().into(), |nowhere| nowhere.replace_all(&text, ""));
    let text = TITLED.as_ref().map_or(text.clone(), |titled| titled.replace_all(&text, "$1"));
    text.trim().to_owned()
}

fn without_comments(text: &str) -> String {
    let mut left = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("<!--") {
        left.push_str(&rest[..at]);
        let inside = &rest[at + 4..];
        match inside.find("-->") {
            Some(end) => rest = &inside[end + 3..],
            // One without an end hides all that follows.
            None => return left,
        }
    }
    left.push_str(rest);
    left
}

/// What no reader sees: by the Unicode Standard, `Default_Ignorable_Code_Point` and `Bidi_Control`.
const UNSEEN: [(char, char); 17] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    // But for the one of emoji, `fe0f`.
    ('\u{fe00}', '\u{fe0e}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Whether a reader sees it, or sees what it does.
fn is_seen(c: char) -> bool {
    let unseen = || UNSEEN.iter().any(|(first, last)| (*first..=*last).contains(&c));
    c == '\n' || c == '\t' || !(c.is_control() || unseen())
}

/// A text as data in a prompt: each line behind `> `.
pub fn quoted(text: &str) -> String {
    text.lines().map(|line| format!("> {line}")).collect::<Vec<_>>().join("\n")
}
