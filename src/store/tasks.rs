//! The rows of tasks: made here, read by the use cases.

use super::{Store, StoreError, TeamTx, jobs, log};
use crate::domain::{
    EventData, Status, TaskId, TaskSpec, TeamId, UserId,
    task::{LOG_VERSION, RepositorySource, UserRef},
};
use sqlx::Row;
use uuid::Uuid;

/// A task to be made.
#[derive(Clone, Debug)]
pub struct NewTask<'a> {
    pub team: TeamId,
    pub id: TaskId,
    pub created_by: UserId,
    /// The creator's name, for the log.
    pub author: &'a str,
    pub spec: &'a TaskSpec,
}

/// Makes a task with its head, its first event and its place in the queue. `requested_by`: who asked for it, where that is
/// another than its creator.
pub async fn create(tx: &mut TeamTx, new: &NewTask<'_>, requested_by: Option<UserRef>) -> Result<(), StoreError> {
    insert(tx, new).await?;
    let event = |data| log::NewEvent { run: 1, turn: 0, data, private: None };
    let events = [
        event(EventData::TaskCreated { spec: Box::new(new.spec.clone()), author: new.author.to_owned(), requested_by }),
        event(EventData::TaskStatus { status: Status::Queued, waiting_for: None, error: None }),
    ];
    log::append_locked(tx, new.team, new.id, &events, &log::TaskChange::default()).await?;
    jobs::put(tx, &run_task(new.team, new.id, new.created_by, new.spec.priority)).await
}

/// Makes the rows of a task and its head, without an event.
pub(super) async fn insert(tx: &mut TeamTx, new: &NewTask<'_>) -> Result<(), StoreError> {
    let spec = serde_json::to_string(new.spec).map_err(|_| StoreError::corrupt("tasks", "spec", new.id))?;
    let labels = serde_json::to_value(&new.spec.labels).map_err(|_| StoreError::corrupt("tasks", "labels", new.id))?;
    let repository = match &new.spec.repository {
        Some(RepositorySource::Git { url, .. }) => Some(url.as_str()),
        _ => None,
    };
    sqlx::query(
        "WITH task AS (
            INSERT INTO tasks (team, id, created_by, title, request, status, priority, source_kind, repository, labels, spec, log_version)
            VALUES ($1, $2, $3, $4, $5, 'queued', $6, $7, $8, $9, $10, $11) RETURNING team, id
         )
         INSERT INTO task_heads (team, task) SELECT team, id FROM task",
    )
    .bind(new.team.0)
    .bind(new.id.0)
    .bind(new.created_by.0)
    .bind(&new.spec.title)
    .bind(&new.spec.request)
    .bind(new.spec.priority)
    .bind(new.spec.source.kind.as_str())
    .bind(repository)
    .bind(labels)
    .bind(spec)
    .bind(LOG_VERSION)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The job that drives a task.
pub fn run_task(team: TeamId, task: TaskId, user: UserId, priority: i16) -> jobs::NewJob {
    jobs::NewJob { id: task.0, team, kind: "run_task", user, priority, log_version: LOG_VERSION }
}

/// What a worker needs besides the log.
#[derive(Clone, Debug)]
pub struct Owner {
    pub created_by: UserId,
    pub detail: String,
}

pub async fn owner(store: &Store, task: TaskId) -> Result<Option<Owner>, StoreError> {
    let row = sqlx::query("SELECT created_by, detail FROM tasks WHERE id = $1")
        .bind(task.0)
        .fetch_optional(store.across())
        .await?;
    row.map(|row| {
        Ok(Owner { created_by: row.try_get::<Uuid, _>("created_by")?.into(), detail: row.try_get("detail")? })
    })
    .transpose()
}

/// Those of the given tasks that still exist.
pub async fn existing(store: &Store, tasks: &[TaskId]) -> Result<Vec<TaskId>, StoreError> {
    let ids: Vec<Uuid> = tasks.iter().map(|t| t.0).collect();
    let found: Vec<Uuid> =
        sqlx::query_scalar("SELECT id FROM tasks WHERE id = ANY($1)").bind(&ids).fetch_all(store.across()).await?;
    Ok(found.into_iter().map(TaskId).collect())
}
