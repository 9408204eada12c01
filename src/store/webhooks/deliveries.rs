//! Deliveries as people see them.

use crate::{
    domain::{
        Seq, TaskId, TeamId, Timestamp, WebhookDeliveryId, WebhookEndpointId,
        webhook::{DeliveryState, TEST_KIND},
    },
    store::{StoreError, TeamTx},
};
use sqlx::{Row, postgres::PgRow};
use time::OffsetDateTime;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    pub id: WebhookDeliveryId,
    pub kind: String,
    /// Of an event of a task's log.
    pub task: Option<TaskId>,
    pub seq: Option<Seq>,
    pub body: String,
    pub state: DeliveryState,
    /// When it is tried next, or its attempt counts as lost.
    pub due_at: Timestamp,
    pub attempts: u32,
    pub attempted_at: Option<Timestamp>,
    pub duration_ms: Option<u32>,
    pub status_code: Option<u16>,
    pub error: Option<String>,
    pub answer: Option<String>,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

/// Deliveries of an endpoint, newest first, those made before `before`.
pub async fn list_deliveries(
    tx: &mut TeamTx,
    endpoint: WebhookEndpointId,
    state: Option<DeliveryState>,
    before: Option<WebhookDeliveryId>,
    limit: u32,
) -> Result<Vec<DeliveryRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, kind, task, seq, body, state, due_at, attempts, attempted_at, duration_ms, status_code, error, answer,
            created_at, finished_at
         FROM webhook_deliveries
         WHERE team = current_team() AND endpoint = $1 AND ($2::text IS NULL OR state = $2) AND ($3::uuid IS NULL OR id < $3)
         ORDER BY id DESC LIMIT $4",
    )
    .bind(endpoint.0)
    .bind(state.map(DeliveryState::as_str))
    .bind(before.map(|id| id.0))
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(delivery_row).collect()
}

/// One delivery of an endpoint.
pub async fn delivery(
    tx: &mut TeamTx,
    endpoint: WebhookEndpointId,
    id: WebhookDeliveryId,
) -> Result<Option<DeliveryRow>, StoreError> {
    let row = sqlx::query(
        "SELECT id, kind, task, seq, body, state, due_at, attempts, attempted_at, duration_ms, status_code, error, answer,
            created_at, finished_at
         FROM webhook_deliveries WHERE team = current_team() AND id = $2 AND endpoint = $1",
    )
    .bind(endpoint.0)
    .bind(id.0)
    .fetch_optional(tx.connection())
    .await?;
    row.as_ref().map(delivery_row).transpose()
}

/// Lets a delivery be sent now, from the start of its schedule; absent where there is none.
pub async fn redeliver(
    tx: &mut TeamTx,
    endpoint: WebhookEndpointId,
    id: WebhookDeliveryId,
) -> Result<Option<DeliveryRow>, StoreError> {
    let row = sqlx::query(
        "UPDATE webhook_deliveries SET state = 'pending', due_at = now(), round = 0, finished_at = NULL
         WHERE team = current_team() AND id = $2 AND endpoint = $1
         RETURNING id, kind, task, seq, body, state, due_at, attempts, attempted_at, duration_ms, status_code, error, answer,
            created_at, finished_at",
    )
    .bind(endpoint.0)
    .bind(id.0)
    .fetch_optional(tx.connection())
    .await?;
    row.as_ref().map(delivery_row).transpose()
}

/// Puts a delivery that tells of nothing but itself.
pub async fn test(
    tx: &mut TeamTx,
    team: TeamId,
    endpoint: WebhookEndpointId,
    id: WebhookDeliveryId,
    body: &str,
) -> Result<DeliveryRow, StoreError> {
    let row = sqlx::query(
        "INSERT INTO webhook_deliveries (team, id, endpoint, kind, body) VALUES ($1, $2, $3, $4, $5)
         RETURNING id, kind, task, seq, body, state, due_at, attempts, attempted_at, duration_ms, status_code, error, answer,
            created_at, finished_at",
    )
    .bind(team.0)
    .bind(id.0)
    .bind(endpoint.0)
    .bind(TEST_KIND)
    .bind(body)
    .fetch_one(tx.connection())
    .await?;
    delivery_row(&row)
}

fn delivery_row(row: &PgRow) -> Result<DeliveryRow, StoreError> {
    let id = WebhookDeliveryId(row.try_get("id")?);
    let state: String = row.try_get("state")?;
    let at = |column| Ok::<_, StoreError>(row.try_get::<Option<OffsetDateTime>, _>(column)?.map(Timestamp));
    Ok(DeliveryRow {
        id,
        kind: row.try_get("kind")?,
        task: row.try_get::<Option<uuid::Uuid>, _>("task")?.map(TaskId),
        seq: row.try_get("seq")?,
        body: row.try_get("body")?,
        state: state.parse().map_err(|_| StoreError::corrupt("webhook_deliveries", "state", id))?,
        due_at: Timestamp(row.try_get("due_at")?),
        attempts: row.try_get::<i32, _>("attempts")? as u32,
        attempted_at: at("attempted_at")?,
        duration_ms: row.try_get::<Option<i32>, _>("duration_ms")?.map(|ms| ms as u32),
        status_code: row.try_get::<Option<i32>, _>("status_code")?.map(|code| code as u16),
        error: row.try_get("error")?,
        answer: row.try_get("answer")?,
        created_at: Timestamp(row.try_get("created_at")?),
        finished_at: at("finished_at")?,
    })
}
