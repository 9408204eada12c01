//! Tests of repositories: mirrors, working copies, checkpoints, patches, uploads; real git everywhere.

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
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Output,
    sync::{Arc, Mutex},
};
use tempfile::TempDir;

/// A service's repositories with a directory of remotes that it may use.
struct House {
    root: TempDir,
    repositories: Repositories,
    team: TeamId,
    blobs: Blobs,
}

/// Contents by hash, as the store has them.
#[derive(Clone, Default)]
struct Blobs(Arc<Mutex<HashMap<BlobHash, Bytes>>>);

impl Blobs {
    fn put(&self, content: &[u8]) -> BlobHash {
        let hash = BlobHash::of(content);
        self.0.lock().unwrap().insert(hash.clone(), Bytes::copy_from_slice(content));
        hash
    }

    fn get(&self, hash: &BlobHash) -> io::Result<Bytes> {
        self.0.lock().unwrap().get(hash).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn reader(&self) -> impl Fn(BlobHash) -> std::future::Ready<io::Result<Bytes>> + Sync + use<> {
        let blobs = self.clone();
        move |hash| std::future::ready(blobs.get(&hash))
    }

    fn entry(&self, path: &str, mode: u32, content: &[u8]) -> DeltaEntry {
        let oid = ObjectId::of_blob(content).to_oid();
        DeltaEntry { path: path.to_owned(), mode, oid, content: self.put(content) }
    }
}

impl House {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut RepositorySettings)) -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("remotes")).unwrap();
        let mut settings = RepositorySettings::new(root.path().join("data"));
        settings.allow_local = vec![root.path().join("remotes")];
        change(&mut settings);
        let repositories = Repositories::new(settings, AddressPolicy::default());
        Self { root, repositories, team: clock::new_id(), blobs: Blobs::default() }
    }

    /// A new repository with a first commit of these files.
    fn remote(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let path = self.root.path().join("remotes").join(name);
        std::fs::create_dir_all(&path).unwrap();
        git(&path, &["init", "-q", "-b", "main"]);
        if !files.is_empty() {
            commit(&path, files);
        }
        path
    }

    async fn resolve(&self, remote: &Path, reference: Option<&str>) -> Result<Base, RepositoryError> {
        self.repositories.resolve(self.team, &url(remote), reference).await
    }

    async fn copy(&self, base: &Base, delta: &TreeDelta, name: &str) -> PathBuf {
        let path = self.root.path().join(name);
        self.repositories.materialize(base, delta, self.blobs.reader(), &path, None, true).await.unwrap();
        path
    }

    /// The copy as a workspace sees it: the mirror's objects are where its `.git` looks for them.
    fn enter(&self, base: &Base, copy: &Path) {
        let alternates = copy.join(".git/objects/info/alternates");
        if alternates.exists() {
            std::fs::write(alternates, format!("{}\n", base.mount()[0].0.display())).unwrap();
        }
    }
}

fn url(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// git as a person at a terminal has it, without this machine's configuration.
fn try_git(directory: &Path, arguments: &[&str]) -> Output {
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

fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = try_git(directory, arguments);
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn write(directory: &Path, path: &str, content: impl AsRef<[u8]>) {
    let path = directory.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

fn commit(repository: &Path, files: &[(&str, &str)]) -> String {
    for (path, content) in files {
        write(repository, path, content);
    }
    git(repository, &["add", "-A", "-f"]);
    git(repository, &["commit", "-q", "--allow-empty", "-m", "a change"]);
    git(repository, &["rev-parse", "HEAD"])
}

/// What a tree is in the simplest form: mode and content by path.
fn contents(directory: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
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

#[tokio::test]
async fn a_copy_is_the_commit_and_git_finds_it_clean_without_reading_a_file() {
    let house = House::new();
    let remote = house.remote("one", &[("README", "hello\n"), ("src/deep/er/a.txt", "a\r\nb"), ("src/b", "")]);
    std::fs::set_permissions(remote.join("src/b"), PermissionsExt::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("../README", remote.join("src/link")).unwrap();
    let head = commit(&remote, &[]);
    let base = house.resolve(&remote, None).await.unwrap();
    assert_eq!(base.commit.as_ref().unwrap().as_str(), head);
    assert_eq!(base.tree.as_str(), git(&remote, &["rev-parse", "HEAD^{tree}"]));
    assert_eq!(base.reference.as_deref(), Some("refs/heads/main"));
    let copy = house.copy(&base, &TreeDelta::default(), "copy").await;
    assert_eq!(contents(&copy), contents(&remote));
    house.enter(&base, &copy);
    assert_eq!(git(&copy, &["diff-files", "--raw"]), "", "the index knows every file's stat");
    assert_eq!(git(&copy, &["status", "--porcelain"]), "");
    assert_eq!(git(&copy, &["rev-parse", "HEAD"]), head);
    assert_eq!(git(&copy, &["branch", "--show-current"]), "main");
    assert_eq!(git(&copy, &["write-tree"]), base.tree.as_str());
    assert_eq!(git(&copy, &["fsck", "--no-dangling"]), "");
    write(&copy, "src/b", "changed");
    assert_eq!(git(&copy, &["status", "--porcelain"]), " M src/b");
    git(&copy, &["commit", "-qam", "work"]);
    assert_eq!(git(&copy, &["rev-list", "--count", "HEAD"]), "3");
}

#[tokio::test]
async fn a_delta_is_laid_over_the_copy_and_is_uncommitted_there() {
    let house = House::new();
    let remote = house.remote("one", &[("a", "a\n"), ("dir/b", "b\n"), ("dir/c", "c\n"), ("gone/d", "d\n")]);
    let base = house.resolve(&remote, Some("main")).await.unwrap();
    let blobs = &house.blobs;
    let delta = TreeDelta {
        changed: vec![
            blobs.entry("a", 0o100_755, b"A\n"),
            blobs.entry("dir", 0o120_000, b"gone"),
            blobs.entry("new/e", 0o100_644, b"e"),
        ],
        deleted: vec!["dir/b".into(), "dir/c".into(), "gone/d".into()],
    };
    let copy = house.copy(&base, &delta, "copy").await;
    let expected = BTreeMap::from([
        ("a".to_owned(), (0o100_755, b"A\n".to_vec())),
        ("dir".to_owned(), (0o120_000, b"gone".to_vec())),
        ("new/e".to_owned(), (0o100_644, b"e".to_vec())),
    ]);
    assert_eq!(contents(&copy), expected);
    house.enter(&base, &copy);
    assert_eq!(git(&copy, &["status", "--porcelain"]), " M a\n D dir/b\n D dir/c\n D gone/d\n?? dir\n?? new/");
    let read = house.repositories.read_at(&base, &delta, "dir", blobs.reader()).await.unwrap();
    assert_eq!(read.as_deref(), Some(&b"gone"[..]));
    assert_eq!(house.repositories.read_at(&base, &delta, "gone/d", blobs.reader()).await.unwrap(), None);
}

#[tokio::test]
async fn a_patch_applies_to_the_base_and_gives_the_tree() {
    let house = House::new();
    let remote = house.remote(
        "one",
        &[("a", "a\n"), ("crlf", "x\r\ny\r\n"), ("dir/b", "b"), (".gitattributes", "* text=auto -diff\n")],
    );
    let base = house.resolve(&remote, None).await.unwrap();
    let blobs = &house.blobs;
    let delta = TreeDelta {
        changed: vec![
            blobs.entry("bin", 0o100_644, b"\0\x01\x02binary"),
            blobs.entry("crlf", 0o100_644, b"x\r\ny\n\xc3\xa4"),
            blobs.entry("na me \"ä\"\t", 0o100_755, b"no newline"),
        ],
        deleted: vec!["dir/b".into()],
    };
    let patch = house.repositories.patch(&base, &TreeDelta::default(), &delta, blobs.reader()).await.unwrap();
    assert_eq!((patch.stat.files, patch.stat.additions, patch.stat.deletions), (4, 3, 2));
    write(house.root.path(), "patch", &patch.text);
    git(&remote, &["apply", "--index", "--binary", "../../patch"]);
    let copy = house.copy(&base, &delta, "copy").await;
    assert_eq!(contents(&remote), contents(&copy));
    let back = house.repositories.patch(&base, &delta, &TreeDelta::default(), blobs.reader()).await.unwrap();
    write(house.root.path(), "back", &back.text);
    git(&remote, &["apply", "--index", "--binary", "../../back"]);
    assert_eq!(git(&remote, &["write-tree"]), base.tree.as_str());
    let none = house.repositories.patch(&base, &delta, &delta, blobs.reader()).await.unwrap();
    assert_eq!(none.text, b"");
}

#[tokio::test]
async fn a_base_can_be_empty() {
    let house = House::new();
    let base = house.repositories.empty();
    assert_eq!(base.tree.as_str(), "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
    let delta = TreeDelta { changed: vec![house.blobs.entry("a", 0o100_644, b"a\n")], deleted: Vec::new() };
    let copy = house.copy(&base, &delta, "copy").await;
    assert_eq!(git(&copy, &["status", "--porcelain"]), "?? a");
    let patch = house.repositories.patch(&base, &TreeDelta::default(), &delta, house.blobs.reader()).await.unwrap();
    assert!(String::from_utf8(patch.text).unwrap().contains("\n+a\n"));
}
