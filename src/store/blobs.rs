//! Large contents by hash. A blob never changes; the same content is stored once in a team.

use super::{Store, StoreError, TeamTx};
use crate::domain::{BlobHash, TeamId};

/// Contents up to this size lie in the database.
pub const INLINE_BYTES_MAX: usize = 4 << 20;

/// Stores contents, those that are there already at no cost. In the order of their hashes, so that
/// two who store the same contents wait for each other in one direction.
pub async fn put(store: &Store, team: TeamId, contents: &[(BlobHash, &[u8])]) -> Result<(), StoreError> {
    if contents.is_empty() {
        return Ok(());
    }
    let hashes: Vec<&str> = contents.iter().map(|(hash, _)| hash.as_str()).collect();
    let bytes: Vec<&[u8]> = contents.iter().map(|(_, content)| *content).collect();
    sqlx::query(
        "INSERT INTO blobs (team, hash, size, content)
         SELECT $1, b.hash, length(b.content), b.content FROM unnest($2::text[], $3::bytea[]) AS b (hash, content)
         ORDER BY b.hash ON CONFLICT DO NOTHING",
    )
    .bind(team.0)
    .bind(&hashes)
    .bind(&bytes)
    .execute(store.across())
    .await?;
    Ok(())
}

/// Records a content that lies in the object store.
pub async fn put_external(store: &Store, team: TeamId, hash: &BlobHash, size: u64) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO blobs (team, hash, size) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
        .bind(team.0)
        .bind(hash.as_str())
        .bind(size as i64)
        .execute(store.across())
        .await?;
    Ok(())
}

/// A blob as it is stored: `content` is absent where it lies in the object store.
#[derive(Debug)]
pub struct Stored {
    pub size: u64,
    pub content: Option<Vec<u8>>,
}

/// Reads a blob for a worker.
pub async fn get(store: &Store, team: TeamId, hash: &BlobHash) -> Result<Option<Stored>, StoreError> {
    let row: Option<(i64, Option<Vec<u8>>)> =
        sqlx::query_as("SELECT size, content FROM blobs WHERE team = $1 AND hash = $2")
            .bind(team.0)
            .bind(hash.as_str())
            .fetch_optional(store.across())
            .await?;
    Ok(row.map(|(size, content)| Stored { size: size as u64, content }))
}

/// Reads a blob for a member of the transaction's team.
pub async fn read(tx: &mut TeamTx, hash: &BlobHash) -> Result<Option<Stored>, StoreError> {
    let row: Option<(i64, Option<Vec<u8>>)> = sqlx::query_as("SELECT size, content FROM blobs WHERE hash = $1")
        .bind(hash.as_str())
        .fetch_optional(tx.connection())
        .await?;
    Ok(row.map(|(size, content)| Stored { size: size as u64, content }))
}

/// Keeps a content within a use case's transaction, where it is small enough to lie in the database.
pub async fn keep(tx: &mut TeamTx, team: TeamId, hash: &BlobHash, content: &[u8]) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO blobs (team, hash, size, content) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING")
        .bind(team.0)
        .bind(hash.as_str())
        .bind(content.len() as i64)
        .bind(content)
        .execute(tx.connection())
        .await?;
    Ok(())
}
