//! Repositories as tasks use them: from a URL or an upload to a [`Base`], and from a base to working
//! copies, patches and contents.
//!
//! Mirrors are the server's own and hold nothing but what the remote gave. No git is ever run on a directory
//! that a workspace could have written. Start with [`Repositories::resolve`], then `mirror` (what
//! is fetched), `snapshot` (a commit laid out for fast reading) and `materialize`.

use super::{
    base::INSIDE_OBJECTS,
    laid_out,
    materialize::{self, Copy, GitDirectory, Overlaid},
    mirrors::{Found, FreshSettings, Lately, Mirror, Origin as MirrorOrigin},
    objects::ObjectId,
    patch,
    snapshot::{Limits, Snapshot},
    source::SourceError,
    upload,
};
use crate::{
    domain::{BlobHash, Oid, TeamId, UploadId, event::TreeDelta},
    net::AddressPolicy,
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use std::{
    collections::{HashMap, HashSet},
    future::Future,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

pub use super::{
    base::{Base, BaseEntry},
    credential::{AskCredential, Credentials, GitCredential},
    mirrors::{Built, Committed, NewCommit, Resolved, Signature},
    patch::Patch,
    repository_error::RepositoryError,
    source::{RepositoryUrl, validate_ref, validate_url},
};

/// Contents of a delta that are in memory at once while a copy is written.
const BATCH_BYTES: usize = 8 << 20;
const READS_AT_ONCE: usize = 8;
/// Mirrors that are remembered as sound.
const OPEN_MIRRORS: usize = 1_000;
/// Working copies that are written at once: they are bound by the processor and the disk.
const COPIES_AT_ONCE: usize = 4;

/// An upload that came in, before it is kept.
#[derive(Debug)]
pub enum Archive {
    Bytes(Vec<u8>),
    File(PathBuf),
}

/// What the operator sets about repositories.
#[derive(Clone, Debug)]
pub struct RepositorySettings {
    pub data_dir: PathBuf,
    /// Directories under which `file://` repositories are allowed.
    pub allow_local: Vec<PathBuf>,
    /// The most that one fetch may bring, that one commit may unpack to, and that an upload may unpack to.
    pub size_limit_bytes: u64,
    /// Contents larger than this stay at the remote until a commit is laid out that has them; 0: none do.
    pub leave_out_from_bytes: u64,
    /// The most files that one commit may have.
    pub file_limit: usize,
    /// Until the remote answers at all.
    pub connect_timeout: Duration,
    /// A whole fetch.
    pub fetch_timeout: Duration,
    pub outgoing: crate::net::Outgoing,
    /// What reaches private repositories.
    pub credentials: Credentials,
    /// Mirrors that are fetched in the background.
    pub fresh: FreshSettings,
}

impl RepositorySettings {
    /// Defaults for everything but the data directory.
    pub fn new(data_dir: PathBuf) -> Self {
        Self {
            data_dir,
            allow_local: Vec::new(),
            size_limit_bytes: 4 << 30,
            leave_out_from_bytes: 0,
            file_limit: 500_000,
            connect_timeout: Duration::from_secs(20),
            fetch_timeout: Duration::from_secs(600),
            outgoing: crate::net::Outgoing::default(),
            credentials: Credentials::default(),
            fresh: FreshSettings::OFF,
        }
    }
}

/// Where a task's repository is, to open it again.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    Url(&'a str),
    Upload {
        upload: UploadId,
        /// The upload's bytes.
        file: &'a Path,
    },
}

/// All repositories of this process. Cheap to clone.
#[derive(Clone)]
pub struct Repositories {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    settings: Arc<RepositorySettings>,
    policy: AddressPolicy,
    mirrors: Mutex<HashMap<PathBuf, Arc<Mirror>>>,
    copying: tokio::sync::Semaphore,
    empty: Arc<Snapshot>,
    pub(super) lately: Lately,
}

impl std::fmt::Debug for Repositories {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repositories").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}

impl Repositories {
    /// Whether a tar.gz could be the repository of a task: sound to its end, within the limits, nothing in it that has
    /// no place in a commit.
    pub async fn check_archive(&self, archive: Archive) -> Result<(), RepositoryError> {
        let limits = Limits { bytes: self.inner.settings.size_limit_bytes, files: self.inner.settings.file_limit };
        match archive {
            Archive::Bytes(bytes) => upload::check(io::Cursor::new(bytes), limits).await,
            Archive::File(path) => {
                let file = std::fs::File::open(path).map_err(super::git::io_error("reading an upload"))?;
                upload::check(file, limits).await
            }
        }
    }

    /// Makes nothing on disk yet.
    pub fn new(settings: RepositorySettings, policy: AddressPolicy) -> Self {
        let copying = tokio::sync::Semaphore::new(COPIES_AT_ONCE);
        let (lately, empty) = (Lately::new(settings.fresh), Arc::new(Snapshot::empty()));
        let (settings, mirrors) = (Arc::new(settings), Mutex::default());
        Self { inner: Arc::new(Inner { settings, policy, mirrors, copying, empty, lately }) }
    }

    /// [`validate_url`] with this service's policy and allowed directories.
    pub fn validate_url(&self, url: &str) -> Result<RepositoryUrl, SourceError> {
        validate_url(url, &self.inner.policy, &self.inner.settings.allow_local)
    }

    /// Finds the commit that `reference` (absent: HEAD) is at the remote now and has it here: asks the remote always,
    /// except for a whole commit id that is here, and fetches only what is missing.
    pub async fn resolve(&self, team: TeamId, url: &str, reference: Option<&str>) -> Result<Base, RepositoryError> {
        let base = self.resolve_origin(team, Origin::Url(url), reference).await?;
        if base.reference.is_some() {
            self.inner.lately.note(team, url, reference);
        }
        Ok(base)
    }

    /// The same for an upload: a git bundle, or a tar.gz, which is one commit on `main`.
    pub async fn resolve_upload(
        &self,
        team: TeamId,
        upload: UploadId,
        file: &Path,
        reference: Option<&str>,
    ) -> Result<Base, RepositoryError> {
        self.resolve_origin(team, Origin::Upload { upload, file }, reference).await
    }

    /// The base without a repository: no file, no commit.
    pub fn empty(&self) -> Base {
        let snapshot = Arc::clone(&self.inner.empty);
        let tree = snapshot.tree.id.to_oid();
        Base { commit: None, tree, reference: None, objects: None, snapshot, shallow: None, partial: false }
    }

    /// The base that a task started from, after a restart or on another host: no network where the mirror has
    /// the commit. `reference` is what [`Base::reference`] was.
    pub async fn reopen(
        &self,
        team: TeamId,
        origin: Origin<'_>,
        commit: &Oid,
        reference: Option<&str>,
    ) -> Result<Base, RepositoryError> {
        let mirror = self.mirror(team, origin)?;
        let missing = || RepositoryError::NoSuchRef { reference: commit.to_string() };
        let id = ObjectId::from_oid(commit).ok_or_else(missing)?;
        self.base(&mirror, id, reference.map(str::to_owned)).await
    }

    /// Every file of the base, sorted by path.
    pub async fn entries(&self, base: &Base) -> Result<Arc<[BaseEntry]>, RepositoryError> {
        std::future::ready(Ok(base.entries())).await
    }

    /// Writes a fresh working copy of `base` with `delta` laid over it into `directory`, which must not exist or be empty;
    /// where it fails, nothing of it is left. `contents` gives what the delta names. With `with_git`, git
    /// inside finds a clean checkout of the base's commit on a branch, and the delta as uncommitted changes.
    pub async fn materialize<C, F>(
        &self,
        base: &Base,
        delta: &TreeDelta,
        contents: C,
        directory: &Path,
        owner: Option<(u32, u32)>,
        with_git: bool,
    ) -> Result<(), RepositoryError>
    where
        C: Fn(BlobHash) -> F + Sync,
        F: Future<Output = io::Result<Bytes>> + Send,
    {
        let git = with_git.then(|| GitDirectory {
            reference: base.reference.clone(),
            commit: base.commit.as_ref().map(ToString::to_string),
            objects: INSIDE_OBJECTS.to_owned(),
            shallow: base.shallow.as_deref().map(<[u8]>::to_vec),
            partial: base.partial,
        });
        let changed = delta.changed.iter().map(|entry| entry.path.clone());
        let copy = Arc::new(Copy {
            directory: directory.to_owned(),
            snapshot: Arc::clone(&base.snapshot),
            left_out: changed.chain(delta.deleted.iter().cloned()).collect::<HashSet<_>>(),
            owner,
            git,
            inodes: base.snapshot.tree.entries.iter().map(|_| AtomicU64::new(0)).collect(),
        });
        let result = self.write_copy(&copy, delta, &contents).await;
        if result.is_err() {
            // what cannot be removed now, a sweep of the task's directories removes
            let _ = tokio::fs::remove_dir_all(directory).await;
        }
        result
    }

    /// Puts a copy that is complete where it belongs; nothing may be there.
    pub async fn put_in_place(&self, from: PathBuf, to: PathBuf) -> Result<(), RepositoryError> {
        blocking("putting a working copy in its place", move || laid_out::put_in_place(&from, &to)).await
    }

    /// The content of the file at `path` in `base` with `delta` laid over it; absent where there is none.
    pub async fn read_at<C, F>(
        &self,
        base: &Base,
        delta: &TreeDelta,
        path: &str,
        contents: C,
    ) -> Result<Option<Bytes>, RepositoryError>
    where
        C: Fn(BlobHash) -> F + Sync,
        F: Future<Output = io::Result<Bytes>> + Send,
    {
        if let Ok(at) = delta.changed.binary_search_by(|entry| entry.path.as_str().cmp(path)) {
            let content = contents(delta.changed[at].content.clone()).await;
            return content.map(Some).map_err(|error| RepositoryError::Content(Arc::new(error)));
        }
        if delta.deleted.binary_search_by(|deleted| deleted.as_str().cmp(path)).is_ok() {
            return Ok(None);
        }
        let (snapshot, path) = (Arc::clone(&base.snapshot), path.to_owned());
        let content = blocking("reading a file", move || snapshot.content(&path)).await?;
        Ok(content.map(Bytes::from))
    }

    /// Files of the base, in the order of `paths`; absent where there is none.
    pub async fn read_many(&self, base: &Base, paths: Vec<String>) -> Result<Vec<Option<Bytes>>, RepositoryError> {
        let snapshot = Arc::clone(&base.snapshot);
        blocking("reading files", move || {
            paths.iter().map(|path| Ok(snapshot.content(path)?.map(Bytes::from))).collect()
        })
        .await
    }

    /// The patch from one state to another, both differences from `base`; `git apply` takes it.
    pub async fn patch<C, F>(
        &self,
        base: &Base,
        from: &TreeDelta,
        to: &TreeDelta,
        contents: C,
    ) -> Result<Patch, RepositoryError>
    where
        C: Fn(BlobHash) -> F + Sync,
        F: Future<Output = io::Result<Bytes>> + Send,
    {
        patch::make(&self.inner.settings, base, (from, to), &contents).await
    }

    async fn resolve_origin(
        &self,
        team: TeamId,
        origin: Origin<'_>,
        reference: Option<&str>,
    ) -> Result<Base, RepositoryError> {
        if let Some(reference) = reference {
            validate_ref(reference)?;
        }
        let mirror = self.mirror(team, origin)?;
        let here = reference.and_then(|reference| reference.parse().ok()).filter(|commit| mirror.has(*commit));
        if let Some(commit) = here {
            return self.base(&mirror, commit, None).await;
        }
        match mirror.look_up(reference).await? {
            Found::Reference { commit, name } => {
                self.base(&mirror, commit, Some(name).filter(|name| !name.is_empty())).await
            }
            Found::CommitId(id) => {
                let commit = mirror.commit(&id).await?;
                self.base(&mirror, commit, None).await
            }
        }
    }

    async fn base(
        &self,
        mirror: &Arc<Mirror>,
        commit: ObjectId,
        reference: Option<String>,
    ) -> Result<Base, RepositoryError> {
        let snapshot = mirror.snapshot(commit).await?;
        Ok(Base {
            commit: Some(commit.to_oid()),
            tree: snapshot.tree.id.to_oid(),
            reference,
            objects: Some(mirror.objects()),
            shallow: mirror.shallow().await.map(Arc::from),
            partial: mirror.is_partial().await,
            snapshot,
        })
    }

    /// Uploads that have a mirror here.
    pub async fn uploads(&self) -> io::Result<Vec<(TeamId, UploadId)>> {
        let mirrors = self.inner.settings.data_dir.join("mirrors");
        let listed = tokio::task::spawn_blocking(move || {
            let entries = |path: &Path| match std::fs::read_dir(path) {
                Ok(entries) => entries.collect::<io::Result<Vec<_>>>(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
                Err(error) => Err(error),
            };
            let mut found = Vec::new();
            for team in entries(&mirrors)? {
                let Some(id) = team.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
                for mirror in entries(&team.path())? {
                    let name = mirror.file_name();
                    let upload = name.to_str().and_then(|name| name.strip_prefix("upload-")?.parse().ok());
                    found.extend(upload.map(|upload| (id, upload)));
                }
            }
            Ok(found)
        });
        listed.await.map_err(io::Error::other)?
    }

    /// Removes the mirror of an upload that is gone.
    pub async fn remove_upload(&self, team: TeamId, upload: UploadId) -> io::Result<()> {
        let inner = &self.inner;
        let directory = inner.settings.data_dir.join("mirrors").join(team.to_string()).join(format!("upload-{upload}"));
        inner.mirrors.lock().unwrap_or_else(PoisonError::into_inner).remove(&directory);
        match tokio::fs::remove_dir_all(directory).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    pub(super) fn mirror(&self, team: TeamId, origin: Origin<'_>) -> Result<Arc<Mirror>, RepositoryError> {
        let (name, origin) = match origin {
            Origin::Url(url) => {
                let url = self.validate_url(url)?;
                let name = BlobHash::of(url.to_string().as_bytes()).as_str()[..32].to_owned();
                (name, MirrorOrigin::Url(url))
            }
            Origin::Upload { upload, file } => (format!("upload-{upload}"), MirrorOrigin::Upload(file.to_owned())),
        };
        let inner = &self.inner;
        let directory = inner.settings.data_dir.join("mirrors").join(team.to_string()).join(name);
        let mut mirrors = inner.mirrors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mirror) = mirrors.get(&directory) {
            return Ok(Arc::clone(mirror));
        }
        if mirrors.len() >= OPEN_MIRRORS {
            // those that nobody is using cost a short look when they are wanted again
            mirrors.retain(|_, mirror| Arc::strong_count(mirror) > 1);
        }
        let mirror = Mirror::new(directory.clone(), team, origin, Arc::clone(&inner.settings), inner.policy.clone());
        let mirror = Arc::new(mirror);
        mirrors.insert(directory, Arc::clone(&mirror));
        Ok(mirror)
    }

    pub(super) fn data_dir(&self) -> &Path {
        &self.inner.settings.data_dir
    }

    async fn write_copy<C, F>(&self, copy: &Arc<Copy>, delta: &TreeDelta, contents: &C) -> Result<(), RepositoryError>
    where
        C: Fn(BlobHash) -> F + Sync,
        F: Future<Output = io::Result<Bytes>> + Send,
    {
        let closed = |_| RepositoryError::Git { doing: "writing a working copy", reason: "shut down".to_owned() };
        let _turn = self.inner.copying.acquire().await.map_err(closed)?;
        let base = Arc::clone(copy);
        joined(tokio::task::spawn_blocking(move || {
            laid_out::remove_mark(&base.directory)?;
            materialize::write_base(&base)
        }))
        .await?;
        // links last, so that no file is written through one
        let (links, files): (Vec<_>, Vec<_>) =
            delta.changed.iter().cloned().partition(|entry| entry.mode == super::tree::MODE_LINK);
        let mut contents = stream::iter(files.into_iter().chain(links))
            .map(|entry| async move {
                let content = contents(entry.content.clone()).await;
                let content = content.map_err(|error| RepositoryError::Content(Arc::new(error)))?;
                Ok::<_, RepositoryError>(Overlaid { path: entry.path, mode: entry.mode, content })
            })
            .buffered(READS_AT_ONCE);
        let mut batch = Vec::new();
        let mut bytes = 0;
        loop {
            let next = contents.try_next().await?;
            let ended = next.is_none();
            if let Some(file) = next {
                bytes += file.content.len();
                batch.push(file);
            }
            if (ended || bytes > BATCH_BYTES) && !batch.is_empty() {
                let (copy, files) = (Arc::clone(copy), std::mem::take(&mut batch));
                bytes = 0;
                joined(tokio::task::spawn_blocking(move || materialize::write_overlaid(&copy, &files))).await?;
            }
            if ended {
                let copy = Arc::clone(copy);
                return joined(tokio::task::spawn_blocking(move || laid_out::set_mark(&copy.directory, &copy.inodes)))
                    .await;
            }
        }
    }
}

async fn joined<T>(task: tokio::task::JoinHandle<Result<T, RepositoryError>>) -> Result<T, RepositoryError> {
    let cut_off =
        |error| RepositoryError::Io { doing: "writing a working copy", source: Arc::new(io::Error::other(error)) };
    task.await.map_err(cut_off)?
}

async fn blocking<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, RepositoryError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(io::Error::other).and_then(|done| done);
    done.map_err(super::git::io_error(doing))
}
