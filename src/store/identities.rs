//! Users as their tokens, sessions and admins name them, and what these make of them in a team.

use super::{
    Store, StoreError,
    accounts::{Identity, origin, role},
};
use crate::domain::{MemberOrigin, Role, TeamId, UserId};
use sqlx::{Row, postgres::PgRow};

/// A user as his identity has just been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub id: UserId,
    pub operator: bool,
    pub deactivated: bool,
}

/// How a user stands in a team.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    pub role: Role,
    pub origin: MemberOrigin,
}

/// Makes a user, or finds the one of that identity and keeps his name and address up to date.
pub async fn see(store: &Store, id: UserId, identity: Identity<'_>) -> Result<Seen, StoreError> {
    let row = sqlx::query(
        "INSERT INTO users (id, issuer, subject, name, email) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT ON CONSTRAINT users_identity_unique
         DO UPDATE SET name = excluded.name, email = coalesce(excluded.email, users.email)
         RETURNING id, operator, deactivated_at IS NOT NULL AS deactivated",
    )
    .bind(id.0)
    .bind(identity.issuer)
    .bind(identity.subject)
    .bind(identity.name)
    .bind(identity.email)
    .fetch_one(store.across())
    .await?;
    seen(&row)
}

/// The user of that identity as he is, or a new one.
pub async fn known_or_new(store: &Store, id: UserId, identity: Identity<'_>) -> Result<Seen, StoreError> {
    let row = sqlx::query(
        "WITH made AS (
            INSERT INTO users (id, issuer, subject, name, email) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT ON CONSTRAINT users_identity_unique DO NOTHING RETURNING id
         )
         SELECT id, false AS operator, false AS deactivated FROM made
         UNION ALL
         SELECT id, operator, deactivated_at IS NOT NULL FROM users WHERE issuer = $2 AND subject = $3 LIMIT 1",
    )
    .bind(id.0)
    .bind(identity.issuer)
    .bind(identity.subject)
    .bind(identity.name)
    .bind(identity.email)
    .fetch_one(store.across())
    .await?;
    seen(&row)
}

/// How the user stands in the team, and whether an admin has removed him from it.
pub async fn membership(store: &Store, team: TeamId, user: UserId) -> Result<(Option<Membership>, bool), StoreError> {
    let row = sqlx::query(
        "SELECT m.role, m.origin,
            EXISTS (SELECT 1 FROM removed_members r WHERE r.team = $1 AND r.user_id = $2) AS removed
         FROM (SELECT 1) one LEFT JOIN members m ON m.team = $1 AND m.user_id = $2",
    )
    .bind(team.0)
    .bind(user.0)
    .fetch_one(store.across())
    .await?;
    let present: Option<String> = row.try_get("role")?;
    let membership = match present {
        None => None,
        Some(_) => Some(Membership { role: role(&row, user)?, origin: origin(&row, user)? }),
    };
    Ok((membership, row.try_get("removed")?))
}

/// Makes the user a member by what a token or the identity provider says, or changes his role where that made him one.
/// Members by hand stay as they are, and whom an admin has removed stays away.
pub async fn admit(store: &Store, team: TeamId, user: UserId, membership: Membership) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO members (team, user_id, role, origin) SELECT $1, $2, $3, $4
         WHERE NOT EXISTS (SELECT 1 FROM removed_members WHERE team = $1 AND user_id = $2)
         ON CONFLICT (team, user_id) DO UPDATE SET role = excluded.role, origin = excluded.origin
            WHERE members.origin <> 'manual' AND (members.role, members.origin) <> (excluded.role, excluded.origin)",
    )
    .bind(team.0)
    .bind(user.0)
    .bind(membership.role.as_str())
    .bind(membership.origin.as_str())
    .execute(store.across())
    .await?;
    Ok(())
}

/// A team that a user is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeamOfUser {
    pub team: TeamId,
    pub name: String,
    pub role: Role,
    pub origin: MemberOrigin,
}

/// The teams of a user, by name; a thousand at most.
pub async fn teams(store: &Store, user: UserId) -> Result<Vec<TeamOfUser>, StoreError> {
    let rows = sqlx::query(
        "SELECT m.team, t.name, m.role, m.origin FROM members m JOIN teams t ON t.id = m.team
         WHERE m.user_id = $1 ORDER BY t.name LIMIT 1000",
    )
    .bind(user.0)
    .fetch_all(store.across())
    .await?;
    let team = |row: &PgRow| {
        Ok(TeamOfUser {
            team: TeamId(row.try_get("team")?),
            name: row.try_get("name")?,
            role: role(row, user)?,
            origin: origin(row, user)?,
        })
    };
    rows.iter().map(team).collect()
}

/// Makes a user's memberships by groups these and no others. Those that go end his keys there; members by hand stay as they
/// are, and whom an admin has removed stays away.
pub async fn follow_groups(store: &Store, user: UserId, wanted: &[(TeamId, Role)]) -> Result<(), StoreError> {
    let teams: Vec<uuid::Uuid> = wanted.iter().map(|(team, _)| team.0).collect();
    let roles: Vec<&str> = wanted.iter().map(|(_, role)| role.as_str()).collect();
    let mut tx = store.begin().await?;
    sqlx::query(
        "WITH gone AS (
            DELETE FROM members WHERE user_id = $1 AND origin = 'groups' AND team <> ALL($2) RETURNING team
         )
         UPDATE api_keys SET revoked_at = now() WHERE user_id = $1 AND revoked_at IS NULL
            AND team IN (SELECT team FROM gone)",
    )
    .bind(user.0)
    .bind(&teams)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "INSERT INTO members (team, user_id, role, origin)
         SELECT w.team, $1, w.role, 'groups' FROM unnest($2::uuid[], $3::text[]) AS w (team, role)
         WHERE NOT EXISTS (SELECT 1 FROM removed_members r WHERE r.team = w.team AND r.user_id = $1)
         ON CONFLICT (team, user_id) DO UPDATE SET role = excluded.role, origin = excluded.origin
            WHERE members.origin <> 'manual' AND (members.role, members.origin) <> (excluded.role, excluded.origin)",
    )
    .bind(user.0)
    .bind(&teams)
    .bind(&roles)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

fn seen(row: &PgRow) -> Result<Seen, StoreError> {
    Ok(Seen {
        id: UserId(row.try_get("id")?),
        operator: row.try_get("operator")?,
        deactivated: row.try_get("deactivated")?,
    })
}
