//! The client of one workspace's execd.
//!
//! Every method can be dropped at any point: a dropped run kills its process group, a dropped
//! walk is as if it had not been made, a dropped `apply` may have been made or not. Whatever
//! execd sends that is out of bounds makes the workspace [`WorkspaceError::Gone`].

use super::{
    FileChange, FileContent, LaidOut, LeftOutReason, ListQuery, Listing, ProcessId, ProcessOutput, RunCommand,
    RunResult, SearchHits, SearchQuery, Walk, WorkspaceError,
    calls::{COMMAND_LIMIT_BYTES, Expect, FILE_LIMIT_BYTES, OUTPUT_LIMIT_BYTES},
    link::{Answered, Link, Wanted},
    relayed::RelayedStream,
    walked,
};
use bytes::Bytes;
use execd::message::{ANSWER_LIMIT_BYTES, Answer, Change, Command, Configure, Expected, Request};
use serde::de::DeserializeOwned;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

/// How long execd may take for anything but a command.
const PATIENCE: Duration = Duration::from_secs(120);
/// What it may take beyond a command's own timeout: killing, draining, a busy machine.
const RUN_PATIENCE: Duration = Duration::from_secs(60);
const WAIT_MAX: Duration = Duration::from_secs(600);
/// How long the end of a sandbox is waited for.
const CLOSE_PATIENCE: Duration = Duration::from_secs(12);
/// The most bytes of one listed entry or hit, as JSON.
const LINE_LIMIT_BYTES: usize = 32 * 1024;

/// One open workspace. Cheap to clone; when the last clone is dropped, the sandbox ends.
#[derive(Clone, Debug)]
pub struct Workspace {
    handle: Arc<Handle>,
}

/// What connects to ports of a workspace that are listened on. It ends with the workspace.
#[derive(Debug)]
pub struct Connections {
    link: Arc<Link>,
}

impl Connections {
    /// The next one. Cancel safe.
    pub async fn next(&self) -> Result<RelayedStream, WorkspaceError> {
        RelayedStream::accept(&self.link).await
    }
}

#[derive(Debug)]
struct Handle {
    link: Arc<Link>,
    ended: watch::Receiver<bool>,
    walks: tokio::sync::Mutex<Walks>,
}

#[derive(Debug)]
struct Walks {
    /// The last walk that was wholly received; 0: none.
    generation: u64,
    /// Sent with the first walk and then let go.
    tracked: Option<Arc<[String]>>,
    /// Sent before the first walk.
    laid_out: Option<LaidOut>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.link.shut_down();
    }
}

impl Workspace {
    pub(super) fn new(link: Arc<Link>, ended: watch::Receiver<bool>, tracked: Arc<[String]>) -> Self {
        let walks = Walks { generation: 0, tracked: Some(tracked), laid_out: None };
        Self { handle: Arc::new(Handle { link, ended, walks: tokio::sync::Mutex::new(walks) }) }
    }

    pub(super) async fn configure(&self, configure: Configure) -> Result<(), WorkspaceError> {
        match self.call(Request::Configure(configure), &[], 0, None, PATIENCE).await? {
            (_, Answer::Configured) => Ok(()),
            _ => Err(self.broken()),
        }
    }

    /// Runs a command to its end. Pieces of output go to `live` as they come, as many as it
    /// takes without waiting.
    pub async fn run(&self, run: RunCommand, live: Option<mpsc::Sender<Bytes>>) -> Result<RunResult, WorkspaceError> {
        let keep_bytes = run.output_limit_bytes.min(OUTPUT_LIMIT_BYTES);
        let patience = run.timeout.saturating_add(RUN_PATIENCE);
        let command = command(run, live.is_some())?;
        match self.call(Request::Run(command), &[], keep_bytes, live, patience).await? {
            (output, Answer::Ran { outcome, omitted_bytes, omitted_at, duration_us }) => Ok(RunResult {
                outcome,
                omitted_at: (omitted_at as usize).min(output.len()),
                output,
                omitted_bytes,
                duration: Duration::from_micros(duration_us),
            }),
            _ => Err(self.broken()),
        }
    }

    /// Starts a command in the background. Its timeout holds there too.
    pub async fn start_process(&self, run: RunCommand) -> Result<ProcessId, WorkspaceError> {
        match self.call(Request::Start(command(run, false)?), &[], 0, None, PATIENCE).await? {
            (_, Answer::Started { process }) => Ok(process),
            _ => Err(self.broken()),
        }
    }

    /// As [`Self::start_process`], with the process's stdin and stdout as a stream; its output is what it
    /// writes to stderr.
    pub async fn connect_process(&self, run: RunCommand) -> Result<(ProcessId, RelayedStream), WorkspaceError> {
        match self.call(Request::Connect(command(run, false)?), &[], 0, None, PATIENCE).await? {
            (_, Answer::Connected { process, stream }) => {
                let stream = RelayedStream::of_process(&self.handle.link, stream).ok_or_else(|| self.broken())?;
                Ok((process, stream))
            }
            _ => Err(self.broken()),
        }
    }

    /// Writes `text` to a background process and gives its output since the last look: at once
    /// where it has ended, else after `wait` (at most 10 minutes).
    pub async fn write_stdin(
        &self,
        process: ProcessId,
        text: &[u8],
        wait: Duration,
    ) -> Result<ProcessOutput, WorkspaceError> {
        let wait = wait.min(WAIT_MAX);
        let request = Request::WriteStdin { process, wait_ms: wait.as_millis() as u64 };
        match self.call(request, text, OUTPUT_LIMIT_BYTES, None, wait + PATIENCE).await? {
            (output, Answer::Looked { omitted_bytes, omitted_at, exit }) => {
                Ok(ProcessOutput { omitted_at: (omitted_at as usize).min(output.len()), output, omitted_bytes, exit })
            }
            _ => Err(self.broken()),
        }
    }

    /// Kills a background process with its group; its output can still be looked at.
    pub async fn kill(&self, process: ProcessId) -> Result<(), WorkspaceError> {
        match self.call(Request::Kill { process }, &[], 0, None, PATIENCE).await? {
            (_, Answer::Killed) => Ok(()),
            _ => Err(self.broken()),
        }
    }

    /// Reads a file, at most [`FILE_LIMIT_BYTES`] of it: below the working copy, or absolute
    /// anywhere in the sandbox but `/proc`, `/sys` and `/dev`.
    pub async fn read(&self, path: &str, max_bytes: u64) -> Result<FileContent, WorkspaceError> {
        self.read_as(path, max_bytes, false).await
    }

    /// Reads what a walk gave: nothing is followed, and of a link it is the target, with mode 0o120000.
    pub async fn read_entry(&self, path: &str, max_bytes: u64) -> Result<FileContent, WorkspaceError> {
        self.read_as(path, max_bytes, true).await
    }

    async fn read_as(&self, path: &str, max_bytes: u64, entry: bool) -> Result<FileContent, WorkspaceError> {
        let max_bytes = max_bytes.min(FILE_LIMIT_BYTES);
        let request = Request::Read { path: path.to_owned(), max_bytes, entry };
        match self.call(request, &[], max_bytes as usize, None, PATIENCE).await? {
            (bytes, Answer::Read { mode, size, truncated, oid }) => {
                let oid = oid.map(|oid| oid.parse()).transpose().map_err(|_| self.broken())?;
                let known = mode == 0o100_755 || (entry && mode == 0o120_000);
                let mode = if known { mode } else { 0o100_644 };
                Ok(FileContent { bytes, mode, size, truncated, oid })
            }
            _ => Err(self.broken()),
        }
    }

    /// Makes all of the changes or none. Refuses to write through a link that leaves the working
    /// copy, and a path that two of the changes name.
    pub async fn apply(&self, changes: Vec<FileChange>) -> Result<(), WorkspaceError> {
        let mut attached = Vec::new();
        let changes = changes.into_iter().map(|change| wire_change(change, &mut attached)).collect();
        match self.call(Request::Apply { changes }, &attached, 0, None, PATIENCE).await? {
            (_, Answer::Applied) => Ok(()),
            _ => Err(self.broken()),
        }
    }

    pub async fn search(&self, query: SearchQuery) -> Result<SearchHits, WorkspaceError> {
        let SearchQuery { pattern, path, glob, limit } = query;
        let request = Request::Search { pattern, path, glob, limit };
        match self.call(request, &[], ANSWER_LIMIT_BYTES, None, PATIENCE).await? {
            (data, Answer::Found { truncated, files }) => {
                Ok(SearchHits { hits: self.lines(&data, limit)?, truncated, files_searched: files })
            }
            _ => Err(self.broken()),
        }
    }

    pub async fn list(&self, query: ListQuery) -> Result<Listing, WorkspaceError> {
        let ListQuery { path, depth, glob, limit } = query;
        let request = Request::List { path, depth, glob, limit };
        match self.call(request, &[], ANSWER_LIMIT_BYTES, None, PATIENCE).await? {
            (data, Answer::Listed { truncated }) => Ok(Listing { entries: self.lines(&data, limit)?, truncated }),
            _ => Err(self.broken()),
        }
    }

    /// Whether it can be called just now, without asking it.
    pub(super) fn is_connected(&self) -> bool {
        self.handle.link.is_connected()
    }

    /// What the first walk is to give even where it is ignored or junk, for a workspace that was opened before that was
    /// known.
    pub(super) async fn track(&self, tracked: Arc<[String]>) {
        self.handle.walks.lock().await.tracked = Some(tracked);
    }

    /// Spares the first walk the reading of what is as it was laid out.
    pub async fn knows(&self, laid_out: LaidOut) {
        self.handle.walks.lock().await.laid_out = Some(laid_out);
    }

    /// What changed in the working copy since the last walk. Two at once go one after the other.
    pub async fn walk(&self) -> Result<Walk, WorkspaceError> {
        let mut walks = self.handle.walks.lock().await;
        if let Some(laid_out) = walks.laid_out.take()
            && let Some(files) = laid_out.bytes()
        {
            let (mtime_seconds, before_ns) = (laid_out.mtime_seconds(), laid_out.before_ns());
            let request = Request::LaidOut { mtime_seconds, before_ns };
            match self.call(request, &files, 0, None, PATIENCE).await? {
                (_, Answer::Noted) => {}
                _ => return Err(self.broken()),
            }
        }
        let tracked = walks.tracked.as_deref().map(walked::tracked_bytes);
        let request = Request::Walk { since: walks.generation, tracked: tracked.is_some() };
        let attached = tracked.unwrap_or_default();
        let (data, answer) = self.call(request, &attached, ANSWER_LIMIT_BYTES, None, PATIENCE).await?;
        let Answer::Walked { generation } = answer else { return Err(self.broken()) };
        let first = walks.generation == 0;
        if generation <= walks.generation {
            return Err(self.broken());
        }
        let walk = walked::parse(data, first).await.ok_or_else(|| self.broken())?;
        // What a first walk could not look at is not known there, nor that it is gone later: the next is a first one too.
        let hidden = first && walk.left_out.iter().any(|left| left.why == LeftOutReason::Unreadable);
        walks.generation = if hidden { 0 } else { generation };
        walks.tracked = None;
        Ok(walk)
    }

    /// Lets the workspace's loopback be connected to at `port` (0: a free one, which is given);
    /// the connections come by [`Self::accept`].
    pub async fn listen(&self, port: u16) -> Result<u16, WorkspaceError> {
        match self.call(Request::Listen { port }, &[], 0, None, PATIENCE).await? {
            (_, Answer::Listening { port }) => Ok(port),
            _ => Err(self.broken()),
        }
    }

    /// Connections that something in the workspace makes to ports that are listened on. Does not keep the
    /// workspace open.
    pub fn connections(&self) -> Connections {
        Connections { link: Arc::clone(&self.handle.link) }
    }

    /// The next of [`Self::connections`].
    pub async fn accept(&self) -> Result<RelayedStream, WorkspaceError> {
        RelayedStream::accept(&self.handle.link).await
    }

    /// Whether it has ended for good, as far as is known: asks nobody and does not wait.
    pub fn is_gone(&self) -> bool {
        self.handle.link.is_gone()
    }

    /// Whether it can be called. Where the connection to it is being made again, that is waited for.
    pub async fn lives(&self) -> bool {
        self.handle.link.lives().await
    }

    /// Ends the sandbox; no process of it is left when this returns, within a second. Where an engine does not
    /// end it that is not waited for longer than [`CLOSE_PATIENCE`]: the next to open its working copy waits.
    pub async fn close(&self) {
        self.handle.link.shut_down();
        if timeout(CLOSE_PATIENCE, self.closed()).await.is_err() {
            tracing::warn!("a workspace that was closed has not ended yet");
        }
    }

    /// Waits until the sandbox has ended, for whatever reason, and nothing of it is left.
    pub async fn closed(&self) {
        let mut ended = self.handle.ended.clone();
        // An error means that the keeping task is gone, and the sandbox with it.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    async fn call(
        &self,
        request: Request,
        attached: &[u8],
        data_limit_bytes: usize,
        live: Option<mpsc::Sender<Bytes>>,
        patience: Duration,
    ) -> Answered {
        let call = self.handle.link.call(&request, attached, Wanted { data_limit_bytes, live });
        if let Ok(answered) = timeout(patience, call).await {
            return answered;
        }
        self.handle.link.end("it does not answer");
        self.handle.link.shut_down();
        Err(self.handle.link.gone())
    }

    /// Lines of JSON, at most `limit` of them.
    fn lines<T: DeserializeOwned>(&self, data: &[u8], limit: usize) -> Result<Vec<T>, WorkspaceError> {
        let lines = data.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let mut values = Vec::new();
        for line in lines {
            if values.len() == limit || line.len() > LINE_LIMIT_BYTES {
                return Err(self.broken());
            }
            values.push(serde_json::from_slice(line).map_err(|_| self.broken())?);
        }
        Ok(values)
    }

    /// Ends the workspace because it answered what makes no sense.
    fn broken(&self) -> WorkspaceError {
        self.handle.link.end("it answered what makes no sense");
        self.handle.link.shut_down();
        self.handle.link.gone()
    }
}

fn command(run: RunCommand, live: bool) -> Result<Command, WorkspaceError> {
    let refused = |why: &str| Err(WorkspaceError::Refused { why: why.to_owned() });
    if run.command.len() > COMMAND_LIMIT_BYTES {
        return refused("the command is longer than 128 KiB: write it to a file and run that");
    }
    if run.command.contains('\0') {
        return refused("the command holds a NUL byte");
    }
    Ok(Command {
        command: run.command,
        workdir: run.workdir,
        env: run.env,
        timeout_ms: run.timeout.as_millis() as u64,
        stdin: run.stdin,
        keep_bytes: run.output_limit_bytes.min(OUTPUT_LIMIT_BYTES),
        live,
    })
}

/// A change as execd takes it; its content goes to `attached`.
fn wire_change(change: FileChange, attached: &mut Vec<u8>) -> Change {
    let expected = |expect| match expect {
        Expect::Anything => Expected::Anything,
        Expect::Absent => Expected::Absent,
        Expect::Content(oid) => Expected::Content(oid.as_str().to_owned()),
    };
    let mut attach = |content: Vec<u8>| {
        attached.extend_from_slice(&content);
        content.len() as u64
    };
    match change {
        FileChange::Write { path, content, executable, expect } => {
            Change::Write { path, size: attach(content), executable, expect: expected(expect) }
        }
        FileChange::Delete { path, expect } => Change::Delete { path, expect: expected(expect) },
        FileChange::Rename { from, to, content, expect } => {
            Change::Rename { from, to, size: content.map(attach), expect: expected(expect) }
        }
    }
}
