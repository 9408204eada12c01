//! What holds on every backend whose sandboxes are somebody else's: an engine's containers, a cluster's Pods. Each story is
//! told once, and played by the tests of each.

pub(crate) mod losses;
pub(crate) mod sandboxes;
pub(crate) mod tasks;

#[cfg(feature = "kubernetes-cluster")]
use crate::support::cluster::{self, Cluster};
use crate::support::{
    engine::{self, Engine},
    service::Api,
};
use journeyman::workspace::SandboxSettings;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// For tasks that have trouble, which may take longer than others.
const PATIENCE: Duration = Duration::from_secs(180);

/// Where a test sees the sandboxes and can take them away.
pub(crate) trait Machines {
    /// An image with git, Python and what they need.
    const HOST: &'static str;
    /// One with a shell and hardly more.
    const BUSYBOX: &'static str;

    /// What a service needs to be told.
    fn variables(&self, image: &str) -> Vec<(String, String)>;
    fn settings(&self, data_dir: &Path, image: &str) -> SandboxSettings;
    /// Names of the sandboxes there are of this task.
    async fn of_task(&self, task: &str) -> Vec<String>;
    /// Takes one away, whatever runs in it.
    async fn take_away(&self, name: &str);
    /// Who holds the server's connections to them: the process that would be stuck.
    fn keeper(&self) -> Pid;
    /// The first process of one, as this machine numbers it.
    async fn first_process(&self, name: &str) -> Pid;
    /// Cuts the server's connection to one: kills what it is attached to there.
    async fn cut(&self, name: &str);
}

impl Machines for Engine {
    const HOST: &'static str = engine::HOST;
    const BUSYBOX: &'static str = engine::BUSYBOX;

    fn variables(&self, image: &str) -> Vec<(String, String)> {
        self.variables(image)
    }

    fn settings(&self, data_dir: &Path, image: &str) -> SandboxSettings {
        self.settings(data_dir, image)
    }

    async fn of_task(&self, task: &str) -> Vec<String> {
        self.containers(task).await
    }

    async fn take_away(&self, name: &str) {
        self.delete(name).await;
    }

    fn keeper(&self) -> Pid {
        process(&["dockerd", self.socket().to_str().unwrap()])
    }

    async fn first_process(&self, name: &str) -> Pid {
        first_process(&self.versioned_client().await, name).await
    }

    async fn cut(&self, name: &str) {
        cut(&self.versioned_client().await, name).await;
    }
}

#[cfg(feature = "kubernetes-cluster")]
impl Machines for Cluster {
    const HOST: &'static str = cluster::HOST;
    const BUSYBOX: &'static str = cluster::BUSYBOX;

    fn variables(&self, image: &str) -> Vec<(String, String)> {
        self.variables(image)
    }

    fn settings(&self, data_dir: &Path, image: &str) -> SandboxSettings {
        self.settings(data_dir, image)
    }

    async fn of_task(&self, task: &str) -> Vec<String> {
        self.pods(task).await
    }

    async fn take_away(&self, name: &str) {
        self.delete(name).await;
    }

    fn keeper(&self) -> Pid {
        process(&["kube-apiserver", "--secure-port", self.address().rsplit(':').next().unwrap()])
    }

    async fn first_process(&self, name: &str) -> Pid {
        first_process(&self.engine().await, &self.container(name).await).await
    }

    async fn cut(&self, name: &str) {
        let container = self.container(name).await;
        cut(&self.engine().await, &container).await;
    }
}

/// The one process of this machine whose command line has all of these words.
fn process(words: &[&str]) -> Pid {
    let has_all = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.split(' ').next().is_some_and(|program| program.ends_with(words[0]))
            && words.iter().all(|word| line.contains(word))
    };
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let pids: Vec<i32> = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(has_all).collect();
    assert_eq!(pids.len(), 1, "{words:?}");
    Pid::from_raw(pids[0]).unwrap()
}

async fn first_process(engine: &bollard::Docker, container: &str) -> Pid {
    let options = None::<bollard::query_parameters::InspectContainerOptions>;
    let pid = engine.inspect_container(container, options).await.unwrap().state.unwrap().pid.unwrap();
    Pid::from_raw(pid as i32).unwrap()
}

/// A process that stands still, as one that hangs does, until this is dropped.
pub(crate) struct Frozen(Pid);

impl Frozen {
    pub(crate) fn new(pid: Pid) -> Self {
        kill_process(pid, Signal::STOP).unwrap();
        Self(pid)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // It may have ended meanwhile.
        let _ = kill_process(self.0, Signal::CONT);
    }
}

async fn cut(engine: &bollard::Docker, container: &str) {
    let top = engine.top_processes(container, None).await.unwrap();
    let rows = top.processes.unwrap();
    let connects = |row: &&Vec<String>| row.iter().any(|cell| cell.contains("execd connect"));
    let pids: Vec<i32> = rows.iter().filter(connects).map(|row| row[1].parse().unwrap()).collect();
    assert_eq!(pids.len(), 1, "{rows:?}");
    kill_process(Pid::from_raw(pids[0]).unwrap(), Signal::KILL).unwrap();
}

/// Waits for the end of a task that had trouble; task and log.
pub(crate) async fn rest(api: &Api, id: &str) -> (Value, Vec<Value>) {
    let begun = Instant::now();
    loop {
        let task = api.get(&format!("/v1/tasks/{id}?until=rest")).await.1;
        if !matches!(task["status"].as_str(), Some("queued" | "running")) {
            return (task, api.events(id).await);
        }
        assert!(begun.elapsed() < PATIENCE, "{task:#} {:#?}", api.events(id).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A sandbox of a task, once there is one.
async fn one_of(machines: &impl Machines, id: &str) -> String {
    let begun = Instant::now();
    loop {
        if let Some(name) = machines.of_task(id).await.pop() {
            return name;
        }
        assert!(begun.elapsed() < PATIENCE, "the task has no sandbox");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) async fn assert_none_is_left(machines: &impl Machines, id: &str) {
    let begun = Instant::now();
    while !machines.of_task(id).await.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", machines.of_task(id).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
