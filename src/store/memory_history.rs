//! What happened to memories. Goes with its memory.

use super::{Store, StoreError, TeamTx};
use crate::domain::{
    MemoryId, TaskId, TeamId, Timestamp, UserId,
    memory::{MemoryChange, MemoryChangeKind},
};
use serde_json::Value;
use sqlx::{PgExecutor, Row, postgres::PgRow};
use uuid::Uuid;

/// An entry to be written.
#[derive(Clone, Copy, Debug)]
pub struct NewChange<'a> {
    pub id: Uuid,
    pub memory: MemoryId,
    pub what: MemoryChangeKind,
    /// Who did it; absent: the service.
    pub user: Option<UserId>,
    pub task: Option<TaskId>,
    pub detail: &'a str,
}

/// Writes an entry with the change that it tells of.
pub async fn note(tx: &mut TeamTx, team: TeamId, new: NewChange<'_>) -> Result<(), StoreError> {
    insert(tx.connection(), team, new, (None, None)).await
}

/// The same with the fields that it changes, as they were and as they are since, as JSON.
pub async fn note_change(
    tx: &mut TeamTx,
    team: TeamId,
    new: NewChange<'_>,
    (before, after): (Option<&Value>, Option<&Value>),
) -> Result<(), StoreError> {
    insert(tx.connection(), team, new, (before, after)).await
}

/// The same for a worker. Nothing is written for a memory that is gone.
pub async fn note_across(store: &Store, team: TeamId, new: NewChange<'_>) -> Result<(), StoreError> {
    insert(store.across(), team, new, (None, None)).await
}

async fn insert(
    executor: impl PgExecutor<'_>,
    team: TeamId,
    new: NewChange<'_>,
    (before, after): (Option<&Value>, Option<&Value>),
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO memory_history (team, id, memory, what, user_id, task, detail, before, after)
         SELECT team, $2, id, $4, $5, $6, $7, $8, $9 FROM memories WHERE team = $1 AND id = $3",
    )
    .bind(team.0)
    .bind(new.id)
    .bind(new.memory.0)
    .bind(word(new.what, new.memory)?)
    .bind(new.user.map(|user| user.0))
    .bind(new.task.map(|task| task.0))
    .bind(new.detail)
    .bind(before.map(Value::to_string))
    .bind(after.map(Value::to_string))
    .execute(executor)
    .await?;
    Ok(())
}

/// A memory's history, the newest first, entries before `before`; each with its id.
pub async fn list(
    tx: &mut TeamTx,
    memory: MemoryId,
    before: Option<Uuid>,
    limit: u32,
) -> Result<Vec<(Uuid, MemoryChange)>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, what, user_id, task, detail, before, after, at FROM memory_history
         WHERE team = current_team() AND memory = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3",
    )
    .bind(memory.0)
    .bind(before)
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    rows.iter()
        .map(|row| {
            let what = Value::String(row.try_get("what")?);
            let change = MemoryChange {
                at: Timestamp(row.try_get("at")?),
                what: serde_json::from_value(what)
                    .map_err(|_| StoreError::corrupt("memory_history", "what", memory))?,
                user: row.try_get::<Option<Uuid>, _>("user_id")?.map(UserId),
                task: row.try_get::<Option<Uuid>, _>("task")?.map(TaskId),
                detail: row.try_get("detail")?,
                before: fields(row, "before", memory)?,
                after: fields(row, "after", memory)?,
            };
            Ok((row.try_get("id")?, change))
        })
        .collect()
}

fn fields(row: &PgRow, column: &'static str, memory: MemoryId) -> Result<Option<Value>, StoreError> {
    let text: Option<String> = row.try_get(column)?;
    let read =
        |text: String| serde_json::from_str(&text).map_err(|_| StoreError::corrupt("memory_history", column, memory));
    text.map(read).transpose()
}

fn word(what: MemoryChangeKind, memory: MemoryId) -> Result<String, StoreError> {
    let word = serde_json::to_value(what).ok().and_then(|value| value.as_str().map(str::to_owned));
    word.ok_or_else(|| StoreError::corrupt("memory_history", "what", memory))
}
