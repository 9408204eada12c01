//! The client of one workspace's execd.
//!
//! Every method can be dropped at any point: a dropped run kills its process group, a dropped
//! walk is as if it had not been made. Whatever execd sends that is out of bounds makes the
//! workspace [`WorkspaceError::Gone`].

use super::{
    FileChange, FileContent, ListQuery, Listing, ProcessId, ProcessOutput, RunCommand, RunResult, SearchHits,
    SearchQuery, Walk, WorkspaceError,
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// One open workspace. Cheap to clone; when the last clone is dropped, the sandbox ends.
#[derive(Clone, Debug)]
pub struct Workspace {
    _inner: Arc<()>,
}

impl Workspace {
    /// Runs a command to its end. Pieces of output go to `live` as they come, as many as it
    /// takes without waiting.
    pub async fn run(&self, _run: RunCommand, _live: Option<mpsc::Sender<Bytes>>) -> Result<RunResult, WorkspaceError> {
        gone().await
    }

    /// Starts a command in the background. Its timeout holds there too.
    pub async fn start_process(&self, _run: RunCommand) -> Result<ProcessId, WorkspaceError> {
        gone().await
    }

    /// Writes `text` to a background process and gives its output since the last look: at once
    /// where it has ended, else after `wait` (at most 10 minutes).
    pub async fn write_stdin(
        &self,
        _process: ProcessId,
        _text: &[u8],
        _wait: Duration,
    ) -> Result<ProcessOutput, WorkspaceError> {
        gone().await
    }

    /// Kills a background process with its group; its output can still be looked at.
    pub async fn kill(&self, _process: ProcessId) -> Result<(), WorkspaceError> {
        gone().await
    }

    /// Reads a file: below the working copy, or absolute anywhere in the sandbox but `/proc`,
    /// `/sys` and `/dev`.
    pub async fn read(&self, _path: &str, _max_bytes: u64) -> Result<FileContent, WorkspaceError> {
        gone().await
    }

    /// Makes all of the changes or none. Refuses to write through a link that leaves the working
    /// copy.
    pub async fn apply(&self, _changes: Vec<FileChange>) -> Result<(), WorkspaceError> {
        gone().await
    }

    pub async fn search(&self, _query: SearchQuery) -> Result<SearchHits, WorkspaceError> {
        gone().await
    }

    pub async fn list(&self, _query: ListQuery) -> Result<Listing, WorkspaceError> {
        gone().await
    }

    /// What changed in the working copy since the last walk.
    pub async fn walk(&self) -> Result<Walk, WorkspaceError> {
        gone().await
    }

    /// Ends the sandbox; no process of it is left when this returns, within a second.
    pub async fn close(&self) {
        std::future::ready(()).await;
    }

    /// Waits until execd is gone, for whatever reason.
    pub async fn closed(&self) {
        std::future::ready(()).await;
    }
}

async fn gone<T>() -> Result<T, WorkspaceError> {
    std::future::ready(()).await;
    Err(WorkspaceError::Gone { why: "not built yet".to_owned() })
}
