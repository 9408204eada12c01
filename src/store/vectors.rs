//! Which memories want a vector, and the vectors that they are given.

use super::{Store, StoreError};
use crate::domain::{MemoryId, TeamId};
use uuid::Uuid;

/// A memory without a vector of its present text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub team: TeamId,
    pub memory: MemoryId,
    pub text: String,
    /// What tells whether it was changed since.
    pub version: i64,
}

/// Active memories without a vector, those that wait longest first.
pub async fn due(store: &Store, limit: u32) -> Result<Vec<Due>, StoreError> {
    let rows: Vec<(Uuid, Uuid, String, i64)> = sqlx::query_as(
        "SELECT team, id, text, version FROM memories
         WHERE embedded IS NULL AND state = 'active' AND superseded_by IS NULL ORDER BY version LIMIT $1",
    )
    .bind(i64::from(limit))
    .fetch_all(store.across())
    .await?;
    let due = |(team, memory, text, version)| Due { team: TeamId(team), memory: MemoryId(memory), text, version };
    Ok(rows.into_iter().map(due).collect())
}

/// Gives a memory its vector, of length 1, unless it was changed meanwhile; without one it is not asked for again.
pub async fn put(store: &Store, due: &Due, model: &str, vector: Option<&[f32]>) -> Result<(), StoreError> {
    sqlx::query(
        "WITH changed AS (
            UPDATE memories SET embedded = $4 WHERE team = $1 AND id = $2 AND version = $3 RETURNING team, id
         )
         INSERT INTO memory_vectors (team, memory, model, numbers) SELECT team, id, $4, $5 FROM changed WHERE $5::real[] IS NOT NULL
         ON CONFLICT (team, memory) DO UPDATE SET model = excluded.model, numbers = excluded.numbers",
    )
    .bind(due.team.0)
    .bind(due.memory.0)
    .bind(due.version)
    .bind(model)
    .bind(vector)
    .execute(store.across())
    .await?;
    Ok(())
}

/// Memories whose vector another model made, or (where it is known) of another dimension, want one again. How many, at most `limit`.
pub async fn forget_others(store: &Store, model: &str, dimension: u32, limit: u32) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "WITH others AS (
            SELECT m.team, m.id FROM memories m LEFT JOIN memory_vectors v ON v.team = m.team AND v.memory = m.id
            WHERE m.embedded IS NOT NULL AND (m.embedded <> $1 OR ($2 > 0 AND cardinality(v.numbers) <> $2))
            LIMIT $3 FOR UPDATE OF m SKIP LOCKED
         )
         UPDATE memories SET embedded = NULL FROM others WHERE memories.team = others.team AND memories.id = others.id",
    )
    .bind(model)
    .bind(dimension as i32)
    .bind(i64::from(limit))
    .execute(store.across())
    .await?;
    Ok(done.rows_affected())
}
