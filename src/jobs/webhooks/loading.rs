//! What signs for the endpoints of a claim, opened for as long as it takes to sign.

use super::sign::signature;
use crate::{
    domain::WebhookEndpointId,
    secrets::{Keyring, Secret},
    store::{
        Store, StoreError, sealed,
        webhooks::{self, Claimed},
    },
};
use std::collections::HashMap;

/// Signatures on one delivery at most; a secret that ends signs along until then.
const SIGNATURES_MAX: usize = 4;

/// The secrets of some endpoints, the newest first, or why one does not open.
#[derive(Debug)]
pub(super) struct Loaded(HashMap<WebhookEndpointId, Vec<Result<Secret, String>>>);

impl Loaded {
    pub(super) async fn load(store: &Store, keyring: &Keyring, claimed: &[Claimed]) -> Result<Self, StoreError> {
        let mut endpoints: Vec<WebhookEndpointId> = claimed.iter().map(|one| one.endpoint).collect();
        endpoints.sort_unstable();
        endpoints.dedup();
        let mut loaded: HashMap<_, Vec<_>> = HashMap::new();
        for row in webhooks::secrets(store, &endpoints).await? {
            let owner = sealed::of_webhook(row.team, row.endpoint.0, &row.name);
            let opened = keyring.open(&owner, &row.sealed).map_err(|error| {
                tracing::error!(webhook_endpoint.id = %row.endpoint, %error, "a webhook endpoint's secret does not open");
                "what signs for this endpoint cannot be opened: rotate its secret".to_owned()
            });
            loaded.entry(row.endpoint).or_default().push(opened);
        }
        Ok(Self(loaded))
    }

    /// `webhook-signature`: one of each secret, a space between.
    pub(super) fn sign(&self, one: &Claimed, timestamp: i64) -> Result<String, String> {
        let secrets = self.0.get(&one.endpoint).map(Vec::as_slice).unwrap_or_default();
        let id = one.id.to_string();
        let mut signatures = Vec::new();
        for secret in secrets.iter().take(SIGNATURES_MAX) {
            let secret = secret.as_ref().map_err(Clone::clone)?;
            signatures.extend(signature(secret.expose(), &id, timestamp, &one.body));
        }
        if signatures.is_empty() {
            Err("this endpoint has no secret: rotate it".to_owned())
        } else {
            Ok(signatures.join(" "))
        }
    }
}
