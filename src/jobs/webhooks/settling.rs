//! What came of attempts is written, many at a time; endpoints that want nothing any more, or have not been reached for too long,
//! are disabled.

use super::attempt::Attempted;
use crate::{
    clock,
    domain::{
        audit::{Action, Actor, AuditResult, Subject},
        webhook::DisabledReason,
    },
    store::{
        Store, StoreError,
        audit::{self, NewEntry},
        webhooks::{self, Outcome, Standing},
    },
};
use serde_json::json;
use std::time::Duration;
use tokio::sync::mpsc;

/// Written at a time.
const AT_ONCE: usize = 200;
/// Tries to write what came of attempts while the database is away; what is not written is sent again.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);

/// Writes until nobody sends any more.
pub(super) async fn settle(store: Store, failing: Duration, mut attempted: mpsc::Receiver<(Attempted, Standing)>) {
    let mut some = Vec::with_capacity(AT_ONCE);
    while attempted.recv_many(&mut some, AT_ONCE).await > 0 {
        let gone: Vec<Standing> = some.iter().filter(|(one, _)| one.gone).map(|(_, standing)| *standing).collect();
        let outcomes: Vec<Outcome> = some.drain(..).map(|(one, _)| one.outcome).collect();
        let failing = write(&store, &outcomes, failing).await;
        for (standing, reason) in gone
            .into_iter()
            .map(|standing| (standing, DisabledReason::Gone))
            .chain(failing.into_iter().map(|standing| (standing, DisabledReason::Failing)))
        {
            // One that is enabled still is disabled at its next failure.
            if let Err(error) = disable(&store, standing, reason).await {
                tracing::warn!(webhook_endpoint.id = %standing.endpoint, %error, "a webhook endpoint could not be disabled");
            }
        }
    }
}

async fn write(store: &Store, outcomes: &[Outcome], failing: Duration) -> Vec<Standing> {
    for _ in 0..TRIES {
        match webhooks::settle(store, outcomes, failing).await {
            Ok(standing) => return standing,
            Err(error) if error.is_transient() => tokio::time::sleep(PAUSE).await,
            Err(error) => {
                tracing::error!(%error, deliveries = outcomes.len(), "what came of webhooks cannot be written");
                return Vec::new();
            }
        }
    }
    tracing::warn!(deliveries = outcomes.len(), "what came of webhooks could not be written: they are sent again");
    Vec::new()
}

async fn disable(store: &Store, standing: Standing, reason: DisabledReason) -> Result<(), StoreError> {
    let mut tx = store.across_teams().await?;
    if !webhooks::disable(&mut tx, standing, reason).await? {
        return Ok(());
    }
    let subject = Subject::new("webhook_endpoint", standing.endpoint);
    let detail = json!({ "reason": reason }).to_string();
    let entry = NewEntry {
        team: standing.team,
        id: clock::new_id(),
        actor: Actor::SERVICE,
        action: Action::WebhookEndpointDisabled.as_str(),
        subject: &subject,
        result: AuditResult::Ok,
        address: None,
        request: None,
        detail: &detail,
    };
    audit::insert_across(&mut tx, &entry).await?;
    tx.commit().await?;
    metrics::counter!("journeyman_webhook_endpoints_disabled_total", "reason" => reason.as_str()).increment(1);
    tracing::warn!(webhook_endpoint.id = %standing.endpoint, reason = reason.as_str(), "disabled a webhook endpoint");
    Ok(())
}
