//! Uploaded archives and bundles: rows here, contents among the blobs.

use super::{Store, StoreError, TeamTx};
use crate::domain::{BlobHash, TeamId, Timestamp, UploadId, UserId};
use sqlx::Row;
use uuid::Uuid;

/// An upload's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadRow {
    pub id: UploadId,
    pub kind: String,
    pub size: u64,
    pub hash: BlobHash,
    pub created_at: Timestamp,
}

/// An upload to be written down. `content` is absent where it lies in the object store already.
#[derive(Clone, Copy, Debug)]
pub struct NewUpload<'a> {
    pub team: TeamId,
    pub id: UploadId,
    pub user: UserId,
    pub kind: &'a str,
    pub size: u64,
    pub hash: &'a BlobHash,
    pub content: Option<&'a [u8]>,
    /// Its key there.
    pub object: Option<&'a str>,
}

/// Writes an upload with its content; false where that was stored before, and the new object is nobody's.
pub async fn insert(tx: &mut TeamTx, new: NewUpload<'_>) -> Result<(Timestamp, bool), StoreError> {
    let mine: bool = sqlx::query_scalar(
        "WITH kept AS (
            INSERT INTO blobs (team, hash, size, content, object, counted) VALUES ($1, $2, $3, $4, $5, true)
            ON CONFLICT (team, hash) DO UPDATE SET touched_at = now() RETURNING object
         ), held AS (
            INSERT INTO blob_uses (team, hash, holder) VALUES ($1, $2, $6)
         )
         SELECT object IS NOT DISTINCT FROM $5 FROM kept",
    )
    .bind(new.team.0)
    .bind(new.hash.as_str())
    .bind(new.size as i64)
    .bind(new.content)
    .bind(new.object)
    .bind(new.id.0)
    .fetch_one(tx.connection())
    .await?;
    let at: time::OffsetDateTime = sqlx::query_scalar(
        "INSERT INTO uploads (team, id, user_id, kind, size, hash) VALUES ($1, $2, $3, $4, $5, $6)
         RETURNING created_at",
    )
    .bind(new.team.0)
    .bind(new.id.0)
    .bind(new.user.0)
    .bind(new.kind)
    .bind(new.size as i64)
    .bind(new.hash.as_str())
    .fetch_one(tx.connection())
    .await?;
    Ok((at.into(), mine))
}

/// One upload of the transaction's team.
pub async fn get(tx: &mut TeamTx, id: UploadId) -> Result<Option<UploadRow>, StoreError> {
    let row =
        sqlx::query("SELECT id, kind, size, hash, created_at FROM uploads WHERE team = current_team() AND id = $1")
            .bind(id.0)
            .fetch_optional(tx.connection())
            .await?;
    row.map(|row| {
        Ok(UploadRow {
            id: UploadId(row.try_get("id")?),
            kind: row.try_get("kind")?,
            size: row.try_get::<i64, _>("size")? as u64,
            hash: BlobHash(row.try_get("hash")?),
            created_at: Timestamp(row.try_get("created_at")?),
        })
    })
    .transpose()
}

/// Of these contents those that an upload of their team has.
pub async fn contents_wanted(
    store: &Store,
    named: &[(TeamId, BlobHash)],
) -> Result<Vec<(TeamId, BlobHash)>, StoreError> {
    let (teams, hashes): (Vec<Uuid>, Vec<&str>) = named.iter().map(|(team, hash)| (team.0, hash.as_str())).unzip();
    let rows: Vec<(Uuid, String)> = sqlx::query_as(
        "SELECT DISTINCT n.team, n.hash FROM unnest($1::uuid[], $2::text[]) AS n (team, hash)
         JOIN uploads u ON u.team = n.team AND u.hash = n.hash",
    )
    .bind(&teams)
    .bind(&hashes)
    .fetch_all(store.across())
    .await?;
    Ok(rows.into_iter().map(|(team, hash)| (TeamId(team), BlobHash(hash))).collect())
}

/// Those of these uploads that are there.
pub async fn existing(store: &Store, named: &[(TeamId, UploadId)]) -> Result<Vec<(TeamId, UploadId)>, StoreError> {
    let (teams, ids): (Vec<Uuid>, Vec<Uuid>) = named.iter().map(|(team, id)| (team.0, id.0)).unzip();
    let rows: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "SELECT u.team, u.id FROM unnest($1::uuid[], $2::uuid[]) AS n (team, id)
         JOIN uploads u ON u.team = n.team AND u.id = n.id",
    )
    .bind(&teams)
    .bind(&ids)
    .fetch_all(store.across())
    .await?;
    Ok(rows.into_iter().map(|(team, id)| (TeamId(team), UploadId(id))).collect())
}
