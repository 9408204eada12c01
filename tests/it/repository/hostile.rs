//! Repositories that mean harm.

use super::{House, commit, contents, enter, git, try_git, write};
use journeyman::{domain::event::TreeDelta, workspace::repository::RepositoryError};
use std::{
    io::Write,
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Stdio},
};

/// Feeds git on stdin.
fn git_with_input(directory: &Path, arguments: &[&str], input: &[u8]) -> String {
    #[expect(clippy::disallowed_methods, reason = "the tests' own git plays the attacker")]
    let mut command = Command::new("git");
    let mut child =
        command.current_dir(directory).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A commit on main whose tree is made of these raw entries, checked by nobody.
fn commit_raw_tree(repository: &Path, entries: &[(&str, &str, &str)]) {
    let mut tree = Vec::new();
    for (mode, name, oid) in entries {
        tree.extend_from_slice(format!("{mode} {name}\0").as_bytes());
        tree.extend((0..40).step_by(2).map(|at| u8::from_str_radix(&oid[at..at + 2], 16).unwrap()));
    }
    let tree = git_with_input(repository, &["hash-object", "-t", "tree", "-w", "--literally", "--stdin"], &tree);
    let made = try_git(repository, &["commit-tree", "-m", "evil", &tree]);
    let made = String::from_utf8(made.stdout).unwrap();
    git(repository, &["update-ref", "refs/heads/main", made.trim()]);
}

#[tokio::test]
async fn attributes_and_filters_of_the_repository_change_no_byte() {
    let house = House::new();
    let marker = house.root.path().join("marker");
    let remote =
        house.remote("one", &[("crlf.txt", "a\r\nb\r\n"), ("id", "$Id$\n"), ("utf16", "x\n"), ("bat.bat", "a\nb\n")]);
    let attributes =
        "* text=auto ident filter=evil diff=evil merge=evil\n*.bat eol=crlf\nutf16 working-tree-encoding=UTF-16\n";
    write(&remote, ".gitattributes", attributes);
    git(&remote, &["add", ".gitattributes"]);
    git(&remote, &["commit", "-qm", "attributes"]);
    git(&remote, &["config", "filter.evil.smudge", &format!("touch {}", marker.display())]);
    let base = house.resolve(&remote, None).await.unwrap();
    let copy = house.copy(&base, &TreeDelta::default(), "copy").await;
    let files = contents(&copy);
    assert_eq!(files["crlf.txt"].1, b"a\r\nb\r\n");
    assert_eq!(files["id"].1, b"$Id$\n");
    assert_eq!(files["utf16"].1, b"x\n");
    assert_eq!(files["bat.bat"].1, b"a\nb\n");
    assert!(!marker.exists());
}

#[tokio::test]
async fn configuration_and_hooks_of_a_local_remote_run_nothing() {
    let house = House::new();
    let marker = house.root.path().join("marker");
    let remote = house.remote("one", &[("a", "1")]);
    let script = house.root.path().join("evil.sh");
    std::fs::write(&script, format!("#!/bin/sh\ntouch {}\nexec \"$@\"\n", marker.display())).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let script = script.to_str().unwrap();
    for key in
        ["core.fsmonitor", "uploadpack.packObjectsHook", "core.alternateRefsCommand", "core.sshCommand", "core.pager"]
    {
        git(&remote, &["config", key, script]);
    }
    git(&remote, &["config", "core.hooksPath", house.root.path().to_str().unwrap()]);
    for hook in ["post-checkout", "reference-transaction", "post-index-change", "pre-auto-gc"] {
        std::fs::copy(script, house.root.path().join(hook)).unwrap();
        std::fs::copy(script, remote.join(".git/hooks").join(hook)).unwrap();
    }
    let base = house.resolve(&remote, None).await.unwrap();
    let copy = house.copy(&base, &TreeDelta::default(), "copy").await;
    assert_eq!(contents(&copy), contents(&remote));
    assert!(!marker.exists());
}

#[tokio::test]
async fn links_out_of_the_tree_are_links_and_nothing_is_written_through_them() {
    let house = House::new();
    let remote = house.remote("one", &[("a", "1")]);
    let outside = house.root.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, remote.join("d")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", remote.join("passwd")).unwrap();
    commit(&remote, &[]);
    let base = house.resolve(&remote, None).await.unwrap();
    assert_eq!(base.read("passwd").unwrap().unwrap(), b"/etc/passwd");
    let through = TreeDelta { changed: vec![house.blobs.entry("d/planted", 0o100_644, b"x")], deleted: Vec::new() };
    let path = house.root.path().join("copy");
    let written = house.repositories.materialize(&base, &through, house.blobs.reader(), &path, None, true).await;
    assert!(written.is_err());
    assert!(!path.exists(), "nothing half done is left");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    let copy = house.copy(&base, &TreeDelta::default(), "copy").await;
    assert_eq!(std::fs::read_link(copy.join("d")).unwrap(), outside);
}

#[tokio::test]
async fn a_delta_cannot_write_into_git_or_out_of_the_copy() {
    let house = House::new();
    let base = house.repositories.empty();
    for path in [".git/config", ".GIT/config", "a/.git", "../x", "a/../../x", "/etc/x", "", "a//b", "./a", "a/."] {
        let delta = TreeDelta { changed: vec![house.blobs.entry(path, 0o100_644, b"x")], deleted: Vec::new() };
        let copy = house.root.path().join("copy");
        let written = house.repositories.materialize(&base, &delta, house.blobs.reader(), &copy, None, true).await;
        assert!(matches!(written, Err(RepositoryError::Unusable { .. })), "{path:?}: {written:?}");
    }
}

#[tokio::test]
async fn trees_with_impossible_paths_are_refused() {
    for names in [["..", "a"], [".git", "a"], [".GIT", "a"], ["a/b", "c"], [".", "a"], ["a", "a"], ["git~1", "x"]] {
        let house = House::new();
        let remote = house.remote("one", &[("a", "1")]);
        let blob = git(&remote, &["rev-parse", "HEAD:a"]);
        commit_raw_tree(&remote, &names.map(|name| ("100644", name, blob.as_str())));
        let error = house.resolve(&remote, None).await.unwrap_err();
        assert!(error.is_remote(), "{names:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_small_pack_that_unfolds_to_billions_of_files_is_refused() {
    let house = House::new();
    let remote = house.remote("one", &[("a", "1")]);
    let mut tree = git(&remote, &["rev-parse", "HEAD^{tree}"]);
    for _ in 0..10 {
        let lines: Vec<String> = (0..10).map(|n| format!("040000 tree {tree}\td{n}\n")).collect();
        tree = git_with_input(&remote, &["mktree"], lines.concat().as_bytes());
    }
    let made = git(&remote, &["commit-tree", "-m", "bomb", &tree]);
    git(&remote, &["update-ref", "refs/heads/main", &made]);
    let error = house.resolve(&remote, None).await.unwrap_err();
    assert!(matches!(error, RepositoryError::TooLarge { .. }), "{error:?}");
}

#[tokio::test]
async fn submodules_are_empty_directories_whatever_their_url() {
    let house = House::new();
    let marker = house.root.path().join("marker");
    let remote = house.remote("one", &[("a", "1")]);
    let head = git(&remote, &["rev-parse", "HEAD"]);
    git(&remote, &["update-index", "--add", "--cacheinfo", &format!("160000,{head},sub/module")]);
    write(
        &remote,
        ".gitmodules",
        format!("[submodule \"x\"]\n\tpath = sub/module\n\turl = ext::touch {}\n", marker.display()),
    );
    git(&remote, &["add", ".gitmodules"]);
    git(&remote, &["commit", "-qm", "sub"]);
    let base = house.resolve(&remote, None).await.unwrap();
    let copy = house.copy(&base, &TreeDelta::default(), "copy").await;
    assert_eq!(std::fs::read_dir(copy.join("sub/module")).unwrap().count(), 0);
    enter(&base, &copy);
    assert_eq!(git(&copy, &["status", "--porcelain"]), "");
    assert!(!marker.exists());
    // a delta elsewhere keeps the submodule in the tree
    let delta = TreeDelta { changed: vec![house.blobs.entry("sub/b", 0o100_644, b"b")], deleted: Vec::new() };
    let patch = house.repositories.patch(&base, &TreeDelta::default(), &delta, house.blobs.reader()).await.unwrap();
    assert_eq!(patch.stat.files, 1);

    commit(&remote, &[(".gitmodules", "[submodule \"x\"]\n\tpath = sub/module\n\turl = --upload-pack=evil\n")]);
    let error = house.resolve(&remote, None).await.unwrap_err();
    assert!(matches!(&error, RepositoryError::Unreachable { reason } if reason.contains("fsck")), "{error:?}");
}

#[tokio::test]
async fn what_looks_like_an_option_is_refused_before_git_sees_it() {
    let house = House::new();
    for url in [
        "--upload-pack=touch x",
        "-x",
        "ext::sh -c x",
        "ext::x",
        "fd::17",
        "file:///etc",
        "/etc",
        "git://h/x",
        "h:-x",
        "-h:x",
        "ssh://-oProxyCommand=x/y",
        "../x",
        "x",
    ] {
        let error = house.repositories.resolve(house.team, url, None).await.unwrap_err();
        assert!(matches!(error, RepositoryError::Source(_)), "{url}: {error:?}");
    }
    let remote = house.remote("one", &[("a", "1")]);
    for reference in [
        "--output=x",
        "-x",
        "a b",
        "a..b",
        "a^",
        "a~1",
        "a:b",
        "a*",
        "@{u}",
        "a.lock",
        "/a",
        "a/",
        "a//b",
        ".a",
        "a\\b",
        "a\u{1}",
        "",
    ] {
        let error = house.resolve(&remote, Some(reference)).await.unwrap_err();
        assert!(matches!(error, RepositoryError::Source(_)), "{reference}: {error:?}");
    }
}

#[tokio::test]
async fn what_a_workspace_writes_into_its_git_reaches_no_mirror() {
    let house = House::new();
    let remote = house.remote("one", &[("a", "1")]);
    let base = house.resolve(&remote, None).await.unwrap();
    let objects = base.mount()[0].0.clone();
    let listed = |directory: &Path| {
        let mut names: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = listed(&objects);
    let copy = house.copy(&base, &TreeDelta::default(), "copy").await;
    enter(&base, &copy);
    commit(&copy, &[("b", "2")]);
    git(&copy, &["gc", "-q", "--prune=now"]);
    assert_eq!(listed(&objects), before);
    // files are copies: writing one changes nothing for the next copy
    write(&copy, "a", "changed");
    let next = house.copy(&base, &TreeDelta::default(), "next").await;
    assert_eq!(std::fs::read(next.join("a")).unwrap(), b"1");
}

#[tokio::test]
async fn a_repository_of_another_user_is_read_by_root_and_nothing_else_is_trusted() {
    if !is_root() {
        return;
    }
    let house = House::new();
    let remote = house.remote("one", &[("a", "1")]);
    let status = {
        #[expect(clippy::disallowed_methods, reason = "the test changes owners")]
        Command::new("chown").args(["-R", "12345:12345"]).arg(&remote).status().unwrap()
    };
    assert!(status.success());
    let base = house.resolve(&remote, None).await.unwrap();
    assert_eq!(base.read("a").unwrap().unwrap(), b"1");
    for entry in std::fs::read_dir(house.root.path().join("data/mirrors/trust")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(text.contains(remote.to_str().unwrap()) && !text.contains('*'), "{text}");
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

#[tokio::test]
async fn copies_belong_to_the_owner_that_was_asked_for() {
    if !is_root() {
        return;
    }
    let house = House::new();
    let remote = house.remote("one", &[("d/a", "1")]);
    std::os::unix::fs::symlink("a", remote.join("d/l")).unwrap();
    commit(&remote, &[]);
    let base = house.resolve(&remote, None).await.unwrap();
    let delta = TreeDelta { changed: vec![house.blobs.entry("n/b", 0o100_644, b"b")], deleted: Vec::new() };
    let copy = house.root.path().join("copy");
    let owner = Some((23_456, 23_457));
    house.repositories.materialize(&base, &delta, house.blobs.reader(), &copy, owner, true).await.unwrap();
    belongs_to_the_task(&copy);
}

fn belongs_to_the_task(path: &Path) {
    let metadata = path.symlink_metadata().unwrap();
    assert_eq!(
        (metadata.uid(), metadata.gid(), metadata.nlink() > 1 && !metadata.is_dir()),
        (23_456, 23_457, false),
        "{path:?}"
    );
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            belongs_to_the_task(&entry.unwrap().path());
        }
    }
}
