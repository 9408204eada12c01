//! Reading the log after a cursor, and what was written since a moment.

use crate::{
    domain::{Event, EventData, Seq, TaskId, TeamId, Timestamp, event::Record},
    store::{Store, StoreError, TeamTx},
};
use sqlx::{Row, postgres::PgRow};
use time::OffsetDateTime;

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

pub(in crate::store) fn record(task: TaskId, row: &PgRow) -> Result<Record, StoreError> {
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
