//! The log of a task: append under the lock of its head row, read after a cursor.
//!
//! One transaction carries what has ended, what starts next, the task's visible state and its place
//! in the queue. Seqs are given out under the head's lock, so that they have no gaps and commit in
//! order; a worker's append carries its epoch and changes nothing once another has taken the task.

use super::{Store, StoreError, TeamTx, approvals, recall};
use crate::domain::{
    Event, EventData, Phase, Private, Seq, Status, TaskId, TeamId, Timestamp, UserId, WaitingFor, approval::Decision,
    event::Record, task::LOG_VERSION, task::TaskDetail, usage::UsageAdded, webhook::Facts,
};
use sqlx::{PgExecutor, Row, postgres::PgRow};
use time::OffsetDateTime;

/// An event before it has its seq and time.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    pub run: u32,
    pub turn: u32,
    pub data: EventData,
    pub private: Option<Private>,
}

/// What becomes of the task's row in `tasks`; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct TaskChange<'a> {
    pub status: Option<(Status, Option<WaitingFor>)>,
    pub phase: Option<Phase>,
    pub detail: Option<&'a TaskDetail>,
    pub run: Option<u32>,
    pub cancel_requested: Option<bool>,
    /// A question to people that this append puts.
    pub approval: Option<NewApproval<'a>>,
    /// What the events add to the sums of their day; a worker's alone.
    pub usage: &'a [UsageAdded],
    /// What a recall among the events does to memories; a worker's alone.
    pub recall: Option<&'a recall::NewRecall>,
    /// The service is to look for what can be learnt from a run that ends here.
    pub learn: Option<NewLearning>,
}

/// A time to learn, put into the queue with the end of a run; once for each.
#[derive(Clone, Copy, Debug)]
pub struct NewLearning {
    pub id: uuid::Uuid,
    pub run: u32,
    /// Whose budget it draws from.
    pub user: UserId,
}

/// A question to people, as it is written with the event that tells of it.
#[derive(Clone, Copy, Debug)]
pub struct NewApproval<'a> {
    pub id: crate::domain::ApprovalId,
    pub kind: &'static str,
    /// JSON text.
    pub subject: &'a str,
    pub deadline: Timestamp,
    pub default_decision: &'static str,
    /// Decided already, by a model.
    pub decided: Option<DecidedByModel<'a>>,
}

/// What a model decided in place of people.
#[derive(Clone, Copy, Debug)]
pub struct DecidedByModel<'a> {
    pub model: &'a str,
    pub decision: Decision,
    pub note: &'a str,
}

/// What becomes of the task's place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobChange {
    Keep,
    /// The task rests: its job goes, and with it the lease.
    Remove,
    /// The task is given back to whoever claims it next.
    Release,
}

/// The lease under which a worker writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub team: TeamId,
    pub task: TaskId,
    pub epoch: i64,
}

/// What an append gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// The first and last seq that the events got, and their time.
    At { first: Seq, last: Seq, at: Timestamp },
    /// Somebody else wrote since `only_after`; nothing was appended.
    Moved,
    /// Another worker has the task; nothing was appended.
    Fenced,
}

#[derive(Default)]
pub(super) struct Columns {
    pub(super) runs: Vec<i32>,
    pub(super) turns: Vec<i32>,
    pub(super) kinds: Vec<&'static str>,
    pub(super) data: Vec<String>,
    pub(super) private: Vec<Option<String>>,
}

impl Columns {
    fn of(events: &[NewEvent]) -> Result<Self, StoreError> {
        let mut columns = Self::default();
        for event in events {
            columns.push(event.run, event.turn, &event.data, event.private.as_ref())?;
        }
        Ok(columns)
    }

    pub(super) fn of_records(records: &[Record]) -> Result<Self, StoreError> {
        let mut columns = Self::default();
        for Record { event, private } in records {
            columns.push(event.run, event.turn, &event.data, private.as_ref())?;
        }
        Ok(columns)
    }

    fn push(&mut self, run: u32, turn: u32, data: &EventData, private: Option<&Private>) -> Result<(), StoreError> {
        self.runs.push(run as i32);
        self.turns.push(turn as i32);
        self.kinds.push(data.kind());
        self.data.push(encode_data(data)?);
        self.private.push(private.map(encode).transpose()?);
        Ok(())
    }
}

fn encode<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|_| StoreError::corrupt("task_events", "private", "a new row"))
}

/// `{"kind": …, "data": {…}}` without its envelope: what the column `data` holds.
fn encode_data(data: &EventData) -> Result<String, StoreError> {
    let mut value = serde_json::to_value(data).map_err(|_| StoreError::corrupt("task_events", "data", "a new row"))?;
    encode(&value["data"].take())
}

/// Appends a worker's events: one commit, and but for a recall one statement.
///
/// With `only_after`, nothing is written unless that is still the last seq: for events that end or
/// park a run, which a message that arrived meanwhile makes untrue.
pub async fn append(
    store: &Store,
    lease: Lease,
    only_after: Option<Seq>,
    events: &[NewEvent],
    change: &TaskChange<'_>,
    job: JobChange,
) -> Result<Appended, StoreError> {
    let epoch = Some(lease.epoch);
    let written = match change.recall {
        None => write(store.across(), lease, epoch, only_after, events, change, job).await?,
        Some(recalled) => {
            let mut tx = store.begin().await?;
            let written = write(&mut *tx, lease, epoch, only_after, events, change, job).await?;
            if written.is_some() {
                recall::note(&mut tx, lease.team, lease.task, recalled).await?;
            }
            tx.commit().await?;
            written
        }
    };
    match written {
        Some((last, at)) => Ok(Appended::At { first: last - events.len() as Seq + 1, last, at }),
        None => why_not(store, lease).await,
    }
}

/// The statement of an append: what it does to the task's rows, what the team's webhook endpoints are to be told, that there is
/// news to be told at its tracker, and what it adds besides.
macro_rules! write_statement {
    ($besides:literal) => {
        concat!(
            "WITH head AS (
            UPDATE task_heads SET last_seq = last_seq + $4
            WHERE task = $2 AND ($3::bigint IS NULL OR epoch = $3) AND ($5::bigint IS NULL OR last_seq = $5)
            RETURNING task, last_seq, clock_timestamp() AS at
         ), added AS (
            INSERT INTO task_events (team, task, seq, run, turn, at, kind, data, private)
            SELECT $1, $2, head.last_seq - $4 + e.place, e.run, e.turn, head.at, e.kind, e.data, e.private
            FROM head, unnest($6::int[], $7::int[], $8::text[], $9::text[], $10::text[])
                WITH ORDINALITY AS e (run, turn, kind, data, private, place)
         ), changed AS (
            UPDATE tasks SET
                last_seq = head.last_seq,
                updated_at = head.at,
                status = coalesce($11, tasks.status),
                waiting_for = CASE WHEN $11 IS NULL THEN tasks.waiting_for ELSE $12 END,
                phase = coalesce($13, tasks.phase),
                detail = coalesce($14, tasks.detail),
                verdict = CASE WHEN $14 IS NULL THEN tasks.verdict ELSE $15 END,
                run = coalesce($16, tasks.run),
                cancel_requested = coalesce($17, tasks.cancel_requested),
                started_at = CASE WHEN $18 THEN coalesce(tasks.started_at, head.at) ELSE tasks.started_at END,
                finished_at = CASE WHEN $11 IS NULL THEN tasks.finished_at WHEN $19 THEN head.at END
            FROM head WHERE tasks.team = $1 AND tasks.id = $2
         ), removed AS (
            DELETE FROM jobs USING head WHERE $20 = 'remove' AND jobs.id = $2
         ), released AS (
            UPDATE jobs SET lease_replica = NULL, lease_host = NULL, lease_until = NULL, attempts = 0,
                ready_at = head.at
            FROM head WHERE $20 = 'release' AND jobs.id = $2
         ), asked AS (
            INSERT INTO approvals (team, id, task, kind, subject, deadline, default_decision, decision, decided_by_model,
                note, decided_at)
            SELECT $1, $21, $2, $22, $23, $24, $25, $26, $27, $28, CASE WHEN $26 IS NOT NULL THEN head.at END
            FROM head WHERE $21 IS NOT NULL
         ), learning AS (
            INSERT INTO learnings (team, id, task, run, trigger, user_id)
            SELECT $1, $29, $2, $30, 'run', $31 FROM head WHERE $29 IS NOT NULL
            ON CONFLICT ON CONSTRAINT learnings_once DO NOTHING RETURNING id
         ), queued AS (
            INSERT INTO jobs (team, id, kind, user_id, priority)
            SELECT $1, learning.id, 'learn', $31, -100 FROM learning
         ), told AS (
            INSERT INTO webhook_deliveries (team, endpoint, kind, task, seq, body)
            SELECT w.team, w.id, e.kind, head.task, head.last_seq - $4 + e.place,
                webhook_body(e.kind, head.at, w.team, head.task, e.run, e.turn, head.last_seq - $4 + e.place, e.facts)
            FROM head, webhook_endpoints w, unnest($6::int[], $7::int[], $8::text[], $32::text[])
                WITH ORDINALITY AS e (run, turn, kind, facts, place)
            WHERE w.team = $1 AND w.enabled AND w.events && ARRAY['*', e.kind, split_part(e.kind, '.', 1) || '.*']
         ), news AS (
            UPDATE tracker_answers a SET news = a.news + 1,
                due_at = coalesce(a.due_at, greatest(head.at, a.said_at + interval '3 seconds'))
            FROM head WHERE a.team = $1 AND a.task = $2 AND $8::text[] && ARRAY['task.status', 'task.phase', 'task.result',
                'plan.updated', 'checks.completed', 'approval.requested', 'approval.resolved', 'publish']
         )",
            $besides,
            "
         SELECT last_seq, at FROM head"
        )
    };
}

const WRITE: &str = write_statement!("");

/// The same, and what the events add to the sums of their day.
const WRITE_COUNTED: &str = write_statement!(
    ", counted AS (
            INSERT INTO usage_days AS u (team, day, task, model, user_id, repository, labels, model_calls, counted_calls,
                unpriced_calls, input_tokens, cached_input_tokens, output_tokens, cost_nano, saved_nano)
            SELECT t.team, (head.at AT TIME ZONE 'UTC')::date, t.id, a.model, t.created_by, t.repository, t.labels, a.model_calls,
                a.counted_calls, a.unpriced_calls, a.input_tokens, a.cached_input_tokens, a.output_tokens, a.cost_nano, a.saved_nano
            FROM head, tasks t, unnest($33::text[], $34::bigint[], $35::bigint[], $36::bigint[], $37::bigint[], $38::bigint[],
                $39::bigint[], $40::bigint[], $41::bigint[]) AS a (model, model_calls, counted_calls, unpriced_calls,
                input_tokens, cached_input_tokens, output_tokens, cost_nano, saved_nano)
            WHERE t.team = $1 AND t.id = $2
            ON CONFLICT (team, day, task, model) DO UPDATE SET labels = excluded.labels,
                model_calls = u.model_calls + excluded.model_calls, counted_calls = u.counted_calls + excluded.counted_calls,
                unpriced_calls = u.unpriced_calls + excluded.unpriced_calls,
                input_tokens = u.input_tokens + excluded.input_tokens,
                cached_input_tokens = u.cached_input_tokens + excluded.cached_input_tokens,
                output_tokens = u.output_tokens + excluded.output_tokens, cost_nano = u.cost_nano + excluded.cost_nano,
                saved_nano = u.saved_nano + excluded.saved_nano
         )"
);

type WriteQuery<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

/// Binds what [`WRITE_COUNTED`] takes besides; nothing for none.
fn counted<'q>(query: WriteQuery<'q>, usage: &[UsageAdded]) -> WriteQuery<'q> {
    if usage.is_empty() {
        return query;
    }
    let column = |of: fn(&UsageAdded) -> i64| usage.iter().map(of).collect::<Vec<i64>>();
    query
        .bind(usage.iter().map(|added| added.model.clone()).collect::<Vec<String>>())
        .bind(column(|added| added.model_calls))
        .bind(column(|added| added.counted_calls))
        .bind(column(|added| added.unpriced_calls))
        .bind(column(|added| added.input_tokens))
        .bind(column(|added| added.cached_input_tokens))
        .bind(column(|added| added.output_tokens))
        .bind(column(|added| added.cost_nano))
        .bind(column(|added| added.saved_nano))
}

/// Appends and changes what goes with it, in one statement; none where the head is not as it is to be.
async fn write(
    executor: impl PgExecutor<'_>,
    Lease { team, task, .. }: Lease,
    epoch: Option<i64>,
    only_after: Option<Seq>,
    events: &[NewEvent],
    change: &TaskChange<'_>,
    job: JobChange,
) -> Result<Option<(Seq, Timestamp)>, StoreError> {
    let columns = Columns::of(events)?;
    let (status, waiting_for) =
        change.status.map_or((None, None), |(s, w)| (Some(s.as_str()), w.map(WaitingFor::as_str)));
    let ended = change.status.is_some_and(|(s, _)| s.is_end());
    let started = change.status.is_some_and(|(s, _)| s == Status::Running);
    let verdict = change
        .detail
        .and_then(|d| d.result.as_ref())
        .and_then(|r| r.verdict)
        .and_then(|v| serde_json::to_value(v).ok())
        .and_then(|v| v.as_str().map(str::to_owned));
    let detail = change.detail.map(encode).transpose()?;
    let decided = change.approval.and_then(|approval| approval.decided);
    let statement = if change.usage.is_empty() { WRITE } else { WRITE_COUNTED };
    let query = sqlx::query(statement)
        .bind(team.0)
        .bind(task.0)
        .bind(epoch)
        .bind(events.len() as i64)
        .bind(only_after)
        .bind(&columns.runs)
        .bind(&columns.turns)
        .bind(&columns.kinds)
        .bind(&columns.data)
        .bind(&columns.private)
        .bind(status)
        .bind(waiting_for)
        .bind(change.phase.map(Phase::as_str))
        .bind(detail)
        .bind(verdict)
        .bind(change.run.map(|run| run as i32))
        .bind(change.cancel_requested)
        .bind(started)
        .bind(ended)
        .bind(match job {
            JobChange::Keep => "keep",
            JobChange::Remove => "remove",
            JobChange::Release => "release",
        })
        .bind(change.approval.map(|a| a.id.0))
        .bind(change.approval.map(|a| a.kind))
        .bind(change.approval.map(|a| a.subject))
        .bind(change.approval.map(|a| a.deadline.0))
        .bind(change.approval.map(|a| a.default_decision))
        .bind(decided.map(|d| approvals::word(d.decision)))
        .bind(decided.map(|d| d.model))
        .bind(decided.map(|d| d.note))
        .bind(change.learn.map(|learn| learn.id))
        .bind(change.learn.map_or(0, |learn| learn.run as i32))
        .bind(change.learn.map(|learn| learn.user.0))
        .bind(events.iter().map(|event| Facts::of(&event.data).behind()).collect::<Vec<String>>());
    let row = counted(query, change.usage).fetch_optional(executor).await?;
    row.map(|row| Ok((row.try_get("last_seq")?, row.try_get::<OffsetDateTime, _>("at")?.into()))).transpose()
}

async fn why_not(store: &Store, lease: Lease) -> Result<Appended, StoreError> {
    let epoch: Option<i64> = sqlx::query_scalar("SELECT epoch FROM task_heads WHERE task = $1")
        .bind(lease.task.0)
        .fetch_optional(store.across())
        .await?;
    Ok(if epoch == Some(lease.epoch) { Appended::Moved } else { Appended::Fenced })
}

/// A task's row and head, locked until the transaction ends: what a use case decides from before
/// it appends. Absent where the team has no such task.
#[derive(Clone, Debug, PartialEq)]
pub struct Locked {
    pub last_seq: Seq,
    pub status: Status,
    pub waiting_for: Option<WaitingFor>,
    pub run: u32,
    pub created_by: UserId,
    pub priority: i16,
    pub spec: String,
    /// Edits that the log does not tell.
    pub edits: i32,
}

/// Locks a task for a use case of its team.
///
/// Two statements: one that joins both rows would, after waiting for the head, show the task as it
/// was before the wait.
pub async fn lock(tx: &mut TeamTx, task: TaskId) -> Result<Option<Locked>, StoreError> {
    let locked = sqlx::query("SELECT 1 FROM task_heads WHERE task = $1 FOR UPDATE")
        .bind(task.0)
        .fetch_optional(tx.connection())
        .await?;
    if locked.is_none() {
        return Ok(None);
    }
    let row = sqlx::query(
        "SELECT h.last_seq, t.status, t.waiting_for, t.run, t.created_by, t.priority, t.spec, t.edits
         FROM task_heads h JOIN tasks t ON t.team = h.team AND t.id = h.task WHERE h.task = $1",
    )
    .bind(task.0)
    .fetch_optional(tx.connection())
    .await?;
    row.map(|row| {
        let status: String = row.try_get("status")?;
        let waiting: Option<String> = row.try_get("waiting_for")?;
        Ok(Locked {
            last_seq: row.try_get("last_seq")?,
            status: status.parse().map_err(|_| StoreError::corrupt("tasks", "status", task))?,
            waiting_for: waiting
                .map(|w| w.parse().map_err(|_| StoreError::corrupt("tasks", "waiting_for", task)))
                .transpose()?,
            run: row.try_get::<i32, _>("run")? as u32,
            created_by: row.try_get::<uuid::Uuid, _>("created_by")?.into(),
            priority: row.try_get("priority")?,
            spec: row.try_get("spec")?,
            edits: row.try_get("edits")?,
        })
    })
    .transpose()
}

/// Appends events of a use case to a task that [`lock`] has locked, and changes its row.
/// Returns the last seq.
pub async fn append_locked(
    tx: &mut TeamTx,
    team: TeamId,
    task: TaskId,
    events: &[NewEvent],
    change: &TaskChange<'_>,
) -> Result<Seq, StoreError> {
    // Whoever holds the row's lock needs no lease.
    let lease = Lease { team, task, epoch: 0 };
    match write(tx.connection(), lease, None, None, events, change, JobChange::Keep).await? {
        Some((last, _)) => Ok(last),
        None => Err(StoreError::corrupt("task_heads", "task", task)),
    }
}

/// The events after `after`, at most `limit`, for a worker: with their private parts.
pub async fn records(store: &Store, task: TaskId, after: Seq, limit: u32) -> Result<Vec<Record>, StoreError> {
    let rows = sqlx::query(
        "SELECT seq, run, turn, at, kind, data, private FROM task_events
         WHERE task = $1 AND seq > $2 ORDER BY seq LIMIT $3",
    )
    .bind(task.0)
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(store.across())
    .await?;
    rows.iter().map(|row| record(task, row)).collect()
}

pub(super) fn record(task: TaskId, row: &PgRow) -> Result<Record, StoreError> {
    let raw = raw_event(row)?;
    let corrupt = |column| StoreError::corrupt("task_events", column, format!("{task}/{}", raw.seq));
    let data = format!(r#"{{"kind":"{}","data":{}}}"#, raw.kind, raw.data);
    let data: EventData = serde_json::from_str(&data).map_err(|_| corrupt("data"))?;
    let private: Option<String> = row.try_get("private")?;
    let private = private.map(|text| serde_json::from_str(&text).map_err(|_| corrupt("private"))).transpose()?;
    Ok(Record { event: Event { seq: raw.seq, task, run: raw.run, turn: raw.turn, at: raw.at, data }, private })
}

/// An event as it is stored, its data as JSON text.
#[derive(Clone, Debug)]
pub struct RawEvent {
    pub seq: Seq,
    pub run: u32,
    pub turn: u32,
    pub at: Timestamp,
    pub kind: String,
    pub data: String,
}

impl RawEvent {
    /// The event's JSON as CONTRACT has it, without taking `data` apart.
    pub fn json(&self, task: TaskId) -> String {
        format!(
            r#"{{"seq":{},"task":"{task}","run":{},"turn":{},"at":"{}","kind":"{}","data":{}}}"#,
            self.seq, self.run, self.turn, self.at, self.kind, self.data
        )
    }
}

fn raw_event(row: &PgRow) -> Result<RawEvent, StoreError> {
    Ok(RawEvent {
        seq: row.try_get("seq")?,
        run: row.try_get::<i32, _>("run")? as u32,
        turn: row.try_get::<i32, _>("turn")? as u32,
        at: row.try_get::<OffsetDateTime, _>("at")?.into(),
        kind: row.try_get("kind")?,
        data: row.try_get("data")?,
    })
}

/// The events after `after`, at most `limit`, for a member of the transaction's team.
pub async fn page(tx: &mut TeamTx, task: TaskId, after: Seq, limit: u32) -> Result<Vec<RawEvent>, StoreError> {
    let rows = sqlx::query(
        "SELECT seq, run, turn, at, kind, data FROM task_events WHERE task = $1 AND seq > $2 ORDER BY seq LIMIT $3",
    )
    .bind(task.0)
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(raw_event).collect()
}

/// The same for the process itself, which has checked who watches.
pub async fn follow(store: &Store, task: TaskId, after: Seq, limit: u32) -> Result<Vec<RawEvent>, StoreError> {
    let rows = sqlx::query(
        "SELECT seq, run, turn, at, kind, data FROM task_events WHERE task = $1 AND seq > $2 ORDER BY seq LIMIT $3",
    )
    .bind(task.0)
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(store.across())
    .await?;
    rows.iter().map(raw_event).collect()
}

/// What the tailer found.
#[derive(Clone, Debug)]
pub struct Tail {
    /// Every transaction before this one had ended: where the next look starts.
    pub horizon: String,
    /// Tasks with rows at or after the previous horizon, and their last seqs.
    pub tasks: Vec<(TeamId, TaskId, Seq)>,
}

/// Looks for rows written by transactions at or after `horizon` (none: only the present horizon is
/// read). Rows are seen again until the horizon has passed them: nothing is lost to a slow
/// transaction, and nothing waits for one.
pub async fn tail(store: &Store, horizon: Option<&str>) -> Result<Tail, StoreError> {
    // One statement, so that rows and horizon come from one snapshot.
    let rows = sqlx::query(
        "SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS horizon, e.team, e.task, e.last_seq
         FROM (SELECT 1) one LEFT JOIN (
            SELECT team, task, max(seq) AS last_seq FROM task_events WHERE xid >= $1::text::xid8 GROUP BY team, task
         ) e ON true",
    )
    .bind(horizon)
    .fetch_all(store.across())
    .await?;
    let mut tail = Tail { horizon: String::new(), tasks: Vec::with_capacity(rows.len()) };
    for row in &rows {
        tail.horizon = row.try_get("horizon")?;
        if let Some(task) = row.try_get::<Option<uuid::Uuid>, _>("task")? {
            let team: uuid::Uuid = row.try_get("team")?;
            tail.tasks.push((team.into(), task.into(), row.try_get("last_seq")?));
        }
    }
    Ok(tail)
}

/// The version of the log that [`append`] writes.
pub const VERSION: i32 = LOG_VERSION;
