//! Tests of what an operator does on a data directory with a private database: start, administer, stop.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// A short path: sockets lie below it.
fn data_dir() -> TempDir {
    let dir = tempfile::Builder::new().prefix("jm-op-").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    dir
}

fn journeyman(data_dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_journeyman"));
    command.args(arguments).env_clear().envs([
        ("PATH", std::env::var("PATH").unwrap().as_str()),
        ("JOURNEYMAN_DATA_DIR", data_dir.to_str().unwrap()),
        ("JOURNEYMAN_LISTEN", "127.0.0.1:0"),
        ("JOURNEYMAN_MODEL", "nobody"),
        ("JOURNEYMAN_MODEL_API", "chat"),
        ("JOURNEYMAN_MODEL_URL", "http://127.0.0.1:9/v1"),
    ]);
    command
}

fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A service that has said where it listens; ended in order when dropped, so that its database ends too.
struct Service(Child);

impl Service {
    fn start(data_dir: &Path) -> Self {
        let service = Self(journeyman(data_dir, &["serve"]).stderr(Stdio::null()).spawn().unwrap());
        let since = Instant::now();
        while !data_dir.join("listen").exists() {
            assert!(since.elapsed() < PATIENCE, "the service does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        service
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}

#[test]
fn administration_and_health_checks_work_beside_the_service() {
    let dir = data_dir();
    let added = output(&mut journeyman(dir.path(), &["admin", "team", "add", "before"]));
    assert!(added.status.success(), "{}", text(&added.stderr));
    let _service = Service::start(dir.path());
    for (arguments, told) in [
        (["admin", "team", "add", "beside"].as_slice(), "beside"),
        (&["admin", "user", "add", "ada", "--team", "beside", "--role", "admin"], "ada"),
        (&["admin", "team", "list"], "before"),
        (&["healthcheck"], ""),
    ] {
        let done = output(&mut journeyman(dir.path(), arguments));
        assert!(done.status.success(), "{arguments:?}: {}", text(&done.stderr));
        assert!(text(&done.stdout).contains(told), "{arguments:?}: {}", text(&done.stdout));
    }
    let key = output(&mut journeyman(dir.path(), &["admin", "key", "add", "ci", "--user", "ada", "--team", "beside"]));
    let key = text(&key.stdout).lines().last().unwrap().trim().to_owned();
    let address = std::fs::read_to_string(dir.path().join("listen")).unwrap();
    let mut list = journeyman(dir.path(), &["task", "list"]);
    let listed = output(list.env("JOURNEYMAN_URL", format!("http://{}", address.trim())).env("JOURNEYMAN_KEY", key));
    assert!(listed.status.success(), "{}", text(&listed.stderr));
}

#[test]
fn a_start_that_fails_leaves_no_database_running() {
    let dir = data_dir();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (name, value, said) in
        [("JOURNEYMAN_LISTEN", address.as_str(), "JOURNEYMAN_LISTEN"), ("JOURNEYMAN_EXECD", "/nowhere", "execd")]
    {
        let failed = output(journeyman(dir.path(), &["serve"]).env(name, value));
        assert!(!failed.status.success() && text(&failed.stderr).contains(said), "{}", text(&failed.stderr));
        assert!(!dir.path().join("postgres/data/postmaster.pid").exists(), "{name}: the database still runs");
    }
}
