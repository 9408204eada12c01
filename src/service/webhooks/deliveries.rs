//! What was sent to an endpoint; sending it again, and sending a test.

use super::view::WebhookDeliveryView;
use crate::{
    clock,
    domain::{
        Principal, WebhookDeliveryId, WebhookEndpointId,
        webhook::{DeliveryState, TEST_KIND},
    },
    service::{
        Answer, Error, Idempotency, Service, access,
        access::Right,
        audit::{self, Action, Subject},
        idempotency,
    },
    store::{TeamTx, webhooks},
};
use serde_json::json;

impl Service {
    /// Deliveries of an endpoint before `before`, newest first.
    pub async fn webhook_deliveries(
        &self,
        principal: &Principal,
        endpoint: WebhookEndpointId,
        state: Option<DeliveryState>,
        before: Option<WebhookDeliveryId>,
        limit: u32,
    ) -> Result<Vec<WebhookDeliveryView>, Error> {
        access::require(principal, Right::ManageWebhooks)?;
        let mut tx = self.store().team(principal.team).await?;
        webhooks::get(&mut tx, endpoint, false).await?.ok_or(Error::NotFound)?;
        let rows = webhooks::list_deliveries(&mut tx, endpoint, state, before, limit).await?;
        tx.commit().await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    /// Sends a delivery again, whatever came of it, under the same id and with the same bytes; from the start of its schedule.
    pub async fn redeliver_webhook(
        &self,
        principal: &Principal,
        endpoint: WebhookEndpointId,
        id: WebhookDeliveryId,
        key: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        access::require(principal, Right::ManageWebhooks)?;
        let mut tx = self.store().team(principal.team).await?;
        if let Some(done) = idempotency::begin(&mut tx, principal, key).await? {
            return Ok(done);
        }
        let row = webhooks::delivery(&mut tx, endpoint, id).await?.ok_or(Error::NotFound)?;
        require_enabled(&mut tx, endpoint).await?;
        let state = row.state;
        let row = webhooks::redeliver(&mut tx, endpoint, id).await?.ok_or(Error::NotFound)?;
        let (subject, detail) =
            (Subject::new("webhook_delivery", id), json!({ "webhook_endpoint": endpoint, "was": state }));
        audit::record(&mut tx, principal, Action::WebhookDeliveryRedelivered, subject, detail).await?;
        let answer = Answer::new(202, &WebhookDeliveryView::from(row))?;
        idempotency::commit(tx, principal, key, answer).await
    }

    /// Sends an event that tells of nothing, whatever the endpoint wants otherwise.
    pub async fn test_webhook(
        &self,
        principal: &Principal,
        endpoint: WebhookEndpointId,
        key: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        access::require(principal, Right::ManageWebhooks)?;
        let mut tx = self.store().team(principal.team).await?;
        if let Some(done) = idempotency::begin(&mut tx, principal, key).await? {
            return Ok(done);
        }
        require_enabled(&mut tx, endpoint).await?;
        let body = json!({
            "type": TEST_KIND, "timestamp": clock::now(),
            "data": { "team": principal.team, "webhook_endpoint": endpoint },
        });
        let id: WebhookDeliveryId = clock::new_id();
        let row = webhooks::test(&mut tx, principal.team, endpoint, id, &body.to_string()).await?;
        let (subject, detail) = (Subject::new("webhook_endpoint", endpoint), json!({ "webhook_delivery": id }));
        audit::record(&mut tx, principal, Action::WebhookEndpointTested, subject, detail).await?;
        let answer = Answer::new(202, &WebhookDeliveryView::from(row))?;
        idempotency::commit(tx, principal, key, answer).await
    }
}

async fn require_enabled(tx: &mut TeamTx, endpoint: WebhookEndpointId) -> Result<(), Error> {
    let row = webhooks::get(tx, endpoint, false).await?.ok_or(Error::NotFound)?;
    if row.enabled {
        return Ok(());
    }
    Err(Error::Conflict {
        code: "webhook_endpoint_disabled",
        detail: "the endpoint is disabled: enable it first".to_owned(),
        state: None,
    })
}
