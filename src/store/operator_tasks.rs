//! Tasks of all teams as an operator chooses them.

use super::{Store, StoreError};
use crate::domain::{Status, TaskId, TeamId, Timestamp};
use sqlx::Row;
use std::time::Duration;

/// Which tasks; what is empty or absent does not narrow it. Only those that have not ended.
#[derive(Clone, Debug, Default)]
pub struct Chosen {
    pub team: Option<TeamId>,
    /// By the name under which he is known.
    pub user: Option<String>,
    pub label: Option<(String, String)>,
    /// That the task was made with.
    pub model: Option<String>,
    pub status: Vec<Status>,
    /// Made longer ago than this.
    pub older_than: Option<Duration>,
}

/// A task that an operator chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorTask {
    pub team: TeamId,
    pub team_name: String,
    pub id: TaskId,
    pub status: String,
    pub user_name: String,
    pub created_at: Timestamp,
}

/// The next of them after `after`, by id.
pub async fn list(
    store: &Store,
    chosen: &Chosen,
    after: Option<TaskId>,
    limit: u32,
) -> Result<Vec<OperatorTask>, StoreError> {
    let label = chosen.label.as_ref().map(|(name, value)| serde_json::json!({ name: value }));
    let status: Vec<&str> = chosen.status.iter().map(|status| status.as_str()).collect();
    // `json`, since `jsonb` refuses characters that a spec may have.
    let rows = sqlx::query(
        "SELECT t.team, m.name AS team_name, t.id, t.status, u.name AS user_name, t.created_at
         FROM tasks t JOIN teams m ON m.id = t.team JOIN users u ON u.id = t.created_by
         WHERE t.status IN ('queued', 'running', 'waiting') AND ($1::uuid IS NULL OR t.team = $1)
            AND ($2::text IS NULL OR u.name = $2 OR u.subject = $2 OR u.email = $2)
            AND ($3::jsonb IS NULL OR t.labels @> $3) AND ($4::text IS NULL OR t.spec::json ->> 'model' = $4)
            AND (cardinality($5::text[]) = 0 OR t.status = ANY($5))
            AND ($6::float8 IS NULL OR t.created_at < now() - $6 * interval '1 second')
            AND ($7::uuid IS NULL OR t.id > $7)
         ORDER BY t.id LIMIT $8",
    )
    .bind(chosen.team.map(|team| team.0))
    .bind(chosen.user.as_deref())
    .bind(label)
    .bind(chosen.model.as_deref())
    .bind(&status)
    .bind(chosen.older_than.map(|span| span.as_secs_f64()))
    .bind(after.map(|task| task.0))
    .bind(i64::from(limit))
    .fetch_all(store.across())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(OperatorTask {
                team: TeamId(row.try_get("team")?),
                team_name: row.try_get("team_name")?,
                id: TaskId(row.try_get("id")?),
                status: row.try_get("status")?,
                user_name: row.try_get("user_name")?,
                created_at: Timestamp(row.try_get("created_at")?),
            })
        })
        .collect()
}
