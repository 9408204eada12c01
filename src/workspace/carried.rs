//! Files that go to a workspace and come back over execd's pipe, where it shares no file system with this host.
//!
//! A program of execd's at the other end, run as a command is, unpacks and packs; what it says is hostile.

use super::{RelayedStream, RunCommand, RunOutcome, Workspace, WorkspaceError};
use execd::carry::{self, Limits};
use std::{
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::sync::mpsc;

/// The whole way of one tree.
const CARRY_TIME: Duration = Duration::from_secs(900);
/// How long the program at the other end is waited for once its stream has ended.
const END_TIME: Duration = Duration::from_secs(60);
const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks under way between the disk and the pipe.
const CHUNKS: usize = 8;
/// What of its complaint is told.
const COMPLAINT_BYTES: usize = 500;

/// The execd inside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carrier<'a> {
    pub(super) workspace: &'a Workspace,
    pub(super) execd: &'static str,
}

impl Carrier<'_> {
    /// Makes the tree (or file) that is at `from` on this host in the empty directory (or file) `to` inside.
    pub(super) async fn carry_in(&self, from: PathBuf, to: &Path) -> Result<(), WorkspaceError> {
        let command = format!("exec {} unpack {}", self.execd, quoted(to));
        let (process, stream) = self.workspace.connect_process(RunCommand::new(command, CARRY_TIME)).await?;
        let (sender, mut receiver) = mpsc::channel(CHUNKS);
        let packing = tokio::task::spawn_blocking(move || {
            let mut out = BufWriter::with_capacity(CHUNK_BYTES, Sending(sender));
            carry::pack(&from, &[], &mut out)
        });
        let mut carried = Ok(());
        while let Some(chunk) = receiver.recv().await {
            carried = stream.write(&chunk).await;
            if carried.is_err() {
                break;
            }
        }
        drop(receiver);
        let packed = packing.await.map_err(|error| failed(&error))?;
        stream.end();
        let drained = async { while stream.read().await.is_ok_and(|bytes| !bytes.is_empty()) {} };
        let _ = tokio::time::timeout(END_TIME, drained).await;
        // Its own reason comes before that of a stream which it has cut.
        self.settle(process).await?;
        carried?;
        packed.map_err(|error| failed(&error))
    }

    /// Makes the tree that is at `from` inside, without `left_out` of its entries, in the empty directory `to` on this
    /// host.
    pub(super) async fn carry_out(
        &self,
        from: &Path,
        left_out: &str,
        to: PathBuf,
        limits: Limits,
    ) -> Result<(), WorkspaceError> {
        let command = format!("exec {} pack {} {left_out}", self.execd, quoted(from));
        let (process, stream) = self.workspace.connect_process(RunCommand::new(command, CARRY_TIME)).await?;
        let (sender, receiver) = mpsc::channel(CHUNKS);
        let unpacking = tokio::task::spawn_blocking(move || {
            let received = Receiving { receiver, chunk: Vec::new(), at: 0 };
            carry::unpack(&mut BufReader::with_capacity(CHUNK_BYTES, received), &to, limits)
        });
        let carried = receive(&stream, sender).await;
        let unpacked = unpacking.await.map_err(|error| failed(&error))?;
        drop(stream);
        match unpacked {
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                Err(WorkspaceError::Refused { why: format!("what it left is too large: {error}") })
            }
            Err(error) => {
                self.settle(process).await?;
                carried?;
                Err(failed(&error))
            }
            Ok(()) => Ok(()),
        }
    }

    /// Waits for the program's own end; what it complains of where that is a bad one.
    async fn settle(&self, process: u32) -> Result<(), WorkspaceError> {
        let looked = self.workspace.write_stdin(process, b"", END_TIME).await?;
        if looked.exit == Some(RunOutcome::Exited(0)) {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&looked.output[..looked.output.len().min(COMPLAINT_BYTES)]).into_owned();
        let why = match looked.exit {
            _ if !said.trim().is_empty() => said.trim().trim_start_matches("execd: ").to_owned(),
            Some(outcome) => format!("it ended by {outcome:?}"),
            None => "it does not end".to_owned(),
        };
        Err(failed(&why))
    }
}

/// To the end, or until nobody takes it any more.
async fn receive(stream: &RelayedStream, sender: mpsc::Sender<Vec<u8>>) -> Result<(), WorkspaceError> {
    loop {
        let bytes = stream.read().await?;
        if bytes.is_empty() || sender.send(bytes).await.is_err() {
            return Ok(());
        }
    }
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}

fn failed(error: &impl ToString) -> WorkspaceError {
    WorkspaceError::Io { what: "carrying files between the server and a workspace".to_owned(), why: error.to_string() }
}

/// Blocks while there is no room.
struct Sending(mpsc::Sender<Vec<u8>>);

impl Write for Sending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.blocking_send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Blocks while there is nothing.
struct Receiving {
    receiver: mpsc::Receiver<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
}

impl Read for Receiving {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        while self.at == self.chunk.len() {
            let Some(chunk) = self.receiver.blocking_recv() else { return Ok(0) };
            (self.chunk, self.at) = (chunk, 0);
        }
        let count = bytes.len().min(self.chunk.len() - self.at);
        bytes[..count].copy_from_slice(&self.chunk[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
