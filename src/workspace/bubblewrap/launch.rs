//! Starts and ends bubblewrap's processes, and finds those that an earlier server left.

use super::{
    ceiling::Ceiling,
    cgroup::{Cgroups, Controller, Group},
    plan, programs, strays,
};
use crate::{
    domain::TaskId,
    workspace::{
        Capabilities, OpenSandbox, SandboxLimits, SandboxSettings, Throwaway, WorkspaceError,
        backend::{Pipe, Started, complain, setup},
        capabilities::{self, Bound, Bounds},
        roll::Roll,
    },
};
use execd::message::Configure;
use std::{
    io,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    sync::{RwLock, watch},
    time::{sleep, timeout},
};

/// How long a sandbox that was told to end may take before it is killed.
const END_PATIENCE: Duration = Duration::from_millis(400);

/// All sandboxes of one service by bubblewrap. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::workspace) struct Bubblewrap(Arc<Machine>);

#[derive(Debug)]
struct Machine {
    settings: SandboxSettings,
    bwrap: PathBuf,
    /// Marks the processes of this data directory.
    instance: String,
    own_uids: bool,
    cgroups: Cgroups,
    programs: OnceLock<Arc<[String]>>,
    opened: AtomicU64,
    roll: Roll,
    /// Held for reading while a sandbox starts, for writing by a sweep.
    starting: RwLock<()>,
}

/// A sandbox that has just been started.
#[derive(Debug)]
pub(in crate::workspace) struct Launched {
    pub(in crate::workspace) outer: Outer,
    pub(in crate::workspace) stdin: ChildStdin,
    pub(in crate::workspace) stdout: ChildStdout,
    pub(in crate::workspace) stderr: Option<ChildStderr>,
    pub(in crate::workspace) ended: watch::Sender<bool>,
}

/// Bubblewrap's outer process and the cgroups of what is in it.
#[derive(Debug)]
pub(in crate::workspace) struct Outer {
    pub(in crate::workspace) child: Child,
    group: Group,
}

impl Bubblewrap {
    /// `settings` with paths that are absolute, canonical and UTF-8.
    pub(in crate::workspace) fn find(
        settings: SandboxSettings,
        instance: &str,
        own_uids: bool,
        roll: Roll,
    ) -> Result<Self, WorkspaceError> {
        let bwrap = plan::find().ok_or_else(|| WorkspaceError::Setup {
            what: "bubblewrap is not installed".to_owned(),
            mend: "install it (Debian: apt-get install bubblewrap)".to_owned(),
        })?;
        let cgroups = if settings.cgroups { Cgroups::find(instance) } else { Cgroups::default() };
        Ok(Self(Arc::new(Machine {
            settings,
            bwrap,
            instance: instance.to_owned(),
            own_uids,
            cgroups,
            programs: OnceLock::new(),
            opened: AtomicU64::new(0),
            roll,
            starting: RwLock::default(),
        })))
    }

    pub(in crate::workspace) fn capabilities(&self) -> Capabilities {
        let has = |controller| if self.0.cgroups.has(controller) { Bound::ByCgroup } else { Bound::Weakly };
        capabilities::of_bubblewrap(Bounds {
            own_uids: self.0.own_uids,
            counts_by_namespace: counts_by_namespace(),
            pids: has(Controller::Pids),
            memory: has(Controller::Memory),
            cpu: has(Controller::Cpu),
            ceiling: Ceiling::find(),
        })
    }

    /// Programs of the host that every sandbox sees. Looked up once.
    pub(in crate::workspace) async fn programs(&self) -> Arc<[String]> {
        let this = Arc::clone(&self.0);
        let look = move || Arc::clone(this.programs.get_or_init(|| programs::find(&this.settings).into()));
        // Only a shutdown or a panic ends the look without an answer: then nothing is known.
        tokio::task::spawn_blocking(look).await.unwrap_or_default()
    }

    pub(in crate::workspace) fn configure(&self, open: &OpenSandbox) -> Configure {
        Configure {
            env: plan::environment(&self.0.settings, open),
            pids: Some(u64::from(open.limits.pids)),
            processes: u64::from(open.limits.pids),
            data_bytes: (!self.0.cgroups.has(Controller::Memory)).then_some(open.limits.memory_bytes),
            disk_bytes: open.limits.disk_bytes,
            output_bytes: open.limits.output_bytes,
            heartbeat_ms: None,
        }
    }

    /// Starts a sandbox over a working copy. `owner`: the task's own uid and gid, as root.
    pub(in crate::workspace) async fn start(
        &self,
        open: OpenSandbox,
        owner: Option<(u32, u32)>,
    ) -> Result<Started, WorkspaceError> {
        if let Some(image) = &open.image {
            return Err(WorkspaceError::Refused {
                why: format!(
                    "workspaces of this service are made by bubblewrap from the host's own programs, not from images: \
                     take the image \"{image}\" from the environment, or have the operator set JOURNEYMAN_WORKSPACE=docker"
                ),
            });
        }
        let _held = self.0.starting.read().await;
        let this = self.clone();
        // Off the async threads: making groups and processes waits for the kernel.
        let start = move || {
            let plan = plan::plan(&this.0.bwrap, &this.0.settings, &this.0.instance, &open, owner);
            this.launch(open.task, plan, &open.limits, open.low_priority)
        };
        let Launched { outer, stdin, stdout, stderr, ended } =
            tokio::task::spawn_blocking(start).await.map_err(setup)??;
        Ok(Started {
            pipe: Pipe { reader: Box::new(stdout), writer: Box::new(stdin) },
            body: outer.into(),
            complaint: stderr.map(|stderr| Box::new(stderr) as _),
            ended,
        })
    }

    /// Starts a sandbox for one program; it belongs to no task.
    pub(in crate::workspace) async fn throwaway(
        &self,
        throwaway: Throwaway,
        owner: Option<(u32, u32)>,
    ) -> Result<Launched, WorkspaceError> {
        let _held = self.0.starting.read().await;
        let this = self.clone();
        let start = move || {
            let Machine { bwrap, settings, instance, .. } = &*this.0;
            let plan = plan::throwaway(bwrap, &settings.execd, instance, &throwaway, owner).map_err(setup)?;
            let limits = SandboxLimits { pids: 64, memory_bytes: throwaway.memory_bytes, ..SandboxLimits::default() };
            this.launch(crate::clock::new_id(), plan, &limits, false)
        };
        tokio::task::spawn_blocking(start).await.map_err(setup)?
    }

    fn launch(
        &self,
        task: TaskId,
        mut plan: execd::plan::Plan,
        limits: &SandboxLimits,
        low_priority: bool,
    ) -> Result<Launched, WorkspaceError> {
        let number = self.0.opened.fetch_add(1, Ordering::Relaxed);
        let name = format!("{task}.{}.{number}", std::process::id());
        let group = self.0.cgroups.make(&name, limits, low_priority).map_err(|error| WorkspaceError::Setup {
            what: format!("the limits of a cgroup could not be set: {error}"),
            mend: "switch cgroups off in the settings, or let the service write to its own".to_owned(),
        })?;
        plan.cgroup_procs = group.procs();
        let plan = serde_json::to_string(&plan).map_err(setup)?;
        #[expect(clippy::disallowed_methods, reason = "workspace owns the processes of sandboxes")]
        let mut launcher = Command::new(&self.0.settings.execd);
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
        let ended = self.0.roll.enter(task, name, child.id());
        Ok(Launched { outer: Outer { child, group }, stdin, stdout, stderr, ended })
    }

    /// Kills processes that belong to no open sandbox; how many.
    pub(in crate::workspace) async fn sweep(&self) -> Result<u32, WorkspaceError> {
        let _held = self.0.starting.write().await;
        let this = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || this.sweep()).await.map_err(setup)
    }
}

impl Machine {
    fn sweep(&self) -> u32 {
        let present = self.roll.present();
        let mut killed = strays::kill(&self.instance, &present.pids);
        for group in self.cgroups.stale(|name| !present.names.contains(name)) {
            for _ in 0..100 {
                if group.remove() {
                    break;
                }
                killed += group.kill();
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        killed
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.cgroups.remove();
    }
}

impl Outer {
    /// Waits for bubblewrap's end, or makes it; then empties and removes the cgroup. The kernel has
    /// killed everything in the sandbox by the time that its first process is gone.
    pub(in crate::workspace) async fn bury(self) {
        let Self { mut child, group } = self;
        let patience: Result<io::Result<ExitStatus>, _> = timeout(END_PATIENCE, child.wait()).await;
        if patience.is_err() {
            // execd dies with its parent, and everything with execd.
            let _ = child.start_kill();
            let _ = child.wait().await;
        }
        for attempt in 0..100 {
            if group.remove() {
                return;
            }
            group.kill();
            sleep(Duration::from_millis(if attempt < 20 { 2 } else { 20 })).await;
        }
        tracing::warn!("the cgroup of a closed workspace could not be removed");
    }
}

/// Whether the kernel counts a user's processes for each user namespace, which it does from 5.14 on.
fn counts_by_namespace() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    numbers.next().zip(numbers.next()).is_some_and(|version| version >= (5, 14))
}

/// Why a sandbox did not start, from what bubblewrap said.
pub(in crate::workspace) fn explain(said: &str, why: &str) -> WorkspaceError {
    let mend = if said.contains("mount proc") {
        "in a container, leave /proc as it is (Docker: --security-opt systempaths=unconfined): the kernel gives no \
         namespace a /proc of its own while parts of the container's are masked"
    } else if said.contains("Operation not permitted") || said.contains("namespace") {
        "let this user make namespaces (sysctl kernel.unprivileged_userns_clone=1, \
         kernel.apparmor_restrict_unprivileged_userns=0; in a container also a seccomp profile that allows it, as \
         deploy/seccomp.json does), or run the service as root with CAP_SYS_ADMIN"
    } else {
        "run bubblewrap by hand to see what this machine lacks (bwrap --unshare-all --ro-bind / / true)"
    };
    complain(said, why, mend)
}
