//! Integrations and their sealed secrets. What is sealed is never opened here.

use crate::{
    domain::{
        IntegrationId, TeamId, Timestamp, UserId, integration::IntegrationSpec, linked_account::Provider,
        secret::Sealed,
    },
    store::{Store, StoreError, TeamTx, sealed},
};
use sqlx::{Row, postgres::PgRow};
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};
use uuid::Uuid;

/// The name of what the tracker is asked with.
pub const TOKEN: &str = "token";
/// What the names of secrets that sign begin with.
pub const SECRET: &str = "secret";

/// An integration without its secrets.
#[derive(Clone, Debug, PartialEq)]
pub struct IntegrationRow {
    pub team: TeamId,
    pub id: IntegrationId,
    pub name: String,
    pub tracker: Provider,
    /// In whose name tasks are made for people who are no members.
    pub owner: UserId,
    pub spec: IntegrationSpec,
    pub has_token: bool,
    /// Until when the secret before the present one is still believed.
    pub previous_until: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// An integration to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewIntegration<'a> {
    pub team: TeamId,
    pub id: IntegrationId,
    pub name: &'a str,
    pub tracker: Provider,
    pub owner: UserId,
    pub spec: &'a IntegrationSpec,
}

/// [`StoreError::Conflict`] of `integrations_name_unique`: the name is taken.
pub async fn insert(tx: &mut TeamTx, new: NewIntegration<'_>) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO integrations (team, id, name, tracker, owner, spec) VALUES ($1, $2, $3, $4, $5, $6)")
        .bind(new.team.0)
        .bind(new.id.0)
        .bind(new.name)
        .bind(new.tracker.as_str())
        .bind(new.owner.0)
        .bind(text(new.id, new.spec)?)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Writes what an integration says from now on; conflicts as [`insert`].
pub async fn update(
    tx: &mut TeamTx,
    id: IntegrationId,
    name: &str,
    owner: UserId,
    spec: &IntegrationSpec,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE integrations SET name = $2, owner = $3, spec = $4, updated_at = now()
         WHERE team = current_team() AND id = $1",
    )
    .bind(id.0)
    .bind(name)
    .bind(owner.0)
    .bind(text(id, spec)?)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Integrations, newest first, those made before `before`.
pub async fn list(
    tx: &mut TeamTx,
    before: Option<IntegrationId>,
    limit: u32,
) -> Result<Vec<IntegrationRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT i.team, i.id, i.name, i.tracker, i.owner, i.spec, i.created_at, i.updated_at,
            EXISTS (SELECT 1 FROM integration_secrets s WHERE s.team = i.team AND s.integration = i.id AND s.name = 'token') AS has_token,
            (SELECT max(until) FROM integration_secrets s WHERE s.team = i.team AND s.integration = i.id AND s.until > now()) AS previous_until
         FROM integrations i WHERE i.team = current_team() AND ($1::uuid IS NULL OR i.id < $1) ORDER BY i.id DESC LIMIT $2",
    )
    .bind(before.map(|id| id.0))
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(integration_row).collect()
}

/// One integration.
pub async fn get(tx: &mut TeamTx, id: IntegrationId) -> Result<Option<IntegrationRow>, StoreError> {
    let row = sqlx::query(
        "SELECT i.team, i.id, i.name, i.tracker, i.owner, i.spec, i.created_at, i.updated_at,
            EXISTS (SELECT 1 FROM integration_secrets s WHERE s.team = i.team AND s.integration = i.id AND s.name = 'token') AS has_token,
            (SELECT max(until) FROM integration_secrets s WHERE s.team = i.team AND s.integration = i.id AND s.until > now()) AS previous_until
         FROM integrations i WHERE i.team = current_team() AND i.id = $1",
    )
    .bind(id.0)
    .fetch_optional(tx.connection())
    .await?;
    row.as_ref().map(integration_row).transpose()
}

/// Keeps others from changing an integration until the transaction ends; false where there is none.
pub async fn lock(tx: &mut TeamTx, id: IntegrationId) -> Result<bool, StoreError> {
    let found = sqlx::query("SELECT 1 FROM integrations WHERE team = current_team() AND id = $1 FOR UPDATE")
        .bind(id.0)
        .fetch_optional(tx.connection())
        .await?;
    Ok(found.is_some())
}

/// How many the team has.
pub async fn count(tx: &mut TeamTx) -> Result<u32, StoreError> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM integrations WHERE team = current_team()")
        .fetch_one(tx.connection())
        .await?;
    Ok(count as u32)
}

/// Deletes an integration with its secrets and deliveries; answers whether there was one.
pub async fn delete(tx: &mut TeamTx, id: IntegrationId) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM integrations WHERE team = current_team() AND id = $1")
        .bind(id.0)
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes a secret, in the place of one of its name.
pub async fn put_secret(
    tx: &mut TeamTx,
    team: TeamId,
    id: IntegrationId,
    name: &str,
    sealed: &Sealed,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO integration_secrets (team, integration, name, key_id, wrapped_key, sealed) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (team, integration, name) DO UPDATE SET key_id = EXCLUDED.key_id, wrapped_key = EXCLUDED.wrapped_key,
            sealed = EXCLUDED.sealed, created_at = now()",
    )
    .bind(team.0)
    .bind(id.0)
    .bind(name)
    .bind(&sealed.key_id)
    .bind(&sealed.wrapped_key)
    .bind(&sealed.sealed)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Removes the token.
pub async fn delete_token(tx: &mut TeamTx, id: IntegrationId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM integration_secrets WHERE team = current_team() AND integration = $1 AND name = 'token'")
        .bind(id.0)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Removes secrets that another has followed already.
pub async fn delete_previous(tx: &mut TeamTx, id: IntegrationId) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM integration_secrets WHERE team = current_team() AND integration = $1 AND until IS NOT NULL",
    )
    .bind(id.0)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Lets the present secret hold for `span` more.
pub async fn outdate(tx: &mut TeamTx, id: IntegrationId, span: Duration) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE integration_secrets SET until = now() + $2 * interval '1 second'
         WHERE team = current_team() AND integration = $1 AND name <> 'token' AND until IS NULL",
    )
    .bind(id.0)
    .bind(span.as_secs_f64())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// An integration whose hook is called, with the secrets that sign, the present one first.
#[derive(Clone, Debug)]
pub struct Hook {
    pub row: IntegrationRow,
    pub secrets: Vec<(String, Sealed)>,
}

/// The integrations whose hooks have these ids, whatever their teams, in their order.
pub(super) async fn of_hooks(store: &Store, ids: Vec<IntegrationId>) -> Result<Vec<Option<Arc<Hook>>>, StoreError> {
    let mut distinct: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    distinct.sort_unstable();
    distinct.dedup();
    // The array's length is hidden, so that Postgres plans it once.
    let rows = sqlx::query(
        "SELECT i.team, i.id, i.name, i.tracker, i.owner, i.spec, i.created_at, i.updated_at,
            EXISTS (SELECT 1 FROM integration_secrets t WHERE t.team = i.team AND t.integration = i.id AND t.name = 'token') AS has_token,
            s.until AS previous_until, s.name AS secret, s.key_id, s.wrapped_key, s.sealed
         FROM integrations i JOIN integration_secrets s ON s.team = i.team AND s.integration = i.id
            AND s.name <> 'token' AND (s.until IS NULL OR s.until > now())
         WHERE i.id = ANY((SELECT $1::uuid[])::uuid[]) ORDER BY i.id, s.until NULLS FIRST",
    )
    .bind(distinct)
    .fetch_all(store.across())
    .await?;
    let mut found: HashMap<IntegrationId, Hook> = HashMap::new();
    for row in &rows {
        let secret = (row.try_get("secret")?, sealed::of_row(row)?);
        match found.entry(IntegrationId(row.try_get("id")?)) {
            Entry::Occupied(mut hook) => hook.get_mut().secrets.push(secret),
            Entry::Vacant(place) => {
                place.insert(Hook { row: integration_row(row)?, secrets: vec![secret] });
            }
        }
    }
    let found: HashMap<_, _> = found.into_iter().map(|(id, hook)| (id, Arc::new(hook))).collect();
    Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
}

/// What a tracker is asked with.
pub async fn token(store: &Store, team: TeamId, id: IntegrationId) -> Result<Option<Sealed>, StoreError> {
    let row = sqlx::query(
        "SELECT key_id, wrapped_key, sealed FROM integration_secrets WHERE team = $1 AND integration = $2 AND name = 'token'",
    )
    .bind(team.0)
    .bind(id.0)
    .fetch_optional(store.across())
    .await?;
    row.as_ref().map(sealed::of_row).transpose()
}

fn text(id: IntegrationId, spec: &IntegrationSpec) -> Result<String, StoreError> {
    serde_json::to_string(spec).map_err(|_| StoreError::corrupt("integrations", "spec", id))
}

fn integration_row(row: &PgRow) -> Result<IntegrationRow, StoreError> {
    let id = IntegrationId(row.try_get("id")?);
    let (tracker, spec): (String, String) = (row.try_get("tracker")?, row.try_get("spec")?);
    Ok(IntegrationRow {
        team: TeamId(row.try_get("team")?),
        id,
        name: row.try_get("name")?,
        tracker: Provider::parse(&tracker).ok_or_else(|| StoreError::corrupt("integrations", "tracker", id))?,
        owner: UserId(row.try_get::<Uuid, _>("owner")?),
        spec: serde_json::from_str(&spec).map_err(|_| StoreError::corrupt("integrations", "spec", id))?,
        has_token: row.try_get("has_token")?,
        previous_until: row.try_get::<Option<time::OffsetDateTime>, _>("previous_until")?.map(Timestamp),
        created_at: Timestamp(row.try_get("created_at")?),
        updated_at: Timestamp(row.try_get("updated_at")?),
    })
}
