//! What becomes of ended tasks after a while: first their history goes, then they do.

use super::{AcrossTx, Store, StoreError, blobs, log, task_edits};
use crate::domain::{Seq, TaskId, TeamId};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use std::time::Duration;
use uuid::Uuid;

/// An ended task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    pub team: TeamId,
    pub task: TaskId,
}

/// For how long a team keeps what; what is absent is as the instance has it, and never longer than that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamRetention {
    /// Ended tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks_days: Option<u32>,
    /// The history of ended tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_days: Option<u32>,
}

/// Sets it.
pub async fn set_of_team(tx: &mut AcrossTx, team: TeamId, wanted: TeamRetention) -> Result<(), StoreError> {
    let text = serde_json::to_string(&wanted).map_err(|_| StoreError::corrupt("teams", "retention", team))?;
    sqlx::query("UPDATE teams SET retention = $2 WHERE id = $1")
        .bind(team.0)
        .bind(text)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// What of ended tasks goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Tasks,
    History,
}

/// Ended tasks that were kept for as long as the instance (absent: for ever) and their team say, the oldest first; of
/// history those alone that have it still. Each with how long that is.
pub async fn ended(
    store: &Store,
    what: Kept,
    kept: Option<Duration>,
    limit: u32,
) -> Result<Vec<(Ended, Duration)>, StoreError> {
    let rows = sqlx::query(
        "WITH kept AS (
            SELECT id AS team, least($1::float8, (retention::json ->> $4::text)::float8 * 86400) AS seconds FROM teams
         )
         SELECT t.team, t.id, k.seconds FROM kept k, LATERAL (
            SELECT team, id, finished_at FROM tasks WHERE team = k.team AND status IN ('succeeded', 'failed', 'cancelled')
                AND (NOT $3 OR pruned_run < run) AND finished_at < now() - k.seconds * interval '1 second'
            ORDER BY finished_at LIMIT $2) t
         WHERE k.seconds IS NOT NULL ORDER BY t.finished_at LIMIT $2",
    )
    .bind(kept.map(|kept| kept.as_secs_f64()))
    .bind(i64::from(limit))
    .bind(what == Kept::History)
    .bind(match what {
        Kept::Tasks => "tasks_days",
        Kept::History => "history_days",
    })
    .fetch_all(store.across())
    .await?;
    rows.iter()
        .map(|row| {
            let one =
                Ended { team: row.try_get::<Uuid, _>("team")?.into(), task: row.try_get::<Uuid, _>("id")?.into() };
            Ok((one, Duration::try_from_secs_f64(row.try_get("seconds")?).unwrap_or(Duration::MAX)))
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
