//! What the parsers found in base trees, so that each is parsed once.

use super::{Store, StoreError};
use crate::domain::TeamId;

/// Analyses kept of one team: those made last.
const KEPT: i64 = 100;

pub async fn get(store: &Store, team: TeamId, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let content = sqlx::query_scalar("SELECT content FROM analyses WHERE team = $1 AND key = $2")
        .bind(team.0)
        .bind(key)
        .fetch_optional(store.across())
        .await?;
    Ok(content)
}

/// Keeps an analysis, and of the team's older ones no more than there is room for.
pub async fn put(store: &Store, team: TeamId, key: &str, content: &[u8]) -> Result<(), StoreError> {
    sqlx::query(
        "WITH old AS (
            DELETE FROM analyses WHERE team = $1 AND key IN (
                SELECT key FROM analyses WHERE team = $1 ORDER BY created_at DESC, key OFFSET $4))
         INSERT INTO analyses (team, key, content) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(team.0)
    .bind(key)
    .bind(content)
    .bind(KEPT - 1)
    .execute(store.across())
    .await?;
    Ok(())
}
