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

/// Where anything is capped one claim at a time counts what runs: the lock is had before its statement looks.
const ONE_CLAIM: &str = "SELECT pg_advisory_xact_lock(7264503902)
    WHERE EXISTS (SELECT 1 FROM teams WHERE concurrent_tasks IS NOT NULL)
        OR EXISTS (SELECT 1 FROM members WHERE concurrent_tasks IS NOT NULL)";

/// Claims up to `limit` tasks that are due or whose lease has run out, with a new epoch each.
///
/// Fair between teams by their weights and within a team between users: the team that has fewest tasks running for its
/// weight goes first, and of its users who has fewest, so that one with 500 queued makes nobody wait for more than his share.
/// Within a user the higher priority goes first, then the older. What a user or team may have running is never exceeded: where
/// there is such a cap one replica claims at a time. A task whose head somebody has locked is left for the next look: who
/// writes to a task locks its head before its job, and a claim that waited for the head would be a deadlock. Nothing new is
/// claimed of what an operator has paused, and nothing at all of what he has drained.
pub async fn claim_tasks(
    store: &Store,
    replica: ReplicaId,
    host: Uuid,
    log_version: i32,
    ttl: Duration,
    limit: u32,
) -> Result<Vec<Claimed>, StoreError> {
    let mut tx = store.begin_with("BEGIN; SET LOCAL lock_timeout = '5s'").await?;
    sqlx::query(ONE_CLAIM).execute(&mut *tx).await?;
    let rows = sqlx::query(
        "WITH RECURSIVE stopped AS (
            SELECT team, running OR kind = 'drain' AS whole FROM switches WHERE kind IN ('pause', 'drain')
         ), users AS (
            (SELECT team, user_id FROM jobs WHERE kind = 'run_task' AND lease_replica IS NULL ORDER BY team, user_id LIMIT 1)
            UNION ALL
            SELECT n.team, n.user_id FROM users u, LATERAL (
                SELECT team, user_id FROM jobs
                WHERE kind = 'run_task' AND lease_replica IS NULL AND (team, user_id) > (u.team, u.user_id)
                ORDER BY team, user_id LIMIT 1) n
         ), running AS (
            SELECT team, user_id, count(*) AS tasks FROM jobs
            WHERE kind = 'run_task' AND lease_replica IS NOT NULL GROUP BY team, user_id
         ), running_teams AS (
            SELECT team, sum(tasks)::bigint AS tasks FROM running GROUP BY team
         ), waiting AS (
            SELECT j.id, u.team, j.ready_at, m.concurrent_tasks AS cap,
                coalesce(r.tasks, 0) + row_number() OVER (PARTITION BY u.team, u.user_id ORDER BY j.priority DESC, j.ready_at) AS place
            FROM users u LEFT JOIN running r USING (team, user_id) LEFT JOIN LATERAL (
                -- Limited, so that each is looked up: nobody reads all members of all teams for the few who wait.
                SELECT concurrent_tasks FROM members WHERE team = u.team AND user_id = u.user_id LIMIT 1) m ON true, LATERAL (
                SELECT id, priority, ready_at FROM jobs
                WHERE kind = 'run_task' AND team = u.team AND user_id = u.user_id AND lease_replica IS NULL
                    AND ready_at <= now() AND log_version <= $4
                ORDER BY priority DESC, ready_at LIMIT $5) j
            WHERE NOT EXISTS (SELECT 1 FROM stopped s WHERE s.team IN (u.team, '00000000-0000-0000-0000-000000000000'))
         ), ranked AS (
            SELECT w.id, w.place, w.ready_at, t.weight, t.concurrent_tasks AS cap,
                coalesce(r.tasks, 0) + row_number() OVER (PARTITION BY w.team ORDER BY w.place, w.ready_at) AS team_place
            FROM waiting w JOIN teams t ON t.id = w.team LEFT JOIN running_teams r ON r.team = w.team
            WHERE w.cap IS NULL OR w.place <= w.cap
         ), candidates AS (
            (SELECT id, 0::float8 AS share, 0 AS place, ready_at FROM jobs
             WHERE kind = 'run_task' AND lease_replica IS NOT NULL AND lease_until < now() AND log_version <= $4
                AND NOT EXISTS (SELECT 1 FROM stopped s WHERE s.whole AND s.team IN (jobs.team, '00000000-0000-0000-0000-000000000000'))
             LIMIT $5)
            UNION ALL
            SELECT id, team_place::float8 / weight, place, ready_at FROM ranked WHERE cap IS NULL OR team_place <= cap
         ), chosen AS (
            SELECT j.id, j.lease_replica IS NOT NULL AS taken_over FROM jobs j JOIN candidates c ON c.id = j.id
                JOIN task_heads h ON h.task = j.id
            WHERE (j.lease_replica IS NULL OR j.lease_until < now())
            ORDER BY c.share, c.place, c.ready_at LIMIT $5 FOR UPDATE OF h, j SKIP LOCKED
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
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
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

/// A claimed job that is no task's run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimedJob {
    pub team: TeamId,
    pub id: Uuid,
    pub user: UserId,
    pub replica: ReplicaId,
    /// How often it has been claimed, this time included: with the replica what fences its worker.
    pub attempts: u32,
}

/// Claims up to `limit` jobs of a kind that are due or whose lease has run out; fair between users, the older first, of one user no
/// more than `of_user` at once on all replicas together. Nothing is claimed of what an operator has paused or drained.
pub async fn claim(
    store: &Store,
    kind: &str,
    (replica, host): (ReplicaId, Uuid),
    ttl: Duration,
    (limit, of_user): (u32, u32),
) -> Result<Vec<ClaimedJob>, StoreError> {
    let rows = sqlx::query(
        "WITH running AS (
            SELECT team, user_id, count(*) AS jobs FROM jobs
            WHERE kind = $1 AND lease_replica IS NOT NULL AND lease_until >= now() GROUP BY team, user_id
         ), due AS (
            SELECT id, team, user_id, ready_at FROM jobs
            WHERE kind = $1 AND ready_at <= now() AND (lease_replica IS NULL OR lease_until < now())
                AND NOT EXISTS (SELECT 1 FROM running r WHERE r.team = jobs.team AND r.user_id = jobs.user_id AND r.jobs >= $7)
                AND NOT EXISTS (SELECT 1 FROM switches s WHERE s.kind IN ('pause', 'drain')
                    AND s.team IN (jobs.team, '00000000-0000-0000-0000-000000000000'))
            ORDER BY priority DESC, ready_at LIMIT $6
         ), candidates AS (
            SELECT d.id, d.ready_at,
                coalesce(r.jobs, 0) + row_number() OVER (PARTITION BY d.team, d.user_id ORDER BY d.ready_at) AS place
            FROM due d LEFT JOIN running r USING (team, user_id)
         ), chosen AS (
            SELECT j.id FROM jobs j JOIN candidates c ON c.id = j.id
            WHERE (j.lease_replica IS NULL OR j.lease_until < now()) AND c.place <= $7
            ORDER BY c.place, c.ready_at LIMIT $5 FOR UPDATE OF j SKIP LOCKED
         )
         UPDATE jobs SET lease_replica = $2, lease_host = $3, attempts = attempts + 1,
            lease_until = now() + $4 * interval '1 millisecond'
         FROM chosen WHERE jobs.id = chosen.id RETURNING jobs.team, jobs.id, jobs.user_id, jobs.attempts",
    )
    .bind(kind)
    .bind(replica.0)
    .bind(host)
    .bind(ttl.as_millis() as i64)
    .bind(i64::from(limit))
    .bind(i64::from(limit) * LOOKED_AT)
    .bind(i64::from(of_user))
    .fetch_all(store.across())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(ClaimedJob {
                team: row.try_get::<Uuid, _>("team")?.into(),
                id: row.try_get("id")?,
                user: row.try_get::<Uuid, _>("user_id")?.into(),
                replica,
                attempts: row.try_get::<i32, _>("attempts")? as u32,
            })
        })
        .collect()
}

/// Due jobs that are looked at for each that is claimed: so many of one user hold up nobody else.
const LOOKED_AT: i64 = 50;

/// Gives a job back, due after `delay`. Nothing happens where it is somebody else's by now.
pub async fn give_back(store: &Store, job: &ClaimedJob, delay: Duration) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE jobs SET lease_replica = NULL, lease_host = NULL, lease_until = NULL,
            ready_at = now() + $4 * interval '1 millisecond'
         WHERE id = $1 AND lease_replica = $2 AND attempts = $3",
    )
    .bind(job.id)
    .bind(job.replica.0)
    .bind(job.attempts as i32)
    .bind(delay.as_millis() as i64)
    .execute(store.across())
    .await?;
    Ok(())
}

/// Takes a job that is done out of the queue, in the transaction that writes what came of it. False where it is somebody
/// else's by now: nothing of it counts then.
pub async fn finish(tx: &mut TeamTx, job: &ClaimedJob) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM jobs WHERE id = $1 AND lease_replica = $2 AND attempts = $3")
        .bind(job.id)
        .bind(job.replica.0)
        .bind(job.attempts as i32)
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Prolongs the leases of jobs that are no task's run; answers which the replica still holds.
pub async fn prolong(store: &Store, replica: ReplicaId, jobs: &[Uuid], ttl: Duration) -> Result<Vec<Uuid>, StoreError> {
    Ok(sqlx::query_scalar(
        "UPDATE jobs SET lease_until = now() + $3 * interval '1 millisecond'
         WHERE lease_replica = $1 AND id = ANY($2) RETURNING id",
    )
    .bind(replica.0)
    .bind(jobs)
    .bind(ttl.as_millis() as i64)
    .fetch_all(store.across())
    .await?)
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
