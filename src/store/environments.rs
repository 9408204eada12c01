//! Environments and their sealed secrets. What is sealed is never opened here.

use super::{Store, StoreError, TeamTx};
use crate::domain::{
    EnvironmentId, TeamId, Timestamp,
    environment::{EnvironmentSnapshot, EnvironmentSpec, SecretUse, SnapshotState},
    secret::Sealed,
};
use sqlx::{Row, postgres::PgRow};

/// An environment's row.
#[derive(Clone, Debug, PartialEq)]
pub struct EnvironmentRow {
    pub id: EnvironmentId,
    pub name: String,
    pub spec: EnvironmentSpec,
    pub snapshot: EnvironmentSnapshot,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A secret of an environment, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRow {
    pub name: String,
    pub used_for: SecretUse,
    pub hosts: Vec<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Writes an environment. [`StoreError::Conflict`] of `environments_name_unique`: the name is taken.
pub async fn insert(
    tx: &mut TeamTx,
    team: TeamId,
    id: EnvironmentId,
    name: &str,
    spec: &EnvironmentSpec,
) -> Result<EnvironmentRow, StoreError> {
    let row = sqlx::query(
        "INSERT INTO environments (team, id, name, spec) VALUES ($1, $2, $3, $4)
         RETURNING id, name, spec, snapshot_state, snapshot_at, created_at, updated_at",
    )
    .bind(team.0)
    .bind(id.0)
    .bind(name)
    .bind(text(id, spec)?)
    .fetch_one(tx.connection())
    .await?;
    environment_row(&row)
}

/// Writes what an environment says from now on.
pub async fn update(
    tx: &mut TeamTx,
    id: EnvironmentId,
    name: &str,
    spec: &EnvironmentSpec,
) -> Result<EnvironmentRow, StoreError> {
    let row = sqlx::query(
        "UPDATE environments SET name = $2, spec = $3, updated_at = now() WHERE team = current_team() AND id = $1
         RETURNING id, name, spec, snapshot_state, snapshot_at, created_at, updated_at",
    )
    .bind(id.0)
    .bind(name)
    .bind(text(id, spec)?)
    .fetch_one(tx.connection())
    .await?;
    environment_row(&row)
}

/// Environments, newest first, those made before `before`.
pub async fn list(
    tx: &mut TeamTx,
    before: Option<EnvironmentId>,
    limit: u32,
) -> Result<Vec<EnvironmentRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, name, spec, snapshot_state, snapshot_at, created_at, updated_at FROM environments
         WHERE team = current_team() AND ($1::uuid IS NULL OR id < $1) ORDER BY id DESC LIMIT $2",
    )
    .bind(before.map(|id| id.0))
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(environment_row).collect()
}

/// One environment; locked until the transaction ends where `lock` is set, so that what is decided from it holds.
pub async fn get(tx: &mut TeamTx, id: EnvironmentId, lock: bool) -> Result<Option<EnvironmentRow>, StoreError> {
    let select = "SELECT id, name, spec, snapshot_state, snapshot_at, created_at, updated_at FROM environments
         WHERE team = current_team() AND id = $1";
    let locked = "SELECT id, name, spec, snapshot_state, snapshot_at, created_at, updated_at FROM environments
         WHERE team = current_team() AND id = $1 FOR UPDATE";
    let row = sqlx::query(if lock { locked } else { select }).bind(id.0).fetch_optional(tx.connection()).await?;
    row.as_ref().map(environment_row).transpose()
}

/// The environment of this name or id; a name goes first.
pub async fn find(tx: &mut TeamTx, name_or_id: &str) -> Result<Option<EnvironmentRow>, StoreError> {
    let id: Option<EnvironmentId> = name_or_id.parse().ok();
    let row = sqlx::query(
        "SELECT id, name, spec, snapshot_state, snapshot_at, created_at, updated_at FROM environments
         WHERE team = current_team() AND (name = $1 OR id = $2) ORDER BY name = $1 DESC LIMIT 1",
    )
    .bind(name_or_id)
    .bind(id.map(|id| id.0))
    .fetch_optional(tx.connection())
    .await?;
    row.as_ref().map(environment_row).transpose()
}

/// How many the team has.
pub async fn count(tx: &mut TeamTx) -> Result<u32, StoreError> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM environments WHERE team = current_team()")
        .fetch_one(tx.connection())
        .await?;
    Ok(count as u32)
}

/// Deletes an environment with its secrets; answers whether there was one.
pub async fn delete(tx: &mut TeamTx, id: EnvironmentId) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM environments WHERE team = current_team() AND id = $1")
        .bind(id.0)
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Says how the newest setup of an environment went; nothing where it is gone.
pub async fn note_snapshot(
    store: &Store,
    team: TeamId,
    id: EnvironmentId,
    state: SnapshotState,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE environments SET snapshot_state = $3, snapshot_at = now() WHERE team = $1 AND id = $2")
        .bind(team.0)
        .bind(id.0)
        .bind(state.as_str())
        .execute(store.across())
        .await?;
    Ok(())
}

/// Writes a secret, in place of one of the same name. [`StoreError::Conflict`] of `environment_secrets_environment`: the
/// environment is gone.
pub async fn put_secret(
    tx: &mut TeamTx,
    team: TeamId,
    environment: EnvironmentId,
    name: &str,
    (used_for, hosts): (SecretUse, &[String]),
    sealed: &Sealed,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO environment_secrets (team, environment, name, use, hosts, key_id, wrapped_key, sealed)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (team, environment, name) DO UPDATE SET use = excluded.use, hosts = excluded.hosts,
            key_id = excluded.key_id, wrapped_key = excluded.wrapped_key, sealed = excluded.sealed, updated_at = now()",
    )
    .bind(team.0)
    .bind(environment.0)
    .bind(name)
    .bind(used_for.as_str())
    .bind(hosts)
    .bind(&sealed.key_id)
    .bind(&sealed.wrapped_key)
    .bind(&sealed.sealed)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Secrets of an environment by name, those after `after`; without their values.
pub async fn list_secrets(
    tx: &mut TeamTx,
    environment: EnvironmentId,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<SecretRow>, StoreError> {
    let rows = sqlx::query(
        r#"SELECT name, use, hosts, created_at, updated_at FROM environment_secrets
         WHERE team = current_team() AND environment = $1 AND ($2::text IS NULL OR name COLLATE "C" > $2)
         ORDER BY name COLLATE "C" LIMIT $3"#,
    )
    .bind(environment.0)
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(secret_row).collect()
}

/// Names of an environment's secrets with the bytes that each takes sealed.
pub async fn secret_sizes(tx: &mut TeamTx, environment: EnvironmentId) -> Result<Vec<(String, usize)>, StoreError> {
    let rows: Vec<(String, i32)> = sqlx::query_as(
        "SELECT name, length(sealed) FROM environment_secrets WHERE team = current_team() AND environment = $1 LIMIT 1000",
    )
    .bind(environment.0)
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|(name, size)| (name, size as usize)).collect())
}

/// Deletes a secret; answers whether there was one.
pub async fn delete_secret(tx: &mut TeamTx, environment: EnvironmentId, name: &str) -> Result<bool, StoreError> {
    let done =
        sqlx::query("DELETE FROM environment_secrets WHERE team = current_team() AND environment = $1 AND name = $2")
            .bind(environment.0)
            .bind(name)
            .execute(tx.connection())
            .await?;
    Ok(done.rows_affected() == 1)
}

/// The sealed secrets of an environment, for a worker; none where it is gone.
pub async fn sealed(
    store: &Store,
    team: TeamId,
    environment: EnvironmentId,
) -> Result<Vec<(SecretRow, Sealed)>, StoreError> {
    let rows = sqlx::query(
        "SELECT name, use, hosts, key_id, wrapped_key, sealed, created_at, updated_at FROM environment_secrets
         WHERE team = $1 AND environment = $2 ORDER BY name LIMIT 1000",
    )
    .bind(team.0)
    .bind(environment.0)
    .fetch_all(store.across())
    .await?;
    rows.iter().map(|row| Ok((secret_row(row)?, super::sealed::of_row(row)?))).collect()
}

fn text(id: EnvironmentId, spec: &EnvironmentSpec) -> Result<String, StoreError> {
    serde_json::to_string(spec).map_err(|_| StoreError::corrupt("environments", "spec", id))
}

fn environment_row(row: &PgRow) -> Result<EnvironmentRow, StoreError> {
    let id = EnvironmentId(row.try_get("id")?);
    let spec: String = row.try_get("spec")?;
    let state: String = row.try_get("snapshot_state")?;
    let at: Option<time::OffsetDateTime> = row.try_get("snapshot_at")?;
    Ok(EnvironmentRow {
        id,
        name: row.try_get("name")?,
        spec: serde_json::from_str(&spec).map_err(|_| StoreError::corrupt("environments", "spec", id))?,
        snapshot: EnvironmentSnapshot {
            state: SnapshotState::parse(&state)
                .ok_or_else(|| StoreError::corrupt("environments", "snapshot_state", id))?,
            created_at: at.map(Timestamp),
        },
        created_at: Timestamp(row.try_get("created_at")?),
        updated_at: Timestamp(row.try_get("updated_at")?),
    })
}

fn secret_row(row: &PgRow) -> Result<SecretRow, StoreError> {
    let name: String = row.try_get("name")?;
    let used_for: String = row.try_get("use")?;
    Ok(SecretRow {
        used_for: SecretUse::parse(&used_for)
            .ok_or_else(|| StoreError::corrupt("environment_secrets", "use", &name))?,
        name,
        hosts: row.try_get("hosts")?,
        created_at: Timestamp(row.try_get("created_at")?),
        updated_at: Timestamp(row.try_get("updated_at")?),
    })
}
