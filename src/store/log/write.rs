//! The one statement of an append.

use super::{JobChange, Lease, NewEvent, TaskChange};
use crate::{
    domain::{
        EventData, Phase, Private, Seq, Status, Timestamp, WaitingFor, event::Record, usage::UsageAdded, webhook::Facts,
    },
    store::{StoreError, approvals, trackers::turns::answer_spacing},
};
use sqlx::{PgExecutor, Row};
use time::OffsetDateTime;

#[derive(Default)]
pub(in crate::store) struct Columns {
    pub(in crate::store) runs: Vec<i32>,
    pub(in crate::store) turns: Vec<i32>,
    pub(in crate::store) kinds: Vec<&'static str>,
    pub(in crate::store) data: Vec<String>,
    pub(in crate::store) private: Vec<Option<String>>,
}

impl Columns {
    fn of(events: &[NewEvent]) -> Result<Self, StoreError> {
        let mut columns = Self::default();
        for event in events {
            columns.push(event.run, event.turn, &event.data, event.private.as_ref())?;
        }
        Ok(columns)
    }

    pub(in crate::store) fn of_records(records: &[Record]) -> Result<Self, StoreError> {
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
                due_at = CASE WHEN a.due_at IS NULL OR 'task.status' = ANY($8::text[])
                    THEN least(coalesce(a.due_at, 'infinity'), greatest(head.at, a.said_at + ",
            answer_spacing!(),
            "))
                    ELSE a.due_at END
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
pub(super) async fn write(
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
