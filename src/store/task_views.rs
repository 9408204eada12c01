//! Tasks as people read them: one by id, many by filters, and the few columns that waiting needs.

use super::{Store, StoreError, TeamTx};
use crate::domain::{
    Phase, Seq, Status, TaskId, TeamId, Timestamp, UserId, WaitingFor,
    task::{SourceKind, TaskResult},
};
use sqlx::{Row, postgres::PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

/// A task's row with its texts as they are stored: JSON is not taken apart here.
#[derive(Clone, Debug)]
pub struct TaskRow {
    pub id: TaskId,
    pub status: String,
    pub waiting_for: Option<String>,
    pub phase: String,
    pub title: String,
    /// Empty in lists.
    pub request: String,
    pub cancel_requested: bool,
    pub run: i32,
    pub priority: i16,
    pub created_by: UserId,
    /// JSON object.
    pub labels: String,
    /// [`crate::domain::TaskSpec`] as JSON.
    pub spec: String,
    /// [`crate::domain::task::TaskDetail`] as JSON, perhaps `{}`.
    pub detail: String,
    pub last_seq: Seq,
    /// Changes since the log's end that the log does not tell.
    pub edits: i32,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
}

/// What a long poll compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskState {
    pub status: Status,
    pub phase: Phase,
    pub waiting_for: Option<WaitingFor>,
    pub verdict: Option<String>,
    pub last_seq: Seq,
    /// Changes since the log's end that the log does not tell.
    pub edits: i32,
}

/// Which tasks a list shows; what is empty or absent does not narrow it.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    pub status: Vec<Status>,
    pub waiting_for: Vec<WaitingFor>,
    pub repository: Option<String>,
    pub created_by: Option<UserId>,
    pub source: Vec<SourceKind>,
    /// All of them must be there.
    pub labels: Vec<(String, String)>,
    /// Words to be found in title or request.
    pub text: Option<String>,
    pub updated_after: Option<Timestamp>,
}

/// One task of the transaction's team.
pub async fn get(tx: &mut TeamTx, id: TaskId) -> Result<Option<TaskRow>, StoreError> {
    let row = sqlx::query(
        "SELECT id, status, waiting_for, phase, title, request, cancel_requested, run, priority, created_by,
            labels::text AS labels, spec, detail, last_seq, edits, created_at, updated_at, started_at, finished_at
         FROM tasks WHERE team = current_team() AND id = $1",
    )
    .bind(id.0)
    .fetch_optional(tx.connection())
    .await?;
    row.as_ref().map(task_row).transpose()
}

#[derive(serde::Deserialize)]
struct ResultAlone {
    #[serde(default)]
    result: Option<TaskResult>,
}

/// What the last run of a task gave, for a worker; none where nothing did or the task is gone.
pub async fn result(store: &Store, team: TeamId, id: TaskId) -> Result<Option<TaskResult>, StoreError> {
    let detail: Option<String> = sqlx::query_scalar("SELECT detail FROM tasks WHERE team = $1 AND id = $2")
        .bind(team.0)
        .bind(id.0)
        .fetch_optional(store.across())
        .await?;
    let Some(detail) = detail else { return Ok(None) };
    let detail: ResultAlone = serde_json::from_str(&detail).map_err(|_| StoreError::corrupt("tasks", "detail", id))?;
    Ok(detail.result)
}

/// Words that fewer tasks have are looked up in their index. Those that more have are soon met by who goes through the tasks
/// from the newest on: under row security that is the other way, since text search is not leakproof.
const FOUND_MAX: usize = 1_000;

/// Tasks of the transaction's team, newest first, those made before `before`.
pub async fn list(
    tx: &mut TeamTx,
    filter: &TaskFilter,
    before: Option<(Timestamp, TaskId)>,
    limit: u32,
) -> Result<Vec<TaskRow>, StoreError> {
    let words = |words: Vec<&'static str>| (!words.is_empty()).then_some(words);
    let labels: serde_json::Map<String, serde_json::Value> =
        filter.labels.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
    let found = match &filter.text {
        Some(text) => Some(found(tx, text).await?).filter(|found| found.len() < FOUND_MAX),
        None => None,
    };
    let rows = sqlx::query(
        "SELECT id, status, waiting_for, phase, title, '' AS request, cancel_requested, run, priority, created_by,
            labels::text AS labels, spec, detail, last_seq, edits, created_at, updated_at, started_at, finished_at
         FROM tasks WHERE team = current_team()
            AND ($1::text[] IS NULL OR status = ANY($1)) AND ($2::text[] IS NULL OR waiting_for = ANY($2))
            AND ($3::text IS NULL OR repository = $3) AND ($4::uuid IS NULL OR created_by = $4)
            AND ($5::text[] IS NULL OR source_kind = ANY($5)) AND ($6::jsonb IS NULL OR labels @> $6)
            AND ($7::text IS NULL OR search @@ websearch_to_tsquery('simple', $7))
            AND ($12::uuid[] IS NULL OR id = ANY ($12))
            AND ($8::timestamptz IS NULL OR updated_at > $8)
            AND ($9::timestamptz IS NULL OR (created_at, id) < ($9, $10))
         ORDER BY created_at DESC, id DESC LIMIT $11",
    )
    .bind(words(filter.status.iter().map(|status| status.as_str()).collect()))
    .bind(words(filter.waiting_for.iter().map(|what| what.as_str()).collect()))
    .bind(filter.repository.as_deref())
    .bind(filter.created_by.map(|user| user.0))
    .bind(words(filter.source.iter().map(|kind| kind.as_str()).collect()))
    .bind((!labels.is_empty()).then_some(serde_json::Value::Object(labels)))
    .bind(filter.text.as_deref().filter(|_| found.is_none()))
    .bind(filter.updated_after.map(|at| at.0))
    .bind(before.map(|(at, _)| at.0))
    .bind(before.map(|(_, id)| id.0))
    .bind(i64::from(limit))
    .bind(found)
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(task_row).collect()
}

/// Tasks with these words; not all where there are [`FOUND_MAX`].
async fn found(tx: &mut TeamTx, words: &str) -> Result<Vec<Uuid>, StoreError> {
    let ids = sqlx::query_scalar("SELECT tasks_found($1, $2)").bind(words).bind(FOUND_MAX as i32);
    Ok(ids.fetch_all(tx.connection()).await?)
}

/// Where a task stands.
pub async fn state(tx: &mut TeamTx, id: TaskId) -> Result<Option<TaskState>, StoreError> {
    let row = sqlx::query(
        "SELECT status, phase, waiting_for, verdict, last_seq, edits FROM tasks WHERE team = current_team() AND id = $1",
    )
    .bind(id.0)
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let corrupt = |column| StoreError::corrupt("tasks", column, id);
    let waiting_for: Option<String> = row.try_get("waiting_for")?;
    Ok(Some(TaskState {
        status: row.try_get::<String, _>("status")?.parse().map_err(|_| corrupt("status"))?,
        phase: row.try_get::<String, _>("phase")?.parse().map_err(|_| corrupt("phase"))?,
        waiting_for: waiting_for.map(|word| word.parse().map_err(|_| corrupt("waiting_for"))).transpose()?,
        verdict: row.try_get("verdict")?,
        last_seq: row.try_get("last_seq")?,
        edits: row.try_get("edits")?,
    }))
}

/// The seq of the oldest event that is kept; absent where there is none.
pub async fn oldest_seq(tx: &mut TeamTx, id: TaskId) -> Result<Option<Seq>, StoreError> {
    Ok(sqlx::query_scalar("SELECT min(seq) FROM task_events WHERE task = $1")
        .bind(id.0)
        .fetch_one(tx.connection())
        .await?)
}

/// The events of some kinds after `after`, for the conversation.
pub async fn events_of_kinds(
    tx: &mut TeamTx,
    id: TaskId,
    kinds: &[&str],
    after: Seq,
    limit: u32,
) -> Result<Vec<super::log::RawEvent>, StoreError> {
    let rows = sqlx::query(
        "SELECT seq, run, turn, at, kind, data FROM task_events
         WHERE task = $1 AND kind = ANY($2) AND seq > $3 ORDER BY seq LIMIT $4",
    )
    .bind(id.0)
    .bind(kinds)
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(super::log::RawEvent {
                seq: row.try_get("seq")?,
                run: row.try_get::<i32, _>("run")? as u32,
                turn: row.try_get::<i32, _>("turn")? as u32,
                at: row.try_get::<OffsetDateTime, _>("at")?.into(),
                kind: row.try_get("kind")?,
                data: row.try_get("data")?,
            })
        })
        .collect()
}

/// Data and private part of the events of one kind, newest first: those of `turn` where it is
/// given, else those up to `until_turn`.
pub async fn events_of_turn(
    tx: &mut TeamTx,
    id: TaskId,
    kind: &str,
    turn: Option<u32>,
    until_turn: Option<u32>,
    limit: u32,
) -> Result<Vec<(String, Option<String>)>, StoreError> {
    let rows = sqlx::query_as(
        "SELECT data, private FROM task_events
         WHERE task = $1 AND kind = $2 AND ($3::int IS NULL OR turn = $3) AND ($4::int IS NULL OR turn <= $4)
         ORDER BY seq DESC LIMIT $5",
    )
    .bind(id.0)
    .bind(kind)
    .bind(turn.map(|turn| turn as i32))
    .bind(until_turn.map(|turn| turn as i32))
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    Ok(rows)
}

fn task_row(row: &PgRow) -> Result<TaskRow, StoreError> {
    let at = |column| row.try_get::<Option<OffsetDateTime>, _>(column).map(|at| at.map(Timestamp));
    Ok(TaskRow {
        id: TaskId(row.try_get("id")?),
        status: row.try_get("status")?,
        waiting_for: row.try_get("waiting_for")?,
        phase: row.try_get("phase")?,
        title: row.try_get("title")?,
        request: row.try_get("request")?,
        cancel_requested: row.try_get("cancel_requested")?,
        run: row.try_get("run")?,
        priority: row.try_get("priority")?,
        created_by: UserId(row.try_get::<Uuid, _>("created_by")?),
        labels: row.try_get("labels")?,
        spec: row.try_get("spec")?,
        detail: row.try_get("detail")?,
        last_seq: row.try_get("last_seq")?,
        edits: row.try_get("edits")?,
        created_at: Timestamp(row.try_get("created_at")?),
        updated_at: Timestamp(row.try_get("updated_at")?),
        started_at: at("started_at")?,
        finished_at: at("finished_at")?,
    })
}
