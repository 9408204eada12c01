//! What runs of tasks did to the standing of the memories that they cited.

use super::{Store, StoreError, log};
use crate::domain::{MemoryId, TaskId, TeamId, Timestamp, event::Record};
use sqlx::{Postgres, Row, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

/// A task with ended runs whose effects were not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    pub team: TeamId,
    pub task: TaskId,
}

/// What a run did to a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewEffect<'a> {
    pub run: u32,
    pub memory: MemoryId,
    /// `helped`, `hurt` or `none`.
    pub effect: &'a str,
    /// The id of the entry in the memory's history, and its words.
    pub entry: Uuid,
    pub detail: &'a str,
}

/// Tasks at rest with runs to be counted, those that ended first.
pub async fn due(store: &Store, limit: u32) -> Result<Vec<Due>, StoreError> {
    let rows: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "SELECT team, id FROM tasks WHERE finished_at IS NOT NULL AND effects_run < run ORDER BY finished_at LIMIT $1",
    )
    .bind(i64::from(limit))
    .fetch_all(store.across())
    .await?;
    Ok(rows.into_iter().map(|(team, task)| Due { team: TeamId(team), task: TaskId(task) }).collect())
}

/// A task whose runs are being counted: nobody else counts them meanwhile.
#[derive(Debug)]
pub struct Counting {
    tx: Transaction<'static, Postgres>,
    due: Due,
    run: i32,
    after: i32,
}

/// Begins to count; none where somebody else is at it, or the task has gone on or is gone.
pub async fn begin(store: &Store, due: Due) -> Result<Option<Counting>, StoreError> {
    let mut tx = store.begin().await?;
    let row = sqlx::query(
        "SELECT run, effects_after FROM tasks
         WHERE team = $1 AND id = $2 AND finished_at IS NOT NULL AND effects_run < run FOR NO KEY UPDATE SKIP LOCKED",
    )
    .bind(due.team.0)
    .bind(due.task.0)
    .fetch_optional(&mut *tx)
    .await?;
    row.map(|row| Ok(Counting { run: row.try_get("run")?, after: row.try_get("effects_after")?, due, tx })).transpose()
}

impl Counting {
    /// What the log tells of runs: results, ends, validations; and where it became a log of its own.
    pub async fn log(&mut self) -> Result<Vec<Record>, StoreError> {
        let rows = sqlx::query(
            "SELECT seq, run, turn, at, kind, data, NULL::text AS private FROM task_events
             WHERE task = $1 AND run > $2 AND kind IN ('task.forked', 'task.result', 'task.status', 'checks.completed') ORDER BY seq",
        )
        .bind(self.due.task.0)
        .bind(self.after)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(|row| log::record(self.due.task, row)).collect()
    }

    /// What people have thought of the task, the first first: `up` or `down`, and when.
    pub async fn ratings(&mut self) -> Result<Vec<(String, Timestamp)>, StoreError> {
        let rows: Vec<(String, OffsetDateTime)> = sqlx::query_as(
            "SELECT rating, created_at FROM feedback WHERE team = $1 AND task = $2 ORDER BY created_at DESC, id DESC LIMIT 100",
        )
        .bind(self.due.team.0)
        .bind(self.due.task.0)
        .fetch_all(&mut *self.tx)
        .await?;
        Ok(rows.into_iter().rev().map(|(rating, at)| (rating, at.into())).collect())
    }

    /// Counts an effect in place of what was counted for the same run before. Nothing of a memory that is gone.
    pub async fn put(&mut self, new: NewEffect<'_>) -> Result<(), StoreError> {
        sqlx::query(
            "WITH before AS (
                SELECT effect FROM memory_effects WHERE team = $1 AND task = $2 AND run = $3 AND memory = $4
             ), put AS (
                INSERT INTO memory_effects (team, task, run, memory, effect)
                SELECT team, $2, $3, id, $5 FROM memories WHERE team = $1 AND id = $4
                ON CONFLICT (team, task, run, memory) DO UPDATE SET effect = excluded.effect, at = now()
                    WHERE memory_effects.effect <> excluded.effect
                RETURNING effect
             ), counted AS (
                UPDATE memories SET
                    helped = greatest(0, helped + (put.effect = 'helped')::int
                        - (SELECT count(*) FROM before WHERE effect = 'helped')::int),
                    hurt = greatest(0, hurt + (put.effect = 'hurt')::int
                        - (SELECT count(*) FROM before WHERE effect = 'hurt')::int)
                FROM put WHERE team = $1 AND id = $4
             )
             INSERT INTO memory_history (team, id, memory, what, task, detail)
             SELECT $1, $6, $4, effect, $2, $7 FROM put WHERE effect <> 'none'",
        )
        .bind(self.due.team.0)
        .bind(self.due.task.0)
        .bind(new.run as i32)
        .bind(new.memory.0)
        .bind(new.effect)
        .bind(new.entry)
        .bind(new.detail)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// All runs so far are counted.
    pub async fn finish(mut self) -> Result<(), StoreError> {
        sqlx::query("UPDATE tasks SET effects_run = $3 WHERE team = $1 AND id = $2")
            .bind(self.due.team.0)
            .bind(self.due.task.0)
            .bind(self.run)
            .execute(&mut *self.tx)
            .await?;
        Ok(self.tx.commit().await?)
    }
}

/// Leaves a task's effects uncounted for good.
pub async fn pass_over(store: &Store, due: Due) -> Result<(), StoreError> {
    sqlx::query("UPDATE tasks SET effects_run = run WHERE team = $1 AND id = $2")
        .bind(due.team.0)
        .bind(due.task.0)
        .execute(store.across())
        .await?;
    Ok(())
}
