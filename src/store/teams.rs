//! Teams as operators of the instance and their admins change them.

use super::{
    Store, StoreError, TeamTx,
    accounts::{TeamRow, team_row},
    retention::TeamRetention,
};
use crate::domain::TeamId;

/// Makes a team. [`StoreError::Conflict`] of `teams_name_unique`: the name is taken.
pub async fn insert(tx: &mut TeamTx, id: TeamId, name: &str, limits: &str) -> Result<TeamRow, StoreError> {
    let row = sqlx::query(
        "INSERT INTO teams (id, name, limits) VALUES ($1, $2, $3) RETURNING id, name, limits, weight, retention, created_at",
    )
    .bind(id.0)
    .bind(name)
    .bind(limits)
    .fetch_one(tx.connection())
    .await?;
    team_row(&row)
}

/// Every team after `after`, in the order of their ids: for operators.
pub async fn list(store: &Store, after: Option<TeamId>, limit: u32) -> Result<Vec<TeamRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, name, limits, weight, retention, created_at FROM teams WHERE ($1::uuid IS NULL OR id > $1) ORDER BY id LIMIT $2",
    )
    .bind(after.map(|id| id.0))
    .bind(i64::from(limit))
    .fetch_all(store.across())
    .await?;
    rows.iter().map(team_row).collect()
}

/// Names the transaction's team anew. [`StoreError::Conflict`] of `teams_name_unique`: the name is taken.
pub async fn rename(tx: &mut TeamTx, name: &str) -> Result<bool, StoreError> {
    let done =
        sqlx::query("UPDATE teams SET name = $1 WHERE id = current_team()").bind(name).execute(tx.connection()).await?;
    Ok(done.rows_affected() == 1)
}

/// Sets the weight of the transaction's team, from 1 to 1000.
pub async fn set_weight(tx: &mut TeamTx, weight: i32) -> Result<bool, StoreError> {
    let done = sqlx::query("UPDATE teams SET weight = $1 WHERE id = current_team()")
        .bind(weight)
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Sets for how long the transaction's team keeps what.
pub async fn set_retention(tx: &mut TeamTx, wanted: TeamRetention) -> Result<bool, StoreError> {
    let text = serde_json::to_string(&wanted).map_err(|_| StoreError::corrupt("teams", "retention", "a new value"))?;
    let done = sqlx::query("UPDATE teams SET retention = $1 WHERE id = current_team()")
        .bind(text)
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Lays limits (JSON text) over those of the transaction's team; null takes one away.
pub async fn set_limits(tx: &mut TeamTx, limits: &str) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE teams SET limits = jsonb_strip_nulls(limits::jsonb || $1::jsonb)::text WHERE id = current_team()",
    )
    .bind(limits)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// How many tasks the transaction's team has, counted up to `limit`.
pub async fn count_tasks(tx: &mut TeamTx, limit: u32) -> Result<u32, StoreError> {
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT 1 FROM tasks WHERE team = current_team() LIMIT $1) AS counted",
    )
    .bind(i64::from(limit))
    .fetch_one(tx.connection())
    .await?;
    Ok(count as u32)
}

/// Deletes the transaction's team with all that is its own.
pub async fn delete(tx: &mut TeamTx) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM teams WHERE id = current_team()").execute(tx.connection()).await?;
    Ok(done.rows_affected() == 1)
}
