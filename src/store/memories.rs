//! Memories: rows that a user or a team may see, and the search over them.

use super::{Store, StoreError, TeamTx};
use crate::domain::{
    MemoryId, TeamId, Timestamp, UserId,
    memory::{Memory, MemoryKind, MemoryScope, MemoryState},
};
use sqlx::{Row, postgres::PgRow};
use time::OffsetDateTime;

/// Which memories a list shows.
#[derive(Clone, Debug, Default)]
pub struct MemoryFilter {
    pub state: Vec<MemoryState>,
    pub kind: Vec<MemoryKind>,
    pub scope: Vec<MemoryScope>,
    pub repository: Option<String>,
}

/// What becomes of a memory; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct MemoryEdit<'a> {
    pub text: Option<&'a str>,
    pub kind: Option<MemoryKind>,
    pub state: Option<MemoryState>,
    /// It speaks of no files any more.
    pub drop_files: bool,
}

/// Writes a memory.
pub async fn insert(tx: &mut TeamTx, team: TeamId, memory: &Memory) -> Result<Memory, StoreError> {
    let evidence = memory
        .evidence
        .as_ref()
        .map(serde_json::to_string)
        .transpose()
        .map_err(|_| StoreError::corrupt("memories", "evidence", memory.id))?;
    let row = sqlx::query(
        "INSERT INTO memories (team, id, user_id, text, kind, scope, repository, state, origin, evidence)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         RETURNING id, team, user_id, text, kind, scope, repository, state, origin, evidence, used, helped, hurt,
            last_used_at, superseded_by, created_at, updated_at",
    )
    .bind(team.0)
    .bind(memory.id.0)
    .bind(memory.user.0)
    .bind(&memory.text)
    .bind(word(memory.kind))
    .bind(word(memory.scope))
    .bind(memory.repository.as_deref())
    .bind(word(memory.state))
    .bind(word(memory.origin))
    .bind(evidence)
    .fetch_one(tx.connection())
    .await?;
    memory_row(&row)
}

/// Memories that `user` may see, newest first, those made before `before`.
pub async fn list(
    tx: &mut TeamTx,
    user: UserId,
    filter: &MemoryFilter,
    before: Option<MemoryId>,
    limit: u32,
) -> Result<Vec<Memory>, StoreError> {
    let words = |words: Vec<String>| (!words.is_empty()).then_some(words);
    let rows = sqlx::query(
        "SELECT id, team, user_id, text, kind, scope, repository, state, origin, evidence, used, helped, hurt,
            last_used_at, superseded_by, created_at, updated_at
         FROM memories WHERE team = current_team() AND (user_id = $1 OR scope = 'team_repository')
            AND ($2::text[] IS NULL OR state = ANY($2)) AND ($3::text[] IS NULL OR kind = ANY($3))
            AND ($4::text[] IS NULL OR scope = ANY($4)) AND ($5::text IS NULL OR repository = $5)
            AND ($6::uuid IS NULL OR id < $6)
         ORDER BY id DESC LIMIT $7",
    )
    .bind(user.0)
    .bind(words(filter.state.iter().map(|state| word(*state)).collect()))
    .bind(words(filter.kind.iter().map(|kind| word(*kind)).collect()))
    .bind(words(filter.scope.iter().map(|scope| word(*scope)).collect()))
    .bind(filter.repository.as_deref())
    .bind(before.map(|id| id.0))
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(memory_row).collect()
}

/// One memory that `user` may see.
pub async fn get(tx: &mut TeamTx, user: UserId, id: MemoryId) -> Result<Option<Memory>, StoreError> {
    let row = sqlx::query(
        "SELECT id, team, user_id, text, kind, scope, repository, state, origin, evidence, used, helped, hurt,
            last_used_at, superseded_by, created_at, updated_at
         FROM memories WHERE team = current_team() AND id = $1 AND (user_id = $2 OR scope = 'team_repository')",
    )
    .bind(id.0)
    .bind(user.0)
    .fetch_optional(tx.connection())
    .await?;
    row.as_ref().map(memory_row).transpose()
}

/// Changes a memory.
pub async fn edit(tx: &mut TeamTx, id: MemoryId, edit: &MemoryEdit<'_>) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE memories SET text = coalesce($2, text), kind = coalesce($3, kind), state = coalesce($4, state),
            evidence = CASE WHEN $5 THEN (evidence::jsonb - 'files')::text ELSE evidence END, updated_at = now()
         WHERE team = current_team() AND id = $1",
    )
    .bind(id.0)
    .bind(edit.text)
    .bind(edit.kind.map(word))
    .bind(edit.state.map(word))
    .bind(edit.drop_files)
    .execute(tx.connection())
    .await?;
    Ok(())
}

pub async fn delete(tx: &mut TeamTx, id: MemoryId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM memories WHERE team = current_team() AND id = $1")
        .bind(id.0)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Those of these memories that are active, not superseded and for `user` to see.
pub async fn active_among(tx: &mut TeamTx, user: UserId, ids: &[MemoryId]) -> Result<Vec<Memory>, StoreError> {
    let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query(
        "SELECT id, team, user_id, text, kind, scope, repository, state, origin, evidence, used, helped, hurt,
            last_used_at, superseded_by, created_at, updated_at
         FROM memories WHERE team = current_team() AND id = ANY($1) AND (user_id = $2 OR scope = 'team_repository')
            AND state = 'active' AND superseded_by IS NULL",
    )
    .bind(ids)
    .bind(user.0)
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(memory_row).collect()
}

/// Those of the given memories of a team that still exist.
pub async fn existing(store: &Store, team: TeamId, ids: &[MemoryId]) -> Result<Vec<MemoryId>, StoreError> {
    let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.0).collect();
    let found: Vec<uuid::Uuid> = sqlx::query_scalar("SELECT id FROM memories WHERE team = $1 AND id = ANY($2)")
        .bind(team.0)
        .bind(ids)
        .fetch_all(store.across())
        .await?;
    Ok(found.into_iter().map(MemoryId).collect())
}

/// The word of a domain's enum, as in JSON.
pub(super) fn word<T: serde::Serialize>(value: T) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn parsed<T: serde::de::DeserializeOwned>(row: &PgRow, column: &'static str, id: MemoryId) -> Result<T, StoreError> {
    let word: String = row.try_get(column)?;
    serde_json::from_value(serde_json::Value::String(word)).map_err(|_| StoreError::corrupt("memories", column, id))
}

pub(super) fn memory_row(row: &PgRow) -> Result<Memory, StoreError> {
    let id = MemoryId(row.try_get("id")?);
    let evidence: Option<String> = row.try_get("evidence")?;
    let count = |column| row.try_get::<i32, _>(column).map(|count| count as u32);
    Ok(Memory {
        id,
        team: Some(TeamId(row.try_get("team")?)),
        user: UserId(row.try_get("user_id")?),
        text: row.try_get("text")?,
        kind: parsed(row, "kind", id)?,
        scope: parsed(row, "scope", id)?,
        repository: row.try_get("repository")?,
        state: parsed(row, "state", id)?,
        origin: parsed(row, "origin", id)?,
        evidence: evidence
            .map(|text| serde_json::from_str(&text).map_err(|_| StoreError::corrupt("memories", "evidence", id)))
            .transpose()?,
        used: count("used")?,
        helped: count("helped")?,
        hurt: count("hurt")?,
        last_used_at: row.try_get::<Option<OffsetDateTime>, _>("last_used_at")?.map(Timestamp),
        superseded_by: row.try_get::<Option<uuid::Uuid>, _>("superseded_by")?.map(MemoryId),
        created_at: Timestamp(row.try_get("created_at")?),
        updated_at: Timestamp(row.try_get("updated_at")?),
    })
}
