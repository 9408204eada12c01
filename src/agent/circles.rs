//! Noticing that a run goes round in circles: the same call with the same result, the same error, two calls in
//! turns. What differs only in durations, dates, process numbers and ids is the same.
//!
//! Thresholds as in the stuck detector of the `OpenHands` SDK, which has them from use: 4, 3 and 6.

use super::fleeting;
use crate::domain::tool::{ToolCall, ToolOutcome};
use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
};

/// The same call with the same result, so often in a row.
const SAME_RESULT: usize = 4;
/// The same error of one tool, so often in a row.
const SAME_ERROR: usize = 3;
/// Calls of two kinds in turns, so many in a row.
const ALTERNATING: usize = 6;
/// Waiting for a process is done by asking again: that often, with nothing new.
const SAME_WAIT: usize = 12;
/// Bytes at the beginning and at the end of a result that are compared.
const COMPARED_BYTES: usize = 4 << 10;

/// One call with what it gave, as far as circles are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Move {
    call: u64,
    result: u64,
    /// What an error says, by tool; absent where the call gave a result.
    error: Option<u64>,
    waits: bool,
}

/// The newest calls of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves(VecDeque<Move>);

/// How a run goes in circles, and how often it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Circle {
    SameResult(usize),
    SameError(usize),
    Alternating(usize),
}

impl Circle {
    pub(super) fn calls(self) -> usize {
        match self {
            Self::SameResult(calls) | Self::SameError(calls) | Self::Alternating(calls) => calls,
        }
    }

    /// As the second half of a sentence about the run.
    pub(super) fn words(self) -> String {
        match self {
            Self::SameResult(calls) => format!("the same call gave the same result {calls} times in a row"),
            Self::SameError(calls) => format!("the same error came {calls} times in a row"),
            Self::Alternating(calls) => format!("the same two calls took turns {calls} times with the same results"),
        }
    }
}

impl Moves {
    pub(super) fn push(&mut self, call: &ToolCall, outcome: ToolOutcome, output: &str, loop_version: u32) {
        let result = hash(&stripped(output, loop_version));
        let failed = matches!(outcome, ToolOutcome::Error | ToolOutcome::TimedOut | ToolOutcome::Denied);
        let asks_again = call.tool == "write_stdin";
        // A search that finds nothing is no error that repeats: only what says the same of the same thing is.
        let about =
            if matches!(call.tool.as_str(), "shell" | "search" | "write_stdin") { &*call.arguments } else { "" };
        self.0.push_back(Move {
            call: hash(&(call.tool.as_str(), canonical(&call.arguments))),
            result,
            error: failed.then(|| hash(&(call.tool.as_str(), canonical(about), result))),
            waits: asks_again,
        });
        if self.0.len() > SAME_WAIT {
            self.0.pop_front();
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The circle that the newest calls close.
    pub(super) fn circle(&self) -> Option<Circle> {
        let last = self.0.back()?;
        let same = self.0.iter().rev().take_while(|m| (m.call, m.result) == (last.call, last.result)).count();
        if same >= if last.waits { SAME_WAIT } else { SAME_RESULT } {
            return Some(Circle::SameResult(same));
        }
        let errors = self.0.iter().rev().take_while(|m| m.error.is_some() && m.error == last.error).count();
        if errors >= SAME_ERROR {
            return Some(Circle::SameError(errors));
        }
        let newest: Vec<(u64, u64)> = self.0.iter().rev().take(ALTERNATING).map(|m| (m.call, m.result)).collect();
        let alternates = newest.len() == ALTERNATING
            && newest[0].0 != newest[1].0
            && newest.iter().zip(newest.iter().skip(2)).all(|(one, next)| one == next);
        (alternates && !last.waits).then_some(Circle::Alternating(ALTERNATING))
    }
}

/// Hashed without a secret: the same on every machine that runs this build, and compared only there.
fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Arguments without what spacing and the order of keys differ in.
fn canonical(arguments: &str) -> String {
    serde_json::from_str::<serde_json::Value>(arguments)
        .map_or_else(|_| arguments.trim().to_owned(), |value| value.to_string())
}

/// A text without durations, dates, process numbers and ids; only its beginning and end.
fn stripped(text: &str, loop_version: u32) -> String {
    let strip = |text| fleeting::without(text, loop_version);
    if text.len() <= 2 * COMPARED_BYTES {
        return strip(text).into_owned();
    }
    let (mut head, mut tail) = (COMPARED_BYTES, text.len() - COMPARED_BYTES);
    while !text.is_char_boundary(head) {
        head -= 1;
    }
    while !text.is_char_boundary(tail) {
        tail += 1;
    }
    format!("{}\n{}", strip(&text[..head]), strip(&text[tail..]))
}
