//! What can go wrong with a workspace, by what the caller does about it.

/// Texts name paths inside the workspace, never the host's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkspaceError {
    /// execd is dead or broke the protocol: what was in flight is interrupted, its outcome unknown.
    #[error("the workspace is gone: {why}")]
    Gone { why: String },
    #[error("{path}: no such file or directory")]
    NotFound { path: String },
    /// The content at `path` is not what the change expects; nothing was changed.
    #[error("{path} is not what the change expects: {why}")]
    Conflict { path: String, why: String },
    /// Asked for what is not allowed or makes no sense; `why` says which and how to mend it.
    #[error("{why}")]
    Refused { why: String },
    #[error("{what}: {why}")]
    Io { what: String, why: String },
    /// This machine cannot run a sandbox.
    #[error("{what}; {mend}")]
    Setup { what: String, mend: String },
}
