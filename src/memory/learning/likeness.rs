//! How alike two statements are, and whether a person's words support one: by words, without a model.
//!
//! A statement is taken apart into plain words, cut to their stems, and *marks*: whatever looks like code, a path, an
//! address or a number. Marks are compared whole, for a single other letter of them means something else.

use std::collections::BTreeSet;

/// From this share of common words on two statements are about the same.
const SAME_SHARE: f64 = 0.75;
/// From this share of common denied words on they deny the same.
const DENIED_SHARE: f64 = 0.5;
/// The share of a statement's words that the words which support it must have.
const SUPPORT_SHARE: f64 = 0.5;
/// Letters of a stem: words that begin alike so far count as one.
const STEM_CHARS: usize = 5;

/// What stands around a word and is no part of it.
const PUNCTUATION: &[char] = &['.', ',', ';', ':', '!', '?', '(', ')', '"', '\'', '“', '”', '‘', '’', '…'];
/// What ends the reach of a negation.
const ENDS: &[char] = &['.', ',', ';', ':', '!', '?', ')'];
const NEGATIONS: [&str; 15] = [
    "not",
    "never",
    "no",
    "don't",
    "dont",
    "doesn't",
    "without",
    "avoid",
    "stop",
    "isn't",
    "aren't",
    "shouldn't",
    "mustn't",
    "cannot",
    "can't",
];
/// Words after a negation that it is about.
const DENIED_WORDS: usize = 3;
/// Words that say nothing of what a statement is about.
const EMPTY: [&str; 68] = [
    "a", "an", "and", "are", "as", "at", "be", "been", "but", "by", "can", "do", "does", "each", "for", "from", "has",
    "have", "he", "her", "his", "i", "if", "in", "into", "is", "it", "its", "just", "me", "must", "my", "of", "on",
    "or", "our", "please", "she", "should", "so", "than", "that", "the", "their", "them", "then", "there", "these",
    "they", "this", "those", "to", "too", "us", "use", "used", "uses", "using", "was", "we", "when", "which", "will",
    "with", "you", "your", "always", "user",
];

/// What two statements are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// They say the same.
    Same,
    /// They are about the same and do not say the same: one denies it, or has another number.
    Opposed,
    Different,
}

/// A statement taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Parts {
    stems: BTreeSet<String>,
    marks: BTreeSet<String>,
    /// Those of both that stand right after a negation.
    denied: BTreeSet<String>,
}

impl Parts {
    /// All but the numbers.
    fn names(&self) -> BTreeSet<&String> {
        let is_number = |mark: &str| mark.bytes().all(|byte| byte.is_ascii_digit() || b".%".contains(&byte));
        self.marks.iter().filter(|mark| !is_number(mark)).collect()
    }

    fn denies_as(&self, other: &Self) -> bool {
        self.denied.is_empty() == other.denied.is_empty() && share(&self.denied, &other.denied) >= DENIED_SHARE
    }
}

/// Compares two statements.
pub fn likeness(one: &str, other: &str) -> Likeness {
    let (one, other) = (parts(one), parts(other));
    if one.names() != other.names() || share(&one.stems, &other.stems) < SAME_SHARE {
        return Likeness::Different;
    }
    if one.denies_as(&other) && one.marks == other.marks { Likeness::Same } else { Likeness::Opposed }
}

/// Whether `words` bear a statement out: they have all its marks and at least half of its words.
pub fn supports(words: &str, statement: &str) -> bool {
    let wanted = parts(statement);
    let (given, lower) = (parts(words), words.to_lowercase());
    if wanted.stems.is_empty() && wanted.marks.is_empty() {
        return false;
    }
    let has_mark = |mark: &String| given.marks.contains(mark) || is_whole_in(&lower, mark);
    let found = wanted.stems.iter().filter(|stem| given.stems.contains(*stem)).count();
    wanted.marks.iter().all(has_mark) && found as f64 >= wanted.stems.len() as f64 * SUPPORT_SHARE
}

/// The common part of two sets; of two empty ones all.
fn share(one: &BTreeSet<String>, other: &BTreeSet<String>) -> f64 {
    let all = one.union(other).count();
    if all == 0 { 1.0 } else { one.intersection(other).count() as f64 / all as f64 }
}

/// Whether a mark stands in a text, with nothing around it that makes it another one.
fn is_whole_in(text: &str, mark: &str) -> bool {
    let bound = |c: Option<char>| c.is_none_or(|c| !(c.is_alphanumeric() || c == '_' || c == '/' || c == '-'));
    text.match_indices(mark)
        .any(|(at, _)| bound(text[..at].chars().next_back()) && bound(text[at + mark.len()..].chars().next()))
}

fn parts(text: &str) -> Parts {
    let mut parts = Parts::default();
    let mut denying = 0;
    for (at, piece) in text.split('`').enumerate() {
        for word in piece.split_whitespace() {
            let bare = word.trim_matches(PUNCTUATION);
            let lower = bare.to_lowercase().replace('’', "'");
            let mut found = Vec::new();
            if NEGATIONS.contains(&lower.as_str()) {
                denying = DENIED_WORDS;
                continue;
            } else if is_mark(bare) {
                parts.marks.insert(lower.clone());
                found.push(lower);
            } else {
                // In code every other piece stands; its words are words as well.
                found = plain(&lower, at % 2 == 1);
                parts.stems.extend(found.iter().cloned());
            }
            if denying > 0 && !found.is_empty() {
                parts.denied.extend(found);
                denying -= 1;
            }
            if word.ends_with(ENDS) {
                denying = 0;
            }
        }
    }
    parts
}

/// What looks like code, a path, an address or a number.
fn is_mark(word: &str) -> bool {
    let letters = word.chars().filter(|c| c.is_alphabetic()).count();
    let capitals = word.chars().skip(1).filter(|c| c.is_uppercase()).count();
    word.chars().any(|c| c.is_numeric() || "/\\_$@<>{}[]=|&*#~^%+.:".contains(c))
        || word.starts_with('-')
        || (capitals > 0 && capitals + 1 < letters)
}

/// The stems of the words between hyphens and the like; of scripts without spaces every character is one. In code no word
/// is without meaning.
fn plain(word: &str, in_code: bool) -> Vec<String> {
    let mut stems = Vec::new();
    for part in word.split(|c: char| !c.is_alphanumeric() && c != '\'') {
        let part = part.trim_matches('\'');
        if part.chars().any(is_spaceless) {
            stems.extend(part.chars().map(String::from));
        } else if part.chars().count() > 1 && (in_code || !EMPTY.contains(&part)) {
            stems.push(stem(part));
        }
    }
    stems
}

fn stem(word: &str) -> String {
    let stem: String = word.chars().take(STEM_CHARS).collect();
    // A plural is no other word.
    if stem.chars().count() < STEM_CHARS && stem.len() > 3 {
        stem.strip_suffix('s').map(str::to_owned).unwrap_or(stem)
    } else {
        stem
    }
}

/// Han, kana, Hangul, Thai and their like.
fn is_spaceless(c: char) -> bool {
    matches!(u32::from(c), 0x0E00..=0x0E7F | 0x3040..=0x30FF | 0x3400..=0x9FFF | 0xAC00..=0xD7AF | 0x20000..=0x2FA1F)
}
