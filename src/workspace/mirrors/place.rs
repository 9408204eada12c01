//! Where a mirror is on disk: its repository, its snapshots, and keeping both tidy.

use crate::workspace::{
    git::{Git, io_error, own_failure},
    objects::ObjectId,
    repository::RepositoryError,
    snapshot::Snapshot,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// How many snapshots of one mirror stay on disk.
const KEPT_SNAPSHOTS: usize = 8;
/// From more on, packs are put together.
const PACKS_MAX: usize = 50;
const TIDY_TIME: Duration = Duration::from_secs(600);

pub(super) struct Place {
    directory: PathBuf,
}

impl Place {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Whether `commit` was brought here by an earlier fetch.
    pub(super) fn has(&self, commit: ObjectId) -> bool {
        self.repository().join(format!("refs/commits/{commit}")).is_file()
    }

    pub(super) fn repository(&self) -> PathBuf {
        self.directory.join("repository.git")
    }

    pub(super) fn snapshots(&self) -> PathBuf {
        self.directory.join("snapshots")
    }

    /// Makes the repository where there is none.
    pub(super) async fn ensure(&self) -> Result<(), RepositoryError> {
        ensure_repository(&self.repository()).await
    }

    /// Whether one of the commits that were brought here is still whole at a glance.
    pub(super) async fn is_sound(&self) -> bool {
        let commits = std::fs::read_dir(self.repository().join("refs/commits"));
        let any = commits.ok().and_then(|mut names| names.next()).and_then(Result::ok);
        let Some(name) = any.and_then(|entry| entry.file_name().into_string().ok()) else { return true };
        let arguments = ["cat-file".to_owned(), "-e".to_owned(), format!("{name}^{{tree}}")];
        Git::new(Some(&self.repository()), arguments).output().await.is_ok()
    }

    /// The commit that `name` is here, if it is one.
    pub(super) async fn parse_commit(&self, name: &str) -> Option<ObjectId> {
        let name = format!("{name}^{{commit}}");
        let arguments = ["rev-parse", "--verify", "--quiet", "--end-of-options", &name];
        let output = Git::new(Some(&self.repository()), arguments).output().await.ok()?;
        String::from_utf8(output).ok()?.trim().parse().ok()
    }

    /// Marks a commit that is here as brought here.
    pub(super) async fn keep(&self, commit: ObjectId) -> Result<(), RepositoryError> {
        let name = format!("refs/commits/{commit}");
        let git = Git::new(Some(&self.repository()), ["update-ref", &name, &commit.to_string()]);
        git.output().await.map(drop).map_err(own_failure("keeping a commit"))
    }

    /// Removes half-written packs and the locks of a git that was killed. The caller holds `writing`, so no git of
    /// ours is at work.
    pub(super) async fn clear_leftovers(&self) {
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
            remove(&repository, |name| name.strip_suffix(".lock").is_some() || name.starts_with("fast_import_crash"));
            remove(&repository.join("refs/commits"), |name| name.strip_suffix(".lock").is_some());
        });
        if cleared.await.is_err() {
            tracing::warn!("clearing a mirror was cut off");
        }
    }

    /// Takes the repository and its snapshots away.
    pub(super) async fn discard(&self) -> Result<(), RepositoryError> {
        tracing::warn!(mirror = %self.directory.display(), "a mirror that is broken or empty is taken away");
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

    /// Puts packs together where there are many: each costs every look-up in the mirror, and inside workspaces. The
    /// caller holds `writing`.
    pub(super) async fn tidy(&self) {
        let packs = self.repository().join("objects/pack");
        let count = tokio::task::spawn_blocking(move || {
            let is_pack =
                |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|extension| extension == "pack");
            std::fs::read_dir(packs).into_iter().flatten().flatten().filter(is_pack).count()
        });
        if count.await.unwrap_or_default() <= PACKS_MAX {
            return;
        }
        // Nothing is left out and nothing made smaller: only what is in small packs goes into a larger one.
        let arguments = ["repack", "-d", "-q", "--geometric=2", "--no-write-bitmap-index"];
        let git = Git::new(Some(&self.repository()), arguments).config("pack.threads", "1").timeout(TIDY_TIME);
        if let Err(failure) = git.output().await {
            let error = own_failure("putting packs together")(failure);
            tracing::warn!(%error, "the packs of a mirror could not be put together");
            self.clear_leftovers().await;
        }
    }

    /// Keeps the newest snapshots on disk.
    pub(super) async fn prune(&self, newest: &Path) {
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

/// Opens a snapshot, if it is there and whole.
pub(super) async fn open(path: PathBuf) -> Option<Arc<Snapshot>> {
    let opened = tokio::task::spawn_blocking(move || Snapshot::open(&path));
    opened.await.ok().flatten().map(Arc::new)
}

/// Makes an empty bare repository where there is none: no template, no hook, no git needed.
pub(super) async fn ensure_repository(path: &Path) -> Result<(), RepositoryError> {
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
