//! What came by an integration and what became of it: for admins.

use crate::{
    domain::{DeliveryId, IntegrationId, Principal, TaskId, Timestamp, integration::DeliveryState},
    service::{
        Answer, Error, Idempotency, Service, access,
        access::Right,
        audit::{self, Action, Subject},
        idempotency,
    },
    store::trackers::{
        deliveries::{self, DeliveryRow},
        integrations,
    },
};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

/// What a tracker has told, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeliveryView {
    pub id: DeliveryId,
    /// The tracker's own id of it.
    pub delivery: String,
    #[schema(example = "issues.labeled")]
    pub event: String,
    /// The account that did it.
    pub sender: Option<String>,
    /// The issue's key: `owner/name#12`, `ABC-12`.
    pub issue: Option<String>,
    pub state: DeliveryState,
    /// Why nothing was done, what failed, or what was done.
    pub reason: Option<String>,
    pub task: Option<TaskId>,
    /// How often it was worked on.
    pub attempts: u32,
    pub received_at: Timestamp,
    pub done_at: Option<Timestamp>,
}

impl From<DeliveryRow> for DeliveryView {
    fn from(row: DeliveryRow) -> Self {
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            id: row.id,
            delivery: row.delivery,
            event: row.event,
            sender: some(row.sender),
            issue: row.issue,
            state: row.state,
            reason: some(row.reason),
            task: row.task,
            attempts: row.attempts,
            received_at: row.received_at,
            done_at: row.done_at,
        }
    }
}

impl Service {
    /// Those of an integration before `before`, newest first.
    pub async fn deliveries(
        &self,
        principal: &Principal,
        integration: IntegrationId,
        state: Option<DeliveryState>,
        before: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<DeliveryView>, Error> {
        access::require(principal, Right::ManageIntegrations)?;
        let mut tx = self.store().team(principal.team).await?;
        integrations::get(&mut tx, integration).await?.ok_or(Error::NotFound)?;
        let rows = deliveries::list(&mut tx, integration, state, before, limit).await?;
        tx.commit().await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    /// Has one worked off again by the rules as they are now. One that is waiting stays as it is.
    pub async fn replay_delivery(
        &self,
        principal: &Principal,
        integration: IntegrationId,
        id: DeliveryId,
        key: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        access::require(principal, Right::ManageIntegrations)?;
        let mut tx = self.store().team(principal.team).await?;
        if let Some(done) = idempotency::begin(&mut tx, principal, key).await? {
            return Ok(done);
        }
        let row = deliveries::lock(&mut tx, integration, id).await?.ok_or(Error::NotFound)?;
        if !row.has_content {
            return Err(Error::Conflict {
                code: "nothing_to_do",
                detail: format!("there is nothing in it to be worked off: {}", row.reason),
                state: Some(row.state.as_str().to_owned()),
            });
        }
        if row.state != DeliveryState::Waiting {
            deliveries::replay(&mut tx, id).await?;
            let detail = json!({ "integration": integration, "state": row.state });
            audit::record(&mut tx, principal, Action::DeliveryReplayed, Subject::new("delivery", id), detail).await?;
        }
        let row = deliveries::lock(&mut tx, integration, id).await?.ok_or(Error::NotFound)?;
        idempotency::commit(tx, principal, key, Answer::new(202, &DeliveryView::from(row))?).await
    }
}
