//! Which task an issue, or a pull request, has. Trackers do not tell keys apart by case: a name that an admin has written
//! means what the tracker writes.

use crate::{
    domain::{IntegrationId, Status, TaskId, TeamId},
    store::{Store, StoreError, TeamTx},
};
use sqlx::Row;
use uuid::Uuid;

/// Makes the row of an issue, where there is none: it is what [`lock()`] locks.
pub async fn ensure(tx: &mut TeamTx, team: TeamId, integration: IntegrationId, issue: &str) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO tracker_issues (team, integration, issue) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
        .bind(team.0)
        .bind(integration.0)
        .bind(issue.to_lowercase())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Locks an issue until the transaction ends. What it has is read by a statement of its own, which sees what those wrote who
/// had the lock before.
pub async fn lock(tx: &mut TeamTx, integration: IntegrationId, issue: &str) -> Result<(), StoreError> {
    sqlx::query(
        "SELECT 1 FROM tracker_issues WHERE team = current_team() AND integration = $1 AND issue = $2 FOR UPDATE",
    )
    .bind(integration.0)
    .bind(issue.to_lowercase())
    .fetch_optional(tx.connection())
    .await?;
    Ok(())
}

/// The task of an issue or a pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskOf {
    pub task: TaskId,
    pub status: Status,
    /// How the pull request has ended: `closed` or `merged`.
    pub ended: Option<String>,
}

/// The task of an issue and where it stands, if it has one.
pub async fn task(tx: &mut TeamTx, integration: IntegrationId, issue: &str) -> Result<Option<TaskOf>, StoreError> {
    let row = sqlx::query(
        "SELECT t.id, t.status, i.ended FROM tracker_issues i JOIN tasks t ON t.team = i.team AND t.id = i.task
         WHERE i.team = current_team() AND i.integration = $1 AND i.issue = $2",
    )
    .bind(integration.0)
    .bind(issue.to_lowercase())
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let task = TaskId(row.try_get("id")?);
    let status: String = row.try_get("status")?;
    let status = status.parse().map_err(|_| StoreError::corrupt("tasks", "status", task))?;
    Ok(Some(TaskOf { task, status, ended: row.try_get("ended")? }))
}

/// Writes how a pull request has ended; none: it is open again.
pub async fn end(
    tx: &mut TeamTx,
    integration: IntegrationId,
    pull_request: &str,
    ended: Option<&str>,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE tracker_issues SET ended = $3 WHERE team = current_team() AND integration = $1 AND issue = $2")
        .bind(integration.0)
        .bind(pull_request.to_lowercase())
        .bind(ended)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Gives an issue its task.
pub async fn set_task(
    tx: &mut TeamTx,
    integration: IntegrationId,
    issue: &str,
    task: TaskId,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE tracker_issues SET task = $3 WHERE team = current_team() AND integration = $1 AND issue = $2")
        .bind(integration.0)
        .bind(issue.to_lowercase())
        .bind(task.0)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Gives a pull request that the service has opened its task. Nothing where the integration is gone.
pub async fn link(
    tx: &mut TeamTx,
    integration: IntegrationId,
    pull_request: &str,
    task: TaskId,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO tracker_issues (team, integration, issue, task)
         SELECT team, id, $2, $3 FROM integrations WHERE team = current_team() AND id = $1 FOR KEY SHARE
         ON CONFLICT (team, integration, issue) DO UPDATE SET task = excluded.task, ended = NULL",
    )
    .bind(integration.0)
    .bind(pull_request.to_lowercase())
    .bind(task.0)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Gives an issue another key, or all that a repository has where it has another name; what is there already stays.
pub async fn moved(tx: &mut TeamTx, integration: IntegrationId, from: &str, to: &str) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE tracker_issues i SET issue = $3 || substr(i.issue, length($2) + 1)
         WHERE i.team = current_team() AND i.integration = $1 AND (i.issue = $2 OR starts_with(i.issue, $2 || '#'))
            AND NOT EXISTS (SELECT 1 FROM tracker_issues o
                WHERE o.team = i.team AND o.integration = $1 AND o.issue = $3 || substr(i.issue, length($2) + 1))",
    )
    .bind(integration.0)
    .bind(from.to_lowercase())
    .bind(to.to_lowercase())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Whether an issue has a task, or may have one once what has come about it is worked off.
pub async fn has_task(store: &Store, integration: IntegrationId, issue: &str) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM tracker_issues WHERE integration = $1 AND issue = $2 AND task IS NOT NULL)
            OR EXISTS (SELECT 1 FROM tracker_deliveries WHERE integration = $1 AND issue = $3 AND state = 'waiting')",
    )
    .bind(integration.0)
    .bind(issue.to_lowercase())
    .bind(issue)
    .fetch_one(store.across())
    .await?)
}

/// The key of the pull request that the service has opened in a repository for a branch, or for a commit where the branch is not
/// known; none where it has not.
pub async fn of_publishing(
    store: &Store,
    integration: IntegrationId,
    repository: &str,
    branch: Option<&str>,
    commit: &str,
) -> Result<Option<String>, StoreError> {
    // The task's issue may be of the same repository, and bear the same mark.
    Ok(sqlx::query_scalar(
        "SELECT i.issue FROM publishings p JOIN tracker_issues i ON i.team = p.team AND i.task = p.task
         WHERE i.integration = $1 AND (starts_with(i.issue, $2 || '!') OR starts_with(i.issue, $2 || '#'))
            AND ($3::text IS NOT NULL AND p.branch = $3 OR $3::text IS NULL AND p.commit_id = $4)
            AND p.pull_request_url LIKE '%/' || substr(i.issue, length($2) + 2)
         ORDER BY p.id DESC LIMIT 1",
    )
    .bind(integration.0)
    .bind(repository.to_lowercase())
    .bind(branch)
    .bind(commit)
    .fetch_optional(store.across())
    .await?)
}

/// The integrations of a team that have heard of issues or pull requests of a repository.
pub async fn heard_of(store: &Store, team: TeamId, repository: &str) -> Result<Vec<Uuid>, StoreError> {
    Ok(sqlx::query_scalar(
        "SELECT i.id FROM integrations i WHERE i.team = $1 AND EXISTS (
            SELECT 1 FROM tracker_issues t WHERE t.team = i.team AND t.integration = i.id
                AND (starts_with(t.issue, $2 || '#') OR starts_with(t.issue, $2 || '!')))",
    )
    .bind(team.0)
    .bind(repository.to_lowercase())
    .fetch_all(store.across())
    .await?)
}
