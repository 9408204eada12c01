//! Changes of tasks by use cases, beside what [`super::log`] appends. The task is locked before.

use super::{StoreError, TeamTx, blobs, learnings, publishings};
use crate::domain::{TaskId, UserId};
use sqlx::Row;
use std::collections::BTreeMap;

/// What becomes of a task's row; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct TaskEdit<'a> {
    pub title: Option<&'a str>,
    pub labels: Option<&'a BTreeMap<String, String>>,
    pub priority: Option<i16>,
    /// The whole [`crate::domain::TaskSpec`] as JSON.
    pub spec: Option<&'a str>,
}

/// Changes a task's row.
pub async fn amend(tx: &mut TeamTx, id: TaskId, edit: &TaskEdit<'_>) -> Result<(), StoreError> {
    let labels =
        edit.labels.map(serde_json::to_value).transpose().map_err(|_| StoreError::corrupt("tasks", "labels", id))?;
    sqlx::query(
        "UPDATE tasks SET title = coalesce($2, title), labels = coalesce($3, labels),
            priority = coalesce($4, priority), spec = coalesce($5, spec)
         WHERE team = current_team() AND id = $1",
    )
    .bind(id.0)
    .bind(edit.title)
    .bind(labels)
    .bind(edit.priority)
    .bind(edit.spec)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Counts a change that the log does not tell, for the task's tag.
pub async fn count(tx: &mut TeamTx, id: TaskId) -> Result<(), StoreError> {
    sqlx::query("UPDATE tasks SET edits = edits + 1 WHERE team = current_team() AND id = $1")
        .bind(id.0)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Changes the priority of a task that waits in the queue.
pub async fn reprioritise(tx: &mut TeamTx, id: TaskId, priority: i16) -> Result<(), StoreError> {
    sqlx::query("UPDATE jobs SET priority = $2 WHERE team = current_team() AND id = $1")
        .bind(id.0)
        .bind(priority)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Takes a task from whoever holds it: no worker writes to its log under an older lease.
pub async fn fence(tx: &mut TeamTx, id: TaskId) -> Result<(), StoreError> {
    sqlx::query("UPDATE task_heads SET epoch = epoch + 1 WHERE team = current_team() AND task = $1")
        .bind(id.0)
        .execute(tx.connection())
        .await?;
    sqlx::query("DELETE FROM jobs WHERE team = current_team() AND id = $1").bind(id.0).execute(tx.connection()).await?;
    Ok(())
}

/// Deletes a task with its log, head, place in the queue, approvals and feedback. Contents that
/// nothing else refers to are left to the retention.
pub async fn delete(tx: &mut TeamTx, id: TaskId) -> Result<(), StoreError> {
    learnings::forget(tx, id).await?;
    publishings::forget(tx, id).await?;
    for statement in [
        "DELETE FROM jobs WHERE team = current_team() AND id = $1",
        "DELETE FROM task_events WHERE team = current_team() AND task = $1",
        "DELETE FROM tasks WHERE team = current_team() AND id = $1",
    ] {
        sqlx::query(statement).bind(id.0).execute(tx.connection()).await?;
    }
    blobs::let_go(tx, id, &[]).await.map(drop)
}

/// What a person thought of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedbackRow {
    pub user: UserId,
    pub rating: String,
    pub comment: Option<String>,
}

pub async fn feedback(tx: &mut TeamTx, id: uuid::Uuid) -> Result<Option<FeedbackRow>, StoreError> {
    let row = sqlx::query("SELECT user_id, rating, comment FROM feedback WHERE team = current_team() AND id = $1")
        .bind(id)
        .fetch_optional(tx.connection())
        .await?;
    row.map(|row| {
        Ok(FeedbackRow {
            user: UserId(row.try_get("user_id")?),
            rating: row.try_get("rating")?,
            comment: row.try_get("comment")?,
        })
    })
    .transpose()
}

/// Keeps what a person thought of a task. What the task did to memories is counted again.
pub async fn add_feedback(
    tx: &mut TeamTx,
    id: uuid::Uuid,
    task: TaskId,
    user: UserId,
    rating: &str,
    comment: Option<&str>,
) -> Result<crate::domain::Timestamp, StoreError> {
    let at: time::OffsetDateTime = sqlx::query_scalar(
        "WITH again AS (
            UPDATE tasks SET effects_run = least(effects_run, run - 1) WHERE team = current_team() AND id = $2
         )
         INSERT INTO feedback (team, id, task, user_id, rating, comment)
         VALUES (current_team(), $1, $2, $3, $4, $5) RETURNING created_at",
    )
    .bind(id)
    .bind(task.0)
    .bind(user.0)
    .bind(rating)
    .bind(comment)
    .fetch_one(tx.connection())
    .await?;
    Ok(at.into())
}
