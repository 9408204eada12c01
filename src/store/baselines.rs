//! What checks gave on base trees, so that each is run once.

use super::{Store, StoreError};
use crate::domain::{TeamId, check::CheckRun};

pub async fn get(store: &Store, team: TeamId, key: &str) -> Result<Option<CheckRun>, StoreError> {
    let run: Option<String> = sqlx::query_scalar("SELECT run FROM baselines WHERE team = $1 AND key = $2")
        .bind(team.0)
        .bind(key)
        .fetch_optional(store.across())
        .await?;
    run.map(|text| serde_json::from_str(&text).map_err(|_| StoreError::corrupt("baselines", "run", key))).transpose()
}

pub async fn put(store: &Store, team: TeamId, key: &str, run: &CheckRun) -> Result<(), StoreError> {
    let run = serde_json::to_string(run).map_err(|_| StoreError::corrupt("baselines", "run", key))?;
    sqlx::query("INSERT INTO baselines (team, key, run) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
        .bind(team.0)
        .bind(key)
        .bind(run)
        .execute(store.across())
        .await?;
    Ok(())
}
