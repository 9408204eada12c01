//! Where in a text a call may begin: outside of code blocks, quotations and thoughts.

use regex::Regex;
use std::{ops::Range, sync::LazyLock};

/// A fenced block.
pub(super) struct Fence<'a> {
    /// From the opening fence's line to the end of the closing one's.
    pub(super) whole: Range<usize>,
    /// The word after the opening fence, in lower case.
    pub(super) tag: String,
    pub(super) inside: &'a str,
}

/// The closed blocks of a text in order, and where a block begins that is not closed.
pub(super) fn fences(text: &str) -> (Vec<Fence<'_>>, Option<usize>) {
    let mut found = Vec::new();
    let mut open: Option<(usize, usize, &str, String)> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let bare = line.trim();
        let start = at;
        at += line.len();
        match &open {
            None => {
                let mark = ["```", "~~~"].into_iter().find(|mark| bare.starts_with(mark));
                // A fence that closes on its own line is no block.
                if let Some(mark) = mark.filter(|mark| !bare[3..].contains(*mark)) {
                    let tag = bare.trim_start_matches(mark.chars().next().unwrap_or('`'));
                    let tag = tag.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
                    open = Some((start, at, mark, tag));
                }
            }
            Some((from, inner, mark, tag)) => {
                if bare.starts_with(*mark) && bare.chars().all(|c| mark.starts_with(c)) {
                    let whole = *from..start + line.trim_end().len();
                    found.push(Fence { whole, tag: tag.clone(), inside: &text[*inner..start] });
                    open = None;
                }
            }
        }
    }
    (found, open.map(|(from, ..)| from))
}

/// The end of the model's last thought that it wrote into its text; the text's length where the
/// thought is not closed.
pub(super) fn after_thoughts(text: &str) -> usize {
    let mut at = 0;
    for (open, close) in [("<think>", "</think>"), ("<thinking>", "</thinking>"), ("[THINK]", "[/THINK]")] {
        let closed = text.rfind(close).map(|found| found + close.len());
        let opened = text.rfind(open);
        at = at.max(match (opened, closed) {
            (Some(opened), Some(closed)) if opened > closed => text.len(),
            (Some(_), None) => text.len(),
            (_, closed) => closed.unwrap_or(0),
        });
    }
    at
}

/// Whether a mark at `at` may begin a call: at the beginning of its line, or right after the end
/// of a sentence.
pub(super) fn may_begin(text: &str, at: usize) -> bool {
    let before = &text[..at];
    let line = before.rfind('\n').map_or(before, |end| &before[end + 1..]);
    line.trim().is_empty() || before.ends_with(['.', ':', '!', '?', '>', '…', '。'])
}

/// Whether the last sentence of `text` introduces an example, where what follows begins with a mark of its own: such a
/// call is no accident, so that words which merely speak of formats, syntax or examples do not count.
pub(super) fn introduces_example(text: &str) -> bool {
    static WORDS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let words = "(?i)\\b(for (example|instance)|e\\.g\\b|(an|another|one|this|following) example|\
                     examples? (call|request)s?|(would|will|might|could|should|must)? ?looks? like|would be|like this|\
                     as follows|you (can|could|may|might|would|should) (also )?(use|call|write|send|say|invoke)|\
                     (format|syntax|template) (is|looks))\\b";
        Regex::new(words).ok()
    });
    let said = text.trim_end();
    let paragraph = said.rsplit("\n\n").next().unwrap_or_default();
    // The full stop at the very end closes the last sentence and begins none.
    let open = paragraph.trim_end_matches(['.', '!', '?', ':', ' ']);
    let sentence = [". ", "! ", "? ", ".\n", "!\n", "?\n"].iter().filter_map(|end| open.rfind(end)).max();
    let last = &paragraph[sentence.unwrap_or(0)..];
    WORDS.as_ref().is_none_or(|words| words.is_match(last))
}

/// The same for what begins with no mark, such as plain JSON, which may well be data: any word of examples counts.
pub(super) fn announces_example(text: &str) -> bool {
    static WORDS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let words = "(?i)\\b(examples?|e\\.g|for instance|such as|would (look|be|have)|looks? like|like this|as follows|\
                     format|syntax|template|you (can|could|may|should|would)|documentation|quot(e|ed|ing))\\b";
        Regex::new(words).ok()
    });
    let last = text.trim_end().rsplit("\n\n").next().unwrap_or_default();
    WORDS.as_ref().is_none_or(|words| words.is_match(last))
}
