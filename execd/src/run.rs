//! All commands of the workspace: calls that wait for theirs to end, background processes, and
//! looks at these.

use crate::{
    connection::{Connection, refused},
    process::Process,
    spawn::spawn,
};
use execd::message::{Answer, Command, Configure, Failure, FailureKind, OUTPUT_LIMIT_BYTES, RunOutcome};
use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitOptions, kill_process},
};
use std::{
    collections::BTreeMap,
    os::fd::OwnedFd,
    path::Path,
    time::{Duration, Instant},
};

const BACKGROUND_MAX: usize = 16;
/// Background processes that have ended and can still be looked at.
const ENDED_MAX: usize = 32;
/// Pipes that others still hold after the command's own end: read and forgotten, so that a
/// daemon that was started does not die of its own words.
const LEFTOVERS_MAX: usize = 64;
/// Live output is sent on after so long at most, and what comes in between with it.
const COALESCE: Duration = Duration::from_millis(50);
/// A workspace is full when no more than this part of its processes is free: what counts them may count others too.
const FULL_SHARE: u64 = 4;
const WAIT_MAX: Duration = Duration::from_secs(600);
const TIMEOUT_MAX_MS: u64 = 7 * 24 * 3600 * 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RunKey {
    /// A call, by its stream.
    Call(u32),
    /// A background process, by its number.
    Background(u32),
}

#[derive(Debug)]
struct Run {
    process: Process,
    live: bool,
    /// When output of the head is sent on: a short command's comes with its answer.
    send_at: Option<Instant>,
}

#[derive(Debug)]
struct Look {
    stream: u32,
    process: u32,
    until: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct Runs {
    all: BTreeMap<RunKey, Run>,
    looks: Vec<Look>,
    pub(crate) leftovers: Vec<OwnedFd>,
    last_process: u32,
    /// Something lives that was started here, or descends from it.
    lives: bool,
    /// Carries the server's connection, as a process of the very user that commands run as.
    server: Option<Pid>,
}

impl Runs {
    pub(crate) fn run(
        &mut self,
        stream: u32,
        command: &Command,
        configure: &Configure,
        root: &Path,
    ) -> Result<(), Failure> {
        let process = self.spawn(command, configure, root, None)?;
        self.all.insert(RunKey::Call(stream), Run { process, live: command.live, send_at: None });
        Ok(())
    }

    /// Starts a background process and gives its number; `talk` becomes its stdin and stdout.
    pub(crate) fn start(
        &mut self,
        command: &Command,
        configure: &Configure,
        root: &Path,
        talk: Option<&OwnedFd>,
    ) -> Result<u32, Failure> {
        let background = || self.all.iter().filter(|(key, _)| matches!(key, RunKey::Background(_)));
        if background().filter(|(_, run)| !run.process.has_ended()).count() >= BACKGROUND_MAX {
            return Err(refused(format!("{BACKGROUND_MAX} background processes run already: end one first")));
        }
        let mut ended: Vec<RunKey> =
            background().filter(|(_, run)| run.process.has_ended()).map(|(key, _)| *key).collect();
        ended.truncate(ended.len().saturating_sub(ENDED_MAX - 1));
        for key in ended {
            self.all.remove(&key);
        }
        let process = self.spawn(command, configure, root, talk)?;
        self.last_process += 1;
        self.all.insert(RunKey::Background(self.last_process), Run { process, live: false, send_at: None });
        Ok(self.last_process)
    }

    fn spawn(
        &mut self,
        command: &Command,
        configure: &Configure,
        root: &Path,
        talk: Option<&OwnedFd>,
    ) -> Result<Process, Failure> {
        if command.keep_bytes > OUTPUT_LIMIT_BYTES || command.timeout_ms > TIMEOUT_MAX_MS {
            return Err(refused("the command's limits are beyond what is allowed"));
        }
        let begun = Instant::now();
        let spawned = match spawn(command, configure, root, talk) {
            Err(failure) if failure.kind == FailureKind::Refused && failure.why.starts_with("no more processes") => {
                self.kill_strays(configure.processes);
                spawn(command, configure, root, talk)?
            }
            other => other?,
        };
        self.lives = true;
        Ok(Process::new(spawned, command, begun))
    }

    /// Ends what no call and no background process answers for, to make room, where the workspace is full of it:
    /// where others of its user are too many, these have no part in it.
    fn kill_strays(&mut self, most: u64) {
        if !rustix::process::getpid().is_init() || crate::process::count() < most - most / FULL_SHARE {
            return;
        }
        let known: Vec<Pid> = self.all.values().map(|run| run.process.pid).collect();
        for _ in 0..20 {
            let mut found = false;
            for (pid, session) in crate::process::sessions() {
                if !known.contains(&session) && Some(pid) != self.server {
                    found = true;
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
            self.reap();
            if !found {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Writes to a background process and looks at it, now or when it ends or `wait_ms` passed.
    pub(crate) fn write_stdin(&mut self, stream: u32, number: u32, text: &[u8], wait_ms: u64) -> Result<(), Failure> {
        let process = self.background(number)?;
        if !text.is_empty() && !process.has_ended() && !process.write(text) {
            return Err(refused(format!(
                "process {number} does not take input (it has no stdin, or does not read it)"
            )));
        }
        let until = Instant::now() + Duration::from_millis(wait_ms).min(WAIT_MAX);
        self.looks.push(Look { stream, process: number, until });
        Ok(())
    }

    pub(crate) fn kill(&mut self, number: u32) -> Result<Answer, Failure> {
        self.background(number)?.kill(RunOutcome::Signalled(Signal::KILL.as_raw()), Instant::now());
        Ok(Answer::Killed)
    }

    fn background(&mut self, number: u32) -> Result<&mut Process, Failure> {
        match self.all.get_mut(&RunKey::Background(number)) {
            Some(run) => Ok(&mut run.process),
            None => Err(Failure {
                kind: FailureKind::NotFound,
                what: format!("process {number}"),
                why: "no such background process".to_owned(),
            }),
        }
    }

    /// The server does not wait for this call any more.
    pub(crate) fn cancel(&mut self, stream: u32, connection: &mut Connection) {
        if let Some(run) = self.all.get_mut(&RunKey::Call(stream)) {
            run.process.kill(RunOutcome::Signalled(Signal::KILL.as_raw()), Instant::now());
        }
        self.looks.retain(|look| {
            if look.stream == stream {
                connection.answer(stream, Err(refused("the call was given up")));
            }
            look.stream != stream
        });
    }

    /// The server's connection is carried by this process, which is spared what all others of its user are ended by.
    pub(crate) fn served_by(&mut self, process: Option<Pid>) {
        self.server = process;
    }

    pub(crate) fn server(&self) -> Option<Pid> {
        self.server
    }

    /// Nobody waits for a call any more: each is killed and forgotten.
    pub(crate) fn disconnect(&mut self) {
        self.server = None;
        let now = Instant::now();
        self.looks.clear();
        self.all.retain(|key, run| {
            if matches!(key, RunKey::Call(_)) && !run.process.has_ended() {
                run.process.kill(RunOutcome::Signalled(Signal::KILL.as_raw()), now);
            }
            matches!(key, RunKey::Background(_))
        });
    }

    /// As the first process, also what no call and no background process answers for.
    pub(crate) fn kill_all(&mut self, why: RunOutcome) {
        let now = Instant::now();
        for run in self.all.values_mut().filter(|run| !run.process.has_ended()) {
            run.process.kill(why, now);
        }
        crate::process::kill_everybody(self.server);
    }

    /// Takes in every child that has ended; as the first process, other people's too.
    pub(crate) fn reap(&mut self) {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    let now = Instant::now();
                    for run in self.all.values_mut().filter(|run| run.process.pid == pid && !run.process.has_ended()) {
                        run.process.reaped(status, now);
                    }
                }
                Ok(None) => return self.lives = true,
                Err(Errno::INTR) => {}
                // Who is orphaned becomes a child of this process: without a child there is nobody.
                Err(_) => return self.lives = false,
            }
        }
    }

    /// Fds to watch: of each run its output, and its stdin where something waits for it.
    pub(crate) fn watched(&self) -> impl Iterator<Item = (RunKey, &OwnedFd, bool)> {
        self.all.iter().flat_map(|(key, run)| {
            let process = &run.process;
            let output = process.output.iter().map(|fd| (*key, fd, false));
            let stdin = process.stdin.iter().filter(|_| !process.to_stdin.is_empty()).map(|fd| (*key, fd, true));
            output.chain(stdin)
        })
    }

    pub(crate) fn readable(&mut self, key: RunKey, output_limit_bytes: u64, connection: &mut Connection) {
        let Some(run) = self.all.get_mut(&key) else { return };
        let now = Instant::now();
        let live = run.process.read(now, output_limit_bytes);
        if let RunKey::Call(stream) = key
            && run.live
        {
            if !live.is_empty() && connection.queued(stream) == 0 && run.send_at.is_none() {
                connection.live(stream, &live);
            }
            if run.process.kept.has_head() {
                run.send_at.get_or_insert(now + COALESCE);
            }
        }
    }

    pub(crate) fn writable(&mut self, key: RunKey) {
        if let Some(run) = self.all.get_mut(&key) {
            run.process.flush_stdin();
        }
    }

    /// Whether there is any process of the workspace, also one that left its session or outlived its call.
    pub(crate) fn is_anything_alive(&self) -> bool {
        self.lives
    }

    /// The next moment at which [`Self::advance`] has something to do.
    pub(crate) fn next_look(&self, now: Instant) -> Option<Instant> {
        let runs = self.all.values().filter(|run| run.process.outcome(now).is_none());
        let runs = runs.map(|run| run.send_at.into_iter().fold(run.process.next_look(), Instant::min));
        runs.chain(self.looks.iter().map(|look| look.until)).min()
    }

    /// Kills what is overdue and answers what has ended.
    pub(crate) fn advance(&mut self, connection: &mut Connection) {
        let now = Instant::now();
        let mut over = Vec::new();
        for (key, run) in &mut self.all {
            if run.process.is_overdue(now) {
                run.process.kill(RunOutcome::TimedOut, now);
            }
            let RunKey::Call(stream) = *key else { continue };
            if let Some(outcome) = run.process.outcome(now) {
                over.push((*key, stream, outcome));
            } else if run.send_at.is_some_and(|at| now >= at) {
                run.send_at = None;
                connection.data(stream, &run.process.kept.take_head());
            }
        }
        for (key, stream, outcome) in over {
            let Some(mut run) = self.all.remove(&key) else { continue };
            let taken = run.process.kept.take();
            connection.data(stream, &taken.bytes);
            let answer = Answer::Ran {
                outcome,
                omitted_bytes: taken.omitted_bytes,
                omitted_at: taken.omitted_at,
                duration_us: now.saturating_duration_since(run.process.started).as_micros() as u64,
            };
            connection.answer(stream, Ok(answer));
            self.leftovers.extend(run.process.output);
            let surplus = self.leftovers.len().saturating_sub(LEFTOVERS_MAX);
            self.leftovers.drain(..surplus);
        }
        self.answer_looks(now, connection);
    }

    fn answer_looks(&mut self, now: Instant, connection: &mut Connection) {
        let runs = &mut self.all;
        self.looks.retain(|look| {
            let Some(run) = runs.get_mut(&RunKey::Background(look.process)) else {
                connection.answer(look.stream, Err(refused("the process was forgotten")));
                return false;
            };
            let exit = run.process.outcome(now);
            if exit.is_none() && now < look.until {
                return true;
            }
            let taken = run.process.kept.take();
            connection.data(look.stream, &taken.bytes);
            let (omitted_bytes, omitted_at) = (taken.omitted_bytes, taken.omitted_at);
            connection.answer(look.stream, Ok(Answer::Looked { omitted_bytes, omitted_at, exit }));
            false
        });
    }
}
