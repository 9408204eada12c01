//! Real sandboxes for tests.

use bytes::Bytes;
use journeyman::{
    clock,
    domain::TaskId,
    workspace::{
        BackendSettings, HEARTBEAT, OpenSandbox, PoolSettings, RunCommand, RunOutcome, RunResult, SandboxLimits,
        SandboxSettings, Sandboxes, Workspace,
    },
};
use std::{
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::sync::mpsc;

pub(crate) const EXECD_VARIABLE: &str = "JOURNEYMAN_TEST_EXECD";

/// The execd executable, built if it is not up to date: `cargo test` of one package builds no
/// other package's binaries.
pub(crate) fn execd() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        // Set for a run of these tests as another user, who may not build.
        if let Some(path) = std::env::var_os(EXECD_VARIABLE) {
            return path.into();
        }
        let profile = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "execd", "--target-dir"]).arg(profile.parent().unwrap());
        if profile.file_name().is_some_and(|name| name == "release") {
            build.arg("--release");
        }
        let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap();
        assert!(built.success(), "execd could not be built");
        let path = profile.join("execd");
        assert!(path.is_file(), "there is no {} after building execd", path.display());
        path
    })
}

/// Where builds and what tests keep lie.
#[cfg(feature = "kubernetes-cluster")]
pub(crate) fn target() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned()
}

/// The execd for containers, which needs no library.
pub(crate) fn static_execd() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let profile = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/static-execd.sh");
        let mut build = Command::new(script);
        build.arg(profile.file_name().unwrap()).env("CARGO", env!("CARGO"));
        build.env("CARGO_TARGET_DIR", profile.parent().unwrap());
        assert!(build.status().unwrap().success(), "the static execd could not be built");
        profile.join("execd-static")
    })
}

/// Uids of its own for each, so that a test can tell its processes from those of others.
pub(crate) fn settings(data_dir: &Path) -> SandboxSettings {
    static USED: AtomicU32 = AtomicU32::new(0);
    SandboxSettings {
        data_dir: data_dir.to_owned(),
        execd: execd().to_owned(),
        toolchains: Vec::new(),
        uid_base: 1_000_000 + 100_000 * USED.fetch_add(1, Ordering::Relaxed),
        cgroups: true,
        backend: BackendSettings::Bubblewrap,
        pool: PoolSettings::OFF,
        heartbeat: HEARTBEAT,
    }
}

/// A data directory with an empty working copy of one task.
pub(crate) struct Copy {
    pub(crate) data_dir: tempfile::TempDir,
    pub(crate) sandboxes: Sandboxes,
    pub(crate) task: TaskId,
    pub(crate) path: PathBuf,
}

/// A tree of any depth goes, also after a test that failed: what removes directories elsewhere calls itself for
/// each level, and its stack would end the whole run.
impl Drop for Copy {
    fn drop(&mut self) {
        let _ = journeyman::workspace::remove_tree(&self.path);
    }
}

impl Copy {
    pub(crate) async fn new() -> Self {
        Self::with(settings).await
    }

    /// Of workspaces as these settings, which are made for a data directory, have them.
    pub(crate) async fn with(settings: impl FnOnce(&Path) -> SandboxSettings) -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        let sandboxes = Sandboxes::new(settings(data_dir.path())).await.unwrap();
        let task: TaskId = clock::new_id();
        let owner = sandboxes.owner_uid(task);
        let path = sandboxes.directory(task).copy();
        std::fs::create_dir_all(&path).unwrap();
        if let Some((uid, gid)) = owner {
            chown(&path, Some(uid), Some(gid)).unwrap();
        }
        Self { data_dir, sandboxes, task, path }
    }

    /// Writes a file as the task's user.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let mut directory = self.path.clone();
        let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
        for part in parents.split('/').filter(|part| !part.is_empty()) {
            directory.push(part);
            if std::fs::create_dir(&directory).is_ok() {
                self.own(&directory);
            }
        }
        let file = directory.join(name);
        std::fs::write(&file, content).unwrap();
        self.own(&file);
    }

    fn own(&self, path: &Path) {
        if let Some((uid, gid)) = self.sandboxes.owner_uid(self.task) {
            chown(path, Some(uid), Some(gid)).unwrap();
        }
    }

    pub(crate) fn options(&self) -> OpenSandbox {
        OpenSandbox {
            task: self.task,
            copy: self.path.clone(),
            mirrors: Vec::new(),
            limits: SandboxLimits::default(),
            env: Vec::new(),
            image: None,
            tracked: Arc::from([]),
            low_priority: false,
        }
    }

    pub(crate) async fn open(&self) -> Workspace {
        self.sandboxes.open(self.options()).await.unwrap()
    }
}

/// An empty working copy and its open workspace.
pub(crate) async fn open() -> (Copy, Workspace) {
    let copy = Copy::new().await;
    let workspace = copy.open().await;
    (copy, workspace)
}

/// Runs a command with a generous timeout.
pub(crate) async fn run(workspace: &Workspace, command: &str) -> RunResult {
    workspace.run(RunCommand::new(command, Duration::from_secs(60)), None).await.unwrap()
}

/// Runs a command that must succeed; its output as text.
pub(crate) async fn output(workspace: &Workspace, command: &str) -> String {
    let result = run(workspace, command).await;
    let text = String::from_utf8_lossy(&result.output).into_owned();
    assert_eq!(result.outcome, RunOutcome::Exited(0), "{command}: {text}");
    text
}

/// A command, and what of its output is given as it comes.
pub(crate) async fn run_live(workspace: &Workspace, run: RunCommand) -> (RunResult, Vec<Bytes>) {
    let (sender, mut receiver) = mpsc::channel(1024);
    let result = workspace.run(run, Some(sender)).await.unwrap();
    let mut pieces = Vec::new();
    while let Some(piece) = receiver.recv().await {
        pieces.push(piece);
    }
    (result, pieces)
}
