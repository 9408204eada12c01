//! API keys: rows that know a key's SHA-256 and first characters, never the key.

use super::{AcrossTx, Store, StoreError, TeamTx};
use crate::domain::{ApiKeyId, Principal, Scope, TeamId, Timestamp, UserId};
use sqlx::{PgConnection, Row, postgres::PgRow};
use std::time::Duration;

/// A key as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    pub id: ApiKeyId,
    pub user: UserId,
    pub name: String,
    /// The first characters of the key, by which people tell keys apart.
    pub prefix: String,
    /// Absent: all that the owner's role allows.
    pub scopes: Option<Vec<Scope>>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
    /// The key that follows it, where it was rotated.
    pub followed_by: Option<ApiKeyId>,
}

/// A key to be.
#[derive(Clone, Copy, Debug)]
pub struct NewKey<'a> {
    pub id: ApiKeyId,
    pub name: &'a str,
    pub prefix: &'a str,
    /// SHA-256 of the whole key.
    pub hash: &'a [u8],
    pub scopes: Option<&'a [Scope]>,
    pub expires_at: Option<Timestamp>,
}

/// What a live key stands for.
#[derive(Clone, Debug)]
pub struct Found {
    pub principal: Principal,
    /// What is left of its life; absent: no end.
    pub expires_in: Option<Duration>,
}

/// The principal of the key with that SHA-256, if the key is neither revoked nor expired and its
/// owner is still a member. Notes the use, at most once a minute.
pub async fn resolve(store: &Store, hash: &[u8]) -> Result<Option<Found>, StoreError> {
    let row = sqlx::query(
        "SELECT k.id, k.team, k.user_id, k.scopes, m.role, t.name AS team_name, u.name AS user_name, u.email, u.operator,
            extract(epoch FROM k.expires_at - now())::float8 AS expires_in,
            coalesce(k.last_used_at < now() - interval '1 minute', true) AS note
         FROM api_keys k
         JOIN members m ON m.team = k.team AND m.user_id = k.user_id
         JOIN teams t ON t.id = k.team JOIN users u ON u.id = k.user_id AND u.deactivated_at IS NULL
         WHERE k.hash = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())",
    )
    .bind(hash)
    .fetch_optional(store.across())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let id = ApiKeyId(row.try_get("id")?);
    if row.try_get("note")? {
        sqlx::query("UPDATE api_keys SET last_used_at = now() WHERE id = $1 AND team = $2")
            .bind(id.0)
            .bind(row.try_get::<uuid::Uuid, _>("team")?)
            .execute(store.across())
            .await?;
    }
    let role: String = row.try_get("role")?;
    let expires_in: Option<f64> = row.try_get("expires_in")?;
    Ok(Some(Found {
        principal: Principal {
            team: TeamId(row.try_get("team")?),
            team_name: row.try_get("team_name")?,
            user: UserId(row.try_get("user_id")?),
            user_name: row.try_get("user_name")?,
            email: row.try_get("email")?,
            role: role.parse().map_err(|_| StoreError::corrupt("members", "role", id))?,
            operator: row.try_get("operator")?,
            scopes: scopes(&row, id)?,
            api_key: Some(id),
            session: None,
        },
        expires_in: expires_in.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()),
    }))
}

/// Writes a key for an operator.
pub async fn insert_within(tx: &mut AcrossTx, team: TeamId, user: UserId, key: NewKey<'_>) -> Result<(), StoreError> {
    insert_with(tx.connection(), team, user, key).await?;
    Ok(())
}

/// Writes a key of the transaction's team; answers when it was made.
pub async fn insert(tx: &mut TeamTx, team: TeamId, user: UserId, key: NewKey<'_>) -> Result<Timestamp, StoreError> {
    insert_with(tx.connection(), team, user, key).await
}

pub(super) async fn insert_with(
    connection: &mut PgConnection,
    team: TeamId,
    user: UserId,
    key: NewKey<'_>,
) -> Result<Timestamp, StoreError> {
    let scopes: Option<Vec<&str>> = key.scopes.map(|scopes| scopes.iter().map(|scope| scope.as_str()).collect());
    let created_at: time::OffsetDateTime = sqlx::query_scalar(
        "INSERT INTO api_keys (team, id, user_id, name, prefix, hash, scopes, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING created_at",
    )
    .bind(team.0)
    .bind(key.id.0)
    .bind(user.0)
    .bind(key.name)
    .bind(key.prefix)
    .bind(key.hash)
    .bind(scopes)
    .bind(key.expires_at.map(|at| at.0))
    .fetch_one(connection)
    .await?;
    Ok(Timestamp(created_at))
}

/// Keys that are not revoked, newest first; of one user where `user` is given.
pub async fn list(
    tx: &mut TeamTx,
    user: Option<UserId>,
    before: Option<ApiKeyId>,
    limit: i64,
) -> Result<Vec<KeyRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, user_id, name, prefix, scopes, created_at, expires_at, last_used_at, followed_by FROM api_keys
         WHERE team = current_team() AND revoked_at IS NULL AND ($1::uuid IS NULL OR user_id = $1)
            AND ($2::uuid IS NULL OR id < $2)
         ORDER BY id DESC LIMIT $3",
    )
    .bind(user.map(|id| id.0))
    .bind(before.map(|id| id.0))
    .bind(limit)
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(key_row).collect()
}

/// One key that is not revoked.
pub async fn get(tx: &mut TeamTx, id: ApiKeyId) -> Result<Option<KeyRow>, StoreError> {
    let row = sqlx::query(
        "SELECT id, user_id, name, prefix, scopes, created_at, expires_at, last_used_at, followed_by FROM api_keys
         WHERE team = current_team() AND id = $1 AND revoked_at IS NULL",
    )
    .bind(id.0)
    .fetch_optional(tx.connection())
    .await?;
    row.as_ref().map(key_row).transpose()
}

/// Revokes a key; answers whether there was one to revoke.
pub async fn revoke(tx: &mut TeamTx, id: ApiKeyId) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE api_keys SET revoked_at = now() WHERE team = current_team() AND id = $1 AND revoked_at IS NULL",
    )
    .bind(id.0)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Lets another key follow one, which then goes on for `overlap_seconds` at most; until when. Nothing where the key is
/// revoked, or followed already.
pub async fn follow(
    tx: &mut TeamTx,
    id: ApiKeyId,
    by: ApiKeyId,
    overlap_seconds: u32,
) -> Result<Option<Timestamp>, StoreError> {
    let expires_at: Option<time::OffsetDateTime> = sqlx::query_scalar(
        "UPDATE api_keys SET followed_by = $2, expires_at = least(expires_at, now() + $3 * interval '1 second')
         WHERE team = current_team() AND id = $1 AND revoked_at IS NULL AND followed_by IS NULL RETURNING expires_at",
    )
    .bind(id.0)
    .bind(by.0)
    .bind(f64::from(overlap_seconds))
    .fetch_optional(tx.connection())
    .await?;
    Ok(expires_at.map(Timestamp))
}

/// Revokes all keys of a user, in one team or in all that the transaction reaches.
pub async fn revoke_all(tx: &mut TeamTx, user: UserId, team: Option<TeamId>) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "UPDATE api_keys SET revoked_at = now()
         WHERE user_id = $1 AND ($2::uuid IS NULL OR team = $2) AND revoked_at IS NULL",
    )
    .bind(user.0)
    .bind(team.map(|team| team.0))
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected())
}

fn key_row(row: &PgRow) -> Result<KeyRow, StoreError> {
    let id = ApiKeyId(row.try_get("id")?);
    let at = |column| row.try_get::<Option<time::OffsetDateTime>, _>(column).map(|at| at.map(Timestamp));
    Ok(KeyRow {
        id,
        user: UserId(row.try_get("user_id")?),
        name: row.try_get("name")?,
        prefix: row.try_get("prefix")?,
        scopes: scopes(row, id)?,
        created_at: Timestamp(row.try_get("created_at")?),
        expires_at: at("expires_at")?,
        last_used_at: at("last_used_at")?,
        followed_by: row.try_get::<Option<uuid::Uuid>, _>("followed_by")?.map(ApiKeyId),
    })
}

fn scopes(row: &PgRow, id: ApiKeyId) -> Result<Option<Vec<Scope>>, StoreError> {
    let words: Option<Vec<String>> = row.try_get("scopes")?;
    words
        .map(|words| {
            words
                .iter()
                .map(|word| Scope::ALL.into_iter().find(|scope| scope.as_str() == word))
                .collect::<Option<Vec<Scope>>>()
                .ok_or_else(|| StoreError::corrupt("api_keys", "scopes", id))
        })
        .transpose()
}
