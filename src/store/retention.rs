//! What becomes of ended tasks after a while: first their history goes, then they do.

use super::{Store, StoreError, blobs, log, task_edits};
use crate::domain::{Seq, TaskId, TeamId};
use sqlx::Row;
use std::time::Duration;
use uuid::Uuid;

/// An ended task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    pub team: TeamId,
    pub task: TaskId,
}

/// Tasks that ended longer than `kept` ago, the oldest first; with `whole` those alone whose history was not let go.
pub async fn ended(store: &Store, kept: Duration, whole: bool, limit: u32) -> Result<Vec<Ended>, StoreError> {
    let rows = sqlx::query(
        "SELECT team, id FROM tasks WHERE status IN ('succeeded', 'failed', 'cancelled') AND (NOT $3 OR pruned_run < run)
            AND finished_at < now() - $1 * interval '1 second' ORDER BY finished_at LIMIT $2",
    )
    .bind(kept.as_secs_f64())
    .bind(i64::from(limit))
    .bind(whole)
    .fetch_all(store.across())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Ended { team: row.try_get::<Uuid, _>("team")?.into(), task: row.try_get::<Uuid, _>("id")?.into() })
        })
        .collect()
}

/// Lets go of what an ended task does not need; nothing happens where somebody has written to its log after `last`.
/// How many contents it let go.
pub async fn let_history_go(store: &Store, one: Ended, last: Seq, needed: &[&str]) -> Result<u64, StoreError> {
    let mut tx = store.team(one.team).await?;
    let Some(locked) = log::lock(&mut tx, one.task).await? else { return Ok(0) };
    if !locked.status.is_end() || locked.last_seq != last {
        return Ok(0);
    }
    let count = blobs::let_go(&mut tx, one.task, needed).await?;
    sqlx::query("UPDATE tasks SET pruned_run = run WHERE team = current_team() AND id = $1")
        .bind(one.task.0)
        .execute(tx.connection())
        .await?;
    tx.commit().await?;
    Ok(count)
}

/// Deletes an ended task that nobody has woken meanwhile.
pub async fn delete(store: &Store, one: Ended, kept: Duration) -> Result<bool, StoreError> {
    let mut tx = store.team(one.team).await?;
    let Some(locked) = log::lock(&mut tx, one.task).await? else { return Ok(false) };
    let old: bool = sqlx::query_scalar(
        "SELECT coalesce(finished_at < now() - $2 * interval '1 second', false) FROM tasks
         WHERE team = current_team() AND id = $1",
    )
    .bind(one.task.0)
    .bind(kept.as_secs_f64())
    .fetch_one(tx.connection())
    .await?;
    if !locked.status.is_end() || !old {
        return Ok(false);
    }
    task_edits::delete(&mut tx, one.task).await?;
    tx.commit().await.map(|()| true)
}
