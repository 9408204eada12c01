//! What callers see of endpoints and deliveries.

use crate::{
    domain::{
        Seq, TaskId, Timestamp, WebhookDeliveryId, WebhookEndpointId,
        webhook::{DeliveryState, DisabledReason},
    },
    store::webhooks::{DeliveryRow, EndpointRow},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A webhook endpoint without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookEndpointView {
    pub id: WebhookEndpointId,
    pub url: String,
    pub events: Vec<String>,
    pub description: String,
    pub enabled: bool,
    /// Why the service disabled it; null where it did not.
    pub disabled_reason: Option<DisabledReason>,
    pub disabled_at: Option<Timestamp>,
    /// Since when nothing has arrived; null once something did.
    pub failing_since: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A webhook endpoint at its making: the only answer that holds its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookEndpointCreated {
    #[serde(flatten)]
    pub endpoint: WebhookEndpointView,
    /// `whsec_…`; shown this once.
    pub secret: String,
}

/// A new secret of an endpoint: the only answer that holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookSecretView {
    /// `whsec_…`; shown this once.
    pub secret: String,
    /// Until then the one before signs along; null where there was none.
    pub previous_ends_at: Option<Timestamp>,
}

/// One event for one endpoint, and what came of sending it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WebhookDeliveryView {
    /// `webhook-id`, the same at every attempt.
    pub id: WebhookDeliveryId,
    /// The kind of the event; `webhook.test` of one that was asked for.
    #[serde(rename = "type")]
    pub kind: String,
    pub task: Option<TaskId>,
    pub seq: Option<Seq>,
    pub state: DeliveryState,
    pub attempts: u32,
    /// Of a pending one: when it is sent; of one that is being sent, when that counts as lost.
    pub next_attempt_at: Option<Timestamp>,
    pub last_attempt_at: Option<Timestamp>,
    /// Of the last attempt, like the rest.
    pub duration_ms: Option<u32>,
    pub status_code: Option<u16>,
    /// Why it did not arrive.
    pub error: Option<String>,
    /// What the answer began with.
    pub answer: Option<String>,
    /// What is sent.
    #[schema(value_type = Object)]
    pub payload: Value,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

impl From<EndpointRow> for WebhookEndpointView {
    fn from(row: EndpointRow) -> Self {
        let EndpointRow { id, url, events, description, enabled, .. } = row;
        let EndpointRow { disabled_reason, disabled_at, failing_since, created_at, updated_at, .. } = row;
        Self {
            id,
            url,
            events,
            description,
            enabled,
            disabled_reason,
            disabled_at,
            failing_since,
            created_at,
            updated_at,
        }
    }
}

impl From<DeliveryRow> for WebhookDeliveryView {
    fn from(row: DeliveryRow) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            task: row.task,
            seq: row.seq,
            state: row.state,
            attempts: row.attempts,
            next_attempt_at: (row.state == DeliveryState::Pending).then_some(row.due_at),
            last_attempt_at: row.attempted_at,
            duration_ms: row.duration_ms,
            status_code: row.status_code,
            error: row.error,
            answer: row.answer,
            payload: serde_json::from_str(&row.body).unwrap_or_default(),
            created_at: row.created_at,
            finished_at: row.finished_at,
        }
    }
}
