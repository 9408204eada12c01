//! What became of tasks' work where it was taken: what was merged, and what reviewers wrote.

use super::{Store, StoreError, TeamTx};
use crate::domain::{TaskId, TeamId, Timestamp, UserId};
use sqlx::Row;
use time::OffsetDateTime;
use uuid::Uuid;

/// What somebody told.
#[derive(Clone, Copy, Debug)]
pub struct NewMerge<'a> {
    pub id: Uuid,
    pub task: TaskId,
    pub user: UserId,
    pub reference: Option<&'a str>,
    /// JSON text.
    pub comments: &'a str,
}

/// The same, as a worker reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeRow {
    pub reference: Option<String>,
    /// JSON text.
    pub comments: String,
}

pub async fn insert(tx: &mut TeamTx, new: NewMerge<'_>) -> Result<Timestamp, StoreError> {
    let at: OffsetDateTime = sqlx::query_scalar(
        "INSERT INTO merges (team, id, task, user_id, reference, comments)
         VALUES (current_team(), $1, $2, $3, $4, $5) RETURNING created_at",
    )
    .bind(new.id)
    .bind(new.task.0)
    .bind(new.user.0)
    .bind(new.reference)
    .bind(new.comments)
    .fetch_one(tx.connection())
    .await?;
    Ok(at.into())
}

/// One of a team; absent where its task is gone.
pub async fn get(store: &Store, team: TeamId, id: Uuid) -> Result<Option<MergeRow>, StoreError> {
    let row = sqlx::query("SELECT reference, comments FROM merges WHERE team = $1 AND id = $2")
        .bind(team.0)
        .bind(id)
        .fetch_optional(store.across())
        .await?;
    row.map(|row| Ok(MergeRow { reference: row.try_get("reference")?, comments: row.try_get("comments")? })).transpose()
}
