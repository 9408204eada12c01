//! Secrets as workers use them: opened when they are needed, never kept.
//!
//! Whoever drives a task asks here for its environment's secrets and for what reaches its repository. The egress
//! proxy asks for [`Vault::broker_secrets`]. A secret that does not open is an error that names it.

use crate::{
    domain::{EnvironmentId, TaskId, TaskSpec, TeamId, environment::SecretUse, task::RepositorySource},
    egress::{self, BrokerSecret},
    secrets::{Keyring, SealError, Secret},
    store::{
        Store, StoreError,
        environments::{self, SecretRow},
        git_credentials::{self, GitCredentialRow},
        sealed,
    },
    workspace::repository::{GitCredential, RepositoryUrl},
};
use globset::GlobBuilder;

/// A secret of an environment.
#[derive(Clone, Debug)]
pub struct OpenSecret {
    pub name: String,
    pub used_for: SecretUse,
    /// Of a broker's: those whose requests get it, perhaps with `*.` in front.
    pub hosts: Vec<String>,
    pub value: Secret,
}

#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// For people: it names the secret and the mend.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Opens stored secrets. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Vault {
    store: Store,
    keyring: Keyring,
}

impl Vault {
    pub fn new(store: Store, keyring: Keyring) -> Self {
        Self { store, keyring }
    }

    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// All secrets of an environment; none where it is gone.
    pub async fn secrets(&self, team: TeamId, environment: EnvironmentId) -> Result<Vec<OpenSecret>, VaultError> {
        let rows = environments::sealed(&self.store, team, environment).await?;
        let open = |(row, value): (SecretRow, _)| {
            let SecretRow { name, used_for, hosts, .. } = row;
            let value = self.keyring.open(&sealed::of_environment(team, environment.0, &name), &value)?;
            Ok(OpenSecret { name, used_for, hosts, value })
        };
        rows.into_iter().map(open).collect()
    }

    /// The secrets that requests of a task get on their way out, with the hosts that they are for.
    pub async fn broker_secrets(
        &self,
        team: TeamId,
        task: TaskId,
        environment: EnvironmentId,
    ) -> Result<Vec<BrokerSecret>, VaultError> {
        let all = self.secrets(team, environment).await?;
        let brokers = all.into_iter().filter(|secret| secret.used_for == SecretUse::Broker);
        let bound = |secret: OpenSecret| BrokerSecret {
            handle: egress::handle(self.keyring.handle_key(), task, &secret.name),
            hosts: secret.hosts.iter().filter_map(|host| host.parse().ok()).collect(),
            name: secret.name,
            value: secret.value,
            in_query: false,
        };
        Ok(brokers.map(bound).collect())
    }

    /// What reaches a repository of a team: the newest that names it, else the newest for its host.
    pub async fn git_credential(&self, team: TeamId, url: &RepositoryUrl) -> Result<Option<GitCredential>, VaultError> {
        let (Some(kind), Some((host, port))) = (url.credential_kind(), url.host_and_port()) else { return Ok(None) };
        let rows = git_credentials::for_host(&self.store, team, kind, &host.to_ascii_lowercase(), port).await?;
        let path = url.path();
        let named = rows.iter().find(|(row, _)| names(row, &path));
        let Some((row, value)) = named.or_else(|| rows.iter().find(|(row, _)| row.repositories.is_none())) else {
            return Ok(None);
        };
        let secret = self.keyring.open(&sealed::of_git_credential(team, row.id.0), value)?;
        Ok(Some(GitCredential {
            id: row.id.to_string(),
            kind,
            username: row.username.clone(),
            secret,
            names_port: row.host == format!("{}:{port}", host.to_ascii_lowercase()),
            known_hosts: row.known_hosts.clone(),
        }))
    }

    /// Every value that nothing of a task may show.
    pub async fn of_task(
        &self,
        team: TeamId,
        spec: &TaskSpec,
        url: Option<&RepositoryUrl>,
    ) -> Result<Vec<Secret>, VaultError> {
        let mut values = Vec::new();
        if let Some(pinned) = &spec.pinned {
            values.extend(self.secrets(team, pinned.id).await?.into_iter().map(|secret| secret.value));
        }
        if let (Some(RepositorySource::Git { .. }), Some(url)) = (&spec.repository, url) {
            values.extend(self.git_credential(team, url).await?.map(|credential| credential.secret));
        }
        Ok(values)
    }
}

/// Whether one of a credential's patterns is of this path. A `*` stands for one part of it, `**` for any.
fn names(row: &GitCredentialRow, path: &str) -> bool {
    let glob = |pattern: &String| {
        let pattern = pattern.trim_matches('/');
        let pattern = pattern.strip_suffix(".git").unwrap_or(pattern);
        GlobBuilder::new(pattern).literal_separator(true).case_insensitive(true).build().ok()
    };
    row.repositories.iter().flatten().filter_map(glob).any(|glob| glob.compile_matcher().is_match(path))
}
