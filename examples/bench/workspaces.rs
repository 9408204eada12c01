//! What a workspace costs on each backend: from asking for one to an execd that has answered, a task's whole start, and a
//! command in it, beside what the engine and the kernel take for the like without us.

use super::{
    copies::{self, Origins},
    engine::{Engine, IMAGE},
    report::{Report, median},
};
use journeyman::{
    domain::TaskId,
    workspace::{
        BackendSettings, DockerSettings, HEARTBEAT, OpenSandbox, PoolSettings, RunCommand, SandboxLimits,
        SandboxSettings, Sandboxes, Workspace,
    },
};
use std::{
    os::unix::fs::chown,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const OPENS: usize = 15;
const COMMANDS: usize = 200;
const BARE_RUNS: usize = 15;
/// What a command may take above a bare fork and exec.
const ROUND_TRIP_MS: f64 = 5.0;
const POOL: PoolSettings = PoolSettings { size: 1, total: 1, age: Duration::from_secs(3_600) };

/// A backend, and what its tasks' starts may take.
pub(crate) struct Sort {
    pub(crate) name: &'static str,
    pub(crate) start_goal_ms: f64,
}

pub(crate) async fn workspaces(report: &mut Report) {
    let mut spawns = Vec::new();
    for _ in 0..COMMANDS {
        let since = Instant::now();
        tokio::process::Command::new("sh").args(["-c", "true"]).output().await.unwrap();
        spawns.push(ms(since));
    }
    let spawn = median(&mut spawns);
    report.add("floor: a bare fork and exec of sh -c true", spawn, "ms");

    let (_own, data) = data_dir();
    let bubblewrap = Sandboxes::new(settings(&data, "execd", BackendSettings::Bubblewrap)).await.unwrap();
    let origins = Origins::new(&data);
    let workspace = opened("bubblewrap", &bubblewrap, report).await;
    commands("bubblewrap", &workspace, spawn, report).await;
    workspace.close().await;
    let sort = Sort { name: "bubblewrap", start_goal_ms: 100.0 };
    copies::starts(&sort, &bubblewrap, &origins, report).await;

    let engine = Engine::start().await;
    let (_theirs, data) = data_dir();
    let docker = BackendSettings::Docker(DockerSettings::new(engine.address(), IMAGE));
    let docker = Sandboxes::new(settings(&data, "execd-static", docker)).await.unwrap();
    let others = Origins::new(&data);
    let mut bare: Vec<f64> = Vec::new();
    for _ in 0..BARE_RUNS {
        bare.push(engine.bare_run().await);
    }
    let bare = median(&mut bare);
    report.add("floor: docker run --rm of the same image, by Docker's own client", bare, "ms");
    let workspace = opened("docker", &docker, report).await;
    commands("docker", &workspace, spawn, report).await;
    workspace.close().await;
    let sort = Sort { name: "docker", start_goal_ms: (bare * 1.3 + 100.0).round() };
    copies::starts(&sort, &docker, &others, report).await;

    copies::checkpoint(&bubblewrap, &origins, report).await;
    copies::large(&bubblewrap, &origins, report).await;
}

fn data_dir() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    let path = dir.path().join("data");
    (dir, path)
}

fn settings(data_dir: &Path, execd: &str, backend: BackendSettings) -> SandboxSettings {
    SandboxSettings {
        data_dir: data_dir.to_owned(),
        execd: std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join(execd),
        toolchains: Vec::new(),
        uid_base: 300_000,
        cgroups: true,
        backend,
        pool: POOL,
        heartbeat: HEARTBEAT,
    }
}

/// Opens one after the other; the last stays open.
async fn opened(name: &str, sandboxes: &Sandboxes, report: &mut Report) -> Workspace {
    let task: TaskId = journeyman::clock::new_id();
    let copy = sandboxes.directory(task).copy();
    let owner = sandboxes.owner_uid(task);
    std::fs::create_dir_all(&copy).unwrap();
    if let Some((uid, gid)) = owner {
        chown(&copy, Some(uid), Some(gid)).unwrap();
    }
    let (mut opens, mut closes, mut last) = (Vec::new(), Vec::new(), None);
    for _ in 0..OPENS {
        if let Some(workspace) = last.take() {
            let since = Instant::now();
            Workspace::close(&workspace).await;
            closes.push(ms(since));
        }
        let since = Instant::now();
        let open = OpenSandbox {
            task,
            copy: copy.clone(),
            mirrors: Vec::new(),
            limits: SandboxLimits::default(),
            env: Vec::new(),
            image: None,
            tracked: Arc::from([]),
            low_priority: false,
        };
        last = Some(sandboxes.open(open).await.unwrap());
        opens.push(ms(since));
    }
    let what = format!("{name}: a workspace over files that are there, from asking to an execd that has answered");
    report.add(what, median(&mut opens), "ms");
    report.add(format!("{name}: its end, nothing of it left"), median(&mut closes), "ms");
    last.unwrap()
}

async fn commands(name: &str, workspace: &Workspace, spawn: f64, report: &mut Report) {
    let mut taken = Vec::new();
    for _ in 0..COMMANDS {
        let since = Instant::now();
        workspace.run(RunCommand::new("true", Duration::from_secs(10)), None).await.unwrap();
        taken.push(ms(since));
    }
    let above = median(&mut taken) - spawn;
    report.at_most(format!("{name}: a command's round trip, above a bare fork and exec"), above, "ms", ROUND_TRIP_MS);
}

pub(crate) fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
