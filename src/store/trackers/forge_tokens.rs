//! Integrations that let the service into a forge: what is known of each, with its sealed token.

use super::integrations::TOKEN;
use crate::{
    domain::{TeamId, secret::Sealed},
    store::{Store, StoreError, sealed},
};
use sqlx::Row;
use uuid::Uuid;

/// More integrations with a token than a team may have.
const ROWS_MAX: i64 = 1_000;

/// An integration with a token.
#[derive(Clone, Debug)]
pub struct ForgeTokenRow {
    pub integration: Uuid,
    pub tracker: String,
    /// [`crate::domain::integration::IntegrationSpec`] as JSON.
    pub spec: String,
    pub sealed: Sealed,
}

/// Those of a team, the oldest first.
pub async fn of_team(store: &Store, team: TeamId) -> Result<Vec<ForgeTokenRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT i.id, i.tracker, i.spec, s.key_id, s.wrapped_key, s.sealed FROM integrations i
            JOIN integration_secrets s ON s.team = i.team AND s.integration = i.id
         WHERE i.team = $1 AND s.name = $2 AND i.tracker IN ('github', 'gitlab', 'gitea') ORDER BY i.id LIMIT $3",
    )
    .bind(team.0)
    .bind(TOKEN)
    .bind(ROWS_MAX)
    .fetch_all(store.across())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(ForgeTokenRow {
                integration: row.try_get("id")?,
                tracker: row.try_get("tracker")?,
                spec: row.try_get("spec")?,
                sealed: sealed::of_row(row)?,
            })
        })
        .collect()
}
