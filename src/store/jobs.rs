//! The rows of the queue: due or leased work. `queue` decides; here are its statements.

use super::{Store, StoreError, TeamTx};
use crate::domain::{ReplicaId, Seq, TaskId, TeamId, UserId};
use sqlx::Row;
use std::time::Duration;
use uuid::Uuid;

/// Work to be put into the queue.
#[derive(Clone, Debug)]
pub struct NewJob {
    pub id: Uuid,
    pub team: TeamId,
    pub kind: &'static str,
    pub user: UserId,
    pub priority: i16,
    pub log_version: i32,
}

/// Puts work into the queue, due at once; what is there already becomes due.
pub async fn put(tx: &mut TeamTx, job: &NewJob) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO jobs (team, id, kind, user_id, priority, log_version) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (id) DO UPDATE SET ready_at = least(jobs.ready_at, now()), priority = EXCLUDED.priority",
    )
    .bind(job.team.0)
    .bind(job.id)
    .bind(job.kind)
    .bind(job.user.0)
    .bind(job.priority)
    .bind(job.log_version)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Takes a job out of the queue whoever holds it.
pub async fn remove(tx: &mut TeamTx, id: Uuid) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM jobs WHERE id = $1").bind(id).execute(tx.connection()).await?;
    Ok(())
}

/// A claimed job of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed {
    pub team: TeamId,
    pub task: TaskId,
    pub user: UserId,
    pub epoch: i64,
    pub last_seq: Seq,
    /// How often it has been claimed, this time included.
    pub attempts: u32,
    /// It was taken from a replica that had not given it back.
    pub taken_over: bool,
}

/// Claims up to `limit` tasks that are due or whose lease has run out, with a new epoch each.
///
/// Fair between users: who has fewer tasks running goes first, so that one with 500 queued does not
/// make another wait for more than his share. Within a user the higher priority goes first, then
/// the older. A task whose head somebody has locked is left for the next look: who writes to a task
/// locks its head before its job, and a claim that waited for the head would be a deadlock.
pub async fn claim_tasks(
    store: &Store,
    replica: ReplicaId,
    host: Uuid,
    log_version: i32,
    ttl: Duration,
    limit: u32,
) -> Result<Vec<Claimed>, StoreError> {
    let rows = sqlx::query(
        "WITH RECURSIVE users AS (
            (SELECT team, user_id FROM jobs WHERE kind = 'run_task' AND lease_replica IS NULL ORDER BY team, user_id LIMIT 1)
            UNION ALL
            SELECT n.team, n.user_id FROM users u, LATERAL (
                SELECT team, user_id FROM jobs
                WHERE kind = 'run_task' AND lease_replica IS NULL AND (team, user_id) > (u.team, u.user_id)
                ORDER BY team, user_id LIMIT 1) n
         ), running AS (
            SELECT team, user_id, count(*) AS tasks FROM jobs
            WHERE kind = 'run_task' AND lease_replica IS NOT NULL GROUP BY team, user_id
         ), waiting AS (
            SELECT j.id, j.priority, j.ready_at,
                coalesce(r.tasks, 0) + row_number() OVER (PARTITION BY u.team, u.user_id ORDER BY j.priority DESC, j.ready_at) AS place
            FROM users u LEFT JOIN running r USING (team, user_id), LATERAL (
                SELECT id, priority, ready_at FROM jobs
                WHERE kind = 'run_task' AND team = u.team AND user_id = u.user_id AND lease_replica IS NULL
                    AND ready_at <= now() AND log_version <= $4
                ORDER BY priority DESC, ready_at LIMIT $5) j
         ), candidates AS (
            (SELECT id, 0 AS place, ready_at FROM jobs
             WHERE kind = 'run_task' AND lease_replica IS NOT NULL AND lease_until < now() AND log_version <= $4 LIMIT $5)
            UNION ALL SELECT id, place, ready_at FROM waiting
         ), chosen AS (
            SELECT j.id, j.lease_replica IS NOT NULL AS taken_over FROM jobs j JOIN candidates c ON c.id = j.id
                JOIN task_heads h ON h.task = j.id
            WHERE (j.lease_replica IS NULL OR j.lease_until < now())
            ORDER BY c.place, c.ready_at LIMIT $5 FOR UPDATE OF h, j SKIP LOCKED
         ), leased AS (
            UPDATE jobs SET lease_replica = $1, lease_host = $2, attempts = attempts + 1,
                lease_until = now() + $3 * interval '1 millisecond'
            FROM chosen WHERE jobs.id = chosen.id
            RETURNING jobs.team, jobs.id, jobs.user_id, jobs.attempts, chosen.taken_over
         ), fenced AS (
            UPDATE task_heads SET epoch = epoch + 1 FROM leased WHERE task_heads.task = leased.id
            RETURNING task_heads.task, task_heads.epoch, task_heads.last_seq
         )
         SELECT l.team, l.id, l.user_id, l.attempts, l.taken_over, f.epoch, f.last_seq
         FROM leased l JOIN fenced f ON f.task = l.id",
    )
    .bind(replica.0)
    .bind(host)
    .bind(ttl.as_millis() as i64)
    .bind(log_version)
    .bind(i64::from(limit))
    .fetch_all(store.across())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Claimed {
                team: row.try_get::<Uuid, _>("team")?.into(),
                task: row.try_get::<Uuid, _>("id")?.into(),
                user: row.try_get::<Uuid, _>("user_id")?.into(),
                epoch: row.try_get("epoch")?,
                last_seq: row.try_get("last_seq")?,
                attempts: row.try_get::<i32, _>("attempts")? as u32,
                taken_over: row.try_get("taken_over")?,
            })
        })
        .collect()
}

/// Prolongs these leases at once; answers which the replica still holds.
pub async fn heartbeat(
    store: &Store,
    replica: ReplicaId,
    tasks: &[TaskId],
    ttl: Duration,
) -> Result<Vec<TaskId>, StoreError> {
    let ids: Vec<Uuid> = tasks.iter().map(|t| t.0).collect();
    let held: Vec<Uuid> = sqlx::query_scalar(
        "UPDATE jobs SET lease_until = now() + $3 * interval '1 millisecond'
         WHERE lease_replica = $1 AND id = ANY($2) RETURNING id",
    )
    .bind(replica.0)
    .bind(&ids)
    .bind(ttl.as_millis() as i64)
    .fetch_all(store.across())
    .await?;
    Ok(held.into_iter().map(TaskId).collect())
}

/// Lets the leases of earlier processes on the same data directory run out now: whoever holds the
/// directory's lock knows that they are dead. Answers how many there were.
pub async fn expire_host(store: &Store, host: Uuid, except: ReplicaId) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "UPDATE jobs SET lease_until = now() - interval '1 second'
         WHERE lease_host = $1 AND lease_replica IS NOT NULL AND lease_replica <> $2",
    )
    .bind(host)
    .bind(except.0)
    .execute(store.across())
    .await?;
    Ok(done.rows_affected())
}

/// Lets one lease run out after `delay`, where a task could not be parked. A later claim of the same
/// task, even by the same replica, is left alone.
pub async fn expire(
    store: &Store,
    replica: ReplicaId,
    task: TaskId,
    epoch: i64,
    delay: Duration,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE jobs SET lease_until = now() + $3 * interval '1 millisecond'
         FROM task_heads h WHERE jobs.id = $1 AND jobs.lease_replica = $2 AND h.task = jobs.id AND h.epoch = $4",
    )
    .bind(task.0)
    .bind(replica.0)
    .bind(delay.as_millis() as i64)
    .bind(epoch)
    .execute(store.across())
    .await?;
    Ok(())
}

/// How many tasks wait and how many are leased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    pub ready: i64,
    pub leased: i64,
}

pub async fn depth(store: &Store) -> Result<Depth, StoreError> {
    let row = sqlx::query(
        "SELECT count(*) FILTER (WHERE lease_replica IS NULL) AS ready,
            count(*) FILTER (WHERE lease_replica IS NOT NULL) AS leased FROM jobs WHERE kind = 'run_task'",
    )
    .fetch_one(store.across())
    .await?;
    Ok(Depth { ready: row.try_get("ready")?, leased: row.try_get("leased")? })
}
