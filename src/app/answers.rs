//! What answers at trackers, from settings.

use super::build::{self, Parts};
use crate::{
    config::Settings,
    jobs::{AnswerSettings, Answerer, VoiceOf},
    net::{CheckedClient, Timeouts},
    runner::Failpoint,
    service::Service,
    shutdown::Shutdown,
    store::{sealed, trackers::integrations},
    trackers::voice::Voice,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// What a tracker may take to connect, and between two pieces of its answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Answers where the API is served: what trackers ask for is done there.
pub(super) fn start(
    settings: &Settings,
    parts: &Parts,
    (service, bound): (Service, SocketAddr),
    shutdown: &Shutdown,
    failpoint: Option<Failpoint>,
) -> anyhow::Result<()> {
    let own = AnswerSettings {
        public_url: settings.http.public_url.as_ref().map_or_else(|| format!("http://{bound}"), ToString::to_string),
        lease: settings.worker.lease_ttl,
    };
    let answerer = Answerer::new(parts.store.clone(), service, voices(settings, parts)?, own).failing_at(failpoint);
    let stop = shutdown.clone();
    shutdown.spawn(async move { answerer.run(stop).await });
    Ok(())
}

/// With what an integration is spoken at its tracker.
fn voices(settings: &Settings, parts: &Parts) -> anyhow::Result<VoiceOf> {
    let timeouts = Timeouts { connect: TIMEOUT, read: TIMEOUT, total: Some(TIMEOUT * 2) };
    let client = CheckedClient::new(parts.policy.clone(), &build::outgoing(settings), timeouts)?;
    let (store, vault) = (parts.store.clone(), parts.vault.clone());
    Ok(Arc::new(move |team, id| {
        let (client, store, vault) = (client.clone(), store.clone(), vault.clone());
        Box::pin(async move {
            let unread = |error: crate::store::StoreError| {
                tracing::warn!(%error, "an integration cannot be read");
                "the integration cannot be read now".to_owned()
            };
            let mut tx = store.team(team).await.map_err(unread)?;
            let row = integrations::get(&mut tx, id).await.map_err(unread)?;
            tx.commit().await.map_err(unread)?;
            let sealed = integrations::token(&store, team, id).await.map_err(unread)?;
            let Some((row, sealed)) = row.zip(sealed) else { return Ok(None) };
            let owner = sealed::of_integration(team, id.0, integrations::TOKEN);
            let token = vault.keyring().open(&owner, &sealed).map_err(|error| error.to_string())?;
            let voice = Voice::new(row.tracker, row.spec.base_url.as_deref(), token, client);
            Ok(Some((row.spec, voice.map_err(|error| error.to_string())?)))
        })
    }))
}
