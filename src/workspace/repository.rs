//! Repositories as tasks use them: from a URL or an upload to a [`Base`], and from a base to working
//! copies, patches and contents.
//!
//! Mirrors are the server's own and hold nothing but what the remote gave. No git is ever run on a directory
//! that a workspace could have written. Start with [`Repositories::resolve`], then `mirror` (what
//! is fetched), `snapshot` (a commit laid out for fast reading) and `materialize`.

use super::source::SourceError;
use crate::domain::Oid;
use std::{io, path::PathBuf, time::Duration};

pub use super::source::{RepositoryUrl, validate_ref, validate_url};

/// What the operator sets about repositories.
#[derive(Clone, Debug)]
pub struct RepositorySettings {
    pub data_dir: PathBuf,
    /// Directories under which `file://` repositories are allowed.
    pub allow_local: Vec<PathBuf>,
    /// The most that one fetch may bring, that one commit may unpack to, and that an upload may unpack to.
    pub size_limit_bytes: u64,
    /// The most files that one commit may have.
    pub file_limit: usize,
    /// Until the remote answers at all.
    pub connect_timeout: Duration,
    /// A whole fetch.
    pub fetch_timeout: Duration,
    pub outgoing: crate::net::Outgoing,
}

impl RepositorySettings {
    /// Defaults for everything but the data directory.
    pub fn new(data_dir: PathBuf) -> Self {
        Self {
            data_dir,
            allow_local: Vec::new(),
            size_limit_bytes: 4 << 30,
            file_limit: 500_000,
            connect_timeout: Duration::from_secs(20),
            fetch_timeout: Duration::from_secs(600),
            outgoing: crate::net::Outgoing::default(),
        }
    }
}

/// What went wrong with a repository, by what the caller does about it.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The URL or ref is refused, now that it has been looked at.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The remote did not answer, refused or went away. `reason` is git's, scrubbed.
    #[error("the repository cannot be reached: {reason}")]
    Unreachable { reason: String },
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
    Content(#[source] io::Error),
    /// The machine's own trouble (disk full, git missing). `doing` names the step.
    #[error("{doing} failed")]
    Io { doing: &'static str, source: io::Error },
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

    /// Whether the fault lies with the repository or its address (`repository_unreachable`) and not with
    /// this machine.
    pub fn is_remote(&self) -> bool {
        !matches!(self, Self::Content(_) | Self::Io { .. } | Self::Git { .. })
    }
}

/// One path of a commit's tree. Directories are implied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseEntry {
    pub path: Box<str>,
    /// As git writes it: `0o100644`, `0o100755`, `0o120000`, `0o160000`.
    pub mode: u32,
    pub oid: super::objects::ObjectId,
    /// Of the content; 0 for submodules.
    pub size: u64,
}

/// Where tasks start from: one commit (or the empty tree), laid out on this host.
#[derive(Clone, Debug)]
pub struct Base {
    pub mirror: Option<PathBuf>,
    /// Absent: the empty tree.
    pub commit: Option<Oid>,
    pub tree: Oid,
    /// The branch or tag that led here, for people.
    pub reference: Option<String>,
}
