//! Tests of repositories: mirrors, working copies, checkpoints, patches, uploads; real git everywhere.

mod checkpoints;
mod copies;
mod fresh;
mod hostile;
mod partial;
mod private;
mod remotes;
mod served;
pub(crate) mod servers;
mod uploads;

use bytes::Bytes;
use journeyman::{
    clock,
    domain::{
        BlobHash, TeamId,
        event::{DeltaEntry, TreeDelta},
    },
    net::AddressPolicy,
    workspace::{
        objects::ObjectId,
        repository::{Base, Repositories, RepositoryError, RepositorySettings},
    },
};
use std::{
    collections::{BTreeMap, HashMap},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Output,
    sync::{Arc, Mutex},
};
use tempfile::TempDir;

/// A service's repositories with a directory of remotes that it may use.
pub(crate) struct House {
    pub(crate) root: TempDir,
    pub(crate) repositories: Repositories,
    pub(crate) team: TeamId,
    pub(crate) blobs: Blobs,
}

/// Contents by hash, as the store has them.
#[derive(Clone, Default)]
pub(crate) struct Blobs(Arc<Mutex<HashMap<BlobHash, Bytes>>>);

impl Blobs {
    pub(super) fn put(&self, content: &[u8]) -> BlobHash {
        let hash = BlobHash::of(content);
        self.0.lock().unwrap().insert(hash.clone(), Bytes::copy_from_slice(content));
        hash
    }

    pub(super) fn get(&self, hash: &BlobHash) -> io::Result<Bytes> {
        self.0.lock().unwrap().get(hash).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn reader(&self) -> impl Fn(BlobHash) -> std::future::Ready<io::Result<Bytes>> + Sync + use<> {
        let blobs = self.clone();
        move |hash| std::future::ready(blobs.get(&hash))
    }

    pub(super) fn entry(&self, path: &str, mode: u32, content: &[u8]) -> DeltaEntry {
        let oid = ObjectId::of_blob(content).to_oid();
        DeltaEntry { path: path.to_owned(), mode, oid, content: self.put(content) }
    }
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut RepositorySettings)) -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("remotes")).unwrap();
        let mut settings = RepositorySettings::new(root.path().join("data"));
        settings.allow_local = vec![root.path().join("remotes")];
        change(&mut settings);
        let repositories = Repositories::new(settings, AddressPolicy::default());
        Self { root, repositories, team: clock::new_id(), blobs: Blobs::default() }
    }

    /// A new repository with a first commit of these files.
    pub(crate) fn remote(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let path = self.root.path().join("remotes").join(name);
        std::fs::create_dir_all(&path).unwrap();
        git(&path, &["init", "-q", "-b", "main"]);
        if !files.is_empty() {
            commit(&path, files);
        }
        path
    }

    pub(super) async fn resolve(&self, remote: &Path, reference: Option<&str>) -> Result<Base, RepositoryError> {
        self.repositories.resolve(self.team, &url(remote), reference).await
    }

    pub(super) async fn copy(&self, base: &Base, delta: &TreeDelta, name: &str) -> PathBuf {
        let path = self.root.path().join(name);
        self.repositories.materialize(base, delta, self.blobs.reader(), &path, None, true).await.unwrap();
        path
    }
}

/// The copy as a workspace sees it: the mirror's objects are where its `.git` looks for them.
pub(super) fn enter(base: &Base, copy: &Path) {
    let alternates = copy.join(".git/objects/info/alternates");
    if alternates.exists() {
        std::fs::write(alternates, format!("{}\n", base.mount()[0].0.display())).unwrap();
    }
}

pub(super) fn url(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// git as a person at a terminal has it, without this machine's configuration.
pub(crate) fn try_git(directory: &Path, arguments: &[&str]) -> Output {
    #[expect(clippy::disallowed_methods, reason = "the tests' own git plays the remote and the person")]
    let mut command = std::process::Command::new("git");
    command
        .current_dir(directory)
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .envs([("GIT_AUTHOR_NAME", "A"), ("GIT_AUTHOR_EMAIL", "a@b"), ("GIT_AUTHOR_DATE", "1700000000 +0000")])
        .envs([("GIT_COMMITTER_NAME", "A"), ("GIT_COMMITTER_EMAIL", "a@b"), ("GIT_COMMITTER_DATE", "1700000000 +0000")])
        .output()
        .unwrap()
}

pub(crate) fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = try_git(directory, arguments);
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

pub(super) fn write(directory: &Path, path: &str, content: impl AsRef<[u8]>) {
    let path = directory.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

pub(crate) fn commit(repository: &Path, files: &[(&str, &str)]) -> String {
    for (path, content) in files {
        write(repository, path, content);
    }
    git(repository, &["add", "-A", "-f"]);
    git(repository, &["commit", "-q", "--allow-empty", "-m", "a change"]);
    git(repository, &["rev-parse", "HEAD"])
}

/// What a tree is in the simplest form: mode and content by path.
pub(super) fn contents(directory: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    fn walk(root: &Path, directory: &Path, into: &mut BTreeMap<String, (u32, Vec<u8>)>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let metadata = path.symlink_metadata().unwrap();
            if name == ".git" {
            } else if metadata.is_dir() {
                walk(root, &path, into);
            } else if metadata.is_symlink() {
                let target = std::fs::read_link(&path).unwrap();
                into.insert(name, (0o120_000, target.to_str().unwrap().into()));
            } else {
                let mode = if metadata.mode() & 0o100 == 0 { 0o100_644 } else { 0o100_755 };
                into.insert(name, (mode, std::fs::read(&path).unwrap()));
            }
        }
    }
    let mut all = BTreeMap::new();
    walk(directory, directory, &mut all);
    all
}
