//! Teams, users and who belongs to which: what credentials are resolved to.

use super::{AcrossTx, Store, StoreError, TeamTx, retention::TeamRetention};
use crate::domain::{MemberOrigin, Principal, Role, TeamId, Timestamp, UserId};
use sqlx::{PgConnection, Row, postgres::PgRow};

/// A team's row.
#[derive(Clone, Debug, PartialEq)]
pub struct TeamRow {
    pub id: TeamId,
    pub name: String,
    /// JSON text.
    pub limits: String,
    /// Its part of what the workers do, beside the others'.
    pub weight: i32,
    pub retention: TeamRetention,
    pub created_at: Timestamp,
}

/// A member with the user that he is.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberRow {
    pub user: UserId,
    pub name: String,
    pub email: Option<String>,
    pub role: Role,
    pub origin: MemberOrigin,
    pub deactivated: bool,
    pub limits: String,
    pub created_at: Timestamp,
}

/// Who a user is: (issuer, subject) is the key, the rest may change.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    pub issuer: &'a str,
    pub subject: &'a str,
    pub name: &'a str,
    pub email: Option<&'a str>,
}

/// What an empty database starts with.
#[derive(Clone, Copy, Debug)]
pub struct FirstAdmin<'a> {
    pub team: TeamId,
    pub team_name: &'a str,
    pub user: UserId,
    pub key: super::api_keys::NewKey<'a>,
}

/// The team of that name.
pub async fn team_by_name(store: &Store, name: &str) -> Result<Option<TeamId>, StoreError> {
    let id: Option<uuid::Uuid> =
        sqlx::query_scalar("SELECT id FROM teams WHERE name = $1").bind(name).fetch_optional(store.across()).await?;
    Ok(id.map(TeamId))
}

/// Every team, by name: for operators, never for a principal.
pub async fn all_teams(store: &Store, limit: i64) -> Result<Vec<TeamRow>, StoreError> {
    let rows = sqlx::query("SELECT id, name, limits, weight, retention, created_at FROM teams ORDER BY name LIMIT $1")
        .bind(limit)
        .fetch_all(store.across())
        .await?;
    rows.iter().map(team_row).collect()
}

/// Makes a team, or finds the one of that name; `id` is used where it is new.
pub async fn ensure_team(store: &Store, id: TeamId, name: &str) -> Result<TeamId, StoreError> {
    insert_team(&mut *store.across().acquire().await?, id, name).await
}

/// Makes a user, or finds the one of that identity and keeps his name and address up to date.
pub async fn ensure_user(store: &Store, id: UserId, identity: Identity<'_>) -> Result<UserId, StoreError> {
    insert_user(&mut *store.across().acquire().await?, id, identity).await
}

/// The same within an operator's transaction.
pub async fn ensure_team_across(tx: &mut AcrossTx, id: TeamId, name: &str) -> Result<TeamId, StoreError> {
    insert_team(tx.connection(), id, name).await
}

/// The same within an operator's transaction.
pub async fn ensure_user_across(tx: &mut AcrossTx, id: UserId, identity: Identity<'_>) -> Result<UserId, StoreError> {
    insert_user(tx.connection(), id, identity).await
}

/// The same within an operator's transaction.
pub async fn set_member_across(tx: &mut AcrossTx, team: TeamId, user: UserId, role: Role) -> Result<(), StoreError> {
    insert_member(tx.connection(), team, user, role).await
}

/// The names of those of `users` that are of the transaction's team.
pub async fn names(tx: &mut TeamTx, users: &[UserId]) -> Result<Vec<(UserId, String)>, StoreError> {
    let ids: Vec<uuid::Uuid> = users.iter().map(|user| user.0).collect();
    let rows: Vec<(uuid::Uuid, String)> =
        sqlx::query_as("SELECT id, name FROM users WHERE id = ANY($1)").bind(ids).fetch_all(tx.connection()).await?;
    Ok(rows.into_iter().map(|(id, name)| (UserId(id), name)).collect())
}

/// The names of these teams: for operators, never for a principal.
pub async fn team_names(store: &Store, teams: &[TeamId]) -> Result<Vec<(TeamId, String)>, StoreError> {
    let ids: Vec<uuid::Uuid> = teams.iter().map(|team| team.0).collect();
    let rows: Vec<(uuid::Uuid, String)> =
        sqlx::query_as("SELECT id, name FROM teams WHERE id = ANY($1)").bind(ids).fetch_all(store.across()).await?;
    Ok(rows.into_iter().map(|(id, name)| (TeamId(id), name)).collect())
}

/// The names of these users: for operators, never for a principal.
pub async fn user_names(store: &Store, users: &[UserId]) -> Result<Vec<(UserId, String)>, StoreError> {
    let ids: Vec<uuid::Uuid> = users.iter().map(|user| user.0).collect();
    let rows: Vec<(uuid::Uuid, String)> =
        sqlx::query_as("SELECT id, name FROM users WHERE id = ANY($1)").bind(ids).fetch_all(store.across()).await?;
    Ok(rows.into_iter().map(|(id, name)| (UserId(id), name)).collect())
}

/// The user of that identity.
pub async fn user_by_identity(store: &Store, issuer: &str, subject: &str) -> Result<Option<UserId>, StoreError> {
    let id: Option<uuid::Uuid> = sqlx::query_scalar("SELECT id FROM users WHERE issuer = $1 AND subject = $2")
        .bind(issuer)
        .bind(subject)
        .fetch_optional(store.across())
        .await?;
    Ok(id.map(UserId))
}

/// Makes the user a member with that role, or changes his role.
pub async fn set_member(store: &Store, team: TeamId, user: UserId, role: Role) -> Result<(), StoreError> {
    insert_member(&mut *store.across().acquire().await?, team, user, role).await
}

/// Makes the first team, its admin, who is an operator of the instance, and his key, if there is no user but whom commands on
/// this machine are (`app::embedded`). Of replicas that start together one does it. Answers whether it was this one.
pub async fn bootstrap(store: &Store, first: FirstAdmin<'_>) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    // An arbitrary number that means "bootstrap" to this service alone.
    sqlx::query("SELECT pg_advisory_xact_lock(7264503901)").execute(&mut *tx).await?;
    let present: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM users WHERE (issuer, subject) <> ('local', 'local'))")
            .fetch_one(&mut *tx)
            .await?;
    if present {
        return Ok(false);
    }
    let team = insert_team(&mut tx, first.team, first.team_name).await?;
    let identity = Identity { issuer: "local", subject: "admin", name: "admin", email: None };
    let user = insert_user(&mut tx, first.user, identity).await?;
    insert_member(&mut tx, team, user, Role::Admin).await?;
    sqlx::query("UPDATE users SET operator = true WHERE id = $1").bind(user.0).execute(&mut *tx).await?;
    super::api_keys::insert_with(&mut tx, team, user, first.key).await?;
    tx.commit().await?;
    Ok(true)
}

/// The principal that a user is in a team; absent where he is no member or deactivated.
pub async fn principal(store: &Store, team: TeamId, user: UserId) -> Result<Option<Principal>, StoreError> {
    let row = sqlx::query(
        "SELECT t.name AS team_name, u.name AS user_name, u.email, u.operator, m.role
         FROM members m JOIN teams t ON t.id = m.team JOIN users u ON u.id = m.user_id
         WHERE m.team = $1 AND m.user_id = $2 AND u.deactivated_at IS NULL",
    )
    .bind(team.0)
    .bind(user.0)
    .fetch_optional(store.across())
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Principal {
        team,
        team_name: row.try_get("team_name")?,
        user,
        user_name: row.try_get("user_name")?,
        email: row.try_get("email")?,
        role: role(&row, user)?,
        operator: row.try_get("operator")?,
        scopes: None,
        api_key: None,
        session: None,
    }))
}

/// The transaction's own team.
pub async fn own_team(tx: &mut TeamTx) -> Result<Option<TeamRow>, StoreError> {
    let row =
        sqlx::query("SELECT id, name, limits, weight, retention, created_at FROM teams WHERE id = current_team()")
            .fetch_optional(tx.connection())
            .await?;
    row.as_ref().map(team_row).transpose()
}

/// Members of the transaction's team after `after`, in the order of their ids.
pub async fn members(tx: &mut TeamTx, after: Option<UserId>, limit: i64) -> Result<Vec<MemberRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT m.user_id, u.name, u.email, m.role, m.origin, m.limits, m.created_at,
            u.deactivated_at IS NOT NULL AS deactivated
         FROM members m JOIN users u ON u.id = m.user_id
         WHERE m.team = current_team() AND ($1::uuid IS NULL OR m.user_id > $1)
         ORDER BY m.user_id LIMIT $2",
    )
    .bind(after.map(|id| id.0))
    .bind(limit)
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(member_row).collect()
}

pub(super) fn member_row(row: &PgRow) -> Result<MemberRow, StoreError> {
    let user = UserId(row.try_get("user_id")?);
    Ok(MemberRow {
        user,
        name: row.try_get("name")?,
        email: row.try_get("email")?,
        role: role(row, user)?,
        origin: origin(row, user)?,
        deactivated: row.try_get("deactivated")?,
        limits: row.try_get("limits")?,
        created_at: Timestamp(row.try_get("created_at")?),
    })
}

pub(super) fn team_row(row: &PgRow) -> Result<TeamRow, StoreError> {
    let id = TeamId(row.try_get("id")?);
    let retention: String = row.try_get("retention")?;
    Ok(TeamRow {
        id,
        retention: serde_json::from_str(&retention).map_err(|_| StoreError::corrupt("teams", "retention", id))?,
        name: row.try_get("name")?,
        limits: row.try_get("limits")?,
        weight: row.try_get("weight")?,
        created_at: Timestamp(row.try_get("created_at")?),
    })
}

pub(super) fn origin(row: &PgRow, user: UserId) -> Result<MemberOrigin, StoreError> {
    let word: String = row.try_get("origin")?;
    MemberOrigin::parse(&word).ok_or_else(|| StoreError::corrupt("members", "origin", user))
}

pub(super) fn role(row: &PgRow, user: UserId) -> Result<Role, StoreError> {
    let word: String = row.try_get("role")?;
    word.parse().map_err(|_| StoreError::corrupt("members", "role", user))
}

async fn insert_team(connection: &mut PgConnection, id: TeamId, name: &str) -> Result<TeamId, StoreError> {
    let id: uuid::Uuid = sqlx::query_scalar(
        "INSERT INTO teams (id, name) VALUES ($1, $2)
         ON CONFLICT ON CONSTRAINT teams_name_unique DO UPDATE SET name = excluded.name RETURNING id",
    )
    .bind(id.0)
    .bind(name)
    .fetch_one(connection)
    .await?;
    Ok(TeamId(id))
}

async fn insert_user(connection: &mut PgConnection, id: UserId, identity: Identity<'_>) -> Result<UserId, StoreError> {
    let id: uuid::Uuid = sqlx::query_scalar(
        "INSERT INTO users (id, issuer, subject, name, email) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT ON CONSTRAINT users_identity_unique
         DO UPDATE SET name = excluded.name, email = coalesce(excluded.email, users.email) RETURNING id",
    )
    .bind(id.0)
    .bind(identity.issuer)
    .bind(identity.subject)
    .bind(identity.name)
    .bind(identity.email)
    .fetch_one(connection)
    .await?;
    Ok(UserId(id))
}

async fn insert_member(
    connection: &mut PgConnection,
    team: TeamId,
    user: UserId,
    role: Role,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO members (team, user_id, role) VALUES ($1, $2, $3)
         ON CONFLICT (team, user_id) DO UPDATE SET role = excluded.role, origin = excluded.origin",
    )
    .bind(team.0)
    .bind(user.0)
    .bind(role.as_str())
    .execute(connection)
    .await?;
    Ok(())
}
