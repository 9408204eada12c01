//! Keeping sandboxes ready, and giving them to tasks.
//!
//! A taker's files are laid out in the directory that the sandbox was opened over: nothing but an idle execd has been in
//! it. The packs of its mirror are linked where the sandbox sees them read-only; a mount of the mirror itself would have
//! to be known before the task is. Start with [`Sandboxes::take`].

use super::pool::{Idle, Opening, Shape};
use crate::{
    clock,
    domain::TaskId,
    workspace::{
        OpenSandbox, SandboxLimits, Sandboxes, Workspace, WorkspaceError, backend::setup, base::INSIDE_OBJECTS,
    },
};
use execd::message::Configure;
use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether what is ready is still fit.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// How long a new one is put off for tasks that are opening theirs.
const QUIET_PATIENCE: Duration = Duration::from_secs(2);
/// How long an execd that is ready may take to answer its taker.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// Files of a mirror that are linked; of more, the mirror itself is mounted.
const LINKS_MAX: usize = 4_000;
/// How often a mirror is listed again because files of it went away meanwhile.
const LISTINGS_MAX: usize = 3;

/// What a task wants a sandbox for.
#[derive(Clone, Debug)]
pub struct TakeSandbox {
    /// It gets the sandbox's directory, and has none yet.
    pub task: TaskId,
    pub image: Option<String>,
    pub limits: SandboxLimits,
    /// As [`OpenSandbox::mirrors`]: at most a mirror's objects.
    pub mirrors: Vec<(PathBuf, PathBuf)>,
}

/// A sandbox that was ready and is one task's now. Dropped before it is opened, it ends.
#[derive(Debug)]
pub struct Taken {
    workspace: Workspace,
    configure: Configure,
    directory: PathBuf,
    /// Until its task has it, no other is made ready.
    _opening: Opening,
}

impl Taken {
    /// Where the working copy is to be laid out: it is there, empty, and may be renamed but not replaced.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The workspace, once its files are there; with the variables and the tracked paths of [`OpenSandbox`].
    pub async fn open(self, env: Vec<(String, String)>, tracked: Arc<[String]>) -> Result<Workspace, WorkspaceError> {
        let Self { workspace, mut configure, _opening, .. } = self;
        configure.env.extend(env);
        workspace.track(tracked).await;
        match timeout(ANSWER_PATIENCE, workspace.configure(configure)).await {
            Ok(configured) => configured.map(|()| workspace),
            Err(_) => Err(WorkspaceError::Gone { why: "it does not answer".to_owned() }),
        }
    }
}

impl Sandboxes {
    /// Takes a sandbox that is ready; none where no fit one is. What else it is to be, the task opens by itself
    /// ([`Sandboxes::open`]).
    pub async fn take(&self, wanted: &TakeSandbox) -> Option<Taken> {
        let pool = &self.inner.pool;
        if pool.is_off() {
            return None;
        }
        let shape = Shape { image: wanted.image.clone(), limits: wanted.limits };
        pool.want(&shape);
        let taken = self.take_one(wanted, &shape).await;
        pool.work.notify_one();
        let result = if taken.is_some() { "hit" } else { "miss" };
        metrics::counter!("journeyman_sandbox_takes_total", "result" => result).increment(1);
        metrics::gauge!("journeyman_sandboxes_ready").set(pool.count() as f64);
        taken
    }

    async fn take_one(&self, wanted: &TakeSandbox, shape: &Shape) -> Option<Taken> {
        let linked = wanted.mirrors.iter().all(|(_, inside)| inside == Path::new(INSIDE_OBJECTS));
        if !linked || self.directory(wanted.task).path().exists() {
            return None;
        }
        let made_from = self.inner.backend.made_from(shape.image.as_deref()).await.ok()?;
        while let Some(idle) = self.inner.pool.take(shape) {
            if idle.made_from != made_from || !idle.workspace.is_connected() {
                self.discard(idle);
                continue;
            }
            return match self.hand_over(&idle, wanted).await {
                Ok(true) => {
                    let (directory, opening) = (self.directory(wanted.task).warm(), self.inner.pool.opening());
                    Some(Taken { workspace: idle.workspace, configure: idle.configure, directory, _opening: opening })
                }
                Ok(false) => {
                    self.discard(idle);
                    None
                }
                Err(error) => {
                    tracing::warn!(task.id = %wanted.task, %error, "a sandbox that was ready could not be taken");
                    self.discard(idle);
                    None
                }
            };
        }
        None
    }

    /// Gives a sandbox's directory to the task and shows it the task's mirror; false where the task has a directory.
    async fn hand_over(&self, idle: &Idle, wanted: &TakeSandbox) -> io::Result<bool> {
        let inner = Arc::clone(&self.inner);
        let (from, to, mirrors) = (idle.place, wanted.task, wanted.mirrors.clone());
        let work = move || {
            for (objects, _) in &mirrors {
                link_objects(objects, &inner.directories.of(from).mirror())?;
            }
            let given = inner.directories.hand_over(from, to)?;
            if given {
                inner.roll.hand_over(from, to);
            }
            Ok(given)
        };
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
    }

    /// How many wait for a task.
    pub fn ready(&self) -> usize {
        self.inner.pool.count()
    }

    /// Keeps sandboxes ready until `stop`: of the operator's default image and `limits` from the start, of others once
    /// tasks have wanted them. Ends them before it returns.
    pub async fn keep_warm(&self, limits: SandboxLimits, stop: CancellationToken) {
        let pool = &self.inner.pool;
        if pool.is_off() {
            return;
        }
        pool.want(&Shape { image: None, limits });
        loop {
            for idle in pool.stale() {
                self.end(idle).await;
            }
            metrics::gauge!("journeyman_sandboxes_ready").set(pool.count() as f64);
            let Some((shape, place)) = pool.next() else {
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = pool.work.notified() => {}
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
                continue;
            };
            tokio::select! {
                () = stop.cancelled() => {
                    pool.failed(&shape, place);
                    break;
                }
                made = self.make(&shape, place) => match made {
                    Ok(idle) => if let Some(unwanted) = pool.put(idle) {
                        self.end(unwanted).await;
                    },
                    Err(error) => {
                        tracing::warn!(%error, image = shape.image, "no sandbox could be made ready");
                        pool.failed(&shape, place);
                        self.remove_place(place).await;
                    }
                }
            }
        }
        for idle in pool.close() {
            self.end(idle).await;
        }
        metrics::gauge!("journeyman_sandboxes_ready").set(0.0);
    }

    /// Opens one over an empty directory, when no task is opening its own.
    async fn make(&self, shape: &Shape, place: TaskId) -> Result<Idle, WorkspaceError> {
        // Where tasks come without a pause, it has to be made beside them.
        let _ = timeout(QUIET_PATIENCE, self.inner.pool.quiet()).await;
        let made_from = self.inner.backend.made_from(shape.image.as_deref()).await?;
        let directory = self.directory(place);
        let (copy, mirror) = (directory.warm(), directory.mirror());
        self.prepare(place, copy.clone()).await?;
        let made = mirror.clone();
        let make = move || {
            fs::create_dir_all(&made)?;
            fs::set_permissions(&made, fs::Permissions::from_mode(0o755))
        };
        tokio::task::spawn_blocking(make).await.map_err(setup)?.map_err(setup)?;
        let open = OpenSandbox {
            task: place,
            copy,
            mirrors: vec![(mirror, PathBuf::from(INSIDE_OBJECTS))],
            limits: shape.limits,
            env: Vec::new(),
            image: shape.image.clone(),
            tracked: Arc::from([]),
            low_priority: false,
        };
        let (workspace, configure) = self.begin(open).await?;
        let since = clock::Stopwatch::start();
        Ok(Idle { shape: shape.clone(), place, workspace, configure, made_from, since })
    }

    fn discard(&self, idle: Idle) {
        let this = self.clone();
        // Not in front of the task that wanted it.
        tokio::spawn(async move { this.end(idle).await });
    }

    async fn end(&self, idle: Idle) {
        idle.workspace.close().await;
        self.remove_place(idle.place).await;
    }

    async fn remove_place(&self, place: TaskId) {
        // What stays is swept.
        if let Err(error) = self.remove(place).await {
            tracing::warn!(%error, "the directory of a sandbox that was ready could not be removed");
        }
    }
}

/// Links the files of a mirror's objects into an empty directory of the server's own. They are never written to again,
/// by git or by us; a workspace sees the directory read-only, and they are not its user's.
fn link_objects(objects: &Path, into: &Path) -> io::Result<()> {
    for _ in 0..LISTINGS_MAX {
        if link_once(objects, into)? {
            return Ok(());
        }
    }
    Err(io::Error::other("the mirror changes all the time"))
}

/// False where something went away meanwhile, because git has put its objects elsewhere.
fn link_once(objects: &Path, into: &Path) -> io::Result<bool> {
    let mut links = 0;
    for directory in fs::read_dir(objects)? {
        let directory = directory?;
        if !directory.file_type()?.is_dir() {
            continue;
        }
        let target = into.join(directory.file_name());
        match fs::create_dir(&target) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        for file in fs::read_dir(directory.path())? {
            let file = file?;
            let name = file.file_name();
            let unfinished = name.to_str().is_none_or(|name| name.starts_with("tmp_") || name.starts_with(".tmp-"));
            if unfinished || !file.file_type()?.is_file() {
                continue;
            }
            links += 1;
            if links > LINKS_MAX {
                return Err(io::Error::other("the mirror has too many files"));
            }
            match fs::hard_link(file.path(), target.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
    }
    Ok(true)
}
