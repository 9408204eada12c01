//! How the service is let into trackers and forges: by the tokens of a team's integrations.

use crate::{
    domain::{IntegrationId, TeamId, git_credential::GitCredentialKind, integration::IntegrationSpec, secret::Sealed},
    jobs::{ForgeOf, KnownForge, Shut, VoiceOf},
    runner::{Vault, VaultError},
    secrets::Secret,
    store::{
        Store, StoreError, sealed,
        trackers::{
            forge_tokens::{self, ForgeTokenRow},
            integrations,
        },
    },
    trackers::{
        client::TrackerClient,
        forge::{Forge, ForgeAccess, ForgeKind},
        tokens::{TokenOf, Tokens},
        voice::Voice,
    },
    workspace::repository::{Credentials, GitCredential, RepositoryUrl},
};
use std::{sync::Arc, time::Duration};
use url::Url;

/// How often and after what pause the database is asked again that is away.
const CREDENTIAL_TRIES: u32 = 60;
const CREDENTIAL_PAUSE: Duration = Duration::from_millis(500);

/// Opens what integrations have. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Doors {
    store: Store,
    vault: Vault,
    client: TrackerClient,
    tokens: Tokens,
}

/// An integration that speaks for a repository.
struct Chosen<'a> {
    row: &'a ForgeTokenRow,
    kind: ForgeKind,
    spec: IntegrationSpec,
    /// Its path at the forge.
    repository: String,
}

impl Doors {
    pub(super) fn new(store: Store, vault: Vault, client: TrackerClient) -> Self {
        Self { store, vault, tokens: Tokens::new(client.clone()), client }
    }

    pub(super) fn client(&self) -> &TrackerClient {
        &self.client
    }

    pub(super) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// The forge of a repository by the team's integrations: one that maps it, else one for its host.
    pub(super) fn forges(&self) -> ForgeOf {
        let own = self.clone();
        Arc::new(move |team, url| {
            let own = own.clone();
            Box::pin(async move { own.forge(team, &url).await })
        })
    }

    async fn forge(&self, team: TeamId, url: &RepositoryUrl) -> Result<Option<KnownForge>, Shut> {
        let rows = forge_tokens::of_team(&self.store, team).await.map_err(|error| unread(&error))?;
        let Some(Chosen { row, kind, spec, repository }) = chosen(&rows, url) else { return Ok(None) };
        let integration = IntegrationId(row.integration);
        let token = self.token(team, integration, (&spec, &row.sealed), Some(&repository)).await?;
        let access = ForgeAccess::new(kind, spec.base_url.as_deref(), token)?;
        let forge = Forge::new(access, self.client.clone());
        let wishes = spec.pull_requests;
        Ok(Some(KnownForge { forge, repository, integration, labels: wishes.labels, reviewers: wishes.reviewers }))
    }

    /// With what an integration is spoken at its tracker.
    pub(super) fn voices(&self) -> VoiceOf {
        let own = self.clone();
        Arc::new(move |team, id| {
            let own = own.clone();
            Box::pin(async move { own.voice(team, id).await })
        })
    }

    async fn voice(&self, team: TeamId, id: IntegrationId) -> Result<Option<(IntegrationSpec, Voice)>, Shut> {
        let mut tx = self.store.team(team).await.map_err(|error| unread(&error))?;
        let row = integrations::get(&mut tx, id).await.map_err(|error| unread(&error))?;
        tx.commit().await.map_err(|error| unread(&error))?;
        let sealed = integrations::token(&self.store, team, id).await.map_err(|error| unread(&error))?;
        let Some((row, sealed)) = row.zip(sealed) else { return Ok(None) };
        let token = self.token(team, id, (&row.spec, &sealed), None).await?;
        let voice = Voice::new(row.tracker, row.spec.base_url.as_deref(), token, self.client.clone())?;
        Ok(Some((row.spec, voice)))
    }

    /// What reaches a team's repositories, asked for at each fetch and push: what the team gave for git, else the token of an
    /// integration. A database that is away is waited for, for a while.
    pub(super) fn credentials(&self) -> Credentials {
        let own = self.clone();
        Credentials(Some(Arc::new(move |team, url| {
            let own = own.clone();
            Box::pin(async move {
                for _ in 0..CREDENTIAL_TRIES {
                    match own.vault.git_credential(team, &url).await {
                        Ok(None) => return own.git_credential(team, &url).await.map_err(|shut| shut.to_string()),
                        Ok(found) => return Ok(found),
                        Err(VaultError::Store(error)) if error.is_transient() => {
                            tokio::time::sleep(CREDENTIAL_PAUSE).await;
                        }
                        Err(VaultError::Seal(error)) => return Err(error.to_string()),
                        Err(VaultError::Store(error)) => {
                            tracing::error!(%error, "a git credential cannot be read");
                            return Err("it cannot be read".to_owned());
                        }
                    }
                }
                Err("the database is away".to_owned())
            })
        })))
    }

    /// The token of an integration for git, which goes to its own forge alone.
    async fn git_credential(&self, team: TeamId, url: &RepositoryUrl) -> Result<Option<GitCredential>, Shut> {
        if url.credential_kind() != Some(GitCredentialKind::Token) {
            return Ok(None);
        }
        let rows = forge_tokens::of_team(&self.store, team).await.map_err(|error| unread(&error))?;
        let Some(Chosen { row, kind, spec, repository }) = chosen(&rows, url).filter(|found| is_of(found, url)) else {
            return Ok(None);
        };
        let integration = IntegrationId(row.integration);
        let secret = self.token(team, integration, (&spec, &row.sealed), Some(&repository)).await?;
        let username = match kind {
            ForgeKind::Github => "x-access-token",
            ForgeKind::Gitlab => "oauth2",
            ForgeKind::Gitea => "x-oauth-basic",
        };
        Ok(Some(GitCredential {
            id: integration.to_string(),
            kind: GitCredentialKind::Token,
            username: Some(username.to_owned()),
            secret,
            names_port: true,
            known_hosts: None,
        }))
    }

    async fn token(
        &self,
        team: TeamId,
        integration: IntegrationId,
        (spec, sealed): (&IntegrationSpec, &Sealed),
        repository: Option<&str>,
    ) -> Result<Secret, Shut> {
        let owner = sealed::of_integration(team, integration.0, integrations::TOKEN);
        let secret = self.vault.keyring().open(&owner, sealed).map_err(|error| Shut::ForGood(error.to_string()))?;
        let of = TokenOf { integration, base_url: spec.base_url.as_deref(), app: spec.app.as_ref(), secret: &secret };
        Ok(self.tokens.of(of, repository).await?)
    }
}

fn unread(error: &StoreError) -> Shut {
    tracing::warn!(%error, "a team's integrations cannot be read");
    Shut::ForNow("the team's integrations cannot be read now".to_owned())
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

/// Whether a repository is at the very host and port of the integration's forge, and is reached as safely as its API.
fn is_of(found: &Chosen<'_>, url: &RepositoryUrl) -> bool {
    let at = match found.spec.base_url.as_deref() {
        Some(base) => Url::parse(base).ok(),
        None => found.kind.host(None).and_then(|host| Url::parse(&format!("https://{host}")).ok()),
    };
    let (Some(at), Some((host, port))) = (at, url.host_and_port()) else { return false };
    let theirs = found.kind.host(found.spec.base_url.as_deref());
    theirs.is_some_and(|theirs| theirs.eq_ignore_ascii_case(host))
        && at.port_or_known_default() == Some(port)
        && (at.scheme() != "https" || url.to_string().starts_with("https://"))
}
