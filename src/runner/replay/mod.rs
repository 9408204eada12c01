//! Folds a recorded task again, without a model and without a workspace: what the loop decides must be what it had
//! decided when the log was written.
//!
//! What came from outside is taken from the log as it stands: replies, results, looks at the working copy, checks,
//! people's words and decisions, workers that came and went, the time, and what the settings said of a model. All
//! else (`agent::next_step`, `runner::decisions`) is decided anew and compared event by event, and so are the
//! hashes of every prompt. Pure. Start with [`replay`].

mod checks;
mod ends;
mod outside;
mod people;
mod prompts;
mod same;
mod steps;
mod walk;

use crate::domain::{BlobHash, Event, EventData, Seq, event::Record};
use serde::Serialize;
use serde_json::Value;

/// Makes of an event what a redacted log has of it.
pub type Blank<'a> = dyn Fn(&EventData) -> Option<EventData> + 'a;

/// A task to be folded again.
pub struct Recorded<'a> {
    pub records: &'a [Record],
    /// The content of that hash, where it is known: the pinned instructions and tools are looked for.
    pub contents: &'a dyn Fn(&BlobHash) -> Option<&'a [u8]>,
    /// Of a log without its words: what has none is compared without them.
    pub blank: Option<&'a Blank<'a>>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Replayed {
    pub events: u64,
    pub runs: u32,
    /// Model calls that were answered.
    pub turns: u32,
    /// Events that the loop writes, found as it would write them now.
    pub decided: u64,
    /// Events from outside.
    pub outside: u64,
    /// Decisions that the time, a window or a price made, which the log does not name.
    pub by_settings: u64,
    /// Decisions about words that a redacted log does not have.
    pub without_words: u64,
    /// Prompts whose hashes are those that were recorded.
    pub prompts: u64,
    /// Prompts whose hashes could not be made or were not recorded, and why the first of them could not.
    pub unknown_prompts: u64,
    pub unknown_because: Option<String>,
    pub difference: Option<Difference>,
}

/// The first event that is not as the loop would write it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    pub seq: Seq,
    /// What the loop does there, in words.
    pub step: String,
    /// `kind`, `run`, `turn` and `data`, as the log has them.
    pub recorded: Value,
    /// The same as the loop would write them; null where it would write nothing.
    pub expected: Value,
}

impl Difference {
    fn new(recorded: &Event, step: impl Into<String>, expected: Option<(u32, u32, &EventData)>) -> Self {
        let shown = |run: u32, turn: u32, data: &EventData| {
            let mut value = serde_json::to_value(data).unwrap_or_default();
            value["run"] = run.into();
            value["turn"] = turn.into();
            value
        };
        Self {
            seq: recorded.seq,
            step: step.into(),
            recorded: shown(recorded.run, recorded.turn, &recorded.data),
            expected: expected.map_or(Value::Null, |(run, turn, data)| shown(run, turn, data)),
        }
    }
}

/// Folds a log again. One that is cut off in the midst of a run is compared as far as it goes.
pub fn replay(recorded: &Recorded<'_>) -> Replayed {
    let mut replayed = walk::walk(recorded);
    prompts::compare(recorded, &mut replayed);
    replayed
}

impl std::fmt::Debug for Recorded<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorded").field("records", &self.records.len()).finish_non_exhaustive()
    }
}
