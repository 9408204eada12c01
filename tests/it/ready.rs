//! Sandboxes that are ready before a task wants one: alike to all others, each one task's, gone when they should be.

use crate::support::{
    calculator,
    engine::{self, BUSYBOX, HOST},
    ready::{ONE, keep, take, until},
    sandbox::{self, Copy, output},
    service::{call, plan, say},
};
use bollard::query_parameters::TagImageOptions;
use journeyman::{
    clock,
    domain::TaskId,
    workspace::{OpenSandbox, PoolSettings, SandboxLimits, SandboxSettings, Sandboxes, TakeSandbox, Taken, Workspace},
};
use serde_json::json;
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

const MIRROR: &str = "/run/mirror";
const TASKS_MAX: usize = 20;

/// All that a workspace can see of what it is; what it is told from others by is no two's alike.
const LOOK: &str = "id; grep -E '^(Cap|NoNewPrivs|Seccomp|Groups)' /proc/self/status; ulimit -a; env | sort; hostname
    cut -d' ' -f5-6 /proc/self/mountinfo | sort; cat /proc/net/dev | cut -d: -f1; ls -a / /run /workspace
    cat /proc/1/cmdline 2>&1 | tr '\\0' ' ' | sed 's/--proof [0-9a-f]*//'; find /run/mirror | sort; stat -c '%a %F' /workspace";

async fn sandboxes(settings: impl FnOnce(&Path) -> SandboxSettings) -> Copy {
    Copy::with(settings).await
}

fn with_pool(dir: &Path, pool: PoolSettings) -> SandboxSettings {
    SandboxSettings { pool, ..sandbox::settings(dir) }
}

/// A mirror's objects in a directory beside the sandboxes' own.
fn mirror(copy: &Copy) -> Vec<(PathBuf, PathBuf)> {
    let objects = copy.data_dir.path().join("objects");
    std::fs::create_dir_all(objects.join("pack")).unwrap();
    std::fs::write(objects.join("pack/pack-1.pack"), "packed").unwrap();
    std::fs::write(objects.join("pack/tmp_pack_1"), "half of it").unwrap();
    vec![(objects, MIRROR.into())]
}

async fn open(taken: Taken) -> Workspace {
    taken.open(vec![("NAME".to_owned(), "value".to_owned())], Arc::from([])).await.unwrap()
}

async fn looks_alike(copy: &Copy) {
    let mirrors = mirror(copy);
    std::fs::remove_file(copy.data_dir.path().join("objects/pack/tmp_pack_1")).unwrap();
    let mut options = copy.options();
    options.mirrors.clone_from(&mirrors);
    options.env = vec![("NAME".to_owned(), "value".to_owned())];
    let opened = copy.sandboxes.open(options).await.unwrap();
    let keeping = keep(&copy.sandboxes, SandboxLimits::default());
    let task: TaskId = clock::new_id();
    let taken = open(take(&copy.sandboxes, task, mirrors).await).await;
    let uid = |task| copy.sandboxes.owner_uid(task).map(|(uid, _)| uid.to_string()).unwrap_or_default();
    let (own, theirs) = (uid(task), uid(copy.task));
    assert!(own.is_empty() || own != theirs);
    let seen = output(&taken, LOOK).await;
    assert_eq!(seen.replace(&own, "UID"), output(&opened, LOOK).await.replace(&theirs, "UID"));
    assert!(seen.contains("value") && seen.contains("pack-1.pack"), "{seen}");
    output(&taken, "! echo x > /run/mirror/pack/more; ! echo x >> /run/mirror/pack/pack-1.pack").await;
    keeping.stop().await;
}

#[tokio::test]
async fn one_that_was_ready_looks_from_inside_like_one_that_was_opened() {
    looks_alike(&sandboxes(|dir| with_pool(dir, ONE)).await).await;
}

#[tokio::test]
async fn so_does_a_container() {
    let engine = engine::shared().await;
    let settings = |dir: &Path| SandboxSettings { pool: ONE, ..engine.settings(dir, HOST) };
    looks_alike(&sandboxes(settings).await).await;
}

#[tokio::test]
async fn each_is_one_tasks_with_its_directory_and_never_anothers() {
    let copy = sandboxes(|dir| with_pool(dir, ONE)).await;
    let keeping = keep(&copy.sandboxes, SandboxLimits::default());
    let mut seen = HashSet::new();
    for _ in 0..3 {
        let task: TaskId = clock::new_id();
        let taken = take(&copy.sandboxes, task, mirror(&copy)).await;
        let directory = taken.directory().to_owned();
        assert_eq!(directory, copy.sandboxes.directory(task).path().join("warm"));
        // As it is done with a copy that is complete.
        let place = copy.sandboxes.directory(task).copy();
        std::fs::rename(directory, &place).unwrap();
        let workspace = open(taken).await;
        assert_eq!(output(&workspace, "ls -A; ls /tmp; echo mine > file; cat /run/mirror/pack/*").await, "packed");
        assert_eq!(std::fs::read_to_string(place.join("file")).unwrap(), "mine\n");
        let uid = output(&workspace, "id -u").await;
        if let Some((own, _)) = copy.sandboxes.owner_uid(task) {
            assert_eq!(uid.trim(), own.to_string());
            assert!(seen.insert(uid), "no two tasks have one user");
        }
        let live = HashSet::from([task]);
        assert_eq!(copy.sandboxes.sweep(&live).await.unwrap().processes_killed, 0);
        assert_eq!(output(&workspace, "cat file").await, "mine\n");
        workspace.close().await;
        copy.sandboxes.remove(task).await.unwrap();
    }
    keeping.stop().await;
}

#[tokio::test]
async fn who_wants_another_or_has_files_already_gets_none_and_it_stays_ready() {
    let copy = sandboxes(|dir| with_pool(dir, ONE)).await;
    let keeping = keep(&copy.sandboxes, SandboxLimits::default());
    until(&copy.sandboxes, 1).await;
    let limits = SandboxLimits::default();
    let fit = TakeSandbox { task: clock::new_id(), image: None, limits, mirrors: Vec::new() };
    let elsewhere = vec![(copy.data_dir.path().to_owned(), "/run/certificates".into())];
    let with_files = TakeSandbox { task: copy.task, ..fit.clone() };
    let with_mount = TakeSandbox { mirrors: elsewhere, ..fit.clone() };
    for unfit in [with_files, with_mount] {
        assert!(copy.sandboxes.take(&unfit).await.is_none(), "{unfit:?}");
    }
    assert_eq!(copy.sandboxes.ready(), 1);
    let smaller = SandboxLimits { pids: 60, ..limits };
    assert!(copy.sandboxes.take(&TakeSandbox { limits: smaller, ..fit.clone() }).await.is_none());
    // What was wanted last is kept ready from then on, and there is room for one alone.
    let mut taken = None;
    while taken.is_none() {
        taken = copy.sandboxes.take(&TakeSandbox { limits: smaller, ..fit.clone() }).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    keeping.stop().await;
}

#[tokio::test]
async fn one_that_died_or_is_too_old_is_given_to_nobody() {
    let pool = PoolSettings { age: Duration::from_millis(300), ..ONE };
    let copy = sandboxes(|dir| with_pool(dir, pool)).await;
    let keeping = keep(&copy.sandboxes, SandboxLimits::default());
    until(&copy.sandboxes, 1).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let wanted =
        TakeSandbox { task: clock::new_id(), image: None, limits: SandboxLimits::default(), mirrors: Vec::new() };
    assert!(copy.sandboxes.take(&wanted).await.is_none(), "it is too old");
    keeping.stop().await;

    let copy = sandboxes(|dir| with_pool(dir, ONE)).await;
    let keeping = keep(&copy.sandboxes, SandboxLimits::default());
    until(&copy.sandboxes, 1).await;
    let outer = outer_processes(copy.data_dir.path());
    // execd, with which all of its sandbox ends.
    let inner = Command::new("pkill").args(["--signal", "KILL", "--parent", &outer[0].to_string()]).status().unwrap();
    assert!(inner.success());
    while !outer_processes(copy.data_dir.path()).is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let wanted = TakeSandbox { task: clock::new_id(), ..wanted };
    let alive = async {
        // The dead one may not be known to be dead yet; then the taker finds out.
        let Some(taken) = copy.sandboxes.take(&wanted).await else { return false };
        taken.open(Vec::new(), Arc::from([])).await.is_ok()
    };
    assert!(!alive.await, "a dead sandbox was given to a task");
    keeping.stop().await;
}

/// Bubblewrap's own processes over this data directory.
fn outer_processes(data_dir: &Path) -> Vec<i32> {
    let path = data_dir.canonicalize().unwrap().display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let arguments = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        if arguments.contains(&path) && !arguments.starts_with(env!("CARGO_MANIFEST_DIR")) {
            found.push(pid);
        }
    }
    found
}

#[tokio::test]
async fn they_are_bounded_left_alone_by_sweeps_and_gone_with_what_keeps_them() {
    let pool = PoolSettings { size: 3, total: 2, ..ONE };
    let copy = sandboxes(|dir| with_pool(dir, pool)).await;
    let keeping = keep(&copy.sandboxes, SandboxLimits::default());
    until(&copy.sandboxes, 2).await;
    let swept = copy.sandboxes.sweep(&HashSet::from([copy.task])).await.unwrap();
    assert_eq!((swept.processes_killed, swept.directories_removed), (0, 0));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(copy.sandboxes.ready(), 2);
    keeping.stop().await;
    assert_eq!(copy.sandboxes.ready(), 0);
    assert_eq!(outer_processes(copy.data_dir.path()), [0; 0]);
    let left: Vec<_> = std::fs::read_dir(copy.data_dir.path().join("workspaces")).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "the directory of a task: {left:?}");
}

#[tokio::test]
async fn a_container_of_a_dead_server_is_ended_by_the_next_and_one_of_an_old_image_given_to_nobody() {
    let engine = engine::shared().await;
    let image = "journeyman-test/changing:latest";
    let client = engine.versioned_client().await;
    let tag = async |from: &str| {
        let (repo, tag) =
            image.split_once(':').map(|(repo, tag)| (Some(repo.to_owned()), Some(tag.to_owned()))).unwrap();
        client.tag_image(from, Some(TagImageOptions { repo, tag })).await.unwrap();
    };
    tag(BUSYBOX).await;
    let copy = sandboxes(|dir| SandboxSettings { pool: ONE, ..engine.settings(dir, image) }).await;
    let keeping = keep(&copy.sandboxes, SandboxLimits::default());
    until(&copy.sandboxes, 1).await;
    tag(HOST).await;
    let wanted =
        TakeSandbox { task: clock::new_id(), image: None, limits: SandboxLimits::default(), mirrors: Vec::new() };
    assert!(copy.sandboxes.take(&wanted).await.is_none(), "the image is not what it was");
    until(&copy.sandboxes, 1).await;
    let taken = copy.sandboxes.take(&wanted).await.expect("it is of the image as it is now");
    let workspace = open(taken).await;
    output(&workspace, "git --version").await;
    until(&copy.sandboxes, 1).await;
    // As a server that is killed leaves it: still there when the next one begins.
    let next = Sandboxes::new(engine.settings(copy.data_dir.path(), HOST)).await.unwrap();
    assert_eq!(next.reap().await.unwrap(), 2);
    drop(keeping);
}

#[tokio::test]
async fn who_opens_a_copy_ends_the_container_that_is_left_over_it_whatever_it_was_called() {
    let engine = engine::shared().await;
    let copy = sandboxes(|dir| SandboxSettings { pool: ONE, ..engine.settings(dir, BUSYBOX) }).await;
    let keeping = keep(&copy.sandboxes, SandboxLimits::default());
    let task: TaskId = clock::new_id();
    let taken = take(&copy.sandboxes, task, Vec::new()).await;
    let place = copy.sandboxes.directory(task).copy();
    std::fs::rename(taken.directory(), &place).unwrap();
    let ready = open(taken).await;
    // Laid out beside its sandbox.
    let unfinished = copy.path.with_extension("part");
    copy.sandboxes.prepare(copy.task, unfinished.clone()).await.unwrap();
    let beside = copy.sandboxes.open(OpenSandbox { copy: unfinished.clone(), ..copy.options() }).await.unwrap();
    std::fs::remove_dir(&copy.path).unwrap();
    std::fs::rename(unfinished, &copy.path).unwrap();
    // As a server does that finds them, and does not know of them.
    let next = Sandboxes::new(engine.settings(copy.data_dir.path(), BUSYBOX)).await.unwrap();
    for (task, path, left) in [(task, place, ready), (copy.task, copy.path.clone(), beside)] {
        assert_eq!(output(&left, "echo alive").await, "alive\n");
        let opened = next.open(OpenSandbox { task, copy: path, ..copy.options() }).await.unwrap();
        assert!(!left.lives().await, "it runs beside the next one");
        assert_eq!(output(&opened, "echo alive").await, "alive\n");
        opened.close().await;
    }
    keeping.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_task_runs_in_one_and_git_finds_its_history_there() {
    let script = json!({ "sequence": [
        plan(),
        call("shell", json!({ "command": "printf 'def add(a, b):\\n    return a + b\\n' > calc.py; git log --format=%s; git status --short" })),
        say("Mended."),
    ] });
    let mut ground = calculator::ground(&script).await;
    ground.variables.push(("JOURNEYMAN_READY_SANDBOXES".to_owned(), "1".to_owned()));
    let service = ground.start().await;
    let api = service.api();
    let mut hits = 0;
    // Whoever comes before one is ready opens one by itself.
    for _ in 0..TASKS_MAX {
        let id = api.create(&calculator::request(&ground)).await;
        let task = api.rest(&id).await;
        assert_eq!(task["result"]["verdict"], "verified", "{task:#}");
        let events = api.events(&id).await;
        let shell = events.iter().rfind(|event| event["kind"] == "tool.completed").unwrap();
        assert!(shell["data"]["output"].as_str().unwrap().ends_with("first\n M calc.py\n"), "{shell:#}");
        hits += usize::from(ground.data.path().join("workspaces").join(&id).join("mirror").is_dir());
        if hits == 2 {
            break;
        }
    }
    assert_eq!(hits, 2, "no sandbox was ready for any of {TASKS_MAX} tasks");
    let metrics = api.text("/metrics").await.1;
    assert!(metrics.contains("journeyman_sandbox_takes_total{result=\"hit\"}"), "{metrics}");
    service.stop().await;
}
