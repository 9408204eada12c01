//! Git credentials: what a team gives to reach its private repositories. Managed by admins, used by the
//! tasks of the team, never read back.

use super::too_many;
use crate::{
    clock,
    domain::{GitCredentialId, Principal, Timestamp, git_credential::GitCredentialKind},
    secrets::Secret,
    service::{
        Answer, Error, Faults, Idempotency, Service, access,
        access::Right,
        audit::{self, Action, Subject},
        idempotency,
        input::given,
    },
    store::{
        TeamTx,
        git_credentials::{self, GitCredentialRow},
        sealed,
    },
};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use globset::Glob;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

const CREDENTIALS_MAX: u32 = 500;
const HOST_CHARS_MAX: usize = 260;
const USERNAME_CHARS_MAX: usize = 200;
const SECRET_BYTES_MAX: usize = 16 << 10;
const TOKEN_BYTES_MAX: usize = 8 << 10;
const REPOSITORIES_MAX: usize = 100;
const PATTERN_CHARS_MAX: usize = 300;
const KNOWN_HOSTS_BYTES_MAX: usize = 32 << 10;

/// A git credential to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGitCredential {
    /// A host's name or address, perhaps with a port; without one, any.
    #[schema(example = "git.example.org")]
    pub host: String,
    /// `token`: a password or token for http and https. `ssh`: a private key without a passphrase.
    pub kind: GitCredentialKind,
    /// Default: the address's own, else `git`.
    pub username: Option<String>,
    /// The token, or the key as OpenSSH or PEM has it; never read back.
    #[schema(value_type = String, format = "password", write_only)]
    pub secret: Secret,
    /// Globs of the repositories that it is for, by path without `.git`: `team/*`. Absent: all of the host.
    #[schema(max_items = 100)]
    pub repositories: Option<Vec<String>>,
    /// For `ssh`: the host's own keys, as `ssh-keyscan` prints them. No other is then believed; absent: the first that the
    /// host shows is kept.
    pub known_hosts: Option<String>,
}

/// What is absent stays; null takes away.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GitCredentialEdit {
    pub host: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub username: Option<Option<String>>,
    #[schema(value_type = Option<String>, format = "password", write_only)]
    pub secret: Option<Secret>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>)]
    pub repositories: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub known_hosts: Option<Option<String>>,
}

/// A git credential without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct GitCredentialView {
    pub id: GitCredentialId,
    pub host: String,
    pub kind: GitCredentialKind,
    pub username: Option<String>,
    pub repositories: Option<Vec<String>>,
    pub known_hosts: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Service {
    pub async fn create_git_credential(
        &self,
        principal: &Principal,
        new: NewGitCredential,
        key: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        access::require(principal, Right::ManageEnvironments)?;
        let NewGitCredential { host, kind, username, secret, repositories, known_hosts } = new;
        let parts = Parts { host, kind, username, repositories, known_hosts };
        let parts = parts.checked(Some(&secret))?;
        let mut tx = self.store().team(principal.team).await?;
        if let Some(done) = idempotency::begin(&mut tx, principal, key).await? {
            return Ok(done);
        }
        if git_credentials::count(&mut tx).await? >= CREDENTIALS_MAX {
            return Err(too_many(&format!("a team may have {CREDENTIALS_MAX} git credentials: delete one first")));
        }
        let id: GitCredentialId = clock::new_id();
        let value = self.keyring().seal(&sealed::of_git_credential(principal.team, id.0), &secret);
        let value = value.map_err(Error::internal)?;
        let row = git_credentials::insert(&mut tx, principal.team, id, &parts.row(), &value).await?;
        note(&mut tx, principal, Action::GitCredentialCreated, &row).await?;
        let answer = Answer::new(201, &view(row))?.at(format!("/v1/git_credentials/{id}"));
        idempotency::commit(tx, principal, key, answer).await
    }

    /// Credentials before `before`, newest first.
    pub async fn git_credentials(
        &self,
        principal: &Principal,
        before: Option<GitCredentialId>,
        limit: u32,
    ) -> Result<Vec<GitCredentialView>, Error> {
        access::require(principal, Right::ReadEnvironments)?;
        let mut tx = self.store().team(principal.team).await?;
        let rows = git_credentials::list(&mut tx, before, limit).await?;
        tx.commit().await?;
        Ok(rows.into_iter().map(view).collect())
    }

    pub async fn git_credential(&self, principal: &Principal, id: GitCredentialId) -> Result<GitCredentialView, Error> {
        access::require(principal, Right::ReadEnvironments)?;
        let mut tx = self.store().team(principal.team).await?;
        let row = git_credentials::get(&mut tx, id, false).await?;
        tx.commit().await?;
        row.map(view).ok_or(Error::NotFound)
    }

    /// Changes a credential: fetches use it from then on.
    pub async fn edit_git_credential(
        &self,
        principal: &Principal,
        id: GitCredentialId,
        edit: GitCredentialEdit,
    ) -> Result<GitCredentialView, Error> {
        access::require(principal, Right::ManageEnvironments)?;
        let mut tx = self.store().team(principal.team).await?;
        let row = git_credentials::get(&mut tx, id, true).await?.ok_or(Error::NotFound)?;
        let moved = edit.host.as_ref().is_some_and(|host| host.trim().to_ascii_lowercase() != row.host);
        let parts = Parts {
            host: edit.host.unwrap_or(row.host),
            kind: row.kind,
            username: edit.username.unwrap_or(row.username),
            repositories: edit.repositories.unwrap_or(row.repositories),
            known_hosts: edit.known_hosts.unwrap_or(row.known_hosts),
        };
        let parts = parts.checked(edit.secret.as_ref())?;
        // Who cannot read a secret cannot have it sent elsewhere either.
        if moved && edit.secret.is_none() {
            return Err(Error::invalid("/secret", "must be given again for another host"));
        }
        let value = match &edit.secret {
            Some(secret) => {
                let owner = sealed::of_git_credential(principal.team, id.0);
                Some(self.keyring().seal(&owner, secret).map_err(Error::internal)?)
            }
            None => None,
        };
        let row = git_credentials::update(&mut tx, id, &parts.row(), value.as_ref()).await?;
        note(&mut tx, principal, Action::GitCredentialUpdated, &row).await?;
        tx.commit().await?;
        Ok(view(row))
    }

    pub async fn delete_git_credential(&self, principal: &Principal, id: GitCredentialId) -> Result<(), Error> {
        access::require(principal, Right::ManageEnvironments)?;
        let mut tx = self.store().team(principal.team).await?;
        if !git_credentials::delete(&mut tx, id).await? {
            return Err(Error::NotFound);
        }
        let subject = Subject::new("git_credential", id);
        audit::record(&mut tx, principal, Action::GitCredentialDeleted, subject, Value::Null).await?;
        Ok(tx.commit().await?)
    }
}

async fn note(tx: &mut TeamTx, principal: &Principal, action: Action, row: &GitCredentialRow) -> Result<(), Error> {
    let detail = json!({ "host": row.host, "kind": row.kind });
    audit::record(tx, principal, action, Subject::new("git_credential", row.id), detail).await
}

/// A credential without its secret, as it will be.
struct Parts {
    host: String,
    kind: GitCredentialKind,
    username: Option<String>,
    repositories: Option<Vec<String>>,
    known_hosts: Option<String>,
}

impl Parts {
    fn checked(mut self, secret: Option<&Secret>) -> Result<Self, Error> {
        let mut faults = Faults::default();
        self.host = self.host.trim().to_ascii_lowercase();
        faults.line("/host", &self.host, HOST_CHARS_MAX);
        if !is_host(&self.host) {
            faults.add("/host", "must be a host such as git.example.org or git.example.org:8443, without a scheme");
        }
        if let Some(username) = &self.username {
            faults.line("/username", username, USERNAME_CHARS_MAX);
            let sane = username.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
            if self.kind == GitCredentialKind::Ssh && (!sane || username.starts_with('-')) {
                faults.add("/username", "may have letters, digits, '.', '_' and '-', and may not begin with '-'");
            }
        }
        if let Some(secret) = secret {
            check_secret(self.kind, secret.expose(), &mut faults);
        }
        let patterns = self.repositories.iter().flatten();
        faults.count("/repositories", self.repositories.as_ref().map_or(0, Vec::len), REPOSITORIES_MAX);
        for (index, pattern) in patterns.enumerate() {
            let pointer = format!("/repositories/{index}");
            faults.line(&pointer, pattern, PATTERN_CHARS_MAX);
            if let Err(error) = Glob::new(pattern) {
                faults.add(pointer, format!("is not a glob: {}", error.kind()));
            }
        }
        if let Some(known) = self.known_hosts.take().filter(|known| !known.trim().is_empty()) {
            if known.len() > KNOWN_HOSTS_BYTES_MAX {
                faults.add("/known_hosts", format!("may have at most {KNOWN_HOSTS_BYTES_MAX} bytes"));
            }
            match self.kind {
                GitCredentialKind::Token => faults.add("/known_hosts", "is for the kind ssh alone"),
                GitCredentialKind::Ssh if !known.lines().all(is_known_host) => {
                    faults.add("/known_hosts", "must be lines as ssh-keyscan prints them: host, kind of key, key");
                }
                GitCredentialKind::Ssh => {}
            }
            self.known_hosts = Some(known);
        }
        faults.finish()?;
        Ok(self)
    }

    fn row(&self) -> git_credentials::NewGitCredential<'_> {
        git_credentials::NewGitCredential {
            host: &self.host,
            kind: self.kind,
            username: self.username.as_deref(),
            repositories: self.repositories.as_deref(),
            known_hosts: self.known_hosts.as_deref(),
        }
    }
}

fn check_secret(kind: GitCredentialKind, secret: &str, faults: &mut Faults) {
    if secret.trim().is_empty() {
        faults.add("/secret", "may not be empty");
    }
    let most = if kind == GitCredentialKind::Ssh { SECRET_BYTES_MAX } else { TOKEN_BYTES_MAX };
    if secret.len() > most {
        faults.add("/secret", format!("may have at most {most} bytes"));
    }
    match kind {
        GitCredentialKind::Token if secret.chars().any(char::is_control) => {
            faults.add("/secret", "may not contain line breaks or other control characters");
        }
        GitCredentialKind::Ssh if !secret.trim_start().starts_with("-----BEGIN ") => {
            faults.add("/secret", "must be a private key, beginning with -----BEGIN");
        }
        GitCredentialKind::Ssh if secret.contains("ENCRYPTED") || has_passphrase(secret) => {
            faults.add("/secret", "must be a key without a passphrase (ssh-keygen -p takes it away)");
        }
        _ => {}
    }
}

/// Whether a key in OpenSSH's own form (PROTOCOL.key) is encrypted: the name of its cipher is then another than `none`.
fn has_passphrase(key: &str) -> bool {
    let Some(inner) = key.trim().strip_prefix("-----BEGIN OPENSSH PRIVATE KEY-----") else { return false };
    let text: String = inner.chars().take_while(|c| *c != '-').filter(|c| !c.is_whitespace()).collect();
    let start = text.get(..text.len().min(64) / 4 * 4).unwrap_or_default();
    let bytes = STANDARD_NO_PAD.decode(start.trim_end_matches('=')).unwrap_or_default();
    bytes.strip_prefix(b"openssh-key-v1\0").is_some_and(|rest| !rest.starts_with(b"\0\0\0\x04none"))
}

/// A name or address as a URL has it, perhaps with a port.
fn is_host(text: &str) -> bool {
    let plain = !text.contains(['/', '@', '?', '#', '\\', '%']) && !text.contains(char::is_whitespace);
    let url = url::Url::parse(&format!("ssh://{text}/"));
    plain && url.is_ok_and(|url| url.host_str().is_some_and(|host| !host.is_empty()) && url.port() != Some(0))
}

/// A line of a `known_hosts` file (sshd(8)): an empty one, a comment, or `[@marker] host kind key`.
fn is_known_host(line: &str) -> bool {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return true;
    }
    let mut parts = line.split_whitespace().skip_while(|part| part.starts_with('@'));
    let (_, kind, key) = (parts.next(), parts.next(), parts.next());
    kind.is_some_and(|kind| kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-@.".contains(&byte)))
        && key.is_some_and(|key| key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)))
}

fn view(row: GitCredentialRow) -> GitCredentialView {
    let GitCredentialRow { id, host, kind, username, repositories, known_hosts, created_at, updated_at } = row;
    GitCredentialView { id, host, kind, username, repositories, known_hosts, created_at, updated_at }
}
