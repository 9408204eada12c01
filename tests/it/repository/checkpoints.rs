//! Checkpoints of real workspaces.

use super::{House, contents, git, url};
use crate::support::sandbox::{output, settings};
use journeyman::{
    clock,
    domain::{TaskId, event::TreeDelta},
    workspace::{
        OpenSandbox, RunCommand, SandboxLimits, Sandboxes, Workspace,
        checkpoint::{Checkpoint, TreeState},
        repository::Base,
    },
};
use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

struct Work {
    house: House,
    base: Base,
    copy: PathBuf,
    sandboxes: Sandboxes,
    task: TaskId,
}

impl Work {
    async fn new(files: &[(&str, &str)]) -> Self {
        let house = House::new();
        let remote = house.remote("one", files);
        let base = house.repositories.resolve(house.team, &url(&remote), None).await.unwrap();
        let sandboxes = Sandboxes::new(settings(&house.root.path().join("data"))).await.unwrap();
        let task: TaskId = clock::new_id();
        let copy = sandboxes.directory(task).copy();
        let work = Self { house, base, copy, sandboxes, task };
        work.lay_out(&TreeDelta::default(), &work.copy).await;
        work
    }

    async fn lay_out(&self, delta: &TreeDelta, directory: &Path) {
        let owner = self.sandboxes.owner_uid(self.task);
        let (repositories, contents) = (&self.house.repositories, self.house.blobs.reader());
        repositories.materialize(&self.base, delta, contents, directory, owner, true).await.unwrap();
    }

    async fn open(&self) -> Workspace {
        let open = OpenSandbox {
            task: self.task,
            copy: self.copy.clone(),
            mirrors: self.base.mount(),
            limits: SandboxLimits::default(),
            env: Vec::new(),
            image: None,
            tracked: self.base.tracked(),
            low_priority: false,
        };
        let workspace = self.sandboxes.open(open).await.unwrap();
        if let Some(laid_out) = self.base.laid_out(&self.copy).await {
            workspace.knows(laid_out).await;
        }
        workspace
    }

    /// Keeps a checkpoint's contents as the store does.
    fn keep(&self, checkpoint: &Checkpoint) {
        for (hash, content) in &checkpoint.new_blobs {
            assert_eq!(&self.house.blobs.put(content), hash);
        }
    }
}

#[tokio::test]
async fn git_inside_works_on_the_copy_and_finds_it_clean() {
    let work = Work::new(&[("a", "1\n"), ("dir/b", "2\n")]).await;
    let workspace = work.open().await;
    assert_eq!(output(&workspace, "git status --porcelain").await, "");
    assert_eq!(output(&workspace, "git log --format=%s").await, "a change\n");
    assert_eq!(output(&workspace, "git rev-parse HEAD").await.trim(), work.base.commit.as_ref().unwrap().as_str());
    output(&workspace, "echo 2 >> a && git commit -qam more && git show --stat && git gc -q").await;
    assert_eq!(output(&workspace, "git remote -v").await, "");
    output(&workspace, "! touch /run/mirror/x 2>/dev/null").await;
    workspace.close().await;
}

#[tokio::test]
async fn a_checkpoint_is_the_tree_that_git_would_write_and_can_be_laid_out_again() {
    let work =
        Work::new(&[("a", "1\n"), ("dir/b", "2\n"), ("dir/c", "3\n"), ("file", "f\n"), (".gitignore", "out/\n")]).await;
    let workspace = work.open().await;
    let mut state = TreeState::from(&work.base, &TreeDelta::default());
    let first = workspace.walk().await.unwrap();
    assert_eq!(state.absorb(first, &workspace).await.unwrap(), None, "nothing changed yet");
    let script = "printf 'A\\r\\n' > a; chmod +x a; rm dir/b; ln -s ../a dir/link; ln -s nowhere dangling; ln -s /etc/passwd host; \
        rm file; mkdir file; echo in > file/in; mkdir out; echo ignored > out/x; mkdir -p new/deep; head -c 300000 /dev/urandom > new/deep/bin; \
        printf x > 'na me \"ä\"'";
    output(&workspace, script).await;
    let walk = workspace.walk().await.unwrap();
    let checkpoint = state.absorb(walk, &workspace).await.unwrap().unwrap();
    work.keep(&checkpoint);
    assert_eq!(output(&workspace, "git add -A && git write-tree").await.trim(), checkpoint.tree.as_str());
    assert_eq!(state.delta(), checkpoint.delta);
    let again = work.house.root.path().join("again");
    work.lay_out(&checkpoint.delta, &again).await;
    let mut there = contents(&work.copy);
    there.remove("out/x").unwrap();
    assert_eq!(contents(&again), there);
    // a state made from the delta, in a sandbox that walks for the first time, finds the same
    workspace.close().await;
    let workspace = work.open().await;
    let mut restored = TreeState::from(&work.base, &checkpoint.delta);
    assert_eq!(restored.tree(), checkpoint.tree);
    let walk = workspace.walk().await.unwrap();
    assert_eq!(restored.absorb(walk, &workspace).await.unwrap(), None);
    // going back is a change too, with nothing new to keep
    output(&workspace, "git reset -q --hard HEAD && git clean -qfd").await;
    let walk = workspace.walk().await.unwrap();
    let back = restored.absorb(walk, &workspace).await.unwrap().unwrap();
    assert_eq!((back.tree, back.delta, back.new_blobs.len()), (work.base.tree.clone(), TreeDelta::default(), 0));
    workspace.close().await;
    let blobs = work.house.blobs.reader();
    let patch =
        work.house.repositories.patch(&work.base, &TreeDelta::default(), &checkpoint.delta, blobs).await.unwrap();
    std::fs::write(work.house.root.path().join("patch"), &patch.text).unwrap();
    let remote = work.house.root.path().join("remotes/one");
    git(&remote, &["apply", "--index", "--binary", "../../patch"]);
    assert_eq!(git(&remote, &["write-tree"]), checkpoint.tree.as_str());
}

#[tokio::test]
async fn files_that_change_while_they_are_read_are_taken_as_they_were_at_some_moment() {
    let work = Work::new(&[("a", "1\n")]).await;
    let workspace = work.open().await;
    let mut state = TreeState::from(&work.base, &TreeDelta::default());
    output(&workspace, "(while :; do date +%N > busy; echo x >> log; done) >/dev/null 2>&1 & sleep 0.1; echo 2 > a")
        .await;
    for _ in 0..3 {
        let walk = workspace.walk().await.unwrap();
        if let Some(checkpoint) = state.absorb(walk, &workspace).await.unwrap() {
            work.keep(&checkpoint);
            let again = work.house.root.path().join(checkpoint.tree.as_str());
            work.lay_out(&checkpoint.delta, &again).await;
            assert_eq!(std::fs::read(again.join("a")).unwrap(), b"2\n");
        }
    }
    workspace.close().await;
}

#[tokio::test]
async fn a_first_walk_does_not_read_what_is_as_it_was_laid_out() {
    let work = Work::new(&[("a", "1\n"), ("b", "2\n")]).await;
    // What no workspace can do: another content with the inode and the times of the first, older than the mark.
    let (file, mark) = (work.copy.join("a"), work.copy.with_file_name(".copy.laid-out"));
    let modified = std::fs::metadata(&file).unwrap().modified().unwrap();
    std::fs::write(&file, "X\n").unwrap();
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(modified).unwrap();
    let content = std::fs::read(&mark).unwrap();
    while ctime(&mark) <= ctime(&file) {
        std::fs::write(&mark, &content).unwrap();
    }
    let workspace = work.open().await;
    let mut state = TreeState::from(&work.base, &TreeDelta::default());
    let walk = workspace.walk().await.unwrap();
    assert_eq!(state.absorb(walk, &workspace).await.unwrap(), None, "it was not read");
    workspace.close().await;
}

#[tokio::test]
async fn a_first_walk_finds_what_was_changed_behind_the_times_of_files() {
    let files = [("a", "1\n"), ("b", "2\n"), ("one/f", "1\n"), ("two/f", "2\n"), ("x", "3\n"), ("y", "4\n")];
    let work = Work::new(&files).await;
    let workspace = work.open().await;
    // Same sizes and times of change; other directories with the old inodes; names that were swapped; modes.
    let script = "cp -p a /tmp/a; printf '9\\n' > a; touch -r /tmp/a a; mv one three; mv two one; mv three two; \
        mv x z; mv y x; mv z y; chmod +x b";
    output(&workspace, script).await;
    let mut state = TreeState::from(&work.base, &TreeDelta::default());
    let walk = workspace.walk().await.unwrap();
    let checkpoint = state.absorb(walk, &workspace).await.unwrap().unwrap();
    assert_eq!(
        output(&workspace, "rm .git/index; git add -A && git write-tree").await.trim(),
        checkpoint.tree.as_str()
    );
    let changed: Vec<&str> = checkpoint.delta.changed.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(changed, ["a", "b", "one/f", "two/f", "x", "y"]);
    workspace.close().await;
}

fn ctime(path: &Path) -> (i64, i64) {
    let metadata = std::fs::metadata(path).unwrap();
    (metadata.ctime(), metadata.ctime_nsec())
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_not_gone() {
    let work = Work::new(&[("a", "1\n"), ("closed/b", "2\n"), ("closed/deep/c", "3\n")]).await;
    let workspace = work.open().await;
    let mut state = TreeState::from(&work.base, &TreeDelta::default());
    output(&workspace, "chmod 0 closed").await;
    let first = workspace.walk().await.unwrap();
    assert!(first.first);
    assert_eq!(state.absorb(first, &workspace).await.unwrap(), None, "nothing is known to have changed");
    output(&workspace, "chmod 755 closed; chmod 0 .").await;
    let walk = workspace.walk().await.unwrap();
    assert_eq!(state.absorb(walk, &workspace).await.unwrap(), None, "nor here");
    // Nothing starts in a directory that cannot be entered.
    let mend = RunCommand {
        workdir: Some("/tmp".to_owned()),
        ..RunCommand::new("chmod 755 /workspace; rm /workspace/closed/b", Duration::from_secs(10))
    };
    workspace.run(mend, None).await.unwrap();
    let walk = workspace.walk().await.unwrap();
    let checkpoint = state.absorb(walk, &workspace).await.unwrap().unwrap();
    assert_eq!((checkpoint.delta.changed.len(), checkpoint.delta.deleted), (0, vec!["closed/b".to_owned()]));
    workspace.close().await;
}
