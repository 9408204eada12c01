//! News of credentials, memberships and users that no longer hold as they did. The database writes them itself, whoever
//! changes what they tell of; replicas read the newest.

use super::{Store, StoreError};
use crate::domain::{ApiKeyId, SessionId, TeamId, UserId};
use sqlx::{Row, postgres::PgRow};
use std::time::Duration;
use uuid::Uuid;

/// What no longer holds as it did: a key, a session, or all of a user, perhaps in one team alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    pub user: Option<UserId>,
    pub team: Option<TeamId>,
    pub api_key: Option<ApiKeyId>,
    pub session: Option<SessionId>,
}

/// Those of the last `within`, oldest first, each with its number; at most `limit`.
pub async fn recent(store: &Store, within: Duration, limit: u32) -> Result<Vec<(i64, Ending)>, StoreError> {
    let rows = sqlx::query(
        "SELECT seq, user_id, team, api_key, session FROM endings WHERE at > now() - $1 * interval '1 second'
         ORDER BY seq LIMIT $2",
    )
    .bind(within.as_secs_f64())
    .bind(i64::from(limit))
    .fetch_all(store.across())
    .await?;
    rows.iter().map(ending).collect()
}

/// Removes what nobody looks at any more.
pub async fn clear(store: &Store, older_than: Duration) -> Result<u64, StoreError> {
    let done = sqlx::query("DELETE FROM endings WHERE at < now() - $1 * interval '1 second'")
        .bind(older_than.as_secs_f64())
        .execute(store.across())
        .await?;
    Ok(done.rows_affected())
}

fn ending(row: &PgRow) -> Result<(i64, Ending), StoreError> {
    let ending = Ending {
        user: row.try_get::<Option<Uuid>, _>("user_id")?.map(UserId),
        team: row.try_get::<Option<Uuid>, _>("team")?.map(TeamId),
        api_key: row.try_get::<Option<Uuid>, _>("api_key")?.map(ApiKeyId),
        session: row.try_get::<Option<Uuid>, _>("session")?.map(SessionId),
    };
    Ok((row.try_get("seq")?, ending))
}
