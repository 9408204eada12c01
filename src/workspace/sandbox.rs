//! Starts and ends sandboxes, and owns the directories of tasks.

use super::{
    Capabilities, SandboxLimits, Throwaway, Workspace, WorkspaceError, bubblewrap,
    calls::WORKSPACE,
    cgroup::{Cgroups, Controller, Group},
    directories::Directories,
    keeper::{Kept, keep},
    link::Link,
};
use crate::domain::TaskId;
use execd::message::Configure;
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::AsyncReadExt,
    process::{ChildStderr, Command},
    sync::{RwLock, watch},
    time::timeout,
};

/// How long a sandbox may take to start on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// What of bubblewrap's complaint is kept.
const COMPLAINT_LIMIT_BYTES: u64 = 4096;

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
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: SandboxSettings,
    bwrap: PathBuf,
    /// Marks the processes of this data directory.
    instance: String,
    cgroups: Cgroups,
    directories: Directories,
    capabilities: Capabilities,
    programs: OnceLock<Arc<[String]>>,
    /// Names of the groups of open sandboxes, and outer processes.
    open: Mutex<Vec<Open>>,
    opened: AtomicU64,
    /// Held for reading while a sandbox starts, for writing by a sweep.
    starting: RwLock<()>,
}

#[derive(Debug)]
struct Open {
    task: TaskId,
    group: String,
    pid: u32,
    ended: watch::Receiver<bool>,
}

impl Sandboxes {
    /// Finds out what this machine can do, and starts one sandbox to try it.
    pub async fn new(settings: SandboxSettings) -> Result<Self, WorkspaceError> {
        let bwrap = bubblewrap::find().ok_or_else(|| WorkspaceError::Setup {
            what: "bubblewrap is not installed".to_owned(),
            mend: "install it (Debian: apt-get install bubblewrap)".to_owned(),
        })?;
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
        let cgroups = if settings.cgroups { Cgroups::find(&instance) } else { Cgroups::default() };
        let directories = Directories::new(&settings.data_dir, own_uids.then_some(settings.uid_base))?;
        let inner = Inner {
            capabilities: Capabilities::of(own_uids, &cgroups),
            settings,
            bwrap,
            instance,
            cgroups,
            directories,
            programs: OnceLock::new(),
            open: Mutex::default(),
            opened: AtomicU64::new(0),
            starting: RwLock::default(),
        };
        let sandboxes = Self { inner: Arc::new(inner) };
        sandboxes.try_one().await?;
        Ok(sandboxes)
    }

    /// Starts a sandbox over an empty directory and ends it.
    async fn try_one(&self) -> Result<(), WorkspaceError> {
        let task = crate::clock::new_id();
        let copy = self.directory(task).clean_copy("try");
        self.inner.directories.prepare(task, &copy)?;
        let workspace = self
            .open(OpenSandbox {
                task,
                copy,
                mirrors: Vec::new(),
                limits: SandboxLimits::default(),
                env: Vec::new(),
                tracked: Arc::from([]),
                low_priority: false,
            })
            .await;
        if let Ok(workspace) = &workspace {
            workspace.close().await;
        }
        self.remove(task).await?;
        workspace.map(|_| ())
    }

    pub fn capabilities(&self) -> &Capabilities {
        &self.inner.capabilities
    }

    /// Programs and Python modules that every sandbox has, and versions of some as `name@version`,
    /// sorted. Looked up once: what is installed later is not known before the next start.
    pub async fn programs(&self) -> Arc<[String]> {
        let this = Arc::clone(&self.inner);
        let look = move || Arc::clone(this.programs.get_or_init(|| super::programs::find(&this.settings).into()));
        // Only a shutdown or a panic ends the look without an answer: then nothing is known.
        tokio::task::spawn_blocking(look).await.unwrap_or_default()
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

    /// Starts a sandbox over an existing working copy. Cancel safe.
    pub async fn open(&self, open: OpenSandbox) -> Result<Workspace, WorkspaceError> {
        for (path, inside) in open.mirrors.iter().chain([&(open.copy.clone(), PathBuf::from(WORKSPACE))]) {
            if path.to_str().is_none() || inside.to_str().is_none() || !inside.is_absolute() {
                return Err(WorkspaceError::Refused { why: "a mounted path is not absolute UTF-8".to_owned() });
            }
        }
        let inner = &self.inner;
        let owner = inner.directories.owner(open.task);
        let environment = bubblewrap::environment(&inner.settings, &open);
        let tracked = Arc::clone(&open.tracked);
        let configure = Configure {
            env: environment,
            pids: Some(u64::from(open.limits.pids)),
            data_bytes: (!inner.cgroups.has(Controller::Memory)).then_some(open.limits.memory_bytes),
            disk_bytes: open.limits.disk_bytes,
            output_bytes: open.limits.output_bytes,
        };
        let held = inner.starting.read().await;
        let this = Arc::clone(inner);
        let link = Arc::new(Link::new());
        let of_task = Arc::clone(&link);
        // Off the async threads: making groups and processes waits for the kernel.
        let (workspace, stderr) = tokio::task::spawn_blocking(move || {
            let (kept, stderr, ended) = this.spawn(&open, owner)?;
            tokio::spawn(keep(kept, Arc::clone(&of_task)));
            Ok::<_, WorkspaceError>((Workspace::new(of_task, ended, tracked), stderr))
        })
        .await
        .map_err(setup)??;
        drop(held);
        match timeout(START_PATIENCE, workspace.configure(configure)).await {
            Ok(Ok(())) => Ok(workspace),
            Ok(Err(WorkspaceError::Gone { why })) => Err(explain(stderr, &why).await),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(explain(stderr, "it did not start in time").await),
        }
    }

    /// Starts a sandbox for one program; it belongs to no task.
    pub(super) async fn start_throwaway(
        &self,
        throwaway: Throwaway,
    ) -> Result<(Kept, Option<ChildStderr>), WorkspaceError> {
        let inner = Arc::clone(&self.inner);
        let _held = self.inner.starting.read().await;
        let start = move || {
            let owner = inner.directories.spare();
            let execd = &inner.settings.execd;
            let plan = bubblewrap::throwaway(&inner.bwrap, execd, &inner.instance, &throwaway, owner).map_err(setup)?;
            let limits = SandboxLimits { pids: 64, memory_bytes: throwaway.memory_bytes, ..SandboxLimits::default() };
            let (kept, stderr, _) = inner.launch(crate::clock::new_id(), plan, &limits, false)?;
            Ok((kept, stderr))
        };
        tokio::task::spawn_blocking(start).await.map_err(setup)?
    }

    /// Kills processes and removes directories that belong to none of the `live` tasks, and
    /// processes that an earlier server left behind whatever they belong to. For the start, and
    /// then from time to time.
    pub async fn sweep(&self, live: &HashSet<TaskId>) -> Result<Swept, WorkspaceError> {
        let _held = self.inner.starting.write().await;
        let this = Arc::clone(&self.inner);
        let live = live.clone();
        tokio::task::spawn_blocking(move || this.sweep(&live)).await.map_err(setup)?
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.cgroups.remove();
    }
}

impl Inner {
    fn spawn(
        &self,
        open: &OpenSandbox,
        owner: Option<(u32, u32)>,
    ) -> Result<(Kept, Option<ChildStderr>, watch::Receiver<bool>), WorkspaceError> {
        let plan = bubblewrap::plan(&self.bwrap, &self.settings, &self.instance, open, owner);
        self.launch(open.task, plan, &open.limits, open.low_priority)
    }

    fn launch(
        &self,
        task: TaskId,
        mut plan: execd::plan::Plan,
        limits: &SandboxLimits,
        low_priority: bool,
    ) -> Result<(Kept, Option<ChildStderr>, watch::Receiver<bool>), WorkspaceError> {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let name = format!("{task}.{}.{number}", std::process::id());
        let group = self.cgroups.make(&name, limits, low_priority).map_err(|error| WorkspaceError::Setup {
            what: format!("the limits of a cgroup could not be set: {error}"),
            mend: "switch cgroups off in the settings, or let the service write to its own".to_owned(),
        })?;
        plan.cgroup_procs = group.procs();
        let plan = serde_json::to_string(&plan).map_err(setup)?;
        #[expect(clippy::disallowed_methods, reason = "workspace owns the processes of sandboxes")]
        let mut launcher = Command::new(&self.settings.execd);
        let mut child = launcher
            .args(["launch", &plan])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .current_dir("/")
            .kill_on_drop(true)
            .spawn()
            .map_err(setup)?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(setup("the sandbox has no pipes"));
        };
        let stderr = child.stderr.take();
        let (ended, receiver) = watch::channel(false);
        let entry = Open { task, group: name, pid: child.id().unwrap_or_default(), ended: receiver.clone() };
        let mut all = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|open| !*open.ended.borrow() && open.ended.has_changed().is_ok());
        all.push(entry);
        drop(all);
        Ok((Kept { child, stdin, stdout, group: Some(group), ended }, stderr, receiver))
    }

    fn sweep(&self, live: &HashSet<TaskId>) -> Result<Swept, WorkspaceError> {
        let mut swept = Swept::default();
        let (groups, pids, tasks) = {
            let mut all = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|open| !*open.ended.borrow());
            let groups: HashSet<String> = all.iter().map(|open| open.group.clone()).collect();
            let pids: HashSet<u32> = all.iter().map(|open| open.pid).collect();
            let tasks: HashSet<TaskId> = all.iter().map(|open| open.task).collect();
            (groups, pids, tasks)
        };
        swept.processes_killed += super::strays::kill(&self.instance, &pids);
        let stale: Vec<Group> = self.cgroups.stale(|name| !groups.contains(name));
        for group in stale {
            for _ in 0..100 {
                if group.remove() {
                    break;
                }
                swept.processes_killed += group.kill();
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        for task in self.directories.all()? {
            if !live.contains(&task) && !tasks.contains(&task) {
                self.directories.remove(task)?;
                swept.directories_removed += 1;
            }
        }
        Ok(swept)
    }
}

/// A short name for this data directory, the same at every start.
fn instance(data_dir: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    crate::domain::BlobHash::of(data_dir.as_os_str().as_bytes()).as_str()[..12].to_owned()
}

fn setup(error: impl std::fmt::Display) -> WorkspaceError {
    WorkspaceError::Setup { what: format!("a sandbox could not be started: {error}"), mend: "see the log".to_owned() }
}

/// Why a sandbox did not start, from what bubblewrap said.
async fn explain(stderr: Option<ChildStderr>, why: &str) -> WorkspaceError {
    let mut said = String::new();
    if let Some(stderr) = stderr {
        let mut stderr = stderr.take(COMPLAINT_LIMIT_BYTES);
        let _ = timeout(Duration::from_secs(1), stderr.read_to_string(&mut said)).await;
    }
    let said = said.trim();
    let what = format!("a sandbox could not be started: {}", if said.is_empty() { why } else { said });
    let mend = if said.contains("Operation not permitted") || said.contains("namespace") {
        "let this user make namespaces (sysctl kernel.unprivileged_userns_clone=1, \
         kernel.apparmor_restrict_unprivileged_userns=0; in a container also a seccomp profile that allows it), \
         or run the service as root with CAP_SYS_ADMIN"
    } else {
        "run bubblewrap by hand to see what this machine lacks (bwrap --unshare-all --ro-bind / / true)"
    };
    WorkspaceError::Setup { what, mend: mend.to_owned() }
}
