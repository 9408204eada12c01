//! Starts and ends sandboxes, and owns the directories of tasks.

use super::{
    Capabilities, Expect, FileChange, Throwaway, Workspace, WorkspaceError,
    backend::{Backend, Started, setup},
    bubblewrap::{Bubblewrap, Launched},
    calls::WORKSPACE,
    directories::Directories,
    docker::{Docker, DockerSettings},
    keeper::{Kept, keep},
    limits::{HEARTBEAT, SandboxLimits},
    link::Link,
    ready::{Pool, PoolSettings},
    roll::Roll,
    trying::{self, Trying},
};
use crate::domain::TaskId;
use execd::message::Configure;
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// How long the end of a task's sandboxes is waited for.
const END_PATIENCE: Duration = Duration::from_secs(12);
/// How long a sandbox may take to start on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Debug)]
pub struct SandboxSettings {
    /// The service's data directory; tasks' directories are in `workspaces` below it.
    pub data_dir: PathBuf,
    /// The execd executable on this host.
    pub execd: PathBuf,
    /// Directories of the host that every sandbox sees read-only at the same path, and whose
    /// `bin` is on its `PATH`.
    pub toolchains: Vec<PathBuf>,
    /// As root: tasks get uids from here on, one each, of 65,536.
    pub uid_base: u32,
    /// Use cgroups where they can be had.
    pub cgroups: bool,
    pub backend: BackendSettings,
    /// Sandboxes that are kept ready for tasks.
    pub pool: PoolSettings,
    /// How often server and execd ask each other for a sign of life when the other says nothing; one that gives none for
    /// five of these is taken for gone.
    pub heartbeat: Duration,
}

/// What makes the sandboxes.
#[derive(Clone, Debug)]
pub enum BackendSettings {
    Bubblewrap,
    Docker(DockerSettings),
    #[cfg(feature = "kubernetes")]
    Kubernetes(super::KubernetesSettings),
}

/// What a sandbox is opened with.
#[derive(Clone, Debug)]
pub struct OpenSandbox {
    pub task: TaskId,
    /// The working copy on the host, mounted at `/workspace`.
    pub copy: PathBuf,
    /// Mounted read-only: (on the host, inside).
    pub mirrors: Vec<(PathBuf, PathBuf)>,
    pub limits: SandboxLimits,
    pub env: Vec<(String, String)>,
    /// What the sandbox is made from, on backends that have images; absent: the operator's default.
    pub image: Option<String>,
    /// Files of the base, which a walk gives even where they are ignored or junk.
    pub tracked: Arc<[String]>,
    /// Gets less of the processor than others (the baseline's checks).
    pub low_priority: bool,
}

/// The directories of one task: `<data dir>/workspaces/<task id>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskDirectory(pub(super) PathBuf);

impl TaskDirectory {
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The agent's working copy.
    pub fn copy(&self) -> PathBuf {
        self.0.join("copy")
    }

    /// Where the agent's working copy is laid out in a sandbox that was ready before its task came.
    pub fn warm(&self) -> PathBuf {
        self.0.join("warm")
    }

    /// What such a sandbox sees of its task's mirror.
    pub(super) fn mirror(&self) -> PathBuf {
        self.0.join("mirror")
    }

    /// A further copy of the task, for checks; `name` is a plain file name.
    pub fn clean_copy(&self, name: &str) -> PathBuf {
        self.0.join("clean").join(name)
    }
}

/// What a sweep found and removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub processes_killed: u32,
    pub directories_removed: u32,
}

/// Every sandbox of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sandboxes {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) backend: Backend,
    pub(super) directories: Directories,
    pub(super) roll: Roll,
    pub(super) pool: Pool,
    trying: Trying,
    heartbeat: Duration,
}

impl Sandboxes {
    /// Finds out what this machine can do, and starts one sandbox to try it.
    pub async fn new(settings: SandboxSettings) -> Result<Self, WorkspaceError> {
        let is_file = settings.execd.is_file();
        let execd = settings.execd.canonicalize().ok().filter(|_| is_file).ok_or_else(|| WorkspaceError::Setup {
            what: "execd was not found".to_owned(),
            mend: "put it beside the journeyman executable, or name it in the settings".to_owned(),
        })?;
        let data_dir = std::path::absolute(&settings.data_dir).map_err(setup)?;
        std::fs::create_dir_all(&data_dir).map_err(setup)?;
        let data_dir = data_dir.canonicalize().map_err(setup)?;
        for path in [&data_dir, &execd].into_iter().chain(&settings.toolchains) {
            if path.to_str().is_none() {
                return Err(WorkspaceError::Setup {
                    what: format!("{} is not UTF-8", path.display()),
                    mend: "name another directory".to_owned(),
                });
            }
        }
        let settings = SandboxSettings { data_dir, execd, ..settings };
        let instance = instance(&settings.data_dir);
        let own_uids = rustix::process::geteuid().is_root();
        let roll = Roll::default();
        let directories = Directories::new(&settings.data_dir, own_uids.then_some(settings.uid_base))?;
        let bubblewrap = Bubblewrap::find(settings.clone(), &instance, own_uids, roll.clone());
        let optional = |bubblewrap: Result<Bubblewrap, WorkspaceError>| {
            let told = bubblewrap.inspect_err(|error| {
                tracing::warn!(error = %error, "there will be no symbols and no syntax checks");
            });
            told.ok()
        };
        let backend = match &settings.backend {
            BackendSettings::Bubblewrap => Backend::Bubblewrap(bubblewrap?),
            BackendSettings::Docker(docker) => {
                let docker = Docker::new(settings.clone(), docker.clone(), &instance, own_uids, roll.clone())?;
                Backend::Docker { docker, bubblewrap: optional(bubblewrap) }
            }
            #[cfg(feature = "kubernetes")]
            BackendSettings::Kubernetes(kubernetes) => {
                let kubernetes =
                    super::kubernetes::Kubernetes::new(kubernetes.clone(), settings.uid_base, roll.clone());
                Backend::Kubernetes { kubernetes, bubblewrap: optional(bubblewrap) }
            }
        };
        // Where files are carried to a sandbox, it is of no use before there are any.
        let pool = Pool::new(if backend.keeps_copies() { settings.pool } else { PoolSettings::OFF });
        let heartbeat = settings.heartbeat;
        let inner = Inner { backend, directories, roll, pool, trying: Trying::default(), heartbeat };
        let sandboxes = Self { inner: Arc::new(inner) };
        sandboxes.try_one(None).await?;
        Ok(sandboxes)
    }

    /// Starts a sandbox over an almost empty directory, looks around in it and ends it.
    async fn try_one(&self, image: Option<&str>) -> Result<(), WorkspaceError> {
        let task = crate::clock::new_id();
        let copy = self.directory(task).clean_copy("try");
        let path = copy.clone();
        self.inner.directories.prepare(task, &copy)?;
        let mark = format!("{task}");
        std::fs::write(copy.join("mark"), &mark).map_err(setup)?;
        let workspace = self
            .open(OpenSandbox {
                task,
                copy,
                mirrors: Vec::new(),
                limits: SandboxLimits::default(),
                env: Vec::new(),
                image: image.map(str::to_owned),
                tracked: Arc::from([]),
                low_priority: false,
            })
            .await;
        let tried = match workspace {
            Ok(workspace) => {
                let examined = self.inner.backend.examine(&workspace, image, &mark).await;
                let owned = match examined {
                    Ok(()) if self.inner.backend.may_map_users() => {
                        owned(&workspace, &path, self.owner_uid(task)).await
                    }
                    other => other,
                };
                workspace.close().await;
                owned
            }
            Err(error) => Err(error),
        };
        self.remove(task).await?;
        tried
    }

    pub fn capabilities(&self) -> Capabilities {
        self.inner.backend.capabilities()
    }

    /// Programs and Python modules that every sandbox has, and versions of some as `name@version`,
    /// sorted. Looked up once: what is installed later is not known before the next start.
    pub async fn programs(&self) -> Arc<[String]> {
        self.programs_of(None).await
    }

    /// The same of the sandboxes that are made from an image. The first to ask waits until one was
    /// tried; empty where that failed.
    pub async fn programs_of(&self, image: Option<&str>) -> Arc<[String]> {
        if let Some(programs) = self.inner.backend.programs(image).await {
            return programs;
        }
        let turn = self.inner.trying.turn(image);
        let mut failed = turn.lock().await;
        if let Some(programs) = self.inner.backend.programs(image).await {
            return programs;
        }
        if failed.is_none_or(|at| at.elapsed() >= trying::FAILURE_TIME)
            && let Err(error) = self.try_one(image).await
        {
            *failed = Some(Instant::now());
            tracing::warn!(error = %error, image, "what an image holds could not be looked at");
        }
        self.inner.backend.programs(image).await.unwrap_or_default()
    }

    /// Ends what an earlier server of this data directory left running. For the start, by whoever holds the
    /// directory.
    pub async fn reap(&self) -> Result<u32, WorkspaceError> {
        self.inner.backend.sweep().await
    }

    /// Where a task's files are. Nothing is made.
    pub fn directory(&self, task: TaskId) -> TaskDirectory {
        self.inner.directories.of(task)
    }

    /// Uid and gid that the files of a task's copies must belong to; `None`: to whom the server
    /// runs as. The first call for a task makes its directory, which keeps the uid.
    pub fn owner_uid(&self, task: TaskId) -> Option<(u32, u32)> {
        self.inner.directories.owner(task)
    }

    /// Removes a task's directories, which no open sandbox may use any more.
    pub async fn remove(&self, task: TaskId) -> Result<(), WorkspaceError> {
        let this = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || this.directories.remove(task)).await.map_err(setup)?
    }

    /// Makes an empty directory of a task, for its files to be laid out in.
    pub async fn prepare(&self, task: TaskId, directory: PathBuf) -> Result<(), WorkspaceError> {
        let this = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || this.directories.prepare(task, &directory)).await.map_err(setup)?
    }

    /// Starts a sandbox over an existing working copy. Cancel safe.
    pub async fn open(&self, open: OpenSandbox) -> Result<Workspace, WorkspaceError> {
        let _opening = self.inner.pool.opening();
        self.begin(open).await.map(|(workspace, _)| workspace)
    }

    /// The same, with what its execd was told.
    pub(super) async fn begin(&self, open: OpenSandbox) -> Result<(Workspace, Configure), WorkspaceError> {
        for (path, inside) in open.mirrors.iter().chain([&(open.copy.clone(), PathBuf::from(WORKSPACE))]) {
            if path.to_str().is_none() || inside.to_str().is_none() || !inside.is_absolute() {
                return Err(WorkspaceError::Refused { why: "a mounted path is not absolute UTF-8".to_owned() });
            }
        }
        let inner = &self.inner;
        let owner = inner.directories.owner(open.task);
        let tracked = Arc::clone(&open.tracked);
        let opened = open.clone();
        let (started, mut configure) = inner.backend.start(open, owner).await?;
        // One that was built before there were heartbeats is told nothing that it does not know.
        configure.heartbeat_ms = (inner.heartbeat != HEARTBEAT).then_some(inner.heartbeat.as_millis() as u64);
        let Started { pipe, body, complaint, ended } = started;
        let link = Arc::new(Link::new());
        let workspace = Workspace::new(Arc::clone(&link), ended.subscribe(), tracked);
        tokio::spawn(keep(Kept { pipe, body, ended, heartbeat: inner.heartbeat }, link));
        match timeout(START_PATIENCE, workspace.configure(configure.clone())).await {
            Ok(Ok(())) => {
                if let Err(error) = inner.backend.fill(&workspace, opened).await {
                    workspace.close().await;
                    return Err(error);
                }
                Ok((workspace, configure))
            }
            Ok(Err(WorkspaceError::Gone { why })) => Err(inner.backend.explain(complaint, &why).await),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(inner.backend.explain(complaint, "it did not start in time").await),
        }
    }

    /// Whether a working copy is a directory of this host while it is open, and stays when its workspace has ended. Else
    /// it is gone with its workspace, and what is on this host is as it was laid out.
    pub fn keeps_copies(&self) -> bool {
        self.inner.backend.keeps_copies()
    }

    /// Sees to it that what an open workspace has made of its copy is in `copy` on this host, but for the `.git`; more
    /// than `limit_bytes` is [`WorkspaceError::Refused`].
    pub async fn bring_back(&self, workspace: &Workspace, copy: &Path, limit_bytes: u64) -> Result<(), WorkspaceError> {
        self.inner.backend.bring_back(workspace, copy, limit_bytes).await
    }

    /// Waits until no sandbox of a task is left, whoever had it: one whose opening was given up ends by itself. Where an
    /// engine does not end it, that is not waited for longer than [`END_PATIENCE`].
    pub async fn until_none(&self, task: TaskId) {
        if timeout(END_PATIENCE, self.inner.roll.until_none(task)).await.is_err() {
            tracing::warn!(task.id = %task, "a sandbox of a task that rests has not ended yet");
        }
    }

    /// Starts a sandbox for one program; it belongs to no task.
    pub(super) async fn start_throwaway(&self, throwaway: Throwaway) -> Result<Launched, WorkspaceError> {
        let bubblewrap = self.inner.backend.bubblewrap().ok_or_else(|| WorkspaceError::Setup {
            what: "bubblewrap does not run on this machine".to_owned(),
            mend: "install it (Debian: apt-get install bubblewrap), or do without symbols and syntax checks".to_owned(),
        })?;
        bubblewrap.throwaway(throwaway, self.inner.directories.spare()).await
    }

    /// Kills processes and removes directories that belong to none of the `live` tasks, and
    /// processes that an earlier server left behind whatever they belong to. For the start, and
    /// then from time to time.
    pub async fn sweep(&self, live: &HashSet<TaskId>) -> Result<Swept, WorkspaceError> {
        let processes_killed = self.inner.backend.sweep().await?;
        let (this, live) = (Arc::clone(&self.inner), live.clone());
        let sweep = move || {
            this.directories.sweep(|| {
                let present = this.roll.present().tasks;
                live.into_iter().chain(present).chain(this.pool.places()).collect()
            })
        };
        let directories_removed = tokio::task::spawn_blocking(sweep).await.map_err(setup)??;
        Ok(Swept { processes_killed, directories_removed })
    }
}

/// Sees to it that what a workspace makes in its copy is its task's on this host, too.
async fn owned(workspace: &Workspace, copy: &Path, owner: Option<(u32, u32)>) -> Result<(), WorkspaceError> {
    use std::os::unix::fs::MetadataExt;
    let made = "made".to_owned();
    let write = FileChange::Write { path: made, content: Vec::new(), executable: None, expect: Expect::Anything };
    workspace.apply(vec![write]).await?;
    let uid = std::fs::symlink_metadata(copy.join("made")).map_err(setup)?.uid();
    let own = owner.map_or_else(|| rustix::process::geteuid().as_raw(), |(uid, _)| uid);
    if uid == own {
        return Ok(());
    }
    Err(WorkspaceError::Setup {
        what: format!("what the uid {own} makes in a workspace belongs to the uid {uid} on this machine"),
        mend:
            "use a container engine that does not map users (no userns-remap, not rootless), and a data directory on a \
               file system that keeps owners"
                .to_owned(),
    })
}

/// A short name for this data directory, the same at every start.
fn instance(data_dir: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    crate::domain::BlobHash::of(data_dir.as_os_str().as_bytes()).as_str()[..12].to_owned()
}
