//! A mirror: a bare repository of the server's own per team and origin, with the snapshots of its
//! commits beside it.
//!
//! It holds nothing but what the remote gave; workspaces see its objects read-only. One git writes to it
//! at a time, tasks that want the same share one look-up, one fetch and one layout, and what a
//! killed fetch or a full disk left is cleared away before the next. A mirror that is broken is made anew.

use super::{
    place::{self, Place},
    refs::Found,
    remote::{Remote, nowhere},
};
use crate::{
    clock,
    domain::TeamId,
    net::AddressPolicy,
    workspace::{
        git::io_error,
        objects::ObjectId,
        repository::{RepositoryError, RepositorySettings},
        snapshot::{Limits, Snapshot},
        source::RepositoryUrl,
        upload,
    },
};
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

type Pending<T> = Shared<BoxFuture<'static, Result<T, RepositoryError>>>;

/// Where a mirror's commits come from.
#[derive(Clone, Debug)]
pub(in crate::workspace) enum Origin {
    Url(RepositoryUrl),
    /// A file of the server's own: a git bundle or a tar.gz.
    Upload(PathBuf),
}

pub(in crate::workspace) struct Mirror {
    place: Place,
    /// Whose it is: what a team's credential brought here is that team's alone.
    team: TeamId,
    origin: Origin,
    settings: Arc<RepositorySettings>,
    policy: AddressPolicy,
    shared: Mutex<Sharing>,
    /// Held by the one look-up that runs.
    looking: tokio::sync::Mutex<()>,
    /// Held by the one git that may write. True once the mirror has been looked over in this process.
    writing: tokio::sync::Mutex<bool>,
    /// The same, for who does not write.
    sound: AtomicBool,
}

#[derive(Default)]
struct Sharing {
    look_ups: HashMap<String, Pending<Found>>,
    layouts: HashMap<ObjectId, Pending<Arc<Snapshot>>>,
    open: HashMap<ObjectId, Weak<Snapshot>>,
}

impl Mirror {
    pub(in crate::workspace) fn new(
        directory: PathBuf,
        team: TeamId,
        origin: Origin,
        settings: Arc<RepositorySettings>,
        policy: AddressPolicy,
    ) -> Self {
        let shared = Mutex::default();
        let (looking, writing) = (tokio::sync::Mutex::default(), tokio::sync::Mutex::default());
        let (place, sound) = (Place::new(directory), AtomicBool::new(false));
        Self { place, team, origin, settings, policy, shared, looking, writing, sound }
    }

    /// The objects that a workspace may read.
    pub(in crate::workspace) fn objects(&self) -> PathBuf {
        self.place.repository().join("objects")
    }

    /// Whether `commit` was brought here by an earlier fetch.
    pub(in crate::workspace) fn has(&self, commit: ObjectId) -> bool {
        self.place.has(commit)
    }

    /// The commits at which history was cut off by the remote itself, in git's own format.
    pub(in crate::workspace) async fn shallow(&self) -> Option<Vec<u8>> {
        tokio::fs::read(self.place.repository().join("shallow")).await.ok()
    }

    /// What `reference` is at the origin now. Callers that come while a look-up for the same ref waits its
    /// turn share it; one that has already begun is not shared, because it may be older than what
    /// the caller knows.
    pub(in crate::workspace) async fn look_up(
        self: &Arc<Self>,
        reference: Option<&str>,
    ) -> Result<Found, RepositoryError> {
        let key = reference.unwrap_or_default().to_owned();
        let pending = {
            let mut shared = self.shared();
            let start = || {
                let (mirror, name) = (Arc::clone(self), key.clone());
                driven(async move {
                    let _turn = mirror.looking.lock().await;
                    mirror.shared().look_ups.remove(&name);
                    mirror.ask(Some(name.as_str()).filter(|name| !name.is_empty())).await
                })
            };
            shared.look_ups.entry(key.clone()).or_insert_with(start).clone()
        };
        pending.await
    }

    /// What a branch is at the origin now; absent where it has none of this name.
    pub(in crate::workspace) async fn branch(&self, name: &str) -> Result<Option<ObjectId>, RepositoryError> {
        self.remote().await?.branch(name).await
    }

    /// Pushes a commit of another repository of the server's own to a branch of the origin, if that is still what was
    /// `seen` there. Nothing of it comes into the mirror.
    pub(in crate::workspace) async fn push(
        &self,
        from: &Path,
        commit: ObjectId,
        branch: &str,
        seen: Option<ObjectId>,
    ) -> Result<(), RepositoryError> {
        self.remote().await?.push(from, commit, branch, seen).await
    }

    /// Puts many small packs together into fewer large ones. What workspaces have open stays open to them.
    pub(in crate::workspace) async fn tidy(&self) {
        let looked_over = self.writing.lock().await;
        // git knows what may be missing by the packs that it came with.
        if *looked_over && !self.place.is_partial().await {
            self.place.tidy().await;
        }
    }

    /// The snapshot of `commit`, fetched and laid out where it is not here yet.
    pub(in crate::workspace) async fn snapshot(
        self: &Arc<Self>,
        commit: ObjectId,
    ) -> Result<Arc<Snapshot>, RepositoryError> {
        let pending = {
            let mut shared = self.shared();
            if let Some(snapshot) = shared.open.get(&commit).and_then(Weak::upgrade) {
                return Ok(snapshot);
            }
            let start = || {
                let mirror = Arc::clone(self);
                driven(async move {
                    let laid_out = mirror.lay_out(commit).await;
                    let mut shared = mirror.shared();
                    shared.layouts.remove(&commit);
                    if let Ok(snapshot) = &laid_out {
                        shared.open.retain(|_, snapshot| snapshot.strong_count() > 0);
                        shared.open.insert(commit, Arc::downgrade(snapshot));
                    }
                    laid_out
                })
            };
            shared.layouts.entry(commit).or_insert_with(start).clone()
        };
        pending.await
    }

    /// The commit that `id`, whole or the beginning of it, names; fetched if need be.
    pub(in crate::workspace) async fn commit(self: &Arc<Self>, id: &str) -> Result<ObjectId, RepositoryError> {
        let absent = || RepositoryError::NoSuchRef { reference: id.to_owned() };
        if let Ok(whole) = id.parse() {
            if self.place.has(whole) {
                return Ok(whole);
            }
            let remote = self.remote().await?;
            let mut looked_over = self.writing.lock().await;
            self.look_over(&mut looked_over).await?;
            if !self.place.has(whole) {
                let fetched = self.with_clean_up(remote.fetch(&self.place.repository(), whole)).await;
                // "not our ref", "unadvertised object", "remote error: upload-pack: not our ref"
                fetched.map_err(|error| match error {
                    RepositoryError::Unreachable { reason } if reason.contains(id) || is_refusal(&reason) => absent(),
                    other => other,
                })?;
            }
        } else {
            let remote = self.remote().await?;
            let mut looked_over = self.writing.lock().await;
            self.look_over(&mut looked_over).await?;
            if self.place.parse_commit(id).await.is_none() {
                self.with_clean_up(remote.fetch_all(&self.place.repository())).await?;
            }
        }
        let commit = self.place.parse_commit(id).await.ok_or_else(absent)?;
        self.place.keep(commit).await?;
        Ok(commit)
    }

    fn shared(&self) -> MutexGuard<'_, Sharing> {
        // nothing is left half done under this lock
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn remote(&self) -> Result<Remote, RepositoryError> {
        match &self.origin {
            Origin::Url(url) => {
                place::ensure_repository(&nowhere(&self.settings)).await?;
                let credential = self.settings.credentials.ask(self.team, url).await?;
                Remote::open(self.team, url, credential, &self.settings, &self.policy).await
            }
            Origin::Upload(file) => {
                place::ensure_repository(&nowhere(&self.settings)).await?;
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
        if let Some(commit) = self.place.parse_commit("refs/heads/main").await {
            return Ok(commit);
        }
        let limits = self.limits();
        self.with_clean_up(upload::import(archive, &self.place.repository(), limits)).await?;
        let commit = self
            .place
            .parse_commit("refs/heads/main")
            .await
            .ok_or(RepositoryError::Git { doing: "importing an archive", reason: "no commit came of it".to_owned() })?;
        self.place.keep(commit).await?;
        Ok(commit)
    }

    async fn lay_out(&self, commit: ObjectId) -> Result<Arc<Snapshot>, RepositoryError> {
        let path = self.place.snapshots().join(commit.to_string());
        // What is laid out already need not wait for a fetch of something else.
        if self.sound.load(Ordering::Relaxed)
            && self.place.has(commit)
            && let Some(snapshot) = place::open(path.clone()).await
        {
            return Ok(snapshot);
        }
        let mut looked_over = self.writing.lock().await;
        self.look_over(&mut looked_over).await?;
        let had = self.place.has(commit);
        if had && let Some(snapshot) = place::open(path.clone()).await {
            return Ok(snapshot);
        }
        if !had {
            self.bring(commit).await?;
        }
        if self.is_partial().await {
            self.complete(commit).await?;
        }
        let mut built = self.build(commit, &path).await;
        if had && matches!(built, Err(RepositoryError::Git { .. })) {
            self.place.discard().await?;
            self.place.ensure().await?;
            self.bring(commit).await?;
            built = self.build(commit, &path).await;
        }
        built?;
        self.place.prune(&path).await;
        let unreadable = || RepositoryError::Git { doing: "reading a snapshot", reason: "it is not whole".to_owned() };
        place::open(path).await.ok_or_else(unreadable)
    }

    async fn build(&self, commit: ObjectId, path: &Path) -> Result<(), RepositoryError> {
        tokio::fs::create_dir_all(self.place.snapshots()).await.map_err(io_error("keeping a snapshot"))?;
        let now_seconds = clock::now().0.unix_timestamp();
        Snapshot::build(&self.place.repository(), commit, path, self.limits(), now_seconds).await
    }

    fn limits(&self) -> Limits {
        Limits { bytes: self.settings.size_limit_bytes, files: self.settings.file_limit }
    }

    /// Gets `commit` from the origin. The caller holds `writing`.
    async fn bring(&self, commit: ObjectId) -> Result<(), RepositoryError> {
        if let Some(archive) = self.archive().await? {
            self.with_clean_up(upload::import(archive, &self.place.repository(), self.limits())).await?;
            return self.place.keep(commit).await;
        }
        let remote = self.remote().await?;
        self.with_clean_up(remote.fetch(&self.place.repository(), commit)).await
    }

    /// Whether contents may be missing that the origin has.
    pub(in crate::workspace) async fn is_partial(&self) -> bool {
        matches!(self.origin, Origin::Url(_)) && self.place.is_partial().await
    }

    /// Gets the contents of the commit's files that were left out. The caller holds `writing`.
    async fn complete(&self, commit: ObjectId) -> Result<(), RepositoryError> {
        let missing = self.place.missing(commit, self.settings.file_limit).await?;
        if missing.is_empty() {
            return Ok(());
        }
        let remote = self.remote().await?;
        match self.with_clean_up(remote.fetch_contents(&self.place.repository(), &missing)).await {
            // It leaves contents out, but gives none by their ids.
            Err(RepositoryError::Unreachable { reason }) if is_refusal(&reason) => {
                tracing::info!("a remote gives no single contents: its mirror is made whole");
                self.place.discard().await?;
                self.place.ensure().await?;
                self.with_clean_up(remote.fetch_whole(&self.place.repository(), commit)).await
            }
            fetched => fetched,
        }
    }

    /// Makes sure that there is a repository and, once per process, that it is sound at a glance.
    async fn look_over(&self, looked_over: &mut bool) -> Result<(), RepositoryError> {
        self.place.ensure().await?;
        if !*looked_over {
            self.place.clear_leftovers().await;
            if !self.place.is_sound().await {
                self.place.discard().await?;
                self.place.ensure().await?;
            }
            *looked_over = true;
            self.sound.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Runs what writes to the mirror; where it fails, what it left is cleared away.
    async fn with_clean_up<T>(
        &self,
        work: impl Future<Output = Result<T, RepositoryError>>,
    ) -> Result<T, RepositoryError> {
        // of a fetch whose task went away
        self.place.clear_leftovers().await;
        let result = work.await;
        if result.is_err() {
            self.place.clear_leftovers().await;
            let commits = self.place.repository().join("refs/commits");
            if !commits.is_dir() {
                self.place.discard().await?;
            }
        }
        result
    }
}

/// What hosts say that do not give an object by its id.
fn is_refusal(reason: &str) -> bool {
    ["not our ref", "unadvertised object"].iter().any(|said| reason.contains(said))
}

/// Goes on by itself, whoever stops waiting: what nobody drives would hold the locks that others wait for.
fn driven<T: Clone + Send + 'static>(
    work: impl Future<Output = Result<T, RepositoryError>> + Send + 'static,
) -> Pending<T> {
    let task = tokio::spawn(work);
    let cut_off = |error| io_error("looking after a mirror")(io::Error::other(error));
    async move { task.await.map_err(cut_off)? }.boxed().shared()
}
