//! Learns from a task that rests: reads what it holds, asks the model that is named for it, writes the memories that
//! come of it, in one transaction and once.
//!
//! Nothing of it stands in the task's log. What may become of an answer is decided by `memory::learning`, from whose
//! words it rests on. Start with [`Runner::learn`].

mod ask;
mod gather;
mod merged;
mod remember;
mod write;

use super::{
    Runner,
    deps::Deps,
    journal::{Halt, patiently},
};
use crate::{
    domain::learning::LearningOutcome,
    store::{
        jobs::ClaimedJob,
        learnings::{self, Done},
    },
};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Claims after which one that fails is given up, and one that a budget has no room for.
const FAILURES_MAX: u32 = 6;
const WAITS_MAX: u32 = 48;
/// Until one that failed is tried again: so long times the claims so far.
const RETRY_AFTER: Duration = Duration::from_secs(20);
/// Until a budget is asked again.
const BUDGET_AFTER: Duration = Duration::from_secs(1_800);

/// Of what people are told.
const DETAIL_CHARS_MAX: usize = 500;

/// What the operator decides of learning.
#[derive(Clone, Debug)]
pub struct LearningSettings {
    /// The model that is asked; absent: none is, and nothing is learnt.
    pub model: Option<String>,
    /// Tokens that learning from one task may take, all calls together.
    pub task_tokens: u64,
    /// Of one call.
    pub timeout: Duration,
}

/// What became of a claimed job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learnt {
    /// It is done, or somebody else's.
    Settled,
    /// It is to be given back, due after so long.
    Later(Duration),
}

/// Why learning stops short of an outcome.
#[derive(Debug)]
pub(super) enum Stop {
    /// It came to this without memories.
    Ends(LearningOutcome, String),
    /// To be tried again, up to a number of times.
    Fails(String),
    /// A shared budget has no room for it now, or its model is switched off.
    Waits(String),
    /// Somebody else has the job.
    Fenced,
    Halt(Halt),
}

impl From<Halt> for Stop {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

impl From<crate::store::StoreError> for Stop {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Halt(Halt::Store(error))
    }
}

impl Stop {
    fn nothing(why: &str) -> Self {
        Self::Ends(LearningOutcome::Nothing, why.to_owned())
    }
}

impl Runner {
    /// Learns from what a claimed job names. `lost` is cancelled when its lease is lost.
    pub async fn learn(&self, job: ClaimedJob, lost: CancellationToken) -> Learnt {
        let deps = &self.deps;
        let ended = tokio::select! {
            ended = Box::pin(try_learn(deps, &job)) => ended,
            () = lost.cancelled() => return Learnt::Settled,
            () = deps.draining().cancelled_owned() => return Learnt::Later(Duration::ZERO),
        };
        let stop = match ended {
            Ok(()) => return Learnt::Settled,
            Err(stop) => stop,
        };
        let (outcome, why) = match stop {
            Stop::Fenced => return Learnt::Settled,
            Stop::Ends(outcome, why) => (outcome, why),
            Stop::Waits(why) if job.attempts < WAITS_MAX => return later(deps, &job, &why, BUDGET_AFTER).await,
            Stop::Waits(why) => (LearningOutcome::Skipped, why),
            Stop::Fails(why) if job.attempts >= FAILURES_MAX => (LearningOutcome::Failed, why),
            Stop::Fails(why) => {
                tracing::warn!(learning.id = %job.id, attempt = job.attempts, "nothing could be learnt yet: {why}");
                return later(deps, &job, &why, RETRY_AFTER * job.attempts.max(1)).await;
            }
            Stop::Halt(Halt::Cut | Halt::Fenced) => return Learnt::Later(Duration::ZERO),
            Stop::Halt(error) if job.attempts >= FAILURES_MAX => {
                tracing::error!(learning.id = %job.id, %error, "nothing can be learnt");
                (LearningOutcome::Failed, "the service could not read what it was to learn from".to_owned())
            }
            Stop::Halt(error) => {
                tracing::warn!(learning.id = %job.id, attempt = job.attempts, %error, "nothing could be learnt yet");
                return Learnt::Later(RETRY_AFTER * job.attempts.max(1));
            }
        };
        match end(deps, &job, outcome, &why).await {
            Ok(()) => Learnt::Settled,
            Err(error) => {
                tracing::warn!(learning.id = %job.id, %error, "what came of learning could not be written");
                Learnt::Later(RETRY_AFTER)
            }
        }
    }
}

/// To be tried again; people are told why.
async fn later(deps: &Deps, job: &ClaimedJob, why: &str, after: Duration) -> Learnt {
    let why: String = why.chars().take(DETAIL_CHARS_MAX).collect();
    if let Err(error) = learnings::note(&deps.store, job, &why).await {
        tracing::warn!(learning.id = %job.id, %error, "why nothing was learnt yet could not be written");
    }
    Learnt::Later(after)
}

async fn try_learn(deps: &Deps, job: &ClaimedJob) -> Result<(), Stop> {
    let Some(due) = patiently(&deps.cut, || learnings::due(&deps.store, job)).await? else {
        return drop_job(deps, job).await;
    };
    let gathered = gather::gather(deps, job, &due).await?;
    let candidates = ask::ask(deps, job, &due, &gathered).await?;
    write::write(deps, job, &due, &gathered, &candidates).await
}

/// Its task was deleted, or it was done before.
async fn drop_job(deps: &Deps, job: &ClaimedJob) -> Result<(), Stop> {
    let mut tx = deps.store.team(job.team).await?;
    crate::store::jobs::finish(&mut tx, job).await?;
    Ok(tx.commit().await?)
}

/// Writes an outcome without memories.
async fn end(
    deps: &Deps,
    job: &ClaimedJob,
    outcome: LearningOutcome,
    detail: &str,
) -> Result<(), crate::store::StoreError> {
    let due = learnings::due(&deps.store, job).await?;
    let mut tx = deps.store.team(job.team).await?;
    if learnings::done(&mut tx, job, Done { outcome, detail, memories: &[] }).await? {
        tx.commit().await?;
        if let Some(due) = due {
            ask::settle(deps, job, &due).await?;
        }
    }
    Ok(())
}
