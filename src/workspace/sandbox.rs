//! Starts and ends sandboxes, and owns the directories of tasks.

use super::{Capabilities, SandboxLimits, Workspace, WorkspaceError};
use crate::domain::TaskId;
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
};

#[derive(Clone, Debug)]
pub struct SandboxSettings {
    /// The service's data directory; tasks' directories are in `workspaces` below it.
    pub data_dir: PathBuf,
    /// The execd executable on this host.
    pub execd: PathBuf,
    /// Directories of the host that every sandbox sees read-only at the same path, and whose
    /// `bin` is on its `PATH`.
    pub toolchains: Vec<PathBuf>,
    /// As root: tasks get uids from here on, one each, of 65,536.
    pub uid_base: u32,
    /// Use cgroups where they can be had.
    pub cgroups: bool,
}

/// What a sandbox is opened with.
#[derive(Clone, Debug)]
pub struct OpenSandbox {
    pub task: TaskId,
    /// The working copy on the host, mounted at `/workspace`.
    pub copy: PathBuf,
    /// Mounted read-only: (on the host, inside).
    pub mirrors: Vec<(PathBuf, PathBuf)>,
    pub limits: SandboxLimits,
    pub env: Vec<(String, String)>,
    /// Files of the base, which a walk gives even where they are ignored or junk.
    pub tracked: Arc<[String]>,
    /// Gets less of the processor than others (the baseline's checks).
    pub low_priority: bool,
}

/// The directories of one task: `<data dir>/workspaces/<task id>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskDirectory(PathBuf);

impl TaskDirectory {
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The agent's working copy.
    pub fn copy(&self) -> PathBuf {
        self.0.join("copy")
    }

    /// A further copy of the task, for checks; `name` is a plain file name.
    pub fn clean_copy(&self, name: &str) -> PathBuf {
        self.0.join("clean").join(name)
    }
}

/// What a sweep found and removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub processes_killed: u32,
    pub directories_removed: u32,
}

/// Every sandbox of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sandboxes {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: SandboxSettings,
    capabilities: Capabilities,
}

impl Sandboxes {
    /// Finds out what this machine can do; starts one sandbox to try it.
    pub async fn new(settings: SandboxSettings) -> Result<Self, WorkspaceError> {
        std::future::ready(()).await;
        Ok(Self { inner: Arc::new(Inner { settings, capabilities: Capabilities::default() }) })
    }

    pub fn capabilities(&self) -> &Capabilities {
        &self.inner.capabilities
    }

    /// Where a task's files are. Nothing is made.
    pub fn directory(&self, task: TaskId) -> TaskDirectory {
        TaskDirectory(self.inner.settings.data_dir.join("workspaces").join(task.to_string()))
    }

    /// Uid and gid that the files of a task's copies must belong to; `None`: to whom the server
    /// runs as.
    pub fn owner_uid(&self, _task: TaskId) -> Option<(u32, u32)> {
        None
    }

    /// Starts a sandbox over an existing working copy. Cancel safe.
    pub async fn open(&self, _open: OpenSandbox) -> Result<Workspace, WorkspaceError> {
        std::future::ready(()).await;
        Err(WorkspaceError::Setup { what: "not built yet".to_owned(), mend: "wait".to_owned() })
    }

    /// Kills processes and removes directories that belong to none of the `live` tasks. For the
    /// start after a crash, and then from time to time.
    pub async fn sweep(&self, _live: &HashSet<TaskId>) -> Result<Swept, WorkspaceError> {
        std::future::ready(()).await;
        Ok(Swept::default())
    }
}
