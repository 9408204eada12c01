//! Endpoints and what signs for them.

use crate::{
    domain::{TeamId, Timestamp, WebhookEndpointId, secret::Sealed, webhook::DisabledReason},
    store::{StoreError, TeamTx},
};
use sqlx::{Row, postgres::PgRow};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointRow {
    pub id: WebhookEndpointId,
    pub url: String,
    pub events: Vec<String>,
    pub description: String,
    pub enabled: bool,
    pub disabled_reason: Option<DisabledReason>,
    pub disabled_at: Option<Timestamp>,
    pub failing_since: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// What an endpoint is from now on.
#[derive(Clone, Debug)]
pub struct NewEndpoint<'a> {
    pub url: &'a str,
    pub events: &'a [String],
    pub description: &'a str,
    pub enabled: bool,
}

pub async fn insert(
    tx: &mut TeamTx,
    team: TeamId,
    id: WebhookEndpointId,
    new: &NewEndpoint<'_>,
) -> Result<EndpointRow, StoreError> {
    let row = sqlx::query(
        "INSERT INTO webhook_endpoints (team, id, url, events, description, enabled) VALUES ($1, $2, $3, $4, $5, $6)
         RETURNING id, url, events, description, enabled, disabled_reason, disabled_at, failing_since, created_at, updated_at",
    )
    .bind(team.0)
    .bind(id.0)
    .bind(new.url)
    .bind(new.events)
    .bind(new.description)
    .bind(new.enabled)
    .fetch_one(tx.connection())
    .await?;
    endpoint_row(&row)
}

/// Writes what an endpoint is from now on. One that is enabled again, or has another address, has not failed yet.
pub async fn update(tx: &mut TeamTx, id: WebhookEndpointId, new: &NewEndpoint<'_>) -> Result<EndpointRow, StoreError> {
    let row = sqlx::query(
        "UPDATE webhook_endpoints SET url = $2, events = $3, description = $4, enabled = $5,
            disabled_reason = CASE WHEN NOT $5 THEN disabled_reason END,
            disabled_at = CASE WHEN NOT $5 THEN coalesce(disabled_at, now()) END,
            failing_since = CASE WHEN url = $2 AND (enabled OR NOT $5) THEN failing_since END,
            updated_at = now()
         WHERE team = current_team() AND id = $1
         RETURNING id, url, events, description, enabled, disabled_reason, disabled_at, failing_since, created_at, updated_at",
    )
    .bind(id.0)
    .bind(new.url)
    .bind(new.events)
    .bind(new.description)
    .bind(new.enabled)
    .fetch_one(tx.connection())
    .await?;
    endpoint_row(&row)
}

/// Endpoints, newest first, those made before `before`.
pub async fn list(
    tx: &mut TeamTx,
    before: Option<WebhookEndpointId>,
    limit: u32,
) -> Result<Vec<EndpointRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, url, events, description, enabled, disabled_reason, disabled_at, failing_since, created_at, updated_at
         FROM webhook_endpoints WHERE team = current_team() AND ($1::uuid IS NULL OR id < $1) ORDER BY id DESC LIMIT $2",
    )
    .bind(before.map(|id| id.0))
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(endpoint_row).collect()
}

/// One endpoint; locked until the transaction ends where `lock` is set.
pub async fn get(tx: &mut TeamTx, id: WebhookEndpointId, lock: bool) -> Result<Option<EndpointRow>, StoreError> {
    let select =
        "SELECT id, url, events, description, enabled, disabled_reason, disabled_at, failing_since, created_at, updated_at
         FROM webhook_endpoints WHERE team = current_team() AND id = $1";
    let locked =
        "SELECT id, url, events, description, enabled, disabled_reason, disabled_at, failing_since, created_at, updated_at
         FROM webhook_endpoints WHERE team = current_team() AND id = $1 FOR UPDATE";
    let row = sqlx::query(if lock { locked } else { select }).bind(id.0).fetch_optional(tx.connection()).await?;
    row.as_ref().map(endpoint_row).transpose()
}

/// How many the team has.
pub async fn count(tx: &mut TeamTx) -> Result<u32, StoreError> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM webhook_endpoints WHERE team = current_team()")
        .fetch_one(tx.connection())
        .await?;
    Ok(count as u32)
}

/// Deletes an endpoint with its secrets and deliveries; answers whether there was one.
pub async fn delete(tx: &mut TeamTx, id: WebhookEndpointId) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "WITH gone AS (DELETE FROM webhook_deliveries WHERE team = current_team() AND endpoint = $1)
         DELETE FROM webhook_endpoints WHERE team = current_team() AND id = $1",
    )
    .bind(id.0)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Deletes all deliveries of the transaction's team, which is about to go.
pub async fn delete_of_team(tx: &mut TeamTx) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM webhook_deliveries WHERE team = current_team()").execute(tx.connection()).await?;
    Ok(())
}

/// Writes a secret that signs from now on, and lets those before it end so many seconds from now at the latest. Of them the
/// newest `others_max` stay.
pub async fn add_secret(
    tx: &mut TeamTx,
    team: TeamId,
    endpoint: WebhookEndpointId,
    (name, sealed): (&str, &Sealed),
    overlap_seconds: u32,
    others_max: u32,
) -> Result<Option<Timestamp>, StoreError> {
    let ends_at: Option<time::OffsetDateTime> = sqlx::query_scalar(
        "WITH old AS (
            SELECT name, row_number() OVER (ORDER BY created_at DESC, name DESC) AS place FROM webhook_secrets
            WHERE team = $1 AND endpoint = $2
         ), gone AS (
            DELETE FROM webhook_secrets s USING old WHERE s.team = $1 AND s.endpoint = $2 AND s.name = old.name
                AND (old.place > $8 OR s.ends_at < now())
         ), ending AS (
            UPDATE webhook_secrets s SET ends_at = now() + $7::float8 * interval '1 second' FROM old
            WHERE s.team = $1 AND s.endpoint = $2 AND s.name = old.name AND old.place <= $8 AND s.ends_at IS NULL
            RETURNING s.ends_at
         ), added AS (
            INSERT INTO webhook_secrets (team, endpoint, name, key_id, wrapped_key, sealed) VALUES ($1, $2, $3, $4, $5, $6)
         )
         SELECT max(ends_at) FROM ending",
    )
    .bind(team.0)
    .bind(endpoint.0)
    .bind(name)
    .bind(&sealed.key_id)
    .bind(&sealed.wrapped_key)
    .bind(&sealed.sealed)
    .bind(f64::from(overlap_seconds))
    .bind(i64::from(others_max))
    .fetch_one(tx.connection())
    .await?;
    Ok(ends_at.map(Timestamp))
}

fn endpoint_row(row: &PgRow) -> Result<EndpointRow, StoreError> {
    let id = WebhookEndpointId(row.try_get("id")?);
    let reason: Option<String> = row.try_get("disabled_reason")?;
    let corrupt = || StoreError::corrupt("webhook_endpoints", "disabled_reason", id);
    Ok(EndpointRow {
        id,
        url: row.try_get("url")?,
        events: row.try_get("events")?,
        description: row.try_get("description")?,
        enabled: row.try_get("enabled")?,
        disabled_reason: reason.map(|word| DisabledReason::parse(&word).ok_or_else(corrupt)).transpose()?,
        disabled_at: row.try_get::<Option<time::OffsetDateTime>, _>("disabled_at")?.map(Timestamp),
        failing_since: row.try_get::<Option<time::OffsetDateTime>, _>("failing_since")?.map(Timestamp),
        created_at: Timestamp(row.try_get("created_at")?),
        updated_at: Timestamp(row.try_get("updated_at")?),
    })
}
