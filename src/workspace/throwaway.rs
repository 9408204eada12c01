//! A sandbox for one program that is given bytes and gives bytes: for what must read hostile files
//! and should not do so in the server.
//!
//! It has no network, no file that it could write to, and of the host's files the libraries alone.
//! Memory, processor time, time and output are bounded; when the call is dropped it is killed.

use super::{Sandboxes, WorkspaceError, bubblewrap::Launched};
use bytes::Bytes;
use std::{io, path::PathBuf, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{ChildStderr, ChildStdin, ChildStdout},
    sync::oneshot,
    time::timeout,
};

/// All throwaway sandboxes of a service share one user where each task has one of its own; where
/// there are cgroups, those bound each by itself.
pub(super) const PROCESSES_OF_USER: u64 = 2048;
pub(super) const OPEN_FILES: u64 = 64;
/// What of the program's complaint is kept.
const COMPLAINT_BYTES_MAX: u64 = 4096;

/// One program, once.
#[derive(Clone, Debug)]
pub struct Throwaway {
    /// On the host; bound read-only, the only program there is inside.
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub memory_bytes: u64,
    pub cpu_seconds: u64,
    /// From the start of the sandbox to the end of the program.
    pub time: Duration,
    /// What it may write to stdout.
    pub output_bytes: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum ThrowawayError {
    #[error("it took longer than {} ms", .0.as_millis())]
    TooLong(Duration),
    #[error("it wrote more than {0} bytes")]
    TooMuch(usize),
    /// It ended by a signal or with another status than 0.
    #[error("it failed ({status}): {said}")]
    Failed { status: String, said: String },
    #[error(transparent)]
    Sandbox(#[from] WorkspaceError),
}

impl Sandboxes {
    /// Runs the program with `input` on its stdin; what it wrote to stdout. Cancel safe: what runs
    /// is then killed.
    pub async fn throw_away(&self, throwaway: Throwaway, input: Vec<Bytes>) -> Result<Vec<u8>, ThrowawayError> {
        let (time, limit) = (throwaway.time, throwaway.output_bytes);
        let Launched { mut outer, stdin, mut stdout, stderr, ended } = self.start_throwaway(throwaway).await?;
        let (mut answer, receiver) = oneshot::channel();
        tokio::spawn(async move {
            let carried = async {
                let exchanged = exchange(stdin, &mut stdout, stderr, input, limit).await;
                if exchanged.as_ref().map_or(true, |exchanged| exchanged.output.len() > limit) {
                    let _ = outer.child.start_kill();
                }
                let status = outer.child.wait().await;
                (exchanged, status)
            };
            let result = tokio::select! {
                carried = timeout(time, carried) => Some(carried),
                () = answer.closed() => None,
            };
            let result = result.map(|carried| match carried {
                Err(_) => Err(ThrowawayError::TooLong(time)),
                Ok((exchanged, status)) => judge(exchanged, status, limit),
            });
            // A program that has ended is not there to be killed.
            let _ = outer.child.start_kill();
            if let Some(result) = result {
                let _ = answer.send(result);
            }
            outer.bury().await;
            let _ = ended.send(true);
        });
        receiver.await.map_err(|_| gone())?
    }
}

struct Exchanged {
    output: Vec<u8>,
    said: Vec<u8>,
}

/// Writes, reads and listens at once, so that neither end waits for the other for ever.
async fn exchange(
    mut stdin: ChildStdin,
    stdout: &mut ChildStdout,
    stderr: Option<ChildStderr>,
    input: Vec<Bytes>,
    limit: usize,
) -> io::Result<Exchanged> {
    let write = async {
        for piece in input {
            // A program that has seen enough may close its end.
            if stdin.write_all(&piece).await.is_err() {
                break;
            }
        }
        drop(stdin);
    };
    let read = async {
        let mut output = Vec::new();
        stdout.take(limit as u64 + 1).read_to_end(&mut output).await.map(|_| output)
    };
    let listen = async {
        let mut said = Vec::new();
        if let Some(stderr) = stderr {
            let _ = stderr.take(COMPLAINT_BYTES_MAX).read_to_end(&mut said).await;
        }
        said
    };
    let both = async { tokio::join!(write, listen).1 };
    tokio::pin!(both, read);
    tokio::select! {
        output = &mut read => {
            let output = output?;
            let said = if output.len() > limit { Vec::new() } else { both.await };
            Ok(Exchanged { output, said })
        }
        said = &mut both => Ok(Exchanged { output: read.await?, said }),
    }
}

fn judge(
    exchanged: io::Result<Exchanged>,
    status: io::Result<std::process::ExitStatus>,
    limit: usize,
) -> Result<Vec<u8>, ThrowawayError> {
    let (Ok(exchanged), Ok(status)) = (exchanged, status) else { return Err(gone()) };
    if exchanged.output.len() > limit {
        return Err(ThrowawayError::TooMuch(limit));
    }
    if !status.success() {
        let said = String::from_utf8_lossy(&exchanged.said).trim().to_owned();
        return Err(ThrowawayError::Failed { status: status.to_string(), said });
    }
    Ok(exchanged.output)
}

fn gone() -> ThrowawayError {
    WorkspaceError::Gone { why: "a throwaway sandbox was cut off".to_owned() }.into()
}
