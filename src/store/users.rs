//! Users of the whole instance, as its operators see and change them.

use super::{AcrossTx, Store, StoreError, TeamTx};
use crate::domain::{TaskId, TeamId, Timestamp, UserId};
use sqlx::{Row, postgres::PgRow};
use uuid::Uuid;

/// A user's row.
#[derive(Clone, Debug, PartialEq)]
pub struct UserRow {
    pub id: UserId,
    pub issuer: String,
    pub subject: String,
    pub name: String,
    pub email: Option<String>,
    pub operator: bool,
    pub created_at: Timestamp,
    pub deactivated_at: Option<Timestamp>,
}

/// Users after `after`, in the order of their ids.
pub async fn list(store: &Store, after: Option<UserId>, limit: u32) -> Result<Vec<UserRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, issuer, subject, name, email, operator, created_at, deactivated_at FROM users
         WHERE ($1::uuid IS NULL OR id > $1) ORDER BY id LIMIT $2",
    )
    .bind(after.map(|id| id.0))
    .bind(i64::from(limit))
    .fetch_all(store.across())
    .await?;
    rows.iter().map(user_row).collect()
}

pub async fn get(store: &Store, id: UserId) -> Result<Option<UserRow>, StoreError> {
    let row = sqlx::query(
        "SELECT id, issuer, subject, name, email, operator, created_at, deactivated_at FROM users WHERE id = $1",
    )
    .bind(id.0)
    .fetch_optional(store.across())
    .await?;
    row.as_ref().map(user_row).transpose()
}

/// Those with this address, whatever its case, who are not deactivated; two at most, which is one too many.
pub async fn by_email(store: &Store, email: &str) -> Result<Vec<UserId>, StoreError> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "SELECT id FROM users WHERE lower(email) = lower($1) AND deactivated_at IS NULL ORDER BY id LIMIT 2",
    )
    .bind(email)
    .fetch_all(store.across())
    .await?;
    Ok(ids.into_iter().map(UserId).collect())
}

/// Deactivates a user; nothing changes where he is already. Answers whether there is one.
pub async fn deactivate(tx: &mut TeamTx, id: UserId) -> Result<bool, StoreError> {
    let done = sqlx::query("UPDATE users SET deactivated_at = coalesce(deactivated_at, now()) WHERE id = $1")
        .bind(id.0)
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Lets a user in again; his keys and sessions stay ended.
pub async fn reactivate(tx: &mut TeamTx, id: UserId) -> Result<bool, StoreError> {
    let done =
        sqlx::query("UPDATE users SET deactivated_at = NULL WHERE id = $1").bind(id.0).execute(tx.connection()).await?;
    Ok(done.rows_affected() == 1)
}

/// Makes a user an operator of the instance, or one no longer. Answers whether there is one.
pub async fn set_operator(tx: &mut AcrossTx, id: UserId, operator: bool) -> Result<bool, StoreError> {
    let done = sqlx::query("UPDATE users SET operator = $2 WHERE id = $1")
        .bind(id.0)
        .bind(operator)
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether a user may still act in the transaction's team.
pub async fn is_active(tx: &mut TeamTx, id: UserId) -> Result<bool, StoreError> {
    let active = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM members m JOIN users u ON u.id = m.user_id
            WHERE m.team = current_team() AND m.user_id = $1 AND u.deactivated_at IS NULL)",
    )
    .bind(id.0)
    .fetch_one(tx.connection())
    .await?;
    Ok(active)
}

/// Tasks of a user that have not ended and that nobody has cancelled, in one team or in all; after `after`.
pub async fn unfinished(
    store: &Store,
    user: UserId,
    team: Option<TeamId>,
    after: Option<TaskId>,
    limit: u32,
) -> Result<Vec<(TeamId, TaskId)>, StoreError> {
    let rows: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "SELECT team, id FROM tasks WHERE created_by = $1 AND status IN ('queued', 'running', 'waiting')
            AND NOT cancel_requested AND ($2::uuid IS NULL OR team = $2) AND ($3::uuid IS NULL OR id > $3)
         ORDER BY id LIMIT $4",
    )
    .bind(user.0)
    .bind(team.map(|team| team.0))
    .bind(after.map(|task| task.0))
    .bind(i64::from(limit))
    .fetch_all(store.across())
    .await?;
    Ok(rows.into_iter().map(|(team, task)| (TeamId(team), TaskId(task))).collect())
}

fn user_row(row: &PgRow) -> Result<UserRow, StoreError> {
    Ok(UserRow {
        id: UserId(row.try_get("id")?),
        issuer: row.try_get("issuer")?,
        subject: row.try_get("subject")?,
        name: row.try_get("name")?,
        email: row.try_get("email")?,
        operator: row.try_get("operator")?,
        created_at: Timestamp(row.try_get("created_at")?),
        deactivated_at: row.try_get::<Option<time::OffsetDateTime>, _>("deactivated_at")?.map(Timestamp),
    })
}
