//! What reaches a private repository, and how git comes by it without its being seen: never in an argument, a
//! URL, an environment variable or a file.
//!
//! A token waits in a named pipe, whose bytes are the kernel's, in a directory that only this user enters; git's
//! credential helper reads it there (gitcredentials(7)). A key goes through a pipe into an ssh-agent that lives as long as
//! its one git command (ssh-agent(1)).

use super::{
    repository::RepositoryError,
    source::{RepositoryUrl, SshUrl},
};
use crate::{
    domain::{TeamId, git_credential::GitCredentialKind},
    secrets::{Redactor, Secret},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::future::BoxFuture;
use rustix::fs::{CWD, FileType, Mode};
use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::Arc,
};
use tempfile::TempDir;

/// How often one git command may ask: once for each connection that it opens.
const ANSWERS: usize = 4;
/// Seconds that an agent keeps a key at most, should it outlive its command.
pub(super) const KEY_SECONDS: u32 = 900;

/// What a team gave for a repository.
#[derive(Clone, Debug)]
pub struct GitCredential {
    /// How people find it.
    pub id: String,
    pub kind: GitCredentialKind,
    pub username: Option<String>,
    pub secret: Secret,
    /// It was given for one port of the host.
    pub names_port: bool,
    /// The host's own keys; absent: the first that it shows is kept.
    pub known_hosts: Option<String>,
}

/// Asked for what reaches a repository of a team; the error is for people.
pub type AskCredential =
    Arc<dyn Fn(TeamId, RepositoryUrl) -> BoxFuture<'static, Result<Option<GitCredential>, String>> + Send + Sync>;

/// Where credentials come from; by default there are none.
#[derive(Clone, Default)]
pub struct Credentials(pub Option<AskCredential>);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credentials").field(&self.0.is_some()).finish()
    }
}

impl Credentials {
    pub(super) async fn ask(
        &self,
        team: TeamId,
        url: &RepositoryUrl,
    ) -> Result<Option<GitCredential>, RepositoryError> {
        let (Some(ask), Some(_)) = (&self.0, url.credential_kind()) else { return Ok(None) };
        ask(team, url.clone()).await.map_err(|reason| RepositoryError::Credential { reason })
    }
}

impl GitCredential {
    /// Hides the secret as it is, and as the header of a request has it.
    pub(super) fn redactor(&self) -> Redactor {
        let basic = STANDARD.encode(format!("{}:{}", self.user(), self.secret.expose()));
        Redactor::new([&self.secret, &Secret::new(basic)])
    }

    /// Whether it is for the port of this URL: one that names none is for the scheme's own, where anybody may serve others.
    pub(super) fn is_for(&self, url: &RepositoryUrl) -> bool {
        let default = match url {
            RepositoryUrl::Http(url) => url.port().is_none(),
            RepositoryUrl::Ssh(ssh) => matches!(ssh.port, None | Some(22)),
            RepositoryUrl::Local(_) => false,
        };
        self.names_port || default
    }

    /// For http: what a host takes whom the token alone tells enough.
    pub(super) fn user(&self) -> &str {
        self.username.as_deref().unwrap_or("git")
    }
}

/// What one git command is handed; gone when it is dropped.
#[derive(Debug)]
pub(super) struct Handed {
    /// Holds the pipe's bytes while it is open.
    _pipe: Option<File>,
    directory: TempDir,
}

impl Handed {
    /// A token in a pipe, and the helper that reads it there.
    pub(super) fn token(credential: &GitCredential) -> io::Result<(Self, String)> {
        let directory = private_directory()?;
        let path = directory.path().join("answers");
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        // Open for both ways, so that neither opening nor writing waits for the reader.
        let mut pipe = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(&path)?;
        let answer = zeroize::Zeroizing::new(format!(
            "username={}\npassword={}\n\n",
            credential.user(),
            credential.secret.expose()
        ));
        for _ in 0..ANSWERS {
            pipe.write_all(answer.as_bytes())?;
        }
        let path = path.to_str().ok_or(io::ErrorKind::InvalidFilename)?.replace('\'', r"'\''");
        // One answer ends with an empty line. git appends what it wants done: only `get` is answered.
        let helper = format!(
            "!f() {{ test \"$1\" = get || exit 0; \
             while IFS= read -r line && test -n \"$line\"; do printf '%s\\n' \"$line\"; done < '{path}'; }}; f"
        );
        Ok((Self { _pipe: Some(pipe), directory }, helper))
    }

    /// A place for an agent's socket, and the host's keys where they are known.
    pub(super) fn key(credential: &GitCredential, ssh: &SshUrl) -> io::Result<Self> {
        let directory = private_directory()?;
        if let Some(known) = &credential.known_hosts {
            fs::write(directory.path().join("known_hosts"), known_hosts(known, ssh))?;
        }
        Ok(Self { _pipe: None, directory })
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.directory.path().join("agent")
    }

    pub(super) fn known_hosts(&self) -> PathBuf {
        self.directory.path().join("known_hosts")
    }
}

/// Short, for a socket's path may have about a hundred bytes.
fn private_directory() -> io::Result<TempDir> {
    tempfile::Builder::new().prefix("journeyman-").tempdir()
}

/// A private key as ssh-add takes it.
pub(super) fn key_text(secret: &Secret) -> Vec<u8> {
    let mut text = secret.expose().trim().replace("\r\n", "\n");
    text.push('\n');
    text.into_bytes()
}

/// Every key under the one name that ssh is told to look for: all of them are this host's, whatever port or
/// address they were scanned at.
fn known_hosts(text: &str, ssh: &SshUrl) -> String {
    let mut lines = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut parts = line.split_whitespace().peekable();
        if let Some(marker) = parts.next_if(|part| part.starts_with('@')) {
            lines.push_str(marker);
            lines.push(' ');
        }
        parts.next();
        lines.push_str(&ssh.alias());
        for part in parts.take(2) {
            lines.push(' ');
            lines.push_str(part);
        }
        lines.push('\n');
    }
    lines
}
