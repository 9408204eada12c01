//! What sends webhooks, from settings.

use super::build::{self, Parts};
use crate::{
    config::Settings,
    jobs::{WebhookSettings, Webhooks},
    net::{CheckedClient, Timeouts},
    shutdown::Shutdown,
    store::webhooks::Kept,
};

/// Finished deliveries that are kept of one endpoint.
const KEPT_OF_ENDPOINT: u32 = 10_000;

/// Sends until the shutdown drains.
pub(super) fn start(settings: &Settings, parts: &Parts, shutdown: &Shutdown) -> anyhow::Result<()> {
    let set = &settings.webhooks;
    let timeouts = Timeouts { connect: set.timeout, read: set.timeout, total: None };
    let client = CheckedClient::new(parts.policy.clone(), &build::outgoing(settings), timeouts)?;
    let own = WebhookSettings {
        at_once: set.at_once,
        timeout: set.timeout,
        pauses: set.pauses.clone(),
        failing: set.failing,
        kept: Kept { age: set.kept, of_endpoint: KEPT_OF_ENDPOINT },
    };
    let redactor = (*parts.redactor).clone();
    let webhooks = Webhooks::new(parts.store.clone(), client, parts.keyring.clone(), redactor, own);
    let stop = shutdown.clone();
    shutdown.spawn(async move { webhooks.run(stop).await });
    Ok(())
}
