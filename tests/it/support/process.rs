//! `journeyman serve` as a process of its own, to be killed and drained.

use super::service::{Api, Ground, KEY};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// A drain takes at most 15 s; what is left is for a busy machine.
const DRAIN_PATIENCE: Duration = Duration::from_secs(30);

/// A process that does not outlive its test.
pub(crate) struct Running(Child);

impl Running {
    /// A replica that drives tasks and serves nobody.
    pub(crate) fn worker(ground: &Ground, data_dir: &Path) -> Self {
        let mut command = serve(ground, data_dir, &[]);
        Self(command.args(["--role", "worker"]).stderr(Stdio::null()).spawn().unwrap())
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// SIGTERM, and how it ended.
    pub(crate) async fn drain(mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        let since = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(since.elapsed() < DRAIN_PATIENCE, "the process does not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A replica that serves.
pub(crate) struct Process {
    pub(crate) running: Running,
    pub(crate) api: Api,
}

impl Process {
    pub(crate) fn start(ground: &Ground, data_dir: &Path) -> Self {
        Self::started(serve(ground, data_dir, &[]))
    }

    /// A replica that serves and drives no task.
    pub(crate) fn api_only(ground: &Ground, data_dir: &Path) -> Self {
        let mut command = serve(ground, data_dir, &[]);
        command.args(["--role", "api"]);
        Self::started(command)
    }

    /// Started by another program, whose last arguments are the service's own.
    pub(crate) fn start_by(ground: &Ground, data_dir: &Path, starter: &[&str]) -> Self {
        Self::started(serve(ground, data_dir, starter))
    }

    fn started(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().expect("the service says where it listens before it ends").unwrap();
            if let Some((_, address)) = line.split_once("listening on ") {
                break address
                    .split_whitespace()
                    .next()
                    .unwrap()
                    .trim_end_matches(|c: char| !c.is_ascii_digit())
                    .to_owned();
            }
        };
        // The rest of its log must go somewhere, or it would block.
        std::thread::spawn(move || lines.for_each(drop));
        let api = Api { base: address, key: KEY.to_owned(), http: reqwest::Client::new() };
        Self { running: Running(child), api }
    }

    pub(crate) fn kill(self) {
        self.running.kill();
    }
}

fn serve(ground: &Ground, data_dir: &Path, starter: &[&str]) -> Command {
    let mut words = starter.iter().copied().chain([env!("CARGO_BIN_EXE_journeyman"), "serve"]);
    let mut command = Command::new(words.next().unwrap());
    command
        .args(words)
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap())
        .env("DATABASE_URL", &ground.database)
        .env("JOURNEYMAN_DATA_DIR", data_dir)
        .env("JOURNEYMAN_LISTEN", "127.0.0.1:0")
        .env("JOURNEYMAN_BOOTSTRAP_KEY", KEY)
        .env("JOURNEYMAN_MODEL", "scripted")
        .env("JOURNEYMAN_MODEL_API", ground.wire)
        .env("JOURNEYMAN_MODEL_URL", &ground.model.url)
        .env("JOURNEYMAN_ALLOW_LOCAL_REPOS", ground.repositories.path())
        .envs(ground.variables.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// Processes of a user that live, as this machine sees them, each with its name. Who is dead and waits for the host's first
/// process to notice is none.
pub(crate) fn of_user(uid: u32) -> Vec<(Pid, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        let field = |name| status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
        let is_theirs = field("Uid:").and_then(|real| real.parse().ok()) == Some(uid);
        if is_theirs && field("State:").is_some_and(|state| state != "Z") {
            found.push((Pid::from_raw(pid).unwrap(), field("Name:").unwrap_or_default().to_owned()));
        }
    }
    found
}
