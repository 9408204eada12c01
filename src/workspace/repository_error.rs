//! What can go wrong with a repository.

use super::source::SourceError;
use std::{io, sync::Arc};

/// What went wrong with a repository, by what the caller does about it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The URL or ref is refused, now that it has been looked at.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The remote did not answer, refused or went away. `reason` is git's, scrubbed.
    #[error("the repository cannot be reached: {reason}")]
    Unreachable { reason: String },
    /// What the team gave to reach it cannot be used here. `reason` is for people, without the secret.
    #[error("the repository's git credential cannot be used: {reason}")]
    Credential { reason: String },
    /// The host was reached and did not take what was pushed. `reason` is git's, scrubbed.
    #[error("the host did not take the push: {reason}")]
    Rejected { reason: String },
    #[error("the repository is empty: it has no commit yet")]
    Empty,
    #[error("the repository has no ref {reference:?}")]
    NoSuchRef { reference: String },
    #[error("the repository is too large: {what}")]
    TooLarge { what: String },
    /// What the remote or an upload gave cannot be used.
    #[error("the repository cannot be used: {reason}")]
    Unusable { reason: String },
    /// A content that a delta names could not be had.
    #[error("a recorded content is missing")]
    Content(#[source] Arc<io::Error>),
    /// The machine's own trouble (disk full, git missing). `doing` names the step.
    #[error("{doing} failed")]
    Io { doing: &'static str, source: Arc<io::Error> },
    /// A git command of the server's own failed for no fault of the remote.
    #[error("{doing} failed: {reason}")]
    Git { doing: &'static str, reason: String },
}

impl RepositoryError {
    /// For users: git's reason, without credentials and without paths of the host.
    pub fn public_message(&self) -> String {
        match self {
            Self::Io { doing, source } => format!("{doing} failed: {}", source.kind()),
            other => other.to_string(),
        }
    }

    /// Whether trying again soon is of no use: somebody has to do something first.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Unreachable { reason } => {
                let mends =
                    ["POST /v1/git_credentials", "PATCH /v1/git_credentials", "known_hosts", "use its new address"];
                let said = [
                    "not found",
                    "does not appear to be a git repository",
                    "no such directory",
                    "read-only",
                    "marked as read only",
                ];
                mends.iter().chain(&said).any(|word| reason.contains(word))
            }
            Self::Content(_) | Self::Io { .. } | Self::Git { .. } => false,
            _ => true,
        }
    }

    /// Whether the fault lies with the repository or its address (`repository_unreachable`) and not with
    /// this machine.
    pub fn is_remote(&self) -> bool {
        !matches!(self, Self::Content(_) | Self::Io { .. } | Self::Git { .. })
    }
}
