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

/// Removes all but each team's newest `kept`; how many.
pub async fn trim(store: &Store, kept: u32) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "DELETE FROM baselines AS old USING (
            SELECT team, key, row_number() OVER (PARTITION BY team ORDER BY created_at DESC, key) AS place FROM baselines
         ) AS all_of_them
         WHERE all_of_them.place > $1 AND old.team = all_of_them.team AND old.key = all_of_them.key",
    )
    .bind(i64::from(kept))
    .execute(store.across())
    .await?;
    Ok(done.rows_affected())
}
