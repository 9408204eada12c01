//! How the service is let into trackers and forges: by the tokens of a team's integrations.

use crate::{
    domain::{IntegrationId, TeamId, git_credential::GitCredentialKind, integration::IntegrationSpec, secret::Sealed},
    jobs::{ForgeOf, KnownForge, Shut, VoiceOf},
    runner::{Vault, VaultError},
    secrets::{SealError, Secret},
    store::{
        Store, StoreError, sealed,
        trackers::{
            forge_tokens::{self, ForgeTokenRow},
            integrations, issues,
        },
    },
    trackers::{
        client::TrackerClient,
        forge::{Forge, ForgeAccess, ForgeError, ForgeKind},
        tokens::{Purpose, TokenOf, Tokens},
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

/// Why an integration has no token for a repository.
enum NoToken {
    Shut(Shut),
    /// Its App is not let into it; for people.
    NotLet(String),
}

/// An integration that may speak for a repository.
struct Candidate {
    integration: IntegrationId,
    kind: ForgeKind,
    spec: IntegrationSpec,
    sealed: Sealed,
    /// Its path at the forge.
    repository: String,
    /// The integration maps it, and need not be for its host.
    mapped: bool,
}

/// Who speaks for a repository.
enum Speaker {
    With(Box<Candidate>, Secret),
    /// Those that could are Apps that are not let into it; for people.
    NotLet(String),
    Nobody,
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

    /// The forge of a repository by the team's integrations: one that maps it, else one for its host, at which those come first
    /// that have heard of it.
    pub(super) fn forges(&self) -> ForgeOf {
        let own = self.clone();
        Arc::new(move |team, url| {
            let own = own.clone();
            Box::pin(async move { own.forge(team, &url).await })
        })
    }

    async fn forge(&self, team: TeamId, url: &RepositoryUrl) -> Result<Option<KnownForge>, Shut> {
        let (found, token) = match self.speaker(team, url, Purpose::PullRequests, |_| true).await? {
            Speaker::With(found, token) => (found, token),
            Speaker::NotLet(reason) => return Err(Shut::ForGood(reason)),
            Speaker::Nobody => return Ok(None),
        };
        let Candidate { integration, kind, spec, repository, .. } = *found;
        let access = ForgeAccess::new(kind, spec.base_url.as_deref(), token)?;
        let forge = Forge::new(access, self.client.clone());
        let wishes = spec.pull_requests;
        Ok(Some(KnownForge { forge, repository, integration, labels: wishes.labels, reviewers: wishes.reviewers }))
    }

    /// The first that has a token for a repository, of those that `fit`: who maps it, then who has heard of it, then who is for its
    /// host.
    async fn speaker(
        &self,
        team: TeamId,
        url: &RepositoryUrl,
        purpose: Purpose,
        fit: impl Fn(&Candidate) -> bool,
    ) -> Result<Speaker, Shut> {
        let rows = forge_tokens::of_team(&self.store, team).await.map_err(|error| unread(&error))?;
        let mut found: Vec<Candidate> =
            rows.into_iter().filter_map(|row| candidate(row, url)).filter(|one| fit(one)).collect();
        if found.len() > 1 {
            let heard = issues::heard_of(&self.store, team, &url.path()).await.map_err(|error| unread(&error))?;
            found.sort_by_key(|one| (!one.mapped, !heard.contains(&one.integration.0)));
        }
        let mut not_let = None;
        for one in found {
            let of = (one.integration, &one.spec, &one.sealed);
            match self.token(team, of, purpose, Some(&one.repository)).await {
                Ok(token) => return Ok(Speaker::With(Box::new(one), token)),
                Err(NoToken::Shut(shut)) => return Err(shut),
                Err(NoToken::NotLet(reason)) => drop(not_let.get_or_insert(reason)),
            }
        }
        Ok(not_let.map_or(Speaker::Nobody, Speaker::NotLet))
    }

    /// With what an integration is spoken at its tracker.
    pub(super) fn voices(&self) -> VoiceOf {
        let own = self.clone();
        Arc::new(move |team, id, place| {
            let (own, repository) = (own.clone(), place.repository().map(str::to_owned));
            Box::pin(async move { own.voice(team, id, repository.as_deref()).await })
        })
    }

    async fn voice(
        &self,
        team: TeamId,
        id: IntegrationId,
        repository: Option<&str>,
    ) -> Result<Option<(IntegrationSpec, Voice)>, Shut> {
        let mut tx = self.store.team(team).await.map_err(|error| unread(&error))?;
        let row = integrations::get(&mut tx, id).await.map_err(|error| unread(&error))?;
        tx.commit().await.map_err(|error| unread(&error))?;
        let sealed = integrations::token(&self.store, team, id).await.map_err(|error| unread(&error))?;
        let Some((row, sealed)) = row.zip(sealed) else { return Ok(None) };
        let token = self.token(team, (id, &row.spec, &sealed), Purpose::Comments, repository).await;
        let token = token.map_err(|error| match error {
            NoToken::Shut(shut) => shut,
            NoToken::NotLet(reason) => Shut::ForGood(reason),
        })?;
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

    /// The token of an integration for git, which goes to its own forge alone. Where the Apps there are not let into the repository
    /// it is reached as by anybody.
    async fn git_credential(&self, team: TeamId, url: &RepositoryUrl) -> Result<Option<GitCredential>, Shut> {
        if url.credential_kind() != Some(GitCredentialKind::Token) {
            return Ok(None);
        }
        let Speaker::With(found, secret) = self.speaker(team, url, Purpose::Git, |one| is_of(one, url)).await? else {
            return Ok(None);
        };
        let username = match found.kind {
            ForgeKind::Github => "x-access-token",
            ForgeKind::Gitlab => "oauth2",
            ForgeKind::Gitea => "x-oauth-basic",
        };
        Ok(Some(GitCredential {
            id: found.integration.to_string(),
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
        (integration, spec, sealed): (IntegrationId, &IntegrationSpec, &Sealed),
        purpose: Purpose,
        repository: Option<&str>,
    ) -> Result<Secret, NoToken> {
        let owner = sealed::of_integration(team, integration.0, integrations::TOKEN);
        let unopened = |error: SealError| NoToken::Shut(Shut::ForGood(error.to_string()));
        let secret = self.vault.keyring().open(&owner, sealed).map_err(unopened)?;
        let of = TokenOf { integration, base_url: spec.base_url.as_deref(), app: spec.app.as_ref(), secret: &secret };
        self.tokens.of(of, purpose, repository).await.map_err(|error| match error {
            ForgeError::Rejected { status: 404 | 422, .. } => {
                NoToken::NotLet(format!("the App of the integration {integration} is not let into it: {error}"))
            }
            error => NoToken::Shut(error.into()),
        })
    }
}

fn unread(error: &StoreError) -> Shut {
    tracing::warn!(%error, "a team's integrations cannot be read");
    Shut::ForNow("the team's integrations cannot be read now".to_owned())
}

/// The integration, if it maps a repository or is for its host.
fn candidate(row: ForgeTokenRow, url: &RepositoryUrl) -> Option<Candidate> {
    let kind = ForgeKind::parse(&row.tracker)?;
    let spec: IntegrationSpec = serde_json::from_str(&row.spec).ok()?;
    let text = url.to_string();
    let same = |mapped: &str| mapped.trim_end_matches(".git") == text.trim_end_matches(".git");
    let named = spec.repositories.iter().find(|(_, mapped)| same(&mapped.url)).map(|(name, _)| name.clone());
    let host = url.host_and_port().map(|(host, _)| host.to_ascii_lowercase());
    let mapped = named.is_some();
    let is_of_host = host.is_some() && kind.host(spec.base_url.as_deref()) == host;
    let repository = named.or_else(|| is_of_host.then(|| url.path()))?;
    Some(Candidate { integration: IntegrationId(row.integration), kind, spec, sealed: row.sealed, repository, mapped })
}

/// Whether a repository is at the very host and port of the integration's forge, and is reached as safely as its API.
fn is_of(found: &Candidate, url: &RepositoryUrl) -> bool {
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
