//! Endpoints: made, changed, deleted, given another secret.

use super::{
    check::Parts,
    view::{WebhookEndpointCreated, WebhookEndpointView, WebhookSecretView},
};
use crate::{
    clock,
    domain::{Principal, WebhookEndpointId},
    service::{
        Answer, Error, Idempotency, Service, access,
        access::Right,
        audit::{self, Action, Subject},
        environments::too_many,
        idempotency,
    },
    store::{
        TeamTx,
        webhooks::{self, EndpointRow},
    },
};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

const ENDPOINTS_MAX: u32 = 20;

/// A webhook endpoint to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWebhookEndpoint {
    /// https; http to hosts alone that the operator named as private ones.
    #[schema(example = "https://hooks.example.org/journeyman")]
    pub url: String,
    /// Kinds of events as in a task's log, prefixes such as `task.*`, or `*`.
    #[schema(example = json!(["task.status", "approval.*"]), min_items = 1, max_items = 100)]
    pub events: Vec<String>,
    #[serde(default)]
    #[schema(max_length = 500)]
    pub description: String,
    /// Default: true.
    pub enabled: Option<bool>,
}

/// What is absent stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookEndpointEdit {
    pub url: Option<String>,
    #[schema(min_items = 1, max_items = 100)]
    pub events: Option<Vec<String>>,
    #[schema(max_length = 500)]
    pub description: Option<String>,
    /// One that is not hears of no event; what waits for it goes on once it is enabled.
    pub enabled: Option<bool>,
}

impl Service {
    pub async fn create_webhook_endpoint(
        &self,
        principal: &Principal,
        new: NewWebhookEndpoint,
        key: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        access::require(principal, Right::ManageWebhooks)?;
        let NewWebhookEndpoint { url, events, description, enabled } = new;
        let parts = Parts { url, events, description, enabled: enabled.unwrap_or(true) };
        let parts = parts.checked(self, true).await?;
        let mut tx = self.store().team(principal.team).await?;
        if let Some(done) = idempotency::begin(&mut tx, principal, key).await? {
            return self.with_webhook_secret(done);
        }
        if webhooks::count(&mut tx).await? >= ENDPOINTS_MAX {
            return Err(too_many(&format!("a team may have {ENDPOINTS_MAX} webhook endpoints: delete one first")));
        }
        let id: WebhookEndpointId = clock::new_id();
        let row = webhooks::insert(&mut tx, principal.team, id, &parts.row()).await?;
        let made = self.new_webhook_secret(&mut tx, principal, id).await?;
        note(&mut tx, principal, Action::WebhookEndpointCreated, &row).await?;
        let created = WebhookEndpointCreated { endpoint: row.into(), secret: made.veiled };
        let answer = Answer::new(201, &created)?.at(format!("/v1/webhook_endpoints/{id}"));
        self.with_webhook_secret(idempotency::commit(tx, principal, key, answer).await?)
    }

    /// Endpoints before `before`, newest first.
    pub async fn webhook_endpoints(
        &self,
        principal: &Principal,
        before: Option<WebhookEndpointId>,
        limit: u32,
    ) -> Result<Vec<WebhookEndpointView>, Error> {
        access::require(principal, Right::ManageWebhooks)?;
        let mut tx = self.store().team(principal.team).await?;
        let rows = webhooks::list(&mut tx, before, limit).await?;
        tx.commit().await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    pub async fn webhook_endpoint(
        &self,
        principal: &Principal,
        id: WebhookEndpointId,
    ) -> Result<WebhookEndpointView, Error> {
        access::require(principal, Right::ManageWebhooks)?;
        let mut tx = self.store().team(principal.team).await?;
        let row = webhooks::get(&mut tx, id, false).await?;
        tx.commit().await?;
        row.map(Into::into).ok_or(Error::NotFound)
    }

    /// Changes an endpoint. One that the service had disabled begins anew once it is enabled.
    pub async fn edit_webhook_endpoint(
        &self,
        principal: &Principal,
        id: WebhookEndpointId,
        edit: WebhookEndpointEdit,
    ) -> Result<WebhookEndpointView, Error> {
        access::require(principal, Right::ManageWebhooks)?;
        let before = self.webhook_endpoint(principal, id).await?;
        let moved = edit.url.as_ref().is_some_and(|url| *url != before.url);
        let parts = Parts {
            url: edit.url.clone().unwrap_or(before.url),
            events: edit.events.clone().unwrap_or(before.events),
            description: edit.description.clone().unwrap_or(before.description),
            enabled: edit.enabled.unwrap_or(before.enabled),
        };
        // The address is asked about outside of any transaction.
        let mut parts = parts.checked(self, moved).await?;
        let mut tx = self.store().team(principal.team).await?;
        let now = webhooks::get(&mut tx, id, true).await?.ok_or(Error::NotFound)?;
        // What this edit leaves alone stays as somebody else may have made it meanwhile.
        if edit.url.is_none() {
            parts.url = now.url;
        }
        if edit.events.is_none() {
            parts.events = now.events;
        }
        if edit.description.is_none() {
            parts.description = now.description;
        }
        parts.enabled = edit.enabled.unwrap_or(now.enabled);
        let row = webhooks::update(&mut tx, id, &parts.row()).await?;
        note(&mut tx, principal, Action::WebhookEndpointUpdated, &row).await?;
        tx.commit().await?;
        Ok(row.into())
    }

    pub async fn delete_webhook_endpoint(&self, principal: &Principal, id: WebhookEndpointId) -> Result<(), Error> {
        access::require(principal, Right::ManageWebhooks)?;
        let mut tx = self.store().team(principal.team).await?;
        if !webhooks::delete(&mut tx, id).await? {
            return Err(Error::NotFound);
        }
        let subject = Subject::new("webhook_endpoint", id);
        audit::record(&mut tx, principal, Action::WebhookEndpointDeleted, subject, Value::Null).await?;
        Ok(tx.commit().await?)
    }

    /// Gives an endpoint another secret; the old one signs along for a day.
    pub async fn rotate_webhook_secret(
        &self,
        principal: &Principal,
        id: WebhookEndpointId,
        key: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        access::require(principal, Right::ManageWebhooks)?;
        let mut tx = self.store().team(principal.team).await?;
        if let Some(done) = idempotency::begin(&mut tx, principal, key).await? {
            return self.with_webhook_secret(done);
        }
        webhooks::get(&mut tx, id, true).await?.ok_or(Error::NotFound)?;
        let made = self.new_webhook_secret(&mut tx, principal, id).await?;
        let detail = json!({ "previous_ends_at": made.previous_ends_at });
        let subject = Subject::new("webhook_endpoint", id);
        audit::record(&mut tx, principal, Action::WebhookEndpointRotated, subject, detail).await?;
        let view = WebhookSecretView { secret: made.veiled, previous_ends_at: made.previous_ends_at };
        let answer = Answer::new(200, &view)?;
        self.with_webhook_secret(idempotency::commit(tx, principal, key, answer).await?)
    }
}

/// The address is none of it: its path can be a secret.
async fn note(tx: &mut TeamTx, principal: &Principal, action: Action, row: &EndpointRow) -> Result<(), Error> {
    let host = url::Url::parse(&row.url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let detail = json!({ "host": host, "events": row.events, "enabled": row.enabled });
    audit::record(tx, principal, action, Subject::new("webhook_endpoint", row.id), detail).await
}
