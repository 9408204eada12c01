//! Live pieces for the watchers of other replicas. Best effort: both tables are unlogged.

use super::{Store, StoreError};
use crate::domain::{Seq, TaskId};
use sqlx::Row;
use std::time::Duration;
use uuid::Uuid;

/// A piece as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub task: TaskId,
    /// The last seq of the task's log when it was made.
    pub after: Seq,
    pub kind: String,
    /// The event's JSON.
    pub json: String,
}

/// Says that watchers of `replica` follow these tasks for `ttl` from now; answers the id of the
/// newest piece.
pub async fn watch(store: &Store, replica: Uuid, tasks: &[TaskId], ttl: Duration) -> Result<i64, StoreError> {
    let tasks: Vec<Uuid> = tasks.iter().map(|task| task.0).collect();
    let newest = sqlx::query_scalar(
        "WITH marked AS (
            INSERT INTO task_watches (task, replica, until)
            SELECT task, $2, clock_timestamp() + make_interval(secs => $3) FROM unnest($1::uuid[]) AS task
            ON CONFLICT (task, replica) DO UPDATE SET until = excluded.until
         )
         SELECT coalesce(max(id), 0) FROM live_pieces",
    )
    .bind(tasks)
    .bind(replica)
    .bind(ttl.as_secs_f64())
    .fetch_one(store.across())
    .await?;
    Ok(newest)
}

/// Those of `tasks` that watchers of other replicas follow.
pub async fn watched_elsewhere(store: &Store, replica: Uuid, tasks: &[TaskId]) -> Result<Vec<TaskId>, StoreError> {
    let tasks: Vec<Uuid> = tasks.iter().map(|task| task.0).collect();
    let found: Vec<Uuid> = sqlx::query_scalar(
        "SELECT DISTINCT task FROM task_watches WHERE task = ANY($1) AND replica <> $2 AND until > clock_timestamp()",
    )
    .bind(tasks)
    .bind(replica)
    .fetch_all(store.across())
    .await?;
    Ok(found.into_iter().map(Into::into).collect())
}

/// Stores pieces in their order.
pub async fn put(store: &Store, pieces: &[Piece]) -> Result<(), StoreError> {
    let tasks: Vec<Uuid> = pieces.iter().map(|piece| piece.task.0).collect();
    let afters: Vec<Seq> = pieces.iter().map(|piece| piece.after).collect();
    let kinds: Vec<&str> = pieces.iter().map(|piece| piece.kind.as_str()).collect();
    let texts: Vec<&str> = pieces.iter().map(|piece| piece.json.as_str()).collect();
    sqlx::query(
        "INSERT INTO live_pieces (task, after, kind, data)
         SELECT p.task, p.after, p.kind, p.data
         FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[])
            WITH ORDINALITY AS p (task, after, kind, data, place)
         ORDER BY p.place",
    )
    .bind(tasks)
    .bind(afters)
    .bind(kinds)
    .bind(texts)
    .execute(store.across())
    .await?;
    Ok(())
}

/// The pieces of each task after the id beside it, at most `limit`, oldest first, each with its id.
pub async fn after(store: &Store, cursors: &[(TaskId, i64)], limit: u32) -> Result<Vec<(i64, Piece)>, StoreError> {
    let tasks: Vec<Uuid> = cursors.iter().map(|(task, _)| task.0).collect();
    let ids: Vec<i64> = cursors.iter().map(|(_, id)| *id).collect();
    let rows = sqlx::query(
        "SELECT p.id, p.task, p.after, p.kind, p.data
         FROM unnest($1::uuid[], $2::bigint[]) AS c (task, id) JOIN live_pieces p ON p.task = c.task AND p.id > c.id
         ORDER BY p.id LIMIT $3",
    )
    .bind(tasks)
    .bind(ids)
    .bind(i64::from(limit))
    .fetch_all(store.across())
    .await?;
    rows.iter()
        .map(|row| {
            let piece = Piece {
                task: row.try_get::<Uuid, _>("task")?.into(),
                after: row.try_get("after")?,
                kind: row.try_get("kind")?,
                json: row.try_get("data")?,
            };
            Ok((row.try_get("id")?, piece))
        })
        .collect()
}

/// Removes what is older than `age`, and watches that have run out.
pub async fn tidy(store: &Store, age: Duration) -> Result<(), StoreError> {
    sqlx::query(
        "WITH watches AS (DELETE FROM task_watches WHERE until < clock_timestamp())
         DELETE FROM live_pieces WHERE at < clock_timestamp() - make_interval(secs => $1)",
    )
    .bind(age.as_secs_f64())
    .execute(store.across())
    .await?;
    Ok(())
}
