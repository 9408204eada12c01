//! A person's earlier tasks on a repository, as recall reads them.

use super::{Store, StoreError};
use crate::domain::{Status, TaskId, TeamId, Timestamp, UserId, check::Verdict};
use sqlx::Row;
use time::OffsetDateTime;

/// An earlier task that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct EarlierTask {
    pub id: TaskId,
    pub title: String,
    pub request: String,
    pub status: Status,
    pub verdict: Option<Verdict>,
    pub created_at: Timestamp,
    pub words: Vec<String>,
    pub vector: Option<Vec<f32>>,
}

/// Characters of an earlier task's request that are read.
const REQUEST_CHARS: i32 = 1_000;

/// The user's own tasks on a repository that have ended, the newest first; none that was done for an outsider, whose words
/// its request is.
pub async fn list(
    store: &Store,
    team: TeamId,
    user: UserId,
    repository: &str,
    model: Option<&str>,
    limit: u32,
) -> Result<Vec<EarlierTask>, StoreError> {
    let rows = sqlx::query(
        "SELECT t.id, t.title, left(t.request, $5) AS request, t.status, t.verdict, t.created_at,
            tsvector_to_array(to_tsvector('english', with_parts(t.title || ' ' || left(t.request, $5)))) AS words, v.numbers
         FROM tasks t LEFT JOIN task_vectors v ON v.team = t.team AND v.task = t.id AND v.model = $4
         WHERE t.team = $1 AND t.created_by = $2 AND repository_key(t.repository) = repository_key($3)
            AND t.repository IS NOT NULL AND t.status IN ('succeeded', 'failed')
            AND (strpos(t.spec, '\"outsider\":true') = 0 OR NOT coalesce((t.spec::json #>> '{source,outsider}')::boolean, false))
         ORDER BY t.created_at DESC LIMIT $6",
    )
    .bind(team.0)
    .bind(user.0)
    .bind(repository)
    .bind(model)
    .bind(REQUEST_CHARS)
    .bind(i64::from(limit))
    .fetch_all(store.across())
    .await?;
    rows.iter()
        .map(|row| {
            let id = TaskId(row.try_get("id")?);
            let corrupt = |column| move |_| StoreError::corrupt("tasks", column, id);
            let verdict: Option<String> = row.try_get("verdict")?;
            let verdict = verdict.map(|word| serde_json::from_value(serde_json::Value::String(word)));
            Ok(EarlierTask {
                id,
                title: row.try_get("title")?,
                request: row.try_get("request")?,
                status: row.try_get::<String, _>("status")?.parse().map_err(corrupt("status"))?,
                verdict: verdict.transpose().map_err(|_| StoreError::corrupt("tasks", "verdict", id))?,
                created_at: Timestamp(row.try_get::<OffsetDateTime, _>("created_at")?),
                words: row.try_get("words")?,
                vector: row.try_get("numbers")?,
            })
        })
        .collect()
}

/// Keeps the vector of a task's request.
pub async fn keep_vector(
    store: &Store,
    team: TeamId,
    task: TaskId,
    model: &str,
    vector: &[f32],
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO task_vectors (team, task, model, numbers) SELECT team, id, $3, $4 FROM tasks WHERE team = $1 AND id = $2
         ON CONFLICT (team, task) DO UPDATE SET model = excluded.model, numbers = excluded.numbers",
    )
    .bind(team.0)
    .bind(task.0)
    .bind(model)
    .bind(vector)
    .execute(store.across())
    .await?;
    Ok(())
}
