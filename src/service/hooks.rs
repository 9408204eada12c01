//! What the composition root lends to the use cases, so that this room imports neither
//! workspaces nor events.

use crate::domain::{Oid, Seq, TaskId, TeamId, event::TreeDelta, task::RepositorySource};
use futures::future::BoxFuture;
use std::{fmt, path::PathBuf, sync::Arc};

/// A tree of a task: its base and what had changed.
#[derive(Clone, Debug)]
pub struct Tree {
    pub team: TeamId,
    /// Absent: an empty directory.
    pub repository: Option<RepositorySource>,
    pub commit: Option<Oid>,
    /// Absent: the base itself.
    pub delta: Option<TreeDelta>,
}

/// What only the mirrors of repositories can answer.
#[derive(Clone, Debug)]
pub enum TreeQuestion {
    /// The bytes of a file of the base; `None` where there is no such file.
    BaseFile { tree: Tree, path: String },
    /// The difference as `git apply` takes it.
    Patch { from: Tree, to: TreeDelta },
}

/// Checks a text that a caller gave; says what is wrong with it.
pub type CheckText = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;
/// Checks an address that the service is to send to; says what is wrong with it.
pub type CheckUrl = Arc<dyn Fn(url::Url) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;
/// Told of each commit that others may wait for.
pub type Committed = Arc<dyn Fn(TeamId, TaskId, Seq) + Send + Sync>;
/// Removes what this process keeps of a task that was deleted.
pub type Deleted = Arc<dyn Fn(TaskId) -> BoxFuture<'static, ()> + Send + Sync>;
/// Answers a [`TreeQuestion`]; the error is for people.
pub type AskTree = Arc<dyn Fn(TreeQuestion) -> BoxFuture<'static, Result<Option<Vec<u8>>, String>> + Send + Sync>;

/// An uploaded tar.gz before it is kept: in memory, or in a file.
#[derive(Debug)]
pub enum Archive {
    Bytes(Vec<u8>),
    File(PathBuf),
}

/// Whether an upload could be a repository; the error is for people.
pub type CheckArchive = Arc<dyn Fn(Archive) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

#[derive(Clone)]
pub struct Hooks {
    /// Whether the service may clone from this URL.
    pub repository_url: CheckText,
    /// Whether this is the name of a branch, tag or commit.
    pub repository_ref: CheckText,
    /// Whether the service may send to this address.
    pub webhook_url: CheckUrl,
    pub committed: Committed,
    /// Absent where this process has no workspaces.
    pub deleted: Option<Deleted>,
    /// Absent where nothing looks into uploads.
    pub archive: Option<CheckArchive>,
    /// Absent where this process has no mirrors.
    pub tree: Option<AskTree>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").field("tree", &self.tree.is_some()).finish_non_exhaustive()
    }
}
