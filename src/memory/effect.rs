//! What became of the memories that a task cited: the rule by which a run counts for or against them, and the counting.
//!
//! A run counts once for each memory that its model cited, whatever the number of workers and crashes: what was counted stands in
//! a row of its own, and people's later word takes its place.

use crate::{
    clock,
    domain::{ErrorCode, EventData, MemoryId, Status, Timestamp, check::Verdict, event::Record},
    store::{
        Store, StoreError,
        effects::{self, NewEffect},
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// Tasks counted in one round.
const TASKS_MAX: u32 = 100;
/// Failures that may have gone back to the model before its success says nothing for what it cited.
const REFINEMENTS_MAX: u32 = 1;

/// What a run did to the standing of a memory that it cited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Helped,
    Hurt,
    None,
}

impl Effect {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Helped => "helped",
            Self::Hurt => "hurt",
            Self::None => "none",
        }
    }
}

/// What a person thought of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rating {
    Up,
    Down,
}

/// How a run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub status: Option<Status>,
    pub error: Option<ErrorCode>,
    pub verdict: Option<Verdict>,
    /// Validations, the last one included.
    pub validations: u32,
    pub cited: BTreeSet<MemoryId>,
    pub ended_at: Option<Timestamp>,
}

/// The rule. A person's word decides; without one:
/// - verified, with at most one failure sent back before: helped;
/// - failed by its checks, by going in circles or by a limit: hurt;
/// - else (not verified, cancelled, the service or a provider at fault): nothing.
pub fn effect_of(outcome: &Outcome, rating: Option<Rating>) -> Effect {
    match (rating, outcome.status) {
        (Some(Rating::Up), Some(Status::Succeeded)) => Effect::Helped,
        (Some(Rating::Down), Some(_)) => Effect::Hurt,
        (None, Some(Status::Succeeded)) if outcome.verdict == Some(Verdict::Verified) => {
            if outcome.validations.saturating_sub(1) <= REFINEMENTS_MAX { Effect::Helped } else { Effect::None }
        }
        (None, Some(Status::Failed)) => match outcome.error {
            Some(
                ErrorCode::ChecksFailed
                | ErrorCode::Stuck
                | ErrorCode::LimitTurns
                | ErrorCode::LimitWallTime
                | ErrorCode::LimitTokens
                | ErrorCode::LimitCost,
            ) => Effect::Hurt,
            _ => Effect::None,
        },
        _ => Effect::None,
    }
}

/// Counts what ended runs did to the memories that they cited; the number of tasks whose runs were counted. A task that cannot be
/// read is passed over and told of.
pub async fn count_effects(store: &Store) -> Result<usize, StoreError> {
    let due = effects::due(store, TASKS_MAX).await?;
    let mut counted = 0;
    for one in &due {
        match count(store, *one).await {
            Ok(did) => counted += usize::from(did),
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => {
                tracing::error!(task.id = %one.task, %error, "what a task did to memories cannot be counted");
                effects::pass_over(store, *one).await?;
            }
        }
    }
    Ok(counted)
}

/// False where another process is at it, or the task has gone on.
async fn count(store: &Store, due: effects::Due) -> Result<bool, StoreError> {
    let Some(mut counting) = effects::begin(store, due).await? else { return Ok(false) };
    let runs = outcomes(counting.log().await?);
    if runs.values().any(|outcome| !outcome.cited.is_empty()) {
        let ratings = counting.ratings().await?;
        for (run, outcome) in &runs {
            let rating = rating_of(*run, &runs, &ratings);
            let effect = effect_of(outcome, rating);
            let detail = told(outcome, rating);
            for memory in &outcome.cited {
                let new = NewEffect {
                    run: *run,
                    memory: *memory,
                    effect: effect.as_str(),
                    entry: clock::new_id(),
                    detail: &detail,
                };
                counting.put(new).await?;
            }
        }
    }
    counting.finish().await?;
    Ok(true)
}

/// The runs of a log that have ended.
fn outcomes(log: Vec<Record>) -> BTreeMap<u32, Outcome> {
    let mut runs: BTreeMap<u32, Outcome> = BTreeMap::new();
    for Record { event, .. } in log {
        let outcome = runs.entry(event.run).or_default();
        match event.data {
            // What was before is the other task's, and counted there.
            EventData::TaskForked { .. } => runs.clear(),
            EventData::ChecksCompleted { .. } => outcome.validations += 1,
            EventData::TaskResult { result } => {
                outcome.verdict = result.verdict;
                let cited = result.memories.iter().filter(|memory| memory.cited == Some(true));
                outcome.cited = cited.map(|memory| memory.memory).collect();
            }
            EventData::TaskStatus { status, error, .. } if status.is_end() => {
                outcome.status = Some(status);
                outcome.error = error.map(|error| error.code);
                outcome.ended_at = Some(event.at);
            }
            _ => {}
        }
    }
    runs.retain(|_, outcome| outcome.status.is_some());
    runs
}

/// The last word about a run. A word is about the run that had ended last when it was said; said before the first end, about
/// that run.
fn rating_of(run: u32, runs: &BTreeMap<u32, Outcome>, ratings: &[(String, Timestamp)]) -> Option<Rating> {
    let about = |at: Timestamp| {
        let ended = runs.iter().rev().find(|(_, outcome)| outcome.ended_at.is_some_and(|end| end <= at));
        ended.or_else(|| runs.iter().next()).map(|(run, _)| *run)
    };
    let last = ratings.iter().rev().find(|(_, at)| about(*at) == Some(run))?;
    Some(if last.0 == "up" { Rating::Up } else { Rating::Down })
}

fn told(outcome: &Outcome, rating: Option<Rating>) -> String {
    match (rating, outcome.verdict) {
        (Some(Rating::Up), _) => "a person rated the task up".to_owned(),
        (Some(Rating::Down), _) => "a person rated the task down".to_owned(),
        (None, Some(Verdict::Verified)) => {
            format!("a task that cited it was verified at validation {}", outcome.validations)
        }
        (None, _) => match &outcome.error {
            Some(code) => format!("a task that cited it failed: {}", word(*code)),
            None => "a task that cited it ended".to_owned(),
        },
    }
}

fn word(code: ErrorCode) -> String {
    serde_json::to_value(code).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
