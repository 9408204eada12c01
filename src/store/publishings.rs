//! Wishes to publish a task's patch, and how far each has come. Its job has its id.

use super::{
    Store, StoreError, TeamTx,
    jobs::{self, ClaimedJob, NewJob},
};
use crate::domain::{
    ApprovalId, BlobHash, EventData, Oid, TaskId, TeamId, Timestamp, UserId,
    approval::Decision,
    publish::{Conflict, PublishState},
};
use sqlx::{Row, postgres::PgRow};
use uuid::Uuid;

/// The kind of its jobs.
pub const JOB: &str = "publish";

/// A wish to be written down.
#[derive(Clone, Copy, Debug)]
pub struct NewPublishing<'a> {
    pub id: Uuid,
    pub task: TaskId,
    pub run: u32,
    pub user: UserId,
    pub branch: &'a str,
    pub pull_request: bool,
    pub title: Option<&'a str>,
    pub body: Option<&'a str>,
    pub url: &'a str,
    pub reference: Option<&'a str>,
    pub base: &'a Oid,
    pub patch: &'a BlobHash,
}

/// A wish as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishingRow {
    pub id: Uuid,
    pub task: TaskId,
    pub run: u32,
    pub user: UserId,
    pub state: PublishState,
    pub branch: String,
    pub pull_request: bool,
    pub title: Option<String>,
    pub body: Option<String>,
    pub url: String,
    pub reference: Option<String>,
    pub base: Oid,
    pub patch: BlobHash,
    pub approval: Option<ApprovalId>,
    /// JSON: what commit and pull request say, once it was made.
    pub composed: Option<String>,
    /// What was pushed, or was about to be.
    pub commit: Option<Oid>,
    pub failures: u32,
    pub created_at: Timestamp,
}

/// What came of one.
#[derive(Clone, Copy, Debug)]
pub struct Done<'a> {
    pub state: PublishState,
    pub pull_request_url: Option<&'a str>,
    pub reason: Option<&'a str>,
}

/// Writes a wish down and puts its job into the queue. One of the task may be open.
pub async fn insert(tx: &mut TeamTx, team: TeamId, new: &NewPublishing<'_>) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO publishings (team, id, task, run, user_id, branch, pull_request, title, body, url, reference, base, patch)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(team.0)
    .bind(new.id)
    .bind(new.task.0)
    .bind(new.run as i32)
    .bind(new.user.0)
    .bind(new.branch)
    .bind(new.pull_request)
    .bind(new.title)
    .bind(new.body)
    .bind(new.url)
    .bind(new.reference)
    .bind(new.base.as_str())
    .bind(new.patch.as_str())
    .execute(tx.connection())
    .await?;
    enqueue(tx, team, new.id, new.user).await
}

/// Puts the job of a wish into the queue.
pub async fn enqueue(tx: &mut TeamTx, team: TeamId, id: Uuid, user: UserId) -> Result<(), StoreError> {
    jobs::put(tx, &NewJob { id, team, kind: JOB, user, priority: 0, log_version: 0 }).await
}

/// Whether the service is about to open a pull request for a team, its commit made: at its host there may be one already.
pub async fn any_opens(store: &Store, team: TeamId) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM publishings
            WHERE team = $1 AND done_at IS NULL AND state = 'requested' AND pull_request AND commit_id IS NOT NULL)",
    )
    .bind(team.0)
    .fetch_one(store.across())
    .await?)
}

/// The one of a task that is not done.
pub async fn open_of(tx: &mut TeamTx, task: TaskId) -> Result<Option<PublishingRow>, StoreError> {
    let row = sqlx::query(
        "SELECT id, task, run, user_id, state, branch, pull_request, title, body, url, reference, base, patch, approval,
            composed, commit_id, failures, created_at
         FROM publishings WHERE team = current_team() AND task = $1 AND done_at IS NULL",
    )
    .bind(task.0)
    .fetch_optional(tx.connection())
    .await?;
    row.as_ref().map(publishing_row).transpose()
}

/// Whether a run's patch was to be published before, whatever came of it.
pub async fn is_any_of_run(tx: &mut TeamTx, task: TaskId, run: u32) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM publishings WHERE team = current_team() AND task = $1 AND run = $2)",
    )
    .bind(task.0)
    .bind(run as i32)
    .fetch_one(tx.connection())
    .await?)
}

/// How far the last one of a task has come, and why no further.
pub async fn last_of(tx: &mut TeamTx, task: TaskId) -> Result<Option<(PublishState, Option<String>)>, StoreError> {
    let row = sqlx::query(
        "SELECT id, state, reason FROM publishings WHERE team = current_team() AND task = $1 ORDER BY id DESC LIMIT 1",
    )
    .bind(task.0)
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let corrupt = || StoreError::corrupt("publishings", "state", task);
    let state = PublishState::parse(&row.try_get::<String, _>("state")?).ok_or_else(corrupt)?;
    Ok(Some((state, row.try_get("reason")?)))
}

/// The one about which people are asked by this approval.
pub async fn of_approval(tx: &mut TeamTx, approval: ApprovalId) -> Result<Option<PublishingRow>, StoreError> {
    let row = sqlx::query(
        "SELECT id, task, run, user_id, state, branch, pull_request, title, body, url, reference, base, patch, approval,
            composed, commit_id, failures, created_at
         FROM publishings WHERE team = current_team() AND approval = $1 AND done_at IS NULL",
    )
    .bind(approval.0)
    .fetch_optional(tx.connection())
    .await?;
    row.as_ref().map(publishing_row).transpose()
}

/// What is to be published; absent where its task is gone, or it is done.
pub async fn due(store: &Store, job: &ClaimedJob) -> Result<Option<PublishingRow>, StoreError> {
    let row = sqlx::query(
        "SELECT id, task, run, user_id, state, branch, pull_request, title, body, url, reference, base, patch, approval,
            composed, commit_id, failures, created_at
         FROM publishings WHERE team = $1 AND id = $2 AND done_at IS NULL",
    )
    .bind(job.team.0)
    .bind(job.id)
    .fetch_optional(store.across())
    .await?;
    row.as_ref().map(publishing_row).transpose()
}

/// Writes which commit is about to be pushed. False where somebody else has the job by now.
pub async fn intend(store: &Store, job: &ClaimedJob, commit: &Oid) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE publishings p SET commit_id = $4 FROM jobs j
         WHERE p.team = j.team AND p.id = $1 AND j.id = $1 AND j.lease_replica = $2 AND j.attempts = $3
            AND p.done_at IS NULL",
    )
    .bind(job.id)
    .bind(job.replica.0)
    .bind(job.attempts as i32)
    .bind(commit.as_str())
    .execute(store.across())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Keeps what commit and pull request say, unless that was made before; what is kept.
pub async fn compose(store: &Store, job: &ClaimedJob, composed: &str) -> Result<Option<String>, StoreError> {
    Ok(sqlx::query_scalar(
        "UPDATE publishings SET composed = coalesce(composed, $3) WHERE team = $1 AND id = $2 AND done_at IS NULL
         RETURNING composed",
    )
    .bind(job.team.0)
    .bind(job.id)
    .bind(composed)
    .fetch_optional(store.across())
    .await?)
}

/// Counts a time that it could not be done, and why; for people.
pub async fn note_failure(store: &Store, job: &ClaimedJob, reason: &str) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE publishings SET failures = failures + 1, reason = $3 WHERE team = $1 AND id = $2 AND done_at IS NULL",
    )
    .bind(job.team.0)
    .bind(job.id)
    .bind(reason)
    .execute(store.across())
    .await?;
    Ok(())
}

/// Keeps where it is in conflict.
pub async fn note_conflict(store: &Store, job: &ClaimedJob, conflict: &Conflict) -> Result<(), StoreError> {
    let text = serde_json::to_string(conflict).map_err(|_| StoreError::corrupt("publishings", "conflict", job.id))?;
    sqlx::query("UPDATE publishings SET conflict = $3 WHERE team = $1 AND id = $2 AND done_at IS NULL")
        .bind(job.team.0)
        .bind(job.id)
        .bind(text)
        .execute(store.across())
        .await?;
    Ok(())
}

/// The conflicts of earlier runs of which a task was told.
pub async fn given_back(store: &Store, team: TeamId, task: TaskId, run: u32) -> Result<Vec<Conflict>, StoreError> {
    let texts: Vec<String> = sqlx::query_scalar(
        "SELECT conflict FROM publishings
         WHERE team = $1 AND task = $2 AND run < $3 AND given_back AND conflict IS NOT NULL ORDER BY id LIMIT 100",
    )
    .bind(team.0)
    .bind(task.0)
    .bind(run as i32)
    .fetch_all(store.across())
    .await?;
    let read =
        |text: &String| serde_json::from_str(text).map_err(|_| StoreError::corrupt("publishings", "conflict", task));
    texts.iter().map(read).collect()
}

/// The conflict that a run's patch has come to, and in how many conflicts its task was told before; none where it was told of
/// this one.
pub async fn conflict_of_run(
    tx: &mut TeamTx,
    task: TaskId,
    run: u32,
) -> Result<Option<(Uuid, Conflict, u32)>, StoreError> {
    let row = sqlx::query(
        "SELECT id, conflict, (SELECT count(*) FROM publishings b
            WHERE b.team = current_team() AND b.task = $1 AND b.given_back) AS before
         FROM publishings p WHERE team = current_team() AND task = $1 AND run = $2 AND state = 'conflict'
            AND conflict IS NOT NULL AND NOT given_back
            AND NOT EXISTS (SELECT 1 FROM publishings l WHERE l.team = current_team() AND l.task = $1 AND l.id > p.id)",
    )
    .bind(task.0)
    .bind(run as i32)
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let id: Uuid = row.try_get("id")?;
    let conflict: String = row.try_get("conflict")?;
    let conflict = serde_json::from_str(&conflict).map_err(|_| StoreError::corrupt("publishings", "conflict", id))?;
    Ok(Some((id, conflict, row.try_get::<i64, _>("before")? as u32)))
}

/// Writes that its task was told of the conflict.
pub async fn give_back(tx: &mut TeamTx, id: Uuid) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE publishings SET given_back = true, conflict = (conflict::jsonb - 'theirs')::text
         WHERE team = current_team() AND id = $1",
    )
    .bind(id)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// It waits for people, without a job.
pub async fn wait_for(tx: &mut TeamTx, id: Uuid, approval: ApprovalId) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE publishings SET state = 'waiting_approval', approval = $2
         WHERE team = current_team() AND id = $1 AND done_at IS NULL",
    )
    .bind(id)
    .bind(approval.0)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// People have approved it.
pub async fn approved(tx: &mut TeamTx, id: Uuid) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE publishings SET state = 'requested' WHERE team = current_team() AND id = $1 AND done_at IS NULL",
    )
    .bind(id)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Lets what was decided about a publishing hold, by people or at the deadline; the event that tells of it. None where the
/// approval is about none that is open.
pub async fn decided(
    tx: &mut TeamTx,
    team: TeamId,
    approval: ApprovalId,
    decision: Decision,
) -> Result<Option<EventData>, StoreError> {
    let Some(row) = of_approval(tx, approval).await? else { return Ok(None) };
    let (state, reason) = if decision == Decision::Approve {
        approved(tx, row.id).await?;
        enqueue(tx, team, row.id, row.user).await?;
        (PublishState::Requested, None)
    } else {
        let reason = "it was not approved";
        let state = PublishState::Denied;
        done(tx, row.id, Done { state, pull_request_url: None, reason: Some(reason) }).await?;
        (state, Some(reason.to_owned()))
    };
    let PublishingRow { id: publishing, branch, .. } = row;
    Ok(Some(EventData::Publish {
        publishing,
        state,
        branch,
        commit: None,
        pull_request_url: None,
        reason,
        author: None,
    }))
}

/// Writes what came of it.
pub async fn done(tx: &mut TeamTx, id: Uuid, done: Done<'_>) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE publishings SET state = $2, pull_request_url = $3, reason = $4, composed = NULL, done_at = now()
         WHERE team = current_team() AND id = $1 AND done_at IS NULL",
    )
    .bind(id)
    .bind(done.state.as_str())
    .bind(done.pull_request_url)
    .bind(done.reason)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Takes the jobs of a task out of the queue that is about to be deleted.
pub async fn forget(tx: &mut TeamTx, task: TaskId) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM jobs USING publishings p
         WHERE jobs.team = current_team() AND p.team = current_team() AND p.task = $1 AND jobs.id = p.id",
    )
    .bind(task.0)
    .execute(tx.connection())
    .await?;
    Ok(())
}

fn publishing_row(row: &PgRow) -> Result<PublishingRow, StoreError> {
    let id: Uuid = row.try_get("id")?;
    let corrupt = |column| StoreError::corrupt("publishings", column, id);
    let commit: Option<String> = row.try_get("commit_id")?;
    Ok(PublishingRow {
        id,
        task: TaskId(row.try_get("task")?),
        run: row.try_get::<i32, _>("run")? as u32,
        user: UserId(row.try_get("user_id")?),
        state: PublishState::parse(&row.try_get::<String, _>("state")?).ok_or_else(|| corrupt("state"))?,
        branch: row.try_get("branch")?,
        pull_request: row.try_get("pull_request")?,
        title: row.try_get("title")?,
        body: row.try_get("body")?,
        url: row.try_get("url")?,
        reference: row.try_get("reference")?,
        base: row.try_get::<String, _>("base")?.parse().map_err(|_| corrupt("base"))?,
        patch: BlobHash(row.try_get("patch")?),
        approval: row.try_get::<Option<Uuid>, _>("approval")?.map(ApprovalId),
        composed: row.try_get("composed")?,
        commit: commit.map(|commit| commit.parse().map_err(|_| corrupt("commit_id"))).transpose()?,
        failures: row.try_get::<i32, _>("failures")? as u32,
        created_at: Timestamp(row.try_get("created_at")?),
    })
}
