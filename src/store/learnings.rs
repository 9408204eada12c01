//! Times that the service tries to learn from a task: put into the queue, charged for, done. Each is once for its task,
//! run and trigger, and holds none of the task's words.

use super::{
    AcrossTx, Store, StoreError, TeamTx,
    jobs::{self, ClaimedJob, NewJob},
};
use crate::domain::{
    MemoryId, TaskId, TeamId, Timestamp, UserId,
    learning::{Learning, LearningOutcome, LearningTrigger},
    usage::{TokenUsage, UsageAdded, nano},
};
use sqlx::{Row, postgres::PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

/// The kind of its jobs.
pub const JOB: &str = "learn";
/// Behind every task.
const PRIORITY: i16 = -100;

/// A time to learn that no end of a run brings.
#[derive(Clone, Copy, Debug)]
pub struct NewLearning {
    pub id: Uuid,
    pub task: TaskId,
    pub run: u32,
    pub trigger: LearningTrigger,
    /// The feedback, merge or approval.
    pub subject: Uuid,
    pub user: UserId,
}

/// What a worker needs of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    pub task: TaskId,
    pub run: u32,
    pub trigger: LearningTrigger,
    pub subject: Uuid,
    pub user: UserId,
}

/// What the learning of one task may take, all times together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub calls: i64,
    pub tokens: u64,
}

/// Whether a call may go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    Goes,
    /// What learning from the task may take is taken.
    Over,
    /// Somebody else has the job by now.
    Fenced,
}

/// What a call may cost at most, or what it has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Charge {
    pub nano_usd: i64,
    pub tokens: u64,
}

/// What a call gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answered<'a> {
    pub model: &'a str,
    /// It was answered, with its usage.
    pub counted: bool,
    /// What was charged before it went out.
    pub reserved: Charge,
    /// What is charged instead.
    pub charged: Charge,
    /// None where the provider told none.
    pub usage: TokenUsage,
    /// Absent where the model has no price, or told no usage.
    pub cost_usd: Option<f64>,
    /// By what was read from the provider's cache.
    pub saved_usd: Option<f64>,
}

/// What came of one.
#[derive(Clone, Copy, Debug)]
pub struct Done<'a> {
    pub outcome: LearningOutcome,
    pub detail: &'a str,
    pub memories: &'a [MemoryId],
}

/// Puts a time to learn into the queue; nothing happens where it was put there before.
pub async fn put(tx: &mut TeamTx, team: TeamId, new: NewLearning) -> Result<(), StoreError> {
    let put = sqlx::query(
        "INSERT INTO learnings (team, id, task, run, trigger, subject, user_id) VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT ON CONSTRAINT learnings_once DO NOTHING",
    )
    .bind(team.0)
    .bind(new.id)
    .bind(new.task.0)
    .bind(new.run as i32)
    .bind(new.trigger.as_str())
    .bind(new.subject)
    .bind(new.user.0)
    .execute(tx.connection())
    .await?;
    if put.rows_affected() == 0 {
        return Ok(());
    }
    let job = NewJob { id: new.id, team, kind: JOB, user: new.user, priority: PRIORITY, log_version: 0 };
    jobs::put(tx, &job).await
}

/// What is to be learnt from; absent where its task is gone, or it is done.
pub async fn due(store: &Store, job: &ClaimedJob) -> Result<Option<Due>, StoreError> {
    let row = sqlx::query(
        "SELECT task, run, trigger, subject, user_id FROM learnings
         WHERE team = $1 AND id = $2 AND done_at IS NULL",
    )
    .bind(job.team.0)
    .bind(job.id)
    .fetch_optional(store.across())
    .await?;
    row.map(|row| {
        Ok(Due {
            task: TaskId(row.try_get("task")?),
            run: row.try_get::<i32, _>("run")? as u32,
            trigger: trigger(&row, job.id)?,
            subject: row.try_get("subject")?,
            user: UserId(row.try_get("user_id")?),
        })
    })
    .transpose()
}

/// What counts as spent of one, in billionths of a US dollar.
pub async fn charged(store: &Store, job: &ClaimedJob) -> Result<i64, StoreError> {
    let charged: Option<i64> = sqlx::query_scalar("SELECT charged FROM learnings WHERE team = $1 AND id = $2")
        .bind(job.team.0)
        .bind(job.id)
        .fetch_optional(store.across())
        .await?;
    Ok(charged.unwrap_or_default())
}

/// Writes that a call goes out and what it may cost, before it does, where the limits of its task have room for it.
pub async fn ask(
    store: &Store,
    job: &ClaimedJob,
    model: &str,
    reserved: Charge,
    limits: Limits,
) -> Result<Asking, StoreError> {
    let mut tx = store.across_teams().await?;
    // One at a time for a task: each sees what the others have reserved.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('learning ' || task::text, 0)) FROM learnings WHERE team = $1 AND id = $2")
        .bind(job.team.0)
        .bind(job.id)
        .execute(tx.connection())
        .await?;
    let taken = sqlx::query(
        "SELECT coalesce(sum(calls), 0)::bigint AS calls, coalesce(sum(charged_tokens), 0)::bigint AS tokens
         FROM learnings WHERE team = $1 AND task = (SELECT task FROM learnings WHERE team = $1 AND id = $2)",
    )
    .bind(job.team.0)
    .bind(job.id)
    .fetch_one(tx.connection())
    .await?;
    let (calls, tokens): (i64, i64) = (taken.try_get("calls")?, taken.try_get("tokens")?);
    if calls >= limits.calls || tokens.unsigned_abs() + reserved.tokens > limits.tokens {
        return Ok(Asking::Over);
    }
    let done = sqlx::query(
        "UPDATE learnings l SET calls = calls + 1, model = $4, charged = charged + $5,
            charged_tokens = charged_tokens + $6
         FROM jobs j WHERE l.team = j.team AND l.id = $1 AND j.id = $1 AND j.lease_replica = $2 AND j.attempts = $3
            AND l.done_at IS NULL",
    )
    .bind(job.id)
    .bind(job.replica.0)
    .bind(job.attempts as i32)
    .bind(model)
    .bind(reserved.nano_usd)
    .bind(reserved.tokens as i64)
    .execute(tx.connection())
    .await?;
    if done.rows_affected() == 0 {
        return Ok(Asking::Fenced);
    }
    count(&mut tx, job, &UsageAdded { model: model.to_owned(), model_calls: 1, ..UsageAdded::default() }).await?;
    tx.commit().await?;
    Ok(Asking::Goes)
}

/// Adds to the sums of the day of the task that is learnt from.
async fn count(tx: &mut AcrossTx, job: &ClaimedJob, added: &UsageAdded) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO usage_days AS u (team, day, task, model, user_id, repository, labels, model_calls, counted_calls,
            unpriced_calls, input_tokens, cached_input_tokens, output_tokens, cost_nano, saved_nano)
         SELECT t.team, (now() AT TIME ZONE 'UTC')::date, t.id, $3, l.user_id, t.repository, t.labels, $4, $5, $6, $7, $8, $9,
            $10, $11
         FROM learnings l JOIN tasks t ON t.team = l.team AND t.id = l.task WHERE l.team = $1 AND l.id = $2
         ON CONFLICT (team, day, task, model) DO UPDATE SET labels = excluded.labels,
            model_calls = u.model_calls + excluded.model_calls, counted_calls = u.counted_calls + excluded.counted_calls,
            unpriced_calls = u.unpriced_calls + excluded.unpriced_calls,
            input_tokens = u.input_tokens + excluded.input_tokens,
            cached_input_tokens = u.cached_input_tokens + excluded.cached_input_tokens,
            output_tokens = u.output_tokens + excluded.output_tokens, cost_nano = u.cost_nano + excluded.cost_nano,
            saved_nano = u.saved_nano + excluded.saved_nano",
    )
    .bind(job.team.0)
    .bind(job.id)
    .bind(&added.model)
    .bind(added.model_calls)
    .bind(added.counted_calls)
    .bind(added.unpriced_calls)
    .bind(added.input_tokens)
    .bind(added.cached_input_tokens)
    .bind(added.output_tokens)
    .bind(added.cost_nano)
    .bind(added.saved_nano)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Writes what a call has cost in place of what it might, and adds it to the sums.
pub async fn answered(store: &Store, job: &ClaimedJob, answered: &Answered<'_>) -> Result<(), StoreError> {
    let mut tx = store.across_teams().await?;
    sqlx::query(
        "UPDATE learnings SET charged = charged - $3 + $4, charged_tokens = charged_tokens - $5 + $6,
            input_tokens = input_tokens + $7, cached_input_tokens = cached_input_tokens + $8,
            output_tokens = output_tokens + $9,
            cost_usd = CASE WHEN $10::float8 IS NULL THEN cost_usd ELSE coalesce(cost_usd, 0) + $10 END
         WHERE team = $1 AND id = $2",
    )
    .bind(job.team.0)
    .bind(job.id)
    .bind(answered.reserved.nano_usd)
    .bind(answered.charged.nano_usd)
    .bind(answered.reserved.tokens as i64)
    .bind(answered.charged.tokens as i64)
    .bind(answered.usage.input_tokens as i64)
    .bind(answered.usage.cached_input_tokens as i64)
    .bind(answered.usage.output_tokens as i64)
    .bind(answered.cost_usd)
    .execute(tx.connection())
    .await?;
    if answered.counted {
        let TokenUsage { input_tokens, cached_input_tokens, output_tokens, .. } = answered.usage;
        let added = UsageAdded {
            model: answered.model.to_owned(),
            model_calls: 0,
            counted_calls: 1,
            unpriced_calls: i64::from(answered.cost_usd.is_none()),
            input_tokens: input_tokens as i64,
            cached_input_tokens: cached_input_tokens as i64,
            output_tokens: output_tokens as i64,
            cost_nano: nano(answered.cost_usd.unwrap_or_default()),
            saved_nano: nano(answered.saved_usd.unwrap_or_default()),
        };
        count(&mut tx, job, &added).await?;
    }
    tx.commit().await
}

/// Writes why it is not done yet; for people.
pub async fn note(store: &Store, job: &ClaimedJob, detail: &str) -> Result<(), StoreError> {
    sqlx::query("UPDATE learnings SET detail = $3 WHERE team = $1 AND id = $2 AND done_at IS NULL")
        .bind(job.team.0)
        .bind(job.id)
        .bind(detail)
        .execute(store.across())
        .await?;
    Ok(())
}

/// Writes what came of it, and takes its job out of the queue. False where somebody else has the job by now: the
/// transaction is then to be dropped.
pub async fn done(tx: &mut TeamTx, job: &ClaimedJob, done: Done<'_>) -> Result<bool, StoreError> {
    let memories: Vec<Uuid> = done.memories.iter().map(|id| id.0).collect();
    sqlx::query(
        "UPDATE learnings SET outcome = $2, detail = $3, memories = $4, done_at = now()
         WHERE team = current_team() AND id = $1 AND done_at IS NULL",
    )
    .bind(job.id)
    .bind(done.outcome.as_str())
    .bind(done.detail)
    .bind(memories)
    .execute(tx.connection())
    .await?;
    jobs::finish(tx, job).await
}

/// Those of one task, the newest first, before `before`.
pub async fn list(
    tx: &mut TeamTx,
    task: TaskId,
    before: Option<Uuid>,
    limit: u32,
) -> Result<Vec<Learning>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, run, trigger, outcome, detail, memories, model, calls, input_tokens, cached_input_tokens,
            output_tokens, cost_usd, created_at, done_at
         FROM learnings WHERE team = current_team() AND task = $1 AND ($2::uuid IS NULL OR id < $2)
         ORDER BY id DESC LIMIT $3",
    )
    .bind(task.0)
    .bind(before)
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(learning).collect()
}

/// Takes the jobs of a task out of the queue that is about to be deleted.
pub async fn forget(tx: &mut TeamTx, task: TaskId) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM jobs USING learnings
         WHERE jobs.team = current_team() AND learnings.team = current_team() AND learnings.task = $1
            AND jobs.id = learnings.id",
    )
    .bind(task.0)
    .execute(tx.connection())
    .await?;
    Ok(())
}

fn trigger(row: &PgRow, id: Uuid) -> Result<LearningTrigger, StoreError> {
    let word: String = row.try_get("trigger")?;
    LearningTrigger::of(&word).ok_or_else(|| StoreError::corrupt("learnings", "trigger", id))
}

fn learning(row: &PgRow) -> Result<Learning, StoreError> {
    let id: Uuid = row.try_get("id")?;
    let outcome: Option<String> = row.try_get("outcome")?;
    let outcome = outcome
        .map(|word| LearningOutcome::of(&word).ok_or_else(|| StoreError::corrupt("learnings", "outcome", id)))
        .transpose()?;
    let tokens = |column| row.try_get::<i64, _>(column).map(|tokens| tokens as u64);
    Ok(Learning {
        id,
        run: row.try_get::<i32, _>("run")? as u32,
        trigger: trigger(row, id)?,
        outcome,
        detail: row.try_get("detail")?,
        memories: row.try_get::<Vec<Uuid>, _>("memories")?.into_iter().map(MemoryId).collect(),
        model: row.try_get("model")?,
        calls: row.try_get::<i32, _>("calls")? as u32,
        usage: TokenUsage {
            input_tokens: tokens("input_tokens")?,
            cached_input_tokens: tokens("cached_input_tokens")?,
            output_tokens: tokens("output_tokens")?,
            cache_write_tokens: 0,
        },
        cost_usd: row.try_get("cost_usd")?,
        created_at: Timestamp(row.try_get("created_at")?),
        done_at: row.try_get::<Option<OffsetDateTime>, _>("done_at")?.map(Timestamp),
    })
}
