//! Server processes as the kernel and `postmaster.pid` show them.

use super::PostgresError;
use crate::clock::Stopwatch;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// What the server has written into its data directory about itself
/// (`src/include/utils/pidfile.h` of PostgreSQL).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PidFile {
    pub(super) pid: u32,
    pub(super) socket_dir: PathBuf,
    pub(super) status: Status,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Starting,
    Ready,
    Stopping,
}

pub(super) fn pid_file(data: &Path) -> PathBuf {
    data.join("postmaster.pid")
}

/// Absent where there is no file, or one that is not (yet) whole.
pub(super) fn read_pid_file(data: &Path) -> Option<PidFile> {
    let text = fs::read_to_string(pid_file(data)).ok()?;
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let status = match lines.get(7).copied() {
        Some("ready") => Status::Ready,
        Some("stopping") => Status::Stopping,
        _ => Status::Starting,
    };
    Some(PidFile {
        pid: lines.first()?.parse().ok()?,
        socket_dir: PathBuf::from(lines.get(4).copied().unwrap_or_default()),
        status,
    })
}

/// Whether the process is a Postgres server of this data directory: not merely alive, since a pid
/// that was left behind may be anybody's by now. A server's working directory is its data.
pub(super) fn serves(pid: u32, data: &Path) -> bool {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let is_postgres = fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim_end() == "postgres");
    if !is_postgres || born(pid).is_none() {
        return false;
    }
    match (fs::metadata(process.join("cwd")), fs::metadata(data)) {
        (Ok(cwd), Ok(data)) => (cwd.dev(), cwd.ino()) == (data.dev(), data.ino()),
        // Root without the leave to trace others: the words it was started with must do.
        (Err(error), Ok(_)) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let words = fs::read(process.join("cmdline")).unwrap_or_default();
            words.split(|byte| *byte == 0).any(|word| word == data.as_os_str().as_encoded_bytes())
        }
        _ => false,
    }
}

/// All server processes of this data directory: a postmaster and its children, or children that a
/// killed postmaster left behind.
pub(super) fn all_serving(data: &Path) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| serves(*pid, data)).collect()
}

/// Sends a signal; a process that is gone is fine.
pub(super) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid as i32) {
        let _ = kill_process(pid, signal);
    }
}

/// Waits until the process has ended. One that is not there any more has. A child of ours must be
/// waited for by its handle instead: it stays until then. Cancel safe.
pub(super) async fn ended(pid: u32) {
    let Some(born) = born(pid) else { return };
    // Soon at first, for a stop; then rarely, for the life of an adopted server.
    let mut pause = Duration::from_millis(5);
    while self::born(pid) == Some(born) {
        tokio::time::sleep(pause).await;
        pause = (pause * 5 / 4).min(Duration::from_millis(500));
    }
}

/// Ends what a killed postmaster left behind: its children hold the shared memory, and no new
/// server starts beside them. They end by themselves, but only when they next look.
pub(super) async fn end_orphans(data: &Path) -> Result<(), PostgresError> {
    let watch = Stopwatch::start();
    for signal_now in [Signal::QUIT, Signal::KILL] {
        let orphans = all_serving(data);
        if orphans.is_empty() {
            return Ok(());
        }
        tracing::warn!(processes = orphans.len(), "ending server processes that a killed server left behind");
        for pid in &orphans {
            signal(*pid, signal_now);
        }
        for pid in orphans {
            let left = Duration::from_secs(5).saturating_sub(watch.elapsed()).max(Duration::from_millis(200));
            let _ = tokio::time::timeout(left, ended(pid)).await;
        }
    }
    match all_serving(data).first() {
        None => Ok(()),
        Some(pid) => Err(PostgresError::Stop { pid: *pid }),
    }
}

/// When the process was started, in the kernel's ticks: with its pid its identity. Absent where
/// there is none, or only its exit code is left.
fn born(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // "pid (comm) state …" (proc(5)); a comm may hold anything, so the last bracket counts.
    let mut fields = stat.rsplit(')').next()?.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}
