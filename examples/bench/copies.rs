//! What working copies cost: a task's start with a clone of 2,000 files, the second clone of a large repository, and a
//! checkpoint. Each with what the machine takes for the like without us.

use super::{
    report::{Report, median},
    workspaces::{Sort, ms},
};
use bytes::Bytes;
use journeyman::{
    clock,
    domain::{BlobHash, TaskId, TeamId, event::TreeDelta},
    net::AddressPolicy,
    workspace::{
        OpenSandbox, RunCommand, SandboxLimits, Sandboxes, TakeSandbox, Workspace,
        checkpoint::TreeState,
        repository::{Base, Repositories, RepositorySettings},
    },
};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

const STARTS: usize = 11;
const CLONES: usize = 3;
const LOOKS: usize = 15;
const FILES: usize = 2_000;
const READY_GOAL_MS: f64 = 50.0;
const READY_PATIENCE: Duration = Duration::from_secs(30);

/// Repositories of this machine, and the mirrors of them.
pub(crate) struct Origins {
    dir: PathBuf,
    repositories: Repositories,
    team: TeamId,
}

impl Origins {
    /// Beside the sandboxes' own directories, as in a service.
    pub(crate) fn new(data_dir: &Path) -> Self {
        let dir = data_dir.join("origins");
        std::fs::create_dir_all(&dir).unwrap();
        let mut settings = RepositorySettings::new(data_dir.to_owned());
        settings.allow_local = vec![dir.clone()];
        let repositories = Repositories::new(settings, AddressPolicy::default());
        Self { dir, repositories, team: clock::new_id() }
    }

    /// One commit of so many files, each of so many bytes that no compression makes fewer.
    pub(crate) fn make(&self, name: &str, files: usize, bytes: usize) {
        let path = self.dir.join(name);
        std::fs::create_dir_all(&path).unwrap();
        git(&path, &["init", "--quiet", "--initial-branch=main"], &[]);
        let mut stream: Vec<u8> =
            b"commit refs/heads/main\ncommitter B <b@example.com> 1700000000 +0000\ndata 5\nfirst\n".into();
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for number in 0..files {
            let mut content = format!("file {number}\n").into_bytes();
            while content.len() < bytes {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                content.extend_from_slice(&seed.to_le_bytes());
            }
            write!(stream, "M 100644 inline d{}/f{number}\ndata {}\n", number / 50, content.len()).unwrap();
            stream.extend_from_slice(&content);
            stream.push(b'\n');
        }
        git(&path, &["-c", "core.compression=0", "fast-import", "--quiet"], &stream);
    }

    async fn resolve(&self, name: &str) -> Base {
        let url = format!("file://{}", self.dir.join(name).display());
        self.repositories.resolve(self.team, &url, Some("main")).await.unwrap()
    }

    async fn lay_out(&self, base: &Base, directory: &Path, owner: Option<(u32, u32)>) {
        let none = |_: BlobHash| std::future::ready(Err::<Bytes, _>(io::Error::from(io::ErrorKind::NotFound)));
        self.repositories.materialize(base, &TreeDelta::default(), none, directory, owner, true).await.unwrap();
    }
}

fn git(directory: &Path, arguments: &[&str], input: &[u8]) {
    let mut command = Command::new("git");
    command.arg("-C").arg(directory).args(arguments).stdin(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    assert!(child.wait().unwrap().success());
}

/// From a claim to an execd that has answered over a clone of 2,000 files: the ref is asked for, the copy laid out, the
/// sandbox opened. Nothing is removed meanwhile: a file system may take much longer to make files where many were
/// removed a moment ago, and the floor shows what it takes.
pub(crate) async fn starts(sort: &Sort, sandboxes: &Sandboxes, origins: &Origins, report: &mut Report) {
    origins.make("small", FILES, 2_000);
    origins.resolve("small").await;
    let (mut floor, mut cold, mut warm, mut taking) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let task: TaskId = clock::new_id();
        floor.push(plain_files(&sandboxes.directory(task).clean_copy("floor")));
        let task: TaskId = clock::new_id();
        let since = Instant::now();
        let workspace = start(sandboxes, origins, task).await;
        cold.push(ms(since));
        workspace.close().await;
    }
    let stop = CancellationToken::new();
    let keeping = (sandboxes.clone(), stop.clone());
    let keeping = tokio::spawn(async move { keeping.0.keep_warm(SandboxLimits::default(), keeping.1).await });
    for _ in 0..STARTS {
        let waiting = Instant::now();
        while sandboxes.ready() == 0 {
            assert!(waiting.elapsed() < READY_PATIENCE, "no sandbox becomes ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let task: TaskId = clock::new_id();
        let since = Instant::now();
        let (workspace, took) = take(sandboxes, origins, task).await;
        warm.push(ms(since));
        taking.push(took);
        workspace.close().await;
    }
    stop.cancel();
    keeping.await.unwrap();
    let name = sort.name;
    report.add("floor: 2,000 files of 2 kB in 40 directories, made by a plain loop", median(&mut floor), "ms");
    let what = format!("{name}: a task's start, from its claim to execd over a clone of 2,000 files");
    report.at_most(what, median(&mut cold), "ms", sort.start_goal_ms);
    let what = format!("{name}: a sandbox that is ready, from asking to an execd that has answered");
    report.at_most(what, median(&mut taking), "ms", READY_GOAL_MS);
    let what = format!("{name}: the same start in a sandbox that is ready, with the clone of 2,000 files");
    report.at_most(what, median(&mut warm), "ms", READY_GOAL_MS);
}

/// What the file system takes for the files alone, in milliseconds.
fn plain_files(directory: &Path) -> f64 {
    let content = [b'x'; 2_000];
    let since = Instant::now();
    for number in 0..FILES {
        let parent = directory.join(format!("d{}", number / 50));
        if number % 50 == 0 {
            std::fs::create_dir_all(&parent).unwrap();
        }
        std::fs::write(parent.join(format!("f{number}")), content).unwrap();
    }
    ms(since)
}

async fn start(sandboxes: &Sandboxes, origins: &Origins, task: TaskId) -> Workspace {
    let base = origins.resolve("small").await;
    let directory = sandboxes.directory(task);
    let (place, copy) = (directory.copy().with_extension("part"), directory.copy());
    sandboxes.prepare(task, place.clone()).await.unwrap();
    let open = OpenSandbox {
        task,
        copy: place.clone(),
        mirrors: base.mount(),
        limits: SandboxLimits::default(),
        env: Vec::new(),
        image: None,
        tracked: base.tracked(),
        low_priority: false,
    };
    let filled = origins.lay_out(&base, &place, sandboxes.owner_uid(task));
    let ((), opened) = tokio::join!(filled, sandboxes.open(open));
    origins.repositories.put_in_place(place, copy).await.unwrap();
    opened.unwrap()
}

/// The workspace, and what the sandbox took of the time.
async fn take(sandboxes: &Sandboxes, origins: &Origins, task: TaskId) -> (Workspace, f64) {
    let base = origins.resolve("small").await;
    let wanted = TakeSandbox { task, image: None, limits: SandboxLimits::default(), mirrors: base.mount() };
    let since = Instant::now();
    let taken = sandboxes.take(&wanted).await.expect("it is ready");
    let took = ms(since);
    let place = taken.directory().to_owned();
    origins.lay_out(&base, &place, sandboxes.owner_uid(task)).await;
    origins.repositories.put_in_place(place, sandboxes.directory(task).copy()).await.unwrap();
    let since = Instant::now();
    let workspace = taken.open(Vec::new(), base.tracked()).await.unwrap();
    (workspace, took + ms(since))
}

/// The second clone of 10,000 files of 1 GB together: all but the copy is there. What was written before is on the disk,
/// or the kernel would have writers wait for it.
pub(crate) async fn large(sandboxes: &Sandboxes, origins: &Origins, report: &mut Report) {
    origins.make("large", 10_000, 100_000);
    origins.resolve("large").await;
    let (mut floor, mut clones) = (Vec::new(), Vec::new());
    for _ in 0..CLONES {
        let task: TaskId = clock::new_id();
        written_back();
        let since = Instant::now();
        let base = origins.resolve("large").await;
        let copy = sandboxes.directory(task).copy();
        origins.lay_out(&base, &copy, sandboxes.owner_uid(task)).await;
        clones.push(since.elapsed().as_secs_f64());
        let other = sandboxes.directory(task).clean_copy("cp");
        std::fs::create_dir_all(other.parent().unwrap()).unwrap();
        written_back();
        let since = Instant::now();
        let copied = Command::new("cp").arg("-a").arg(&copy).arg(&other).status().unwrap();
        floor.push(since.elapsed().as_secs_f64());
        assert!(copied.success());
    }
    report.add("floor: cp -a of a working copy of 10,000 files, 1 GB", median(&mut floor), "s");
    report.at_most("the second clone of 10,000 files, 1 GB", median(&mut clones), "s", 1.0);
}

fn written_back() {
    assert!(Command::new("sync").status().unwrap().success());
}

/// A look at a working copy of 5,000 files of which ten have changed, as it is made beside the model's next call.
pub(crate) async fn checkpoint(sandboxes: &Sandboxes, origins: &Origins, report: &mut Report) {
    origins.make("middle", 5_000, 4_000);
    let base = origins.resolve("middle").await;
    let task: TaskId = clock::new_id();
    let copy = sandboxes.directory(task).copy();
    origins.lay_out(&base, &copy, sandboxes.owner_uid(task)).await;
    let open = OpenSandbox {
        task,
        copy: copy.clone(),
        mirrors: base.mount(),
        limits: SandboxLimits::default(),
        env: Vec::new(),
        image: None,
        tracked: base.tracked(),
        low_priority: false,
    };
    let workspace = sandboxes.open(open).await.unwrap();
    let laid_out = base.laid_out(&copy).await.expect("it was laid out here");
    workspace.knows(laid_out).await;
    let mut tree = TreeState::from(&base, &TreeDelta::default());
    let since = Instant::now();
    let walk = workspace.walk().await.unwrap();
    tree.absorb(walk, &workspace).await.unwrap();
    report.add("the first look at a working copy of 5,000 files", ms(since), "ms");
    let (mut floor, mut looks) = (Vec::new(), Vec::new());
    for round in 0..LOOKS {
        let since = Instant::now();
        let status = RunCommand::new("git status --porcelain", Duration::from_secs(30));
        workspace.run(status, None).await.unwrap();
        floor.push(ms(since));
        let change = format!("for n in 1 2 3 4 5 6 7 8 9 10; do echo {round} $n > d$n/f$((n * 50)); done");
        workspace.run(RunCommand::new(change, Duration::from_secs(30)), None).await.unwrap();
        let since = Instant::now();
        let walk = workspace.walk().await.unwrap();
        let found = tree.absorb(walk, &workspace).await.unwrap();
        looks.push(ms(since));
        assert_eq!(found.expect("files changed").delta.changed.len(), 10);
    }
    report.add("floor: git status in that working copy", median(&mut floor), "ms");
    report.at_most("a checkpoint of 5,000 files, ten of them changed", median(&mut looks), "ms", 30.0);
    workspace.close().await;
}
