//! Whether a reply's last words announce a next action rather than end the work.
//!
//! Weak models say what they are going to do and then stop. It is asked only where a reply has no
//! calls; it errs towards an end, because a nudge after real last words costs a turn and confuses.

/// Bytes at the end of a text that are looked at.
const TAIL_BYTES: usize = 2_000;
/// Longer sentences explain; they do not announce.
const SENTENCE_CHARS_MAX: usize = 240;

/// What begins a sentence that says what the speaker is about to do.
const ANNOUNCES: [&str; 25] = [
    "i will now",
    "i'll now",
    "i am now going to",
    "i'm now going to",
    "i am going to",
    "i'm going to",
    "i am about to",
    "i'm about to",
    "i will start",
    "i'll start",
    "i will begin",
    "i'll begin",
    "i will proceed",
    "i'll proceed",
    "i will continue",
    "i'll continue",
    "i will next",
    "i'll next",
    "let me",
    "let's",
    "let us",
    "time to",
    "my next step is to",
    "the next step is to",
    "the next thing to do is",
];

/// What announces only with a verb of work behind it.
const PROMISES: [&str; 14] = [
    "i'll",
    "i will",
    "we'll",
    "we will",
    "i still need to",
    "i now need to",
    "i need to",
    "i have to",
    "i should now",
    "i should",
    "i must",
    "i want to",
    "we need to",
    "we should",
];

/// An offer; behind a word of order it is a promise.
const OFFER: &str = "i can";

/// Words of order that may lead: "Next, I'll …".
const ORDER: [&str; 10] = ["now", "next", "then", "first", "finally", "after that", "so", "ok", "okay", "alright"];

/// Words between a promise and its verb.
const BETWEEN: [&str; 6] = ["also", "now", "then", "just", "first", "next"];

/// Verbs of what tools do.
const WORK: [&str; 47] = [
    "add",
    "apply",
    "begin",
    "build",
    "call",
    "change",
    "check",
    "clean",
    "compile",
    "continue",
    "create",
    "debug",
    "delete",
    "edit",
    "examine",
    "execute",
    "explore",
    "find",
    "fix",
    "get",
    "implement",
    "inspect",
    "install",
    "investigate",
    "list",
    "locate",
    "look",
    "make",
    "modify",
    "open",
    "patch",
    "proceed",
    "read",
    "refactor",
    "remove",
    "rename",
    "replace",
    "rerun",
    "run",
    "search",
    "start",
    "test",
    "try",
    "update",
    "verify",
    "view",
    "write",
];

/// Words that make of an announcement an offer, a condition, an explanation or an end.
const ENDS: [&str; 12] = [
    "if you ",
    " if needed",
    " if required",
    " if that",
    "let me know",
    "let me summar",
    "let me explain",
    "let me recap",
    "to stop here",
    "would you ",
    "follow-up",
    "once you ",
];

/// Marks of calls in models' templates: a call that could not be read was meant, not an end.
const CALL_MARKS: [&str; 16] = [
    "<tool_call>",
    "<tool_calls>",
    "<toolcall>",
    "<tool_use>",
    "<function_call>",
    "<function_calls>",
    "<function=",
    "<invoke name=",
    "[TOOL_CALLS]",
    "<|python_tag|>",
    "<|tool_calls_section_begin|>",
    "<|tool_call_begin|>",
    "<minimax:tool_call>",
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁call▁begin｜>",
    "<|channel|>commentary to=",
];
/// Marks that close them.
const CALL_ENDS: [&str; 13] = [
    "</tool_call>",
    "</tool_calls>",
    "</toolcall>",
    "</tool_use>",
    "</function_call>",
    "</function_calls>",
    "</function>",
    "</invoke>",
    "</minimax:tool_call>",
    "<|tool_call_end|>",
    "<|tool_calls_section_end|>",
    "<｜tool▁calls▁end｜>",
    "<|call|>",
];

/// Whether the last words of `text` announce a next action.
pub fn announces_more(text: &str) -> bool {
    let text = text.trim();
    let from = text.ceil_char_boundary(text.len().saturating_sub(TAIL_BYTES));
    let tail = &text[from..];
    if ends_in_a_call(tail) {
        return true;
    }
    // What ends with a block of code or a table shows something.
    let Some(line) = tail.lines().rfind(|line| !line.trim().is_empty()) else { return false };
    if line.trim_start().starts_with("```") || line.trim_start().starts_with(['|', '>']) {
        return false;
    }
    let line = line.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '-' | '*' | '#' | '•'));
    let sentence = last_sentence(line.trim_end_matches(['*', '_', ' ', '`']));
    if sentence.ends_with('?') || sentence.chars().count() > SENTENCE_CHARS_MAX {
        return false;
    }
    let words = sentence.to_lowercase().replace('’', "'");
    announces(words.trim_end_matches(['.', ':', '…', '!', ' ']))
}

fn announces(words: &str) -> bool {
    if ENDS.iter().any(|end| words.contains(end)) {
        return false;
    }
    let (ordered, rest) = without_order(words);
    let begins = |start: &str| rest.strip_prefix(start).filter(|rest| rest.starts_with([' ', ',']) || rest.is_empty());
    if ANNOUNCES.iter().any(|start| begins(start).is_some()) {
        return true;
    }
    let promises = PROMISES.iter().chain(ordered.then_some(&OFFER));
    promises.filter_map(|promise| begins(promise)).any(|rest| {
        let verb = rest.split_whitespace().find(|word| !BETWEEN.contains(word)).unwrap_or_default();
        WORK.contains(&verb.trim_matches(|c: char| !c.is_alphanumeric()))
    })
}

/// The words behind leading words of order such as `Now` and `Next,`, and whether there were any.
fn without_order(words: &str) -> (bool, &str) {
    let (mut rest, mut ordered) = (words.trim_start(), false);
    while let Some(after) = ORDER.iter().find_map(|word| {
        rest.strip_prefix(word)
            .filter(|after| after.starts_with([' ', ',', ':']))
            .map(|after| after.trim_start_matches([' ', ',', ':']))
    }) {
        rest = after;
        ordered = true;
    }
    (ordered, rest)
}

/// The last sentence of a line: an end of a sentence is a mark with a blank behind it.
fn last_sentence(line: &str) -> &str {
    let line = line.trim();
    let ends = line.char_indices().zip(line.chars().skip(1));
    let ends = ends.filter(|((_, mark), next)| matches!(mark, '.' | '!' | '?') && next.is_whitespace());
    ends.last().map_or(line, |((at, mark), _)| line[at + mark.len_utf8()..].trim())
}

/// Whether a call was begun outside of a code block, and nothing that closes a paragraph follows.
fn ends_in_a_call(tail: &str) -> bool {
    let last = tail.split("\n\n").last().unwrap_or_default();
    let open_block = tail.matches("```").count() % 2 == 1;
    let is_call = |line: &str| CALL_MARKS.iter().any(|mark| line.trim_start().starts_with(mark));
    !open_block && last.lines().any(is_call) && !last.contains("```")
}

/// Whether `text` is over with a call that was begun as text, outside of a code block: whole, or broken off. It is
/// no last word, whatever kept the call from being read.
pub fn ends_in_call(text: &str) -> bool {
    let text = text.trim_end();
    let tail = &text[text.ceil_char_boundary(text.len().saturating_sub(TAIL_BYTES))..];
    if text.matches("```").count() % 2 == 1 || tail.ends_with("```") {
        return false;
    }
    let closed = |rest: &str| CALL_ENDS.iter().any(|end| rest.ends_with(end));
    // The call's beginning may lie before the tail.
    let last_line = tail.lines().last().unwrap_or_default().trim_start();
    if CALL_ENDS.iter().any(|end| last_line.starts_with(end)) && closed(tail) {
        return true;
    }
    let begun = CALL_MARKS.iter().flat_map(|mark| tail.match_indices(mark)).map(|(at, _)| at);
    begun.filter(|at| may_begin(&tail[..*at])).any(|at| {
        let rest = &tail[at..];
        let open = || !rest.contains("\n\n") && !CALL_ENDS.iter().any(|end| rest.contains(end));
        closed(rest) || open()
    })
}

/// Whether a mark behind these words begins a call: at the beginning of its line, or after the end of a sentence.
fn may_begin(before: &str) -> bool {
    let line = before.rsplit('\n').next().unwrap_or_default();
    line.trim().is_empty()
        || (before.ends_with(['.', ':', '!', '?', '>', '…', '。']) && !line.trim_start().starts_with('>'))
}
