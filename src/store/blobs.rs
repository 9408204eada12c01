//! Large contents by hash. A blob never changes; the same content is stored once in a team.
//!
//! Who needs a blob holds it (`blob_uses`): a task, an upload. What nobody holds is removed once a grace has passed since it
//! was last written or let go, so that whoever is about to name it finds it.

use super::{Store, StoreError, TeamTx};
use crate::domain::{BlobHash, TaskId, TeamId, UploadId};
use sqlx::{Row, postgres::PgRow};
use std::time::Duration;
use uuid::Uuid;

/// Contents up to this size lie in the database.
pub const INLINE_BYTES_MAX: usize = 4 << 20;

/// Who needs blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder(pub Uuid);

impl From<TaskId> for Holder {
    fn from(task: TaskId) -> Self {
        Self(task.0)
    }
}

impl From<UploadId> for Holder {
    fn from(upload: UploadId) -> Self {
        Self(upload.0)
    }
}

/// Stores contents for their holder, those that are there already at no cost. In the order of their hashes, so that
/// two who store the same contents wait for each other in one direction.
pub async fn put(
    store: &Store,
    team: TeamId,
    holder: impl Into<Holder>,
    contents: &[(BlobHash, &[u8])],
) -> Result<(), StoreError> {
    if contents.is_empty() {
        return Ok(());
    }
    let hashes: Vec<&str> = contents.iter().map(|(hash, _)| hash.as_str()).collect();
    let bytes: Vec<&[u8]> = contents.iter().map(|(_, content)| *content).collect();
    // A row that was touched lately is not touched again: the grace is longer.
    sqlx::query(
        "WITH given AS (
            SELECT DISTINCT ON (b.hash) b.hash, b.content FROM unnest($2::text[], $3::bytea[]) AS b (hash, content) ORDER BY b.hash
         ), kept AS (
            INSERT INTO blobs (team, hash, size, content, counted)
            SELECT $1, hash, length(content), content, true FROM given ORDER BY hash
            ON CONFLICT (team, hash) DO UPDATE SET touched_at = now() WHERE blobs.touched_at < now() - interval '10 minutes'
         )
         INSERT INTO blob_uses (team, hash, holder) SELECT $1, hash, $4 FROM given ORDER BY hash ON CONFLICT DO NOTHING",
    )
    .bind(team.0)
    .bind(&hashes)
    .bind(&bytes)
    .bind(holder.into().0)
    .execute(store.across())
    .await?;
    Ok(())
}

/// Whether a content is stored already; then its holder holds it from now on.
pub async fn hold(store: &Store, team: TeamId, holder: impl Into<Holder>, hash: &BlobHash) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "WITH there AS (UPDATE blobs SET touched_at = now() WHERE team = $1 AND hash = $2 RETURNING hash)
         INSERT INTO blob_uses (team, hash, holder) SELECT $1, hash, $3 FROM there
         ON CONFLICT (holder, hash) DO UPDATE SET hash = excluded.hash",
    )
    .bind(team.0)
    .bind(hash.as_str())
    .bind(holder.into().0)
    .execute(store.across())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Records a content that lies in the object store under `key`; false where somebody else has stored it meanwhile, and
/// this object is nobody's.
pub async fn put_external(
    store: &Store,
    team: TeamId,
    holder: impl Into<Holder>,
    (hash, size, key): (&BlobHash, u64, &str),
) -> Result<bool, StoreError> {
    let mine: bool = sqlx::query_scalar(
        "WITH kept AS (
            INSERT INTO blobs (team, hash, size, object, counted) VALUES ($1, $2, $3, $4, true)
            ON CONFLICT (team, hash) DO UPDATE SET touched_at = now() RETURNING object
         ), held AS (
            INSERT INTO blob_uses (team, hash, holder) VALUES ($1, $2, $5) ON CONFLICT DO NOTHING
         )
         SELECT object IS NOT DISTINCT FROM $4 FROM kept",
    )
    .bind(team.0)
    .bind(hash.as_str())
    .bind(size as i64)
    .bind(key)
    .bind(holder.into().0)
    .fetch_one(store.across())
    .await?;
    Ok(mine)
}

/// A blob as it is stored: `content` is absent where it lies in the object store.
#[derive(Debug)]
pub struct Stored {
    pub size: u64,
    pub content: Option<Vec<u8>>,
    /// Its key there; absent of what an earlier build stored.
    pub object: Option<String>,
}

fn stored(row: &PgRow) -> Result<Stored, StoreError> {
    let size = row.try_get::<i64, _>("size")? as u64;
    Ok(Stored { size, content: row.try_get("content")?, object: row.try_get("object")? })
}

/// Reads a blob for a worker.
pub async fn get(store: &Store, team: TeamId, hash: &BlobHash) -> Result<Option<Stored>, StoreError> {
    let row = sqlx::query("SELECT size, content, object FROM blobs WHERE team = $1 AND hash = $2")
        .bind(team.0)
        .bind(hash.as_str())
        .fetch_optional(store.across())
        .await?;
    row.as_ref().map(stored).transpose()
}

/// Reads a blob for a member of the transaction's team.
pub async fn read(tx: &mut TeamTx, hash: &BlobHash) -> Result<Option<Stored>, StoreError> {
    let row = sqlx::query("SELECT size, content, object FROM blobs WHERE hash = $1")
        .bind(hash.as_str())
        .fetch_optional(tx.connection())
        .await?;
    row.as_ref().map(stored).transpose()
}

/// Holds those of these that are stored, each named once; how many there are.
pub async fn hold_all(tx: &mut TeamTx, holder: impl Into<Holder>, hashes: &[&str]) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "WITH there AS (
            UPDATE blobs SET touched_at = now() WHERE team = current_team() AND hash = ANY($1) RETURNING team, hash
         )
         INSERT INTO blob_uses (team, hash, holder) SELECT team, hash, $2 FROM there
         ON CONFLICT (holder, hash) DO UPDATE SET hash = excluded.hash",
    )
    .bind(hashes)
    .bind(holder.into().0)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected())
}

/// Keeps a content within a use case's transaction, where it is small enough to lie in the database.
pub async fn keep(
    tx: &mut TeamTx,
    team: TeamId,
    holder: impl Into<Holder>,
    hash: &BlobHash,
    content: &[u8],
) -> Result<(), StoreError> {
    sqlx::query(
        "WITH kept AS (
            INSERT INTO blobs (team, hash, size, content, counted) VALUES ($1, $2, $3, $4, true)
            ON CONFLICT (team, hash) DO UPDATE SET touched_at = now()
         )
         INSERT INTO blob_uses (team, hash, holder) VALUES ($1, $2, $5) ON CONFLICT DO NOTHING",
    )
    .bind(team.0)
    .bind(hash.as_str())
    .bind(content.len() as i64)
    .bind(content)
    .bind(holder.into().0)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// A fork needs what the other task needs.
pub async fn share(tx: &mut TeamTx, from: TaskId, to: TaskId) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO blob_uses (team, hash, holder) SELECT team, hash, $2 FROM blob_uses
         WHERE team = current_team() AND holder = $1 ON CONFLICT DO NOTHING",
    )
    .bind(from.0)
    .bind(to.0)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Lets go of all that a holder held but `kept`. From now on the grace runs for what nobody else holds.
pub async fn let_go(tx: &mut TeamTx, holder: impl Into<Holder>, kept: &[&str]) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "WITH gone AS (
            DELETE FROM blob_uses WHERE team = current_team() AND holder = $1 AND NOT hash = ANY($2) RETURNING hash
         ), freed AS (
            UPDATE blobs SET touched_at = now() FROM gone WHERE blobs.team = current_team() AND blobs.hash = gone.hash
         )
         SELECT hash FROM gone",
    )
    .bind(holder.into().0)
    .bind(kept)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected())
}

/// Blobs that were removed: how many, and the objects that are left to remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    pub blobs: u64,
    pub objects: Vec<String>,
}

/// Removes rows that nobody has held or written for as long as `grace`, at most `limit`. Those that earlier builds wrote
/// are not counted, and stay. Their objects are the caller's to remove: one that a crash leaves is found by listing.
pub async fn remove_unused(store: &Store, grace: Duration, limit: u32) -> Result<Removed, StoreError> {
    let rows = sqlx::query(
        "DELETE FROM blobs USING (
            SELECT team, hash FROM blobs WHERE counted AND touched_at < now() - $1 * interval '1 second'
                AND NOT EXISTS (SELECT 1 FROM blob_uses u WHERE u.team = blobs.team AND u.hash = blobs.hash)
            ORDER BY touched_at LIMIT $2 FOR UPDATE SKIP LOCKED
         ) old WHERE blobs.team = old.team AND blobs.hash = old.hash RETURNING blobs.object",
    )
    .bind(grace.as_secs_f64())
    .bind(i64::from(limit))
    .fetch_all(store.across())
    .await?;
    let objects: Result<Vec<Option<String>>, _> = rows.iter().map(|row| row.try_get("object")).collect();
    Ok(Removed { blobs: rows.len() as u64, objects: objects?.into_iter().flatten().collect() })
}

/// Of these keys in the object store those that no row names. A key without a mark of its own is what an earlier build
/// gave to the hash at its end.
pub async fn unnamed(store: &Store, keys: &[String]) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar(
        "SELECT k.key FROM unnest($1::text[]) AS k (key)
         WHERE NOT EXISTS (SELECT 1 FROM blobs b WHERE b.object = k.key)
            AND NOT EXISTS (SELECT 1 FROM blobs b WHERE b.object IS NULL AND b.content IS NULL
                AND b.hash = split_part(k.key, '/', 3) AND b.team::text = split_part(k.key, '/', 1))",
    )
    .bind(keys)
    .fetch_all(store.across())
    .await?)
}
