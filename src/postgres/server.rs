//! One running server: started by this process, or adopted from one before it.

use super::{
    PostgresError,
    account::{self, Account},
    binaries::Binaries,
    initialise::spawn_error,
    process::{self, Status},
    sockets,
};
use crate::clock::Stopwatch;
use rustix::process::Signal;
use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io::{Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{net::UnixStream, process::Child, time::timeout};

/// How long a server may replay its log before it is given up.
const START_LIMIT: Duration = Duration::from_secs(600);
/// How long an orderly stop may take before the server is told to leave everything.
const STOP_LIMIT: Duration = Duration::from_secs(2);
/// The log is emptied at a start when it has grown beyond this.
const LOG_LIMIT_BYTES: u64 = 16 << 20;
const LOOK: Duration = Duration::from_millis(5);

/// What a server is started with.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) binaries: Binaries,
    pub(super) data: PathBuf,
    pub(super) log: PathBuf,
    pub(super) socket_dir: PathBuf,
    pub(super) account: Option<Account>,
    /// Names and values of server settings.
    pub(super) options: Vec<(String, String)>,
}

/// A server that is ready for connections.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) pid: u32,
    pub(super) socket_dir: PathBuf,
    /// Absent where the server was adopted: it is another process' child.
    child: Option<Child>,
}

impl Server {
    /// The server that already runs on this data, once it is ready. `None` where none does: what
    /// was left behind of a dead one has been cleared away then.
    pub(super) async fn adopt(data: &Path) -> Result<Option<Self>, PostgresError> {
        let watch = Stopwatch::start();
        while let Some(file) = process::read_pid_file(data) {
            if !process::serves(file.pid, data) {
                // Postgres itself would take a living stranger with this pid for a server.
                let path = process::pid_file(data);
                tracing::warn!(pid = file.pid, "the server's pid file is stale: taking it away");
                process::end_orphans(data).await?;
                fs::remove_file(&path).map_err(PostgresError::io("cannot take away", path))?;
                return Ok(None);
            }
            let server = Self { pid: file.pid, socket_dir: file.socket_dir.clone(), child: None };
            match file.status {
                Status::Ready if UnixStream::connect(sockets::socket(&file.socket_dir)).await.is_ok() => {
                    return Ok(Some(server));
                }
                Status::Starting if watch.elapsed() < START_LIMIT => tokio::time::sleep(LOOK).await,
                Status::Stopping if watch.elapsed() < STOP_LIMIT * 2 => tokio::time::sleep(LOOK).await,
                _ => {
                    tracing::warn!(pid = file.pid, "the server that runs cannot be reached: stopping it");
                    server.stop().await?;
                }
            }
        }
        process::end_orphans(data).await?;
        Ok(None)
    }

    /// Starts a server and waits until it is ready.
    ///
    /// Cancel safe as far as data goes: a server that was started and not waited for runs on and
    /// is adopted by the next start.
    pub(super) async fn start(plan: &Plan) -> Result<Self, PostgresError> {
        let log_from = prepare_log(&plan.log, plan.account)?;
        let mut child = spawn(plan)?;
        let pid = child.id().unwrap_or_default();
        let watch = Stopwatch::start();
        loop {
            let file = process::read_pid_file(&plan.data);
            if file.is_some_and(|file| file.pid == pid && file.status == Status::Ready) {
                return Ok(Self { pid, socket_dir: plan.socket_dir.clone(), child: Some(child) });
            }
            let exited = child.try_wait().map_err(PostgresError::io("cannot wait for the server of", &plan.data))?;
            if exited.is_some() {
                return Err(said_in(&plan.log, log_from));
            }
            if watch.elapsed() > START_LIMIT {
                process::signal(pid, Signal::QUIT);
                let message = format!("it was not ready within {} s", START_LIMIT.as_secs());
                return Err(PostgresError::Start { message, log: plan.log.clone() });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until the server has ended, whyever. Cancel safe.
    pub(super) async fn ended(&mut self) {
        match &mut self.child {
            Some(child) => {
                // An error means that there is nothing left to wait for.
                let _ = child.wait().await;
            }
            None => process::ended(self.pid).await,
        }
    }

    /// Ends the server: in order (connections are cut, everything is written), then at once, then
    /// by force. At most 4 s.
    pub(super) async fn stop(mut self) -> Result<(), PostgresError> {
        for (signal, limit) in
            [(Signal::INT, STOP_LIMIT), (Signal::QUIT, STOP_LIMIT / 2), (Signal::KILL, STOP_LIMIT / 2)]
        {
            process::signal(self.pid, signal);
            if timeout(limit, self.ended()).await.is_ok() {
                return Ok(());
            }
            tracing::warn!(pid = self.pid, ?signal, "the server has not ended");
        }
        Err(PostgresError::Stop { pid: self.pid })
    }
}

#[expect(clippy::disallowed_methods, reason = "postgres starts its own programs")]
fn spawn(plan: &Plan) -> Result<Child, PostgresError> {
    let reach = account::reach(&plan.data, plan.account)?;
    let log = OpenOptions::new().append(true).open(&plan.log);
    let log = log.map_err(PostgresError::io("cannot open", &plan.log))?;
    let errors = log.try_clone().map_err(PostgresError::io("cannot open", &plan.log))?;
    let mut command = tokio::process::Command::new(plan.binaries.dir.join("postgres"));
    command.arg("-D").arg(&reach.path);
    let mut sockets = OsString::from("unix_socket_directories=\"");
    sockets.push(&plan.socket_dir);
    sockets.push("\"");
    command.arg("-c").arg(sockets);
    for (name, value) in &plan.options {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    command.env_clear().env("LC_ALL", "C").env("PATH", "/usr/bin:/bin");
    command.current_dir("/").stdin(Stdio::null()).stdout(log).stderr(errors);
    // A group of its own: Ctrl-C on the terminal is for the service, which then stops its server.
    command.process_group(0);
    if let Some(account) = plan.account {
        command.uid(account.uid).gid(account.gid);
    }
    command.spawn().map_err(|source| spawn_error(source, &plan.binaries.dir, plan.account))
}

/// Makes the log writable for the account; returns its length.
fn prepare_log(path: &Path, account: Option<Account>) -> Result<u64, PostgresError> {
    let failed = |error| PostgresError::io("cannot prepare", path)(error);
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.len() > LOG_LIMIT_BYTES {
        file.set_len(0).map_err(failed)?;
    }
    if let Some(account) = account {
        account::give(path, account)?;
    }
    Ok(file.metadata().map_err(failed)?.len())
}

/// What a server that did not start said in its log.
fn said_in(log: &Path, from: u64) -> PostgresError {
    let mut said = String::new();
    let read = fs::File::open(log).and_then(|mut file| {
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(64 << 10).read_to_end(&mut bytes)?;
        said = String::from_utf8_lossy(&bytes).into_owned();
        Ok(())
    });
    if read.is_err() || said.trim().is_empty() {
        said.clear();
        said.push_str("it ended without a word");
    }
    if said.contains("No space left on device") || said.contains("Disk quota exceeded") {
        return PostgresError::DiskFull { path: log.parent().unwrap_or(log).to_owned() };
    }
    let telling = |line: &&str| ["FATAL:", "PANIC:", "HINT:", "DETAIL:"].iter().any(|mark| line.contains(mark));
    let lines: Vec<&str> = said.lines().map(str::trim).filter(telling).take(6).collect();
    let message = if lines.is_empty() { said.trim().chars().take(500).collect() } else { lines.join("; ") };
    PostgresError::Start { message, log: log.to_owned() }
}
