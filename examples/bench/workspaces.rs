//! What a workspace costs on each backend: from asking for one to an execd that has answered, and a command in
//! it, beside what the engine and the kernel take for the like without us.

use super::{
    engine::{Engine, IMAGE},
    report::{Report, median},
};
use bollard::{
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{CreateContainerOptions, RemoveContainerOptions, StartContainerOptions, WaitContainerOptions},
};
use futures::StreamExt;
use journeyman::{
    domain::TaskId,
    workspace::{
        BackendSettings, DockerSettings, OpenSandbox, PoolSettings, RunCommand, SandboxLimits, SandboxSettings,
        Sandboxes, Workspace,
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
/// How often the floor and the figure are measured by turns, so that a busy moment meets both.
const BARE_RUNS: usize = 15;

pub(crate) async fn workspaces(report: &mut Report) {
    let mut spawns = Vec::new();
    for _ in 0..COMMANDS {
        let since = Instant::now();
        tokio::process::Command::new("sh").args(["-c", "true"]).output().await.unwrap();
        spawns.push(ms(since));
    }
    let spawn = median(&mut spawns);
    report.add("floor: bare spawn of sh -c true", spawn, "ms");

    let (_dir, data) = data_dir();
    let bubblewrap = Sandboxes::new(settings(&data, "execd", BackendSettings::Bubblewrap)).await.unwrap();
    let workspace = opened("bubblewrap", &bubblewrap, None, report).await;
    commands("bubblewrap", &workspace, spawn, report).await;
    workspace.close().await;

    let engine = Engine::start().await;
    let (_dir, data) = data_dir();
    let docker = BackendSettings::Docker(DockerSettings::new(engine.address(), IMAGE));
    let docker = Sandboxes::new(settings(&data, "execd-static", docker)).await.unwrap();
    let bare = bare_run(&engine).await;
    report.add("floor: a bare container of busybox: create, start, wait, remove", bare, "ms");
    let workspace = opened("docker", &docker, Some((bare * 1.3 + 100.0).round()), report).await;
    commands("docker", &workspace, spawn, report).await;
    workspace.close().await;
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
        pool: PoolSettings::OFF,
    }
}

/// Opens one after the other; the last stays open.
async fn opened(name: &str, sandboxes: &Sandboxes, goal: Option<f64>, report: &mut Report) -> Workspace {
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
    let what = format!("{name}: a workspace, from asking to an execd that has answered");
    match goal {
        Some(goal) => report.at_most(what, median(&mut opens), "ms", goal),
        None => report.add(what, median(&mut opens), "ms"),
    }
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
    report.at_most(format!("{name}: a command's round trip"), median(&mut taken), "ms", (spawn + 5.0).round());
}

async fn bare_run(engine: &Engine) -> f64 {
    let client = engine.client();
    let mut taken = Vec::new();
    for number in 0..BARE_RUNS {
        let name = format!("bare-{number}");
        let since = Instant::now();
        let body = ContainerCreateBody {
            image: Some(IMAGE.to_owned()),
            cmd: Some(vec!["/bin/true".to_owned()]),
            host_config: Some(HostConfig { network_mode: Some("none".to_owned()), ..HostConfig::default() }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptions { name: Some(name.clone()), ..CreateContainerOptions::default() };
        client.create_container(Some(options), body).await.unwrap();
        client.start_container(&name, None::<StartContainerOptions>).await.unwrap();
        client.wait_container(&name, None::<WaitContainerOptions>).next().await.unwrap().unwrap();
        client.remove_container(&name, None::<RemoveContainerOptions>).await.unwrap();
        taken.push(ms(since));
    }
    median(&mut taken)
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
