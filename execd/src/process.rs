//! One command while it runs: its pipe, what is kept of its output, and how it ends.

use crate::{output::Kept, spawn::Spawned};
use execd::message::{Command, RunOutcome};
use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitStatus, kill_process, kill_process_group},
};
use std::{
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

/// After the command's own end, its output is awaited while others hold the pipe…
const DRAIN: Duration = Duration::from_secs(2);
/// …and still write to it.
const DRAIN_QUIET: Duration = Duration::from_millis(300);
/// A killed command that does not end (it waits for a disk) is answered for after this.
const KILL_PATIENCE: Duration = Duration::from_secs(2);
const READ_BYTES: usize = 16 * 1024;
const STDIN_LIMIT_BYTES: usize = 1024 * 1024;

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    pub(crate) output: Option<OwnedFd>,
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) to_stdin: Vec<u8>,
    pub(crate) kept: Kept,
    pub(crate) started: Instant,
    deadline: Instant,
    total_bytes: u64,
    last_output: Instant,
    ended: Option<(RunOutcome, Instant)>,
    killed: Option<(RunOutcome, Instant)>,
}

impl Process {
    pub(crate) fn new(spawned: Spawned, command: &Command, now: Instant) -> Self {
        Self {
            pid: spawned.pid,
            output: Some(spawned.output),
            stdin: spawned.stdin,
            to_stdin: Vec::new(),
            kept: Kept::new(command.keep_bytes),
            started: now,
            deadline: now + Duration::from_millis(command.timeout_ms),
            total_bytes: 0,
            last_output: now,
            ended: None,
            killed: None,
        }
    }

    /// Reads what is there, a bounded amount; gives the last piece for live listeners.
    pub(crate) fn read(&mut self, now: Instant, limit_bytes: u64) -> Vec<u8> {
        let mut live = Vec::new();
        let mut bytes = [0; READ_BYTES];
        for _ in 0..16 {
            let Some(output) = &self.output else { break };
            match rustix::io::read(output, &mut bytes) {
                Ok(0) => self.output = None,
                Ok(count) => {
                    self.total_bytes += count as u64;
                    self.last_output = now;
                    if self.kept.head_is_full() {
                        live.clear();
                        live.extend_from_slice(&bytes[..count]);
                    }
                    self.kept.push(&bytes[..count]);
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(_) => self.output = None,
            }
        }
        if self.total_bytes > limit_bytes && self.killed.is_none() {
            self.kill(RunOutcome::OutputLimit, now);
        }
        live
    }

    /// Queues bytes for its stdin; `false`: it does not read, or has none.
    pub(crate) fn write(&mut self, text: &[u8]) -> bool {
        if self.stdin.is_none() || self.to_stdin.len() + text.len() > STDIN_LIMIT_BYTES {
            return false;
        }
        self.to_stdin.extend_from_slice(text);
        self.flush_stdin();
        true
    }

    pub(crate) fn flush_stdin(&mut self) {
        while let (Some(stdin), false) = (&self.stdin, self.to_stdin.is_empty()) {
            match rustix::io::write(stdin, &self.to_stdin) {
                Ok(count) => drop(self.to_stdin.drain(..count)),
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                Err(_) => {
                    self.stdin = None;
                    self.to_stdin.clear();
                }
            }
        }
    }

    /// Kills its process group, and whoever left the group but not the session.
    pub(crate) fn kill(&mut self, why: RunOutcome, now: Instant) {
        if self.killed.is_none() && self.ended.is_none() {
            self.killed = Some((why, now));
        }
        let _ = kill_process_group(self.pid, Signal::KILL);
        kill_session(self.pid);
    }

    /// Its own process has ended.
    pub(crate) fn reaped(&mut self, status: WaitStatus, now: Instant) {
        let outcome = match self.killed {
            Some((why, _)) => why,
            None => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => RunOutcome::Exited(code),
                (None, Some(signal)) => RunOutcome::Signalled(signal),
                (None, None) => return,
            },
        };
        self.ended = Some((outcome, now));
        self.stdin = None;
        self.to_stdin.clear();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// How it ended, once its output is complete or nobody waits for more of it.
    pub(crate) fn outcome(&self, now: Instant) -> Option<RunOutcome> {
        match (self.ended, self.killed) {
            (Some((outcome, _)), _) if self.output.is_none() => Some(outcome),
            (Some((outcome, at)), _) => (now >= self.drained_at(at)).then_some(outcome),
            (None, Some((why, at))) => (now >= at + KILL_PATIENCE).then_some(why),
            (None, None) => None,
        }
    }

    /// When to look again though nothing was heard.
    pub(crate) fn next_look(&self) -> Instant {
        match (self.ended, self.killed) {
            (Some((_, at)), _) => self.drained_at(at),
            (None, Some((_, at))) => at + KILL_PATIENCE,
            (None, None) => self.deadline,
        }
    }

    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        self.ended.is_none() && self.killed.is_none() && now >= self.deadline
    }

    fn drained_at(&self, ended: Instant) -> Instant {
        (ended + DRAIN).min(self.last_output.max(ended) + DRAIN_QUIET)
    }
}

/// Kills every process of a session, as far as `/proc` shows it.
fn kill_session(session: Pid) {
    for (pid, of) in sessions() {
        if of == session {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// As the first process: kills all others at once, so that none can make another meanwhile. Who serves the server's
/// connection is another user's, or `spared`: all are stopped then, which none can withstand, and killed one by one.
pub(crate) fn kill_everybody(spared: Option<Pid>) {
    if !rustix::process::getpid().is_init() {
        return;
    }
    let Some(spared) = spared else { return signal_everybody(libc::SIGKILL) };
    signal_everybody(libc::SIGSTOP);
    for (pid, _) in sessions() {
        if pid != spared {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    let _ = kill_process(spared, Signal::CONT);
}

fn signal_everybody(signal: libc::c_int) {
    #[expect(unsafe_code, reason = "rustix signals no -1: one plain call, which spares the caller")]
    unsafe {
        libc::kill(-1, signal);
    }
}

/// Every process but the first and those of the kernel, with its session.
pub(crate) fn sessions() -> Vec<(Pid, Pid)> {
    // State, ppid, pgrp, session.
    let session = |stat: String| stat.split_whitespace().nth(3)?.parse().ok().and_then(Pid::from_raw);
    stats().filter(|(pid, _)| !pid.is_init()).filter_map(|(pid, stat)| Some((pid, session(stat)?))).collect()
}

/// Processes and threads that there are, those that have ended and were not taken in among them.
pub(crate) fn count() -> u64 {
    let threads = |stat: String| stat.split_whitespace().nth(17).and_then(|field| field.parse().ok());
    stats().map(|(_, stat)| threads(stat).unwrap_or(0).max(1)).sum()
}

/// Of every process what `/proc` tells of it after its name, which is in parentheses and may hold anything.
fn stats() -> impl Iterator<Item = (Pid, String)> {
    std::fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| {
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        let stat = std::fs::read(entry.path().join("stat")).ok()?;
        let rest = String::from_utf8_lossy(&stat).rsplit_once(')')?.1.to_owned();
        Some((pid, rest))
    })
}
