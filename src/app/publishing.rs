//! What publishes tasks' work, from settings.

use super::build::{self, Parts};
use crate::{
    config::Settings,
    domain::{IntegrationId, integration::IntegrationSpec},
    jobs::{self, ForgeOf, JobLoop, KnownForge, Publisher, PublisherSettings},
    net::{CheckedClient, Timeouts},
    queue::Queue,
    runner::Failpoint,
    shutdown::Shutdown,
    store::{
        sealed,
        trackers::{
            forge_tokens::{self, ForgeTokenRow},
            integrations,
        },
    },
    trackers::forge::{Forge, ForgeAccess, ForgeKind},
    workspace::repository::{RepositoryUrl, Signature},
};
use std::{sync::Arc, time::Duration};

/// How often a worker looks for something to publish, and how much it publishes at once.
const POLL: Duration = Duration::from_millis(300);
const AT_ONCE: usize = 4;
/// What a forge may take to connect, and between two pieces of its answer.
const FORGE_TIMEOUT: Duration = Duration::from_secs(15);

/// What people have asked to be published is done by every worker.
pub(super) fn start(
    settings: &Settings,
    parts: &Parts,
    queue: &Queue,
    shutdown: &Shutdown,
    failpoint: Option<Failpoint>,
) -> anyhow::Result<()> {
    let (replica, host) = queue.holder();
    let own = JobLoop { replica, host, at_once: AT_ONCE, lease_ttl: settings.worker.lease_ttl, poll: POLL };
    let set = &settings.publish;
    let publisher = Publisher::new(
        parts.store.clone(),
        parts.repositories.clone(),
        parts.blobs.clone(),
        forges(settings, parts)?,
        PublisherSettings {
            signature: Signature { name: set.name.clone(), email: set.email.clone() },
            sign_off: set.sign_off,
            attempts: set.attempts,
            public_url: settings.http.public_url.as_ref().map(ToString::to_string),
        },
    );
    let publisher = publisher.failing_at(failpoint);
    let (store, stop) = (parts.store.clone(), shutdown.clone());
    shutdown.spawn(async move { jobs::publish(store, publisher, own, stop).await });
    Ok(())
}

/// The forge of a repository by the team's integrations: one that maps it, else one for its host.
fn forges(settings: &Settings, parts: &Parts) -> anyhow::Result<ForgeOf> {
    let timeouts = Timeouts { connect: FORGE_TIMEOUT, read: FORGE_TIMEOUT, total: Some(FORGE_TIMEOUT * 2) };
    let client = CheckedClient::new(parts.policy.clone(), &build::outgoing(settings), timeouts)?;
    let (store, vault) = (parts.store.clone(), parts.vault.clone());
    Ok(Arc::new(move |team, url| {
        let (client, store, vault) = (client.clone(), store.clone(), vault.clone());
        Box::pin(async move {
            let rows = forge_tokens::of_team(&store, team).await.map_err(|error| {
                tracing::warn!(%error, "a team's integrations cannot be read");
                "the team's integrations cannot be read now".to_owned()
            })?;
            let Some(found) = chosen(&rows, &url) else { return Ok(None) };
            let owner = sealed::of_integration(team, found.row.integration, integrations::TOKEN);
            let token = vault.keyring().open(&owner, &found.row.sealed).map_err(|error| error.to_string())?;
            let access = ForgeAccess::new(found.kind, found.spec.base_url.as_deref(), token);
            let forge = Forge::new(access.map_err(|error| error.to_string())?, client);
            let integration = IntegrationId(found.row.integration);
            Ok(Some(KnownForge { forge, repository: found.repository, integration }))
        })
    }))
}

/// An integration that speaks for a repository.
struct Chosen<'a> {
    row: &'a ForgeTokenRow,
    kind: ForgeKind,
    spec: IntegrationSpec,
    /// Its path at the forge.
    repository: String,
}

fn chosen<'a>(rows: &'a [ForgeTokenRow], url: &RepositoryUrl) -> Option<Chosen<'a>> {
    let known = || {
        rows.iter().filter_map(|row| {
            let kind = ForgeKind::parse(&row.tracker)?;
            Some((row, kind, serde_json::from_str::<IntegrationSpec>(&row.spec).ok()?))
        })
    };
    let text = url.to_string();
    let mapped = known().find_map(|(row, kind, spec)| {
        let same = |mapped: &str| mapped.trim_end_matches(".git") == text.trim_end_matches(".git");
        let repository =
            spec.repositories.iter().find(|(_, mapped)| same(&mapped.url)).map(|(name, _)| name.clone())?;
        Some(Chosen { row, kind, spec, repository })
    });
    let host = url.host_and_port().map(|(host, _)| host.to_ascii_lowercase());
    mapped.or_else(|| {
        let host = host?;
        let of_host = |spec: &IntegrationSpec, kind: ForgeKind| {
            kind.host(spec.base_url.as_deref()).is_some_and(|theirs| theirs == host)
        };
        let (row, kind, spec) = known().find(|(_, kind, spec)| of_host(spec, *kind))?;
        Some(Chosen { row, kind, spec, repository: url.path() })
    })
}
