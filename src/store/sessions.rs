//! Browser sessions: rows that know a cookie's SHA-256, never the cookie. They are a user's and no team's.

use super::{Store, StoreError, TeamTx};
use crate::domain::{SessionId, Timestamp, UserId};
use sqlx::{Row, postgres::PgRow};
use std::time::Duration;

/// A session as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    pub id: SessionId,
    pub user: UserId,
    pub user_agent: Option<String>,
    pub created_at: Timestamp,
    pub last_used_at: Timestamp,
    /// When it ends unless it is used, and at the latest.
    pub expires_at: Timestamp,
}

/// A session to be.
#[derive(Clone, Copy, Debug)]
pub struct NewSession<'a> {
    pub id: SessionId,
    pub user: UserId,
    /// SHA-256 of the cookie's value.
    pub hash: &'a [u8],
    pub user_agent: Option<&'a str>,
    /// How long it may last, and how long it may rest.
    pub lasts: Duration,
    pub rests: Duration,
}

/// The user of a live session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub id: SessionId,
    pub user: UserId,
    /// What is left of its life, unless it is used.
    pub expires_in: Duration,
}

pub async fn insert(store: &Store, new: NewSession<'_>) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO sessions (id, user_id, hash, user_agent, expires_at, idle_expires_at)
         VALUES ($1, $2, $3, $4, now() + $5 * interval '1 second', now() + least($5, $6) * interval '1 second')",
    )
    .bind(new.id.0)
    .bind(new.user.0)
    .bind(new.hash)
    .bind(new.user_agent)
    .bind(new.lasts.as_secs_f64())
    .bind(new.rests.as_secs_f64())
    .execute(store.across())
    .await?;
    Ok(())
}

/// The live session with that SHA-256, of a user who is not deactivated. Notes the use, at most once a minute, from which
/// it may rest for `rests` again.
pub async fn resolve(store: &Store, hash: &[u8], rests: Duration) -> Result<Option<Found>, StoreError> {
    let row = sqlx::query(
        "SELECT s.id, s.user_id, s.last_used_at < now() - interval '1 minute' AS note,
            extract(epoch FROM least(s.expires_at, s.idle_expires_at) - now())::float8 AS expires_in
         FROM sessions s JOIN users u ON u.id = s.user_id AND u.deactivated_at IS NULL
         WHERE s.hash = $1 AND s.expires_at > now() AND s.idle_expires_at > now()",
    )
    .bind(hash)
    .fetch_optional(store.across())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let id = SessionId(row.try_get("id")?);
    if row.try_get("note")? {
        note(store, id, rests).await?;
    }
    let expires_in: f64 = row.try_get("expires_in")?;
    Ok(Some(Found {
        id,
        user: UserId(row.try_get("user_id")?),
        expires_in: Duration::try_from_secs_f64(expires_in).unwrap_or_default(),
    }))
}

async fn note(store: &Store, id: SessionId, rests: Duration) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE sessions SET last_used_at = now(),
            idle_expires_at = least(expires_at, now() + $2 * interval '1 second') WHERE id = $1",
    )
    .bind(id.0)
    .bind(rests.as_secs_f64())
    .execute(store.across())
    .await?;
    Ok(())
}

/// A user's live sessions, newest first, those before `before`.
pub async fn list(
    store: &Store,
    user: UserId,
    before: Option<SessionId>,
    limit: u32,
) -> Result<Vec<SessionRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, user_id, user_agent, created_at, last_used_at, least(expires_at, idle_expires_at) AS expires_at
         FROM sessions WHERE user_id = $1 AND expires_at > now() AND idle_expires_at > now()
            AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3",
    )
    .bind(user.0)
    .bind(before.map(|id| id.0))
    .bind(i64::from(limit))
    .fetch_all(store.across())
    .await?;
    rows.iter().map(session_row).collect()
}

/// Ends one session of a user; answers whether there was one.
pub async fn end(tx: &mut TeamTx, user: UserId, id: SessionId) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM sessions WHERE user_id = $1 AND id = $2")
        .bind(user.0)
        .bind(id.0)
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends the session with that SHA-256.
pub async fn end_by_hash(store: &Store, hash: &[u8]) -> Result<Option<SessionId>, StoreError> {
    let id: Option<uuid::Uuid> = sqlx::query_scalar("DELETE FROM sessions WHERE hash = $1 RETURNING id")
        .bind(hash)
        .fetch_optional(store.across())
        .await?;
    Ok(id.map(SessionId))
}

/// Ends all sessions of a user.
pub async fn end_all(tx: &mut TeamTx, user: UserId) -> Result<u64, StoreError> {
    let done = sqlx::query("DELETE FROM sessions WHERE user_id = $1").bind(user.0).execute(tx.connection()).await?;
    Ok(done.rows_affected())
}

/// Removes the rows of sessions that have run out.
pub async fn clear(store: &Store, limit: u32) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "DELETE FROM sessions WHERE id IN (
            SELECT id FROM sessions WHERE expires_at < now() OR idle_expires_at < now() LIMIT $1)",
    )
    .bind(i64::from(limit))
    .execute(store.across())
    .await?;
    Ok(done.rows_affected())
}

fn session_row(row: &PgRow) -> Result<SessionRow, StoreError> {
    let at = |column| row.try_get::<time::OffsetDateTime, _>(column).map(Timestamp);
    Ok(SessionRow {
        id: SessionId(row.try_get("id")?),
        user: UserId(row.try_get("user_id")?),
        user_agent: row.try_get("user_agent")?,
        created_at: at("created_at")?,
        last_used_at: at("last_used_at")?,
        expires_at: at("expires_at")?,
    })
}
