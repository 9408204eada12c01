//! Idempotency keys: the record and the effect that it stands for commit together.

use super::{StoreError, TeamTx};
use crate::domain::{TeamId, UserId};
use sqlx::Row;

/// How long a concurrent copy waits for the first to commit.
const WAIT: &str = "SET LOCAL lock_timeout = '2s'";

/// What a request is known by.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    pub team: TeamId,
    pub user: UserId,
    pub route: &'a str,
    pub key: &'a str,
    /// SHA-256 of the body.
    pub fingerprint: &'a [u8],
}

/// An answer as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub status: u16,
    pub location: Option<String>,
    pub body: Vec<u8>,
}

/// What a request may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is the first: the effect and [`finish`] follow in the same transaction.
    First,
    /// It was done: this was answered.
    Done(Stored),
    /// The key was used with another body.
    Mismatch,
    /// The first is still being done; the transaction can only be dropped.
    InFlight,
}

/// Takes the key, waiting at most 2 s for another transaction that has taken it. Keys older than
/// a day are taken over.
pub async fn begin(tx: &mut TeamTx, key: Key<'_>) -> Result<Begun, StoreError> {
    sqlx::query(WAIT).execute(tx.connection()).await?;
    let taken = sqlx::query(
        "INSERT INTO idempotency_keys AS k (team, user_id, route, key, fingerprint) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (team, user_id, route, key) DO UPDATE
            SET fingerprint = excluded.fingerprint, status = NULL, headers = NULL, body = NULL, created_at = now()
            WHERE k.created_at < now() - interval '24 hours'",
    )
    .bind(key.team.0)
    .bind(key.user.0)
    .bind(key.route)
    .bind(key.key)
    .bind(key.fingerprint)
    .execute(tx.connection())
    .await;
    match taken {
        Ok(done) if done.rows_affected() == 1 => {
            sqlx::query("SET LOCAL lock_timeout = 0").execute(tx.connection()).await?;
            Ok(Begun::First)
        }
        Ok(_) => read(tx, key).await,
        // 55P03: lock_not_available.
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("55P03") => Ok(Begun::InFlight),
        Err(error) => Err(error.into()),
    }
}

async fn read(tx: &mut TeamTx, key: Key<'_>) -> Result<Begun, StoreError> {
    let row = sqlx::query(
        "SELECT fingerprint, status, headers, body FROM idempotency_keys
         WHERE team = $1 AND user_id = $2 AND route = $3 AND key = $4",
    )
    .bind(key.team.0)
    .bind(key.user.0)
    .bind(key.route)
    .bind(key.key)
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else { return Ok(Begun::InFlight) };
    if row.try_get::<Vec<u8>, _>("fingerprint")? != key.fingerprint {
        return Ok(Begun::Mismatch);
    }
    let status: Option<i16> = row.try_get("status")?;
    let Some(status) = status else { return Ok(Begun::InFlight) };
    Ok(Begun::Done(Stored {
        status: status as u16,
        location: row.try_get("headers")?,
        body: row.try_get::<Option<Vec<u8>>, _>("body")?.unwrap_or_default(),
    }))
}

/// Writes down what is answered; [`begin`] has taken the key in this transaction.
pub async fn finish(tx: &mut TeamTx, key: Key<'_>, answer: &Stored) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE idempotency_keys SET status = $5, headers = $6, body = $7
         WHERE team = $1 AND user_id = $2 AND route = $3 AND key = $4",
    )
    .bind(key.team.0)
    .bind(key.user.0)
    .bind(key.route)
    .bind(key.key)
    .bind(answer.status as i16)
    .bind(answer.location.as_deref())
    .bind(&answer.body)
    .execute(tx.connection())
    .await?;
    Ok(())
}
