//! Instructions of teams, version by version. A version is never changed.

use super::{Store, StoreError, TeamTx};
use crate::domain::{TeamId, Timestamp, UserId};
use sqlx::{Row, postgres::PgRow};

/// One version of a team's instructions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstructionsRow {
    /// From 1 per team.
    pub version: u32,
    /// Empty: the team took its instructions back.
    pub text: String,
    pub author: UserId,
    pub author_name: String,
    pub created_at: Timestamp,
}

/// Writes the version after `before`, which is 0 where there is none yet. [`StoreError::Conflict`]: that
/// version is there already.
pub async fn insert(
    tx: &mut TeamTx,
    team: TeamId,
    before: u32,
    text: &str,
    author: UserId,
    author_name: &str,
) -> Result<InstructionsRow, StoreError> {
    let row = sqlx::query(
        "INSERT INTO team_instructions (team, version, text, author, author_name) VALUES ($1, $2, $3, $4, $5)
         RETURNING version, text, author, author_name, created_at",
    )
    .bind(team.0)
    .bind(before.saturating_add(1) as i32)
    .bind(text)
    .bind(author.0)
    .bind(author_name)
    .fetch_one(tx.connection())
    .await?;
    instructions_row(&row)
}

/// The newest version, or the one that is named.
pub async fn get(tx: &mut TeamTx, version: Option<u32>) -> Result<Option<InstructionsRow>, StoreError> {
    let row = sqlx::query(
        "SELECT version, text, author, author_name, created_at FROM team_instructions
         WHERE team = current_team() AND ($1::integer IS NULL OR version = $1)
         ORDER BY version DESC LIMIT 1",
    )
    .bind(version.map(|version| version as i32))
    .fetch_optional(tx.connection())
    .await?;
    row.as_ref().map(instructions_row).transpose()
}

/// Versions before `before`, newest first.
pub async fn list(tx: &mut TeamTx, before: Option<u32>, limit: u32) -> Result<Vec<InstructionsRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT version, text, author, author_name, created_at FROM team_instructions
         WHERE team = current_team() AND ($1::integer IS NULL OR version < $1)
         ORDER BY version DESC LIMIT $2",
    )
    .bind(before.map(|version| version as i32))
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(instructions_row).collect()
}

/// The newest version of a team, for a worker that begins a task of it.
pub async fn newest(store: &Store, team: TeamId) -> Result<Option<InstructionsRow>, StoreError> {
    let row = sqlx::query(
        "SELECT version, text, author, author_name, created_at FROM team_instructions
         WHERE team = $1 ORDER BY version DESC LIMIT 1",
    )
    .bind(team.0)
    .fetch_optional(store.across())
    .await?;
    row.as_ref().map(instructions_row).transpose()
}

fn instructions_row(row: &PgRow) -> Result<InstructionsRow, StoreError> {
    Ok(InstructionsRow {
        version: row.try_get::<i32, _>("version")? as u32,
        text: row.try_get("text")?,
        author: UserId(row.try_get("author")?),
        author_name: row.try_get("author_name")?,
        created_at: Timestamp(row.try_get("created_at")?),
    })
}
