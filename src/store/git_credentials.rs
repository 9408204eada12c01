//! Git credentials of teams, sealed.

use super::{Store, StoreError, TeamTx};
use crate::domain::{GitCredentialId, TeamId, Timestamp, git_credential::GitCredentialKind, secret::Sealed};
use sqlx::{Row, postgres::PgRow};

/// A credential without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitCredentialRow {
    pub id: GitCredentialId,
    /// A host name, perhaps with a port.
    pub host: String,
    pub kind: GitCredentialKind,
    pub username: Option<String>,
    /// Globs of repositories' paths; absent: all of the host.
    pub repositories: Option<Vec<String>>,
    pub known_hosts: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// What a credential is from now on.
#[derive(Clone, Debug)]
pub struct NewGitCredential<'a> {
    pub host: &'a str,
    pub kind: GitCredentialKind,
    pub username: Option<&'a str>,
    pub repositories: Option<&'a [String]>,
    pub known_hosts: Option<&'a str>,
}

pub async fn insert(
    tx: &mut TeamTx,
    team: TeamId,
    id: GitCredentialId,
    new: &NewGitCredential<'_>,
    sealed: &Sealed,
) -> Result<GitCredentialRow, StoreError> {
    let row = sqlx::query(
        "INSERT INTO git_credentials
            (team, id, host, kind, username, repositories, known_hosts, key_id, wrapped_key, sealed)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         RETURNING id, host, kind, username, repositories, known_hosts, created_at, updated_at",
    )
    .bind(team.0)
    .bind(id.0)
    .bind(new.host)
    .bind(new.kind.as_str())
    .bind(new.username)
    .bind(new.repositories)
    .bind(new.known_hosts)
    .bind(&sealed.key_id)
    .bind(&sealed.wrapped_key)
    .bind(&sealed.sealed)
    .fetch_one(tx.connection())
    .await?;
    credential_row(&row)
}

/// Writes what a credential is from now on; its secret stays where none is given.
pub async fn update(
    tx: &mut TeamTx,
    id: GitCredentialId,
    new: &NewGitCredential<'_>,
    sealed: Option<&Sealed>,
) -> Result<GitCredentialRow, StoreError> {
    let row = sqlx::query(
        "UPDATE git_credentials SET host = $2, kind = $3, username = $4, repositories = $5, known_hosts = $6,
            key_id = coalesce($7, key_id), wrapped_key = coalesce($8, wrapped_key), sealed = coalesce($9, sealed),
            updated_at = now()
         WHERE team = current_team() AND id = $1
         RETURNING id, host, kind, username, repositories, known_hosts, created_at, updated_at",
    )
    .bind(id.0)
    .bind(new.host)
    .bind(new.kind.as_str())
    .bind(new.username)
    .bind(new.repositories)
    .bind(new.known_hosts)
    .bind(sealed.map(|sealed| &sealed.key_id))
    .bind(sealed.map(|sealed| &sealed.wrapped_key))
    .bind(sealed.map(|sealed| &sealed.sealed))
    .fetch_one(tx.connection())
    .await?;
    credential_row(&row)
}

/// Credentials, newest first, those made before `before`.
pub async fn list(
    tx: &mut TeamTx,
    before: Option<GitCredentialId>,
    limit: u32,
) -> Result<Vec<GitCredentialRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, host, kind, username, repositories, known_hosts, created_at, updated_at FROM git_credentials
         WHERE team = current_team() AND ($1::uuid IS NULL OR id < $1) ORDER BY id DESC LIMIT $2",
    )
    .bind(before.map(|id| id.0))
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(credential_row).collect()
}

/// One credential; locked until the transaction ends where `lock` is set.
pub async fn get(tx: &mut TeamTx, id: GitCredentialId, lock: bool) -> Result<Option<GitCredentialRow>, StoreError> {
    let select =
        "SELECT id, host, kind, username, repositories, known_hosts, created_at, updated_at FROM git_credentials
         WHERE team = current_team() AND id = $1";
    let locked =
        "SELECT id, host, kind, username, repositories, known_hosts, created_at, updated_at FROM git_credentials
         WHERE team = current_team() AND id = $1 FOR UPDATE";
    let row = sqlx::query(if lock { locked } else { select }).bind(id.0).fetch_optional(tx.connection()).await?;
    row.as_ref().map(credential_row).transpose()
}

/// How many the team has.
pub async fn count(tx: &mut TeamTx) -> Result<u32, StoreError> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM git_credentials WHERE team = current_team()")
        .fetch_one(tx.connection())
        .await?;
    Ok(count as u32)
}

/// Deletes a credential; answers whether there was one.
pub async fn delete(tx: &mut TeamTx, id: GitCredentialId) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM git_credentials WHERE team = current_team() AND id = $1")
        .bind(id.0)
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected() == 1)
}

/// The team's credentials of a kind for a host, with or without the port, newest first, with what is sealed.
pub async fn for_host(
    store: &Store,
    team: TeamId,
    kind: GitCredentialKind,
    host: &str,
    port: u16,
) -> Result<Vec<(GitCredentialRow, Sealed)>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, host, kind, username, repositories, known_hosts, key_id, wrapped_key, sealed, created_at, updated_at
         FROM git_credentials WHERE team = $1 AND kind = $2 AND host = ANY($3) ORDER BY id DESC LIMIT 1000",
    )
    .bind(team.0)
    .bind(kind.as_str())
    .bind([host.to_owned(), format!("{host}:{port}")].as_slice())
    .fetch_all(store.across())
    .await?;
    rows.iter().map(|row| Ok((credential_row(row)?, super::sealed::of_row(row)?))).collect()
}

fn credential_row(row: &PgRow) -> Result<GitCredentialRow, StoreError> {
    let id = GitCredentialId(row.try_get("id")?);
    let kind: String = row.try_get("kind")?;
    Ok(GitCredentialRow {
        id,
        host: row.try_get("host")?,
        kind: GitCredentialKind::parse(&kind).ok_or_else(|| StoreError::corrupt("git_credentials", "kind", id))?,
        username: row.try_get("username")?,
        repositories: row.try_get("repositories")?,
        known_hosts: row.try_get("known_hosts")?,
        created_at: Timestamp(row.try_get("created_at")?),
        updated_at: Timestamp(row.try_get("updated_at")?),
    })
}
