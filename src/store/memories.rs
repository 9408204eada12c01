//! Memories: rows that a user or a team may see, and the search over them.

use super::{Store, StoreError, TeamTx};
use crate::domain::{
    MemoryId, TeamId, Timestamp, UserId,
    memory::{Memory, MemoryKind, MemoryScope, MemoryState},
};
use sqlx::{PgConnection, Row, postgres::PgRow};

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
}

/// A memory with how well it matches: 0 where no word does.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    pub memory: Memory,
    pub score: f32,
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
            created_at, updated_at",
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
            created_at, updated_at
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
            created_at, updated_at
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
            updated_at = now()
         WHERE team = current_team() AND id = $1",
    )
    .bind(id.0)
    .bind(edit.text)
    .bind(edit.kind.map(word))
    .bind(edit.state.map(word))
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

/// Active memories that `user` may see and that match any word of `query`, best first; those of
/// `repository` and of no repository.
pub async fn search(
    tx: &mut TeamTx,
    user: UserId,
    query: &str,
    repository: Option<&str>,
    limit: u32,
) -> Result<Vec<Ranked>, StoreError> {
    search_on(tx.connection(), None, user, query, repository, true, limit).await
}

/// The same for a worker that prepares a task of `user`; memories that match no word come last,
/// the newest first.
pub async fn candidates(
    store: &Store,
    team: TeamId,
    user: UserId,
    query: &str,
    repository: Option<&str>,
    limit: u32,
) -> Result<Vec<Ranked>, StoreError> {
    let mut connection = store.across().acquire().await?;
    search_on(&mut connection, Some(team), user, query, repository, false, limit).await
}

async fn search_on(
    connection: &mut PgConnection,
    team: Option<TeamId>,
    user: UserId,
    query: &str,
    repository: Option<&str>,
    must_match: bool,
    limit: u32,
) -> Result<Vec<Ranked>, StoreError> {
    // Any word may match: plainto_tsquery asks for all, so its operators are exchanged.
    let rows = sqlx::query(
        "WITH q AS (SELECT replace(plainto_tsquery('english', $3)::text, ' & ', ' | ')::tsquery AS words)
         SELECT id, team, user_id, text, kind, scope, repository, state, origin, evidence, used, helped, hurt,
            created_at, updated_at, ts_rank(search, q.words) AS score
         FROM memories, q
         WHERE team = coalesce($1, current_team()) AND state = 'active'
            AND (user_id = $2 OR scope = 'team_repository')
            AND (scope = 'user' OR ($4::text IS NOT NULL AND repository = $4) OR ($4::text IS NULL AND $5))
            AND (NOT $5 OR search @@ q.words)
         ORDER BY score DESC, id DESC LIMIT $6",
    )
    .bind(team.map(|id| id.0))
    .bind(user.0)
    .bind(query)
    .bind(repository)
    .bind(must_match)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok(Ranked { memory: memory_row(row)?, score: row.try_get("score")? })).collect()
}

/// Counts that memories went into a prompt.
pub async fn note_use(store: &Store, team: TeamId, ids: &[MemoryId]) -> Result<(), StoreError> {
    let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.0).collect();
    sqlx::query("UPDATE memories SET used = used + 1 WHERE team = $1 AND id = ANY($2)")
        .bind(team.0)
        .bind(ids)
        .execute(store.across())
        .await?;
    Ok(())
}

/// The word of a domain's enum, as in JSON.
fn word<T: serde::Serialize>(value: T) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn parsed<T: serde::de::DeserializeOwned>(row: &PgRow, column: &'static str, id: MemoryId) -> Result<T, StoreError> {
    let word: String = row.try_get(column)?;
    serde_json::from_value(serde_json::Value::String(word)).map_err(|_| StoreError::corrupt("memories", column, id))
}

fn memory_row(row: &PgRow) -> Result<Memory, StoreError> {
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
        created_at: Timestamp(row.try_get("created_at")?),
        updated_at: Timestamp(row.try_get("updated_at")?),
    })
}
