//! Words of identifiers and of requests, in one form.

use std::{collections::HashSet, sync::LazyLock};

/// Letters of a word at least and at most.
const WORD_LETTERS: std::ops::RangeInclusive<usize> = 3..=32;
/// Words that say nothing of what code is about.
static EMPTY: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    HashSet::from([
        "the",
        "and",
        "for",
        "are",
        "was",
        "were",
        "not",
        "with",
        "that",
        "this",
        "from",
        "into",
        "its",
        "has",
        "have",
        "had",
        "but",
        "you",
        "your",
        "can",
        "should",
        "would",
        "could",
        "when",
        "then",
        "than",
        "there",
        "where",
        "which",
        "what",
        "who",
        "why",
        "how",
        "all",
        "any",
        "some",
        "add",
        "added",
        "fix",
        "make",
        "makes",
        "mend",
        "use",
        "uses",
        "used",
        "using",
        "please",
        "new",
        "get",
        "set",
        "let",
        "see",
        "also",
        "such",
        "only",
        "must",
        "may",
        "will",
        "does",
        "done",
        "doing",
        "been",
        "being",
        "now",
        "one",
        "two",
        "self",
        "true",
        "false",
        "none",
        "null",
        "func",
        "function",
        "def",
        "class",
        "struct",
        "pub",
        "return",
        "int",
        "str",
        "string",
        "void",
        "const",
        "static",
        "public",
        "private",
        "code",
        "file",
        "files",
        "test",
        "tests",
        "change",
        "implement",
        "wrong",
        "instead",
        "src",
        "lib",
        "export",
        "async",
        "impl",
        "self",
        "bool",
        "type",
    ])
});

/// The lower-case words in a text, identifiers taken apart (`parse_URLPath2` gives `parse`, `url`,
/// `path`), plural and verbal endings taken off; words that say nothing are left out.
pub fn of(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|letter: char| !letter.is_alphanumeric())
        .flat_map(parts)
        .filter(|word| WORD_LETTERS.contains(&word.chars().count()) && !EMPTY.contains(word.as_str()))
        .map(stem)
}

/// The parts of one identifier: at changes from small to capital letters, before the last of
/// several capital letters, and at digits.
fn parts(word: &str) -> Vec<String> {
    let letters: Vec<char> = word.chars().collect();
    let mut parts = Vec::new();
    let mut part = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| letters[at]);
        let after = letters.get(at + 1);
        let begins = letter.is_uppercase()
            && (before.is_some_and(char::is_lowercase) || after.is_some_and(|after| after.is_lowercase()));
        let is_digit = letter.is_numeric();
        if (begins || is_digit) && !part.is_empty() {
            parts.push(std::mem::take(&mut part));
        }
        if !is_digit {
            part.extend(letter.to_lowercase());
        }
    }
    parts.push(part);
    parts
}

/// Crude, and the same for both sides of a comparison.
fn stem(mut word: String) -> String {
    let endings: &[(&str, usize)] = &[
        ("ations", 5),
        ("ation", 5),
        ("ings", 4),
        ("ing", 4),
        ("ies", 4),
        ("ers", 4),
        ("ed", 4),
        ("er", 4),
        ("es", 4),
        ("s", 3),
    ];
    for (ending, least) in endings {
        if word.is_ascii() && word.ends_with(ending) && !word.ends_with("ss") && word.len() >= ending.len() + least - 1
        {
            word.truncate(word.len() - ending.len());
            break;
        }
    }
    // `parse` and `parsing`, `limit` and `limited` meet.
    if word.len() > 3 && word.ends_with('e') {
        word.pop();
    }
    // `validate` and `validation` meet.
    if word.len() > 6 && word.ends_with("at") {
        word.truncate(word.len() - 2);
    }
    word
}
