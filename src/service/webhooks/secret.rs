//! Secrets that sign: made here, shown once, sealed; and how the answer that shows one is kept without it.

use crate::{
    clock,
    domain::{Principal, Timestamp, WebhookEndpointId},
    secrets::Secret,
    service::{Answer, Error, Service},
    store::{TeamTx, sealed, webhooks},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use uuid::Uuid;

/// How long a secret that another follows signs along.
const OVERLAP_SECONDS: u32 = 86_400;
/// Secrets that sign along, at most: the newest.
const OTHERS_MAX: u32 = 3;

/// What goes into the answer, until it is sent.
pub(super) struct Made {
    /// The secret under a pad that this service alone can make again.
    pub(super) veiled: String,
    pub(super) previous_ends_at: Option<Timestamp>,
}

impl Service {
    /// Gives an endpoint a secret; those before it sign along for a day.
    pub(super) async fn new_webhook_secret(
        &self,
        tx: &mut TeamTx,
        principal: &Principal,
        endpoint: WebhookEndpointId,
    ) -> Result<Made, Error> {
        let name = clock::new_id::<Uuid>().to_string();
        let bytes: [u8; 32] = clock::random_bytes();
        let owner = sealed::of_webhook(principal.team, endpoint.0, &name);
        let sealed = self.keyring().seal(&owner, &Secret::new(shown(bytes))).map_err(Error::internal)?;
        let ends_at =
            webhooks::add_secret(tx, principal.team, endpoint, (&name, &sealed), OVERLAP_SECONDS, OTHERS_MAX).await?;
        let veiled = format!("{name} {}", STANDARD.encode(self.veil_webhook(&name, bytes)));
        Ok(Made { veiled, previous_ends_at: ends_at })
    }

    /// The answer with its secret: what is kept for copies of the request does not hold it.
    pub(super) fn with_webhook_secret(&self, mut answer: Answer) -> Result<Answer, Error> {
        let mut body: Value = serde_json::from_slice(&answer.body).map_err(Error::internal)?;
        let unveiled = body["secret"].as_str().and_then(|veiled| {
            let (name, veiled) = veiled.split_once(' ')?;
            Some(shown(self.veil_webhook(name, STANDARD.decode(veiled).ok()?.try_into().ok()?)))
        });
        body["secret"] = unveiled.ok_or_else(|| Error::internal("a kept webhook secret cannot be read"))?.into();
        answer.body = serde_json::to_vec(&body).map_err(Error::internal)?;
        Ok(answer)
    }

    fn veil_webhook(&self, name: &str, bytes: [u8; 32]) -> [u8; 32] {
        self.veil(&format!("webhook secret {name}"), bytes)
    }
}

fn shown(bytes: [u8; 32]) -> String {
    format!("whsec_{}", STANDARD.encode(bytes))
}
