//! Accounts of a team's members at forges and trackers.

use super::{StoreError, TeamTx};
use crate::domain::{
    LinkedAccountId, TeamId, Timestamp, UserId,
    linked_account::{LinkState, Provider},
};
use sqlx::{Row, postgres::PgRow};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRow {
    pub id: LinkedAccountId,
    pub user: UserId,
    pub provider: Provider,
    pub host: String,
    pub login: String,
    pub state: LinkState,
    /// Absent: the service found it.
    pub proposed_by: Option<UserId>,
    pub confirmed_by: Option<UserId>,
    pub created_at: Timestamp,
    pub confirmed_at: Option<Timestamp>,
}

/// A link to be proposed.
#[derive(Clone, Copy, Debug)]
pub struct NewLink<'a> {
    pub id: LinkedAccountId,
    pub user: UserId,
    pub provider: Provider,
    pub host: &'a str,
    pub login: &'a str,
    pub proposed_by: Option<UserId>,
}

/// Proposes a link. [`StoreError::Conflict`] of `linked_accounts_login`: the login is somebody's already; of another
/// constraint: the user is no member.
pub async fn insert(tx: &mut TeamTx, team: TeamId, new: NewLink<'_>) -> Result<LinkRow, StoreError> {
    let row = sqlx::query(
        "INSERT INTO linked_accounts (team, id, user_id, provider, host, login, state, proposed_by)
         VALUES ($1, $2, $3, $4, $5, $6, 'proposed', $7)
         RETURNING id, user_id, provider, host, login, state, proposed_by, confirmed_by, created_at, confirmed_at",
    )
    .bind(team.0)
    .bind(new.id.0)
    .bind(new.user.0)
    .bind(new.provider.as_str())
    .bind(new.host)
    .bind(new.login)
    .bind(new.proposed_by.map(|user| user.0))
    .fetch_one(tx.connection())
    .await?;
    link_row(&row)
}

/// Links, newest first, those before `before`; of one user where `user` is given.
pub async fn list(
    tx: &mut TeamTx,
    user: Option<UserId>,
    state: Option<LinkState>,
    before: Option<LinkedAccountId>,
    limit: u32,
) -> Result<Vec<LinkRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, user_id, provider, host, login, state, proposed_by, confirmed_by, created_at, confirmed_at
         FROM linked_accounts WHERE team = current_team() AND ($1::uuid IS NULL OR user_id = $1)
            AND ($2::text IS NULL OR state = $2) AND ($3::uuid IS NULL OR id < $3)
         ORDER BY id DESC LIMIT $4",
    )
    .bind(user.map(|user| user.0))
    .bind(state.map(LinkState::as_str))
    .bind(before.map(|id| id.0))
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(link_row).collect()
}

/// One link, locked until the transaction ends.
pub async fn lock(tx: &mut TeamTx, id: LinkedAccountId) -> Result<Option<LinkRow>, StoreError> {
    let row = sqlx::query(
        "SELECT id, user_id, provider, host, login, state, proposed_by, confirmed_by, created_at, confirmed_at
         FROM linked_accounts WHERE team = current_team() AND id = $1 FOR UPDATE",
    )
    .bind(id.0)
    .fetch_optional(tx.connection())
    .await?;
    row.as_ref().map(link_row).transpose()
}

/// How many links a user has.
pub async fn count(tx: &mut TeamTx, user: UserId) -> Result<u32, StoreError> {
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM linked_accounts WHERE team = current_team() AND user_id = $1")
            .bind(user.0)
            .fetch_one(tx.connection())
            .await?;
    Ok(count as u32)
}

pub async fn confirm(tx: &mut TeamTx, id: LinkedAccountId, by: UserId) -> Result<Option<LinkRow>, StoreError> {
    let row = sqlx::query(
        "UPDATE linked_accounts SET state = 'confirmed', confirmed_by = $2, confirmed_at = now()
         WHERE team = current_team() AND id = $1
         RETURNING id, user_id, provider, host, login, state, proposed_by, confirmed_by, created_at, confirmed_at",
    )
    .bind(id.0)
    .bind(by.0)
    .fetch_optional(tx.connection())
    .await?;
    row.as_ref().map(link_row).transpose()
}

pub async fn delete(tx: &mut TeamTx, id: LinkedAccountId) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM linked_accounts WHERE team = current_team() AND id = $1")
        .bind(id.0)
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Whom a confirmed link makes of a login, whatever its case: members of the transaction's team who are not deactivated. With
/// a host one at most, without one at most two, which is one too many.
pub async fn resolve(
    tx: &mut TeamTx,
    provider: Provider,
    host: Option<&str>,
    login: &str,
) -> Result<Vec<UserId>, StoreError> {
    let users: Vec<Uuid> = sqlx::query_scalar(
        "SELECT DISTINCT l.user_id FROM linked_accounts l JOIN users u ON u.id = l.user_id AND u.deactivated_at IS NULL
         WHERE l.team = current_team() AND l.provider = $1 AND ($2::text IS NULL OR l.host = $2)
            AND lower(l.login) = lower($3) AND l.state = 'confirmed' LIMIT 2",
    )
    .bind(provider.as_str())
    .bind(host)
    .bind(login)
    .fetch_all(tx.connection())
    .await?;
    Ok(users.into_iter().map(UserId).collect())
}

/// Whose an account is that has come by: as [`resolve`], but for an account that was met before by its id there, whatever its login
/// is now, and not by its login if that is another's now. One that is met for the first time is known by its id from then on,
/// where the host is given. Without an id (empty) those alone are found that were never met.
pub async fn meet(
    tx: &mut TeamTx,
    provider: Provider,
    host: Option<&str>,
    login: &str,
    account: &str,
) -> Result<Vec<UserId>, StoreError> {
    let rows = sqlx::query(
        "SELECT l.id, l.user_id, l.account FROM linked_accounts l JOIN users u ON u.id = l.user_id AND u.deactivated_at IS NULL
         WHERE l.team = current_team() AND l.provider = $1 AND ($2::text IS NULL OR l.host = $2) AND l.state = 'confirmed'
            AND ($2::text IS NOT NULL AND $4 <> '' AND l.account = $4
                OR $3 <> '' AND lower(l.login) = lower($3) AND (l.account IS NULL OR l.account = $4))
         ORDER BY l.account NULLS LAST LIMIT 10",
    )
    .bind(provider.as_str())
    .bind(host)
    .bind(login)
    .bind(account)
    .fetch_all(tx.connection())
    .await?;
    let mut users = Vec::new();
    for row in &rows {
        let (user, known) = (UserId(row.try_get("user_id")?), row.try_get::<Option<String>, _>("account")?);
        if known.is_some() {
            // The id says more than any login.
            return Ok(vec![user]);
        }
        if !users.contains(&user) {
            users.push(user);
        }
    }
    if let ([row], Some(_), false) = (rows.as_slice(), host, account.is_empty()) {
        note_account(tx, row.try_get("id")?, account).await?;
    }
    Ok(users)
}

async fn note_account(tx: &mut TeamTx, link: Uuid, account: &str) -> Result<(), StoreError> {
    sqlx::query("UPDATE linked_accounts SET account = $2 WHERE team = current_team() AND id = $1 AND account IS NULL")
        .bind(link)
        .bind(account)
        .execute(tx.connection())
        .await?;
    Ok(())
}

fn link_row(row: &PgRow) -> Result<LinkRow, StoreError> {
    let id = LinkedAccountId(row.try_get("id")?);
    let (provider, state): (String, String) = (row.try_get("provider")?, row.try_get("state")?);
    let at: Option<time::OffsetDateTime> = row.try_get("confirmed_at")?;
    Ok(LinkRow {
        id,
        user: UserId(row.try_get("user_id")?),
        provider: Provider::parse(&provider).ok_or_else(|| StoreError::corrupt("linked_accounts", "provider", id))?,
        host: row.try_get("host")?,
        login: row.try_get("login")?,
        state: LinkState::parse(&state).ok_or_else(|| StoreError::corrupt("linked_accounts", "state", id))?,
        proposed_by: row.try_get::<Option<Uuid>, _>("proposed_by")?.map(UserId),
        confirmed_by: row.try_get::<Option<Uuid>, _>("confirmed_by")?.map(UserId),
        created_at: Timestamp(row.try_get("created_at")?),
        confirmed_at: at.map(Timestamp),
    })
}
