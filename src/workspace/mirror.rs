//! A mirror: a bare repository of the server's own per team and origin, with the snapshots of its
//! commits beside it.
//!
//! It holds nothing but what the remote gave; workspaces see its objects read-only. One git writes to it
//! at a time, tasks that want the same share one look-up, one fetch and one layout, and what a
//! killed fetch or a full disk left is cleared away before the next. A mirror that is broken is made anew.

use super::{
    git::{Git, io_error, own_failure},
    objects::ObjectId,
    remote::{Found, Remote, nowhere},
    repository::{RepositoryError, RepositorySettings},
    snapshot::{Limits, Snapshot},
    source::RepositoryUrl,
    upload,
};
use crate::{clock, net::AddressPolicy};
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

/// How many snapshots of one mirror stay on disk.
const KEPT_SNAPSHOTS: usize = 8;

type Pending<T> = Shared<BoxFuture<'static, Result<T, RepositoryError>>>;

/// Where a mirror's commits come from.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    Url(RepositoryUrl),
    /// A file of the server's own: a git bundle or a tar.gz.
    Upload(PathBuf),
}

pub(super) struct Mirror {
    directory: PathBuf,
    origin: Origin,
    settings: Arc<RepositorySettings>,
    policy: AddressPolicy,
    shared: Mutex<Sharing>,
    /// Held by the one look-up that runs.
    looking: tokio::sync::Mutex<()>,
    /// Held by the one git that may write. True once the mirror has been looked over in this process.
    writing: tokio::sync::Mutex<bool>,
}

#[derive(Default)]
struct Sharing {
    look_ups: HashMap<String, Pending<Found>>,
    layouts: HashMap<ObjectId, Pending<Arc<Snapshot>>>,
    open: HashMap<ObjectId, Weak<Snapshot>>,
}

impl Mirror {
    pub(super) fn new(
        directory: PathBuf,
        origin: Origin,
        settings: Arc<RepositorySettings>,
        policy: AddressPolicy,
    ) -> Self {
        let shared = Mutex::default();
        let (looking, writing) = (tokio::sync::Mutex::default(), tokio::sync::Mutex::default());
        Self { directory, origin, settings, policy, shared, looking, writing }
    }

    /// The objects that a workspace may read.
    pub(super) fn objects(&self) -> PathBuf {
        self.repository().join("objects")
    }

    /// The commits at which history was cut off by the remote itself, in git's own format.
    pub(super) async fn shallow(&self) -> Option<Vec<u8>> {
        tokio::fs::read(self.repository().join("shallow")).await.ok()
    }

    /// What `reference` is at the origin now. Callers that come while a look-up for the same ref waits its
    /// turn share it; one that has already begun is not shared, because it may be older than what
    /// the caller knows.
    pub(super) async fn look_up(self: &Arc<Self>, reference: Option<&str>) -> Result<Found, RepositoryError> {
        let key = reference.unwrap_or_default().to_owned();
        let pending = {
            let mut shared = self.shared();
            match shared.look_ups.get(&key) {
                Some(pending) => pending.clone(),
                None => {
                    let (mirror, name) = (Arc::clone(self), key.clone());
                    let work = async move {
                        let _turn = mirror.looking.lock().await;
                        mirror.shared().look_ups.remove(&name);
                        mirror.ask(Some(name.as_str()).filter(|name| !name.is_empty())).await
                    };
                    let pending = work.boxed().shared();
                    shared.look_ups.insert(key, pending.clone());
                    pending
                }
            }
        };
        pending.await
    }

    /// The snapshot of `commit`, fetched and laid out where it is not here yet.
    pub(super) async fn snapshot(self: &Arc<Self>, commit: ObjectId) -> Result<Arc<Snapshot>, RepositoryError> {
        let pending = {
            let mut shared = self.shared();
            if let Some(snapshot) = shared.open.get(&commit).and_then(Weak::upgrade) {
                return Ok(snapshot);
            }
            match shared.layouts.get(&commit) {
                Some(pending) => pending.clone(),
                None => {
                    let mirror = Arc::clone(self);
                    let work = async move {
                        let laid_out = mirror.lay_out(commit).await;
                        let mut shared = mirror.shared();
                        shared.layouts.remove(&commit);
                        if let Ok(snapshot) = &laid_out {
                            shared.open.retain(|_, snapshot| snapshot.strong_count() > 0);
                            shared.open.insert(commit, Arc::downgrade(snapshot));
                        }
                        laid_out
                    };
                    let pending = work.boxed().shared();
                    shared.layouts.insert(commit, pending.clone());
                    pending
                }
            }
        };
        pending.await
    }

    /// The commit that `id`, whole or the beginning of it, names; fetched if need be.
    pub(super) async fn commit(self: &Arc<Self>, id: &str) -> Result<ObjectId, RepositoryError> {
        let absent = || RepositoryError::NoSuchRef { reference: id.to_owned() };
        if let Ok(whole) = id.parse() {
            if self.has(whole) {
                return Ok(whole);
            }
            let remote = self.remote().await?;
            let mut looked_over = self.writing.lock().await;
            self.look_over(&mut looked_over).await?;
            if !self.has(whole) {
                let fetched = self.with_clean_up(remote.fetch(&self.repository(), whole)).await;
                // "not our ref", "unadvertised object", "remote error: upload-pack: not our ref"
                fetched.map_err(|error| match error {
                    RepositoryError::Unreachable { reason }
                        if reason.contains(id) || reason.contains("not our ref") =>
                    {
                        absent()
                    }
                    other => other,
                })?;
            }
        } else {
            let remote = self.remote().await?;
            let mut looked_over = self.writing.lock().await;
            self.look_over(&mut looked_over).await?;
            if self.parse_commit(id).await.is_none() {
                self.with_clean_up(remote.fetch_all(&self.repository())).await?;
            }
        }
        let commit = self.parse_commit(id).await.ok_or_else(absent)?;
        self.keep(commit).await?;
        Ok(commit)
    }

    /// Whether `commit` was brought here by an earlier fetch.
    pub(super) fn has(&self, commit: ObjectId) -> bool {
        self.repository().join(format!("refs/commits/{commit}")).is_file()
    }

    fn repository(&self) -> PathBuf {
        self.directory.join("repository.git")
    }

    fn snapshots(&self) -> PathBuf {
        self.directory.join("snapshots")
    }

    fn shared(&self) -> MutexGuard<'_, Sharing> {
        // nothing is left half done under this lock
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn remote(&self) -> Result<Remote, RepositoryError> {
        match &self.origin {
            Origin::Url(url) => {
                ensure_repository(&nowhere(&self.settings)).await?;
                Remote::open(url, &self.settings, &self.policy).await
            }
            Origin::Upload(file) => {
                ensure_repository(&nowhere(&self.settings)).await?;
                Ok(Remote::bundle(file, &self.settings))
            }
        }
    }

    async fn ask(&self, reference: Option<&str>) -> Result<Found, RepositoryError> {
        if let Some(archive) = self.archive().await? {
            let commit = self.import(archive).await?;
            return match reference {
                None | Some("HEAD" | "main" | "refs/heads/main") => {
                    Ok(Found::Reference { commit, name: "refs/heads/main".to_owned() })
                }
                Some(id) if id == commit.to_string() => Ok(Found::CommitId(id.to_owned())),
                Some(other) => Err(RepositoryError::NoSuchRef { reference: other.to_owned() }),
            };
        }
        self.remote().await?.look_up(reference).await
    }

    /// The file of an upload that is no bundle.
    async fn archive(&self) -> Result<Option<&Path>, RepositoryError> {
        match &self.origin {
            Origin::Upload(file) if !upload::is_bundle(file).await? => Ok(Some(file)),
            _ => Ok(None),
        }
    }

    /// Makes an archive's files a commit, once.
    async fn import(&self, archive: &Path) -> Result<ObjectId, RepositoryError> {
        let mut looked_over = self.writing.lock().await;
        self.look_over(&mut looked_over).await?;
        if let Some(commit) = self.parse_commit("refs/heads/main").await {
            return Ok(commit);
        }
        let limits = self.limits();
        self.with_clean_up(upload::import(archive, &self.repository(), limits)).await?;
        let commit = self
            .parse_commit("refs/heads/main")
            .await
            .ok_or(RepositoryError::Git { doing: "importing an archive", reason: "no commit came of it".to_owned() })?;
        self.keep(commit).await?;
        Ok(commit)
    }

    async fn lay_out(&self, commit: ObjectId) -> Result<Arc<Snapshot>, RepositoryError> {
        let mut looked_over = self.writing.lock().await;
        self.look_over(&mut looked_over).await?;
        let path = self.snapshots().join(commit.to_string());
        let had = self.has(commit);
        if had && let Some(snapshot) = open(path.clone()).await {
            return Ok(snapshot);
        }
        if !had {
            self.bring(commit).await?;
        }
        let mut built = self.build(commit, &path).await;
        if had && matches!(built, Err(RepositoryError::Git { .. })) {
            tracing::warn!(mirror = %self.directory.display(), "a mirror is broken and is made anew");
            self.discard().await?;
            ensure_repository(&self.repository()).await?;
            self.bring(commit).await?;
            built = self.build(commit, &path).await;
        }
        built?;
        self.prune(&path).await;
        let unreadable = || RepositoryError::Git { doing: "reading a snapshot", reason: "it is not whole".to_owned() };
        open(path).await.ok_or_else(unreadable)
    }

    async fn build(&self, commit: ObjectId, path: &Path) -> Result<(), RepositoryError> {
        tokio::fs::create_dir_all(self.snapshots()).await.map_err(io_error("keeping a snapshot"))?;
        let now_seconds = clock::now().0.unix_timestamp();
        Snapshot::build(&self.repository(), commit, path, self.limits(), now_seconds).await
    }

    fn limits(&self) -> Limits {
        Limits { bytes: self.settings.size_limit_bytes, files: self.settings.file_limit }
    }

    /// Gets `commit` from the origin. The caller holds `writing`.
    async fn bring(&self, commit: ObjectId) -> Result<(), RepositoryError> {
        if let Some(archive) = self.archive().await? {
            self.with_clean_up(upload::import(archive, &self.repository(), self.limits())).await?;
            return self.keep(commit).await;
        }
        let remote = self.remote().await?;
        self.with_clean_up(remote.fetch(&self.repository(), commit)).await
    }

    /// Makes sure that there is a repository and, once per process, that it is sound at a glance.
    async fn look_over(&self, looked_over: &mut bool) -> Result<(), RepositoryError> {
        ensure_repository(&self.repository()).await?;
        if !*looked_over {
            self.clear_leftovers().await;
            let commits = self.repository().join("refs/commits");
            let any = std::fs::read_dir(&commits).ok().and_then(|mut names| names.next()).and_then(Result::ok);
            if let Some(name) = any.and_then(|entry| entry.file_name().into_string().ok()) {
                let arguments = ["cat-file", "-e", &format!("{name}^{{tree}}")].map(str::to_owned);
                if Git::new(Some(&self.repository()), arguments).output().await.is_err() {
                    tracing::warn!(mirror = %self.directory.display(), "a mirror is broken and is made anew");
                    self.discard().await?;
                    ensure_repository(&self.repository()).await?;
                }
            }
            *looked_over = true;
        }
        Ok(())
    }

    async fn parse_commit(&self, name: &str) -> Option<ObjectId> {
        let name = format!("{name}^{{commit}}");
        let arguments = ["rev-parse", "--verify", "--quiet", "--end-of-options", &name];
        let output = Git::new(Some(&self.repository()), arguments).output().await.ok()?;
        String::from_utf8(output).ok()?.trim().parse().ok()
    }

    /// Marks a commit that is here as brought here.
    async fn keep(&self, commit: ObjectId) -> Result<(), RepositoryError> {
        let name = format!("refs/commits/{commit}");
        let git = Git::new(Some(&self.repository()), ["update-ref", &name, &commit.to_string()]);
        git.output().await.map(drop).map_err(own_failure("keeping a commit"))
    }

    /// Runs what writes to the mirror; where it fails, what it left is cleared away.
    async fn with_clean_up<T>(
        &self,
        work: impl Future<Output = Result<T, RepositoryError>>,
    ) -> Result<T, RepositoryError> {
        // of a fetch whose task went away
        self.clear_leftovers().await;
        let result = work.await;
        if result.is_err() {
            self.clear_leftovers().await;
            let commits = self.repository().join("refs/commits");
            if !commits.is_dir() {
                self.discard().await?;
            }
        }
        result
    }

    /// Removes half-written packs and the locks of a git that was killed. The caller holds `writing`, so no git of
    /// ours is at work.
    async fn clear_leftovers(&self) {
        let repository = self.repository();
        let cleared = tokio::task::spawn_blocking(move || {
            let remove = |directory: &Path, unwanted: fn(&str) -> bool| {
                for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                    if entry.file_name().to_str().is_some_and(unwanted) {
                        // best effort: what stays is removed the next time
                        let _ = std::fs::remove_file(entry.path());
                    }
                }
            };
            remove(&repository.join("objects/pack"), |name| name.starts_with("tmp_") || name.starts_with(".tmp-"));
            remove(&repository, |name| name.ends_with(".lock") || name.starts_with("fast_import_crash"));
            remove(&repository.join("refs/commits"), |name| name.ends_with(".lock"));
        });
        if cleared.await.is_err() {
            tracing::warn!("clearing a mirror was cut off");
        }
    }

    /// Takes the repository and its snapshots away.
    async fn discard(&self) -> Result<(), RepositoryError> {
        for part in [self.repository(), self.snapshots()] {
            match tokio::fs::remove_dir_all(&part).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(io_error("removing a broken mirror")(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Keeps the newest snapshots on disk.
    async fn prune(&self, newest: &Path) {
        let (directory, newest) = (self.snapshots(), newest.to_owned());
        let pruned = tokio::task::spawn_blocking(move || {
            let mut others: Vec<_> = std::fs::read_dir(&directory)
                .into_iter()
                .flatten()
                .flatten()
                .filter(|entry| entry.path() != newest)
                .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
                .collect();
            others.sort_unstable();
            others.truncate((others.len() + 1).saturating_sub(KEPT_SNAPSHOTS));
            for (_, path) in others {
                // best effort: the next prune finds it again
                let _ = std::fs::remove_file(path);
            }
        });
        if pruned.await.is_err() {
            tracing::warn!("pruning snapshots was cut off");
        }
    }
}

async fn open(path: PathBuf) -> Option<Arc<Snapshot>> {
    let opened = tokio::task::spawn_blocking(move || Snapshot::open(&path));
    opened.await.ok().flatten().map(Arc::new)
}

/// Makes an empty bare repository where there is none: no template, no hook, no git needed.
async fn ensure_repository(path: &Path) -> Result<(), RepositoryError> {
    let doing = io_error("making a mirror");
    if path.join("HEAD").is_file() {
        return Ok(());
    }
    for part in ["objects/pack", "objects/info", "refs/heads"] {
        tokio::fs::create_dir_all(path.join(part)).await.map_err(&doing)?;
    }
    let config = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n";
    tokio::fs::write(path.join("config"), config).await.map_err(&doing)?;
    // last: what makes it a repository
    tokio::fs::write(path.join("HEAD"), "ref: refs/heads/main\n").await.map_err(&doing)
}
