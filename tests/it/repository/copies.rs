//! Working copies, reads and patches.

use super::{House, commit, contents, enter, git, write};
use journeyman::{
    domain::event::{DeltaEntry, TreeDelta},
    workspace::checkpoint::TreeState,
};
use proptest::{
    prelude::{Just, Strategy, any, prop_oneof},
    test_runner::{Config, TestRunner},
};
use std::{collections::BTreeMap, os::unix::fs::PermissionsExt};

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
    enter(&base, &copy);
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
    enter(&base, &copy);
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

type Files = BTreeMap<String, (u32, Vec<u8>)>;

/// Names that have troubled somebody: quotes, spaces, umlauts, tabs, leading dashes and dots, sorting around `/`.
fn file_names() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "[a-c]",
        Just("a.b".to_owned()),
        Just("a-".to_owned()),
        Just("-x".to_owned()),
        "[ä\"\\\\'\t ]{1,3}",
        Just(".hidden".to_owned())
    ];
    proptest::collection::vec(part, 1..4).prop_map(|parts| parts.join("/"))
}

fn files() -> impl Strategy<Value = Files> {
    let text = prop_oneof![
        Just(Vec::new()),
        "([a-c]{0,3}\n){0,6}[a-c]{0,2}".prop_map(String::into_bytes),
        "([a-c]{0,3}\r\n){1,4}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..40),
    ];
    let file = (prop_oneof![Just(0o100_644), Just(0o100_644), Just(0o100_755)], text);
    // Of names that no file has: links in a circle are beyond `git apply` itself where a directory takes their place.
    let link = "z[a-c/.]{0,5}".prop_map(|target| (0o120_000, target.into_bytes()));
    let entry = prop_oneof![5 => file, 1 => link];
    proptest::collection::btree_map(file_names(), entry, 0..10).prop_map(without_conflicts)
}

/// Where a name is a file and a directory, the file stays.
fn without_conflicts(files: Files) -> Files {
    let names: Vec<String> = files.keys().cloned().collect();
    let below_a_file = |name: &str| names.iter().any(|other| name.starts_with(&format!("{other}/")));
    files.into_iter().filter(|(name, _)| !below_a_file(name)).collect()
}

fn lay_out(directory: &std::path::Path, files: &Files) {
    for (path, (mode, content)) in files {
        let path = directory.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        if *mode == 0o120_000 {
            std::os::unix::fs::symlink(std::str::from_utf8(content).unwrap(), path).unwrap();
        } else {
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode & 0o777)).unwrap();
        }
    }
}

fn delta(house: &House, base: &Files, files: &Files) -> TreeDelta {
    let differs = |(path, file): &(&String, &(u32, Vec<u8>))| base.get(*path) != Some(*file);
    let entry =
        |(path, (mode, content)): (&String, &(u32, Vec<u8>))| -> DeltaEntry { house.blobs.entry(path, *mode, content) };
    TreeDelta {
        changed: files.iter().filter(differs).map(entry).collect(),
        deleted: base.keys().filter(|path| !files.contains_key(*path)).cloned().collect(),
    }
}

#[test]
fn whatever_the_trees_the_patch_applies_and_tree_ids_are_gits_own() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Config { cases: 40, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&(files(), files(), files()), |(old, middle, new)| {
            let house = House::new();
            let remote = house.remote("one", &[]);
            lay_out(&remote, &old);
            commit(&remote, &[]);
            runtime.block_on(async {
                let base = house.resolve(&remote, None).await.unwrap();
                let (first, second) = (delta(&house, &old, &middle), delta(&house, &old, &new));
                let patches = house.repositories.clone();
                let to_middle =
                    patches.patch(&base, &TreeDelta::default(), &first, house.blobs.reader()).await.unwrap();
                let to_new = patches.patch(&base, &first, &second, house.blobs.reader()).await.unwrap();
                for (patch, state) in [(to_middle, &first), (to_new, &second)] {
                    if !patch.text.is_empty() {
                        write(house.root.path(), "patch", &patch.text);
                        git(&remote, &["apply", "--index", "--binary", "../../patch"]);
                    }
                    assert_eq!(TreeState::from(&base, state).tree().as_str(), git(&remote, &["write-tree"]));
                }
                let copy = house.copy(&base, &second, "copy").await;
                assert_eq!(contents(&copy), new);
                assert_eq!(contents(&remote), new);
            });
            Ok(())
        })
        .unwrap();
}
