//! Changes of who belongs to a team, within its transaction.

use super::{
    StoreError, TeamTx,
    accounts::{MemberRow, member_row},
};
use crate::domain::{Role, TeamId, UserId};

/// Makes a user a member by hand, also one whom an admin had removed. [`StoreError::Conflict`] of `members_pkey`: he is one.
pub async fn insert(tx: &mut TeamTx, team: TeamId, user: UserId, role: Role, limits: &str) -> Result<(), StoreError> {
    sqlx::query(
        "WITH back AS (DELETE FROM removed_members WHERE team = $1 AND user_id = $2)
         INSERT INTO members (team, user_id, role, limits) VALUES ($1, $2, $3, $4)",
    )
    .bind(team.0)
    .bind(user.0)
    .bind(role.as_str())
    .bind(limits)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// One member of the transaction's team.
pub async fn get(tx: &mut TeamTx, user: UserId) -> Result<Option<MemberRow>, StoreError> {
    let row = sqlx::query(
        "SELECT m.user_id, u.name, u.email, m.role, m.origin, m.limits, m.created_at,
            u.deactivated_at IS NOT NULL AS deactivated
         FROM members m JOIN users u ON u.id = m.user_id WHERE m.team = current_team() AND m.user_id = $1",
    )
    .bind(user.0)
    .fetch_optional(tx.connection())
    .await?;
    row.as_ref().map(member_row).transpose()
}

/// Members of the transaction's team with this address, whatever its case, who are not deactivated; two at most, which is
/// one too many.
pub async fn by_email(tx: &mut TeamTx, email: &str) -> Result<Vec<UserId>, StoreError> {
    let ids: Vec<uuid::Uuid> = sqlx::query_scalar(
        "SELECT u.id FROM users u JOIN members m ON m.user_id = u.id AND m.team = current_team()
         WHERE lower(u.email) = lower($1) AND u.deactivated_at IS NULL ORDER BY u.id LIMIT 2",
    )
    .bind(email)
    .fetch_all(tx.connection())
    .await?;
    Ok(ids.into_iter().map(UserId).collect())
}

/// The team's admins who can act, locked until the transaction ends: who is last is decided from them.
pub async fn lock_admins(tx: &mut TeamTx) -> Result<Vec<UserId>, StoreError> {
    let rows: Vec<uuid::Uuid> = sqlx::query_scalar(
        "SELECT m.user_id FROM members m JOIN users u ON u.id = m.user_id AND u.deactivated_at IS NULL
         WHERE m.team = current_team() AND m.role = 'admin' ORDER BY m.user_id FOR UPDATE OF m",
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(UserId).collect())
}

/// Gives a member another role by hand; answers whether there was one.
pub async fn set_role(tx: &mut TeamTx, user: UserId, role: Role) -> Result<bool, StoreError> {
    let done =
        sqlx::query("UPDATE members SET role = $2, origin = 'manual' WHERE team = current_team() AND user_id = $1")
            .bind(user.0)
            .bind(role.as_str())
            .execute(tx.connection())
            .await?;
    Ok(done.rows_affected() == 1)
}

/// Lays limits (JSON text) over a member's; null takes one away. Answers whether there was one.
pub async fn set_limits(tx: &mut TeamTx, user: UserId, limits: &str) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE members SET limits = jsonb_strip_nulls(limits::jsonb || $2::jsonb)::text
         WHERE team = current_team() AND user_id = $1",
    )
    .bind(user.0)
    .bind(limits)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Removes a member, and keeps tokens and groups from bringing him back; answers whether there was one.
pub async fn remove(tx: &mut TeamTx, user: UserId) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "WITH gone AS (DELETE FROM members WHERE team = current_team() AND user_id = $1 RETURNING team, user_id)
         INSERT INTO removed_members (team, user_id) SELECT team, user_id FROM gone ON CONFLICT DO NOTHING",
    )
    .bind(user.0)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}
