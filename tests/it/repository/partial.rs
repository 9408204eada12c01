//! Mirrors that leave large contents of earlier commits at the remote.

use super::{House, contents, enter, git, try_git};
use journeyman::{
    domain::event::TreeDelta,
    workspace::repository::{Base, RepositoryError},
};
use std::path::{Path, PathBuf};

const LARGE: usize = 200_000;

fn large(letter: char) -> String {
    letter.to_string().repeat(LARGE)
}

/// Contents from 100,000 bytes on are left out.
fn house() -> House {
    House::with(|settings| settings.leave_out_from_bytes = 100_000)
}

/// Three commits: a large file, another in its place, small changes.
fn remote(house: &House, filters: bool) -> PathBuf {
    let remote = house.remote("one", &[("large", &large('a')), ("small", "one\n")]);
    git(&remote, &["config", "uploadpack.allowFilter", if filters { "true" } else { "false" }]);
    super::commit(&remote, &[("large", &large('b')), ("small", "two\n")]);
    super::commit(&remote, &[("small", "three\n")]);
    remote
}

fn mirror(base: &Base) -> PathBuf {
    base.mount()[0].0.parent().unwrap().to_owned()
}

/// Without asking the remote for it, as git would.
fn has(mirror: &Path, object: &str) -> bool {
    let listed = git(mirror, &["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"]);
    listed.lines().any(|line| line == object)
}

#[tokio::test]
async fn what_a_commit_needs_is_there_and_what_earlier_ones_needed_is_not() {
    let house = house();
    let remote = remote(&house, true);
    let base = house.resolve(&remote, None).await.unwrap();
    let ids = ["HEAD:large", "HEAD~2:large", "HEAD~2:small"].map(|name| git(&remote, &["rev-parse", name]));
    let [now, before, small] = ids.each_ref().map(|id| id.trim());
    let mirror = mirror(&base);
    assert!(has(&mirror, now) && has(&mirror, small), "of the commit, and what is small");
    assert!(!has(&mirror, before));
    let copy = house.copy(&base, &TreeDelta::default(), "copy").await;
    enter(&base, &copy);
    assert_eq!(contents(&copy)["large"].1, large('b').into_bytes());
    assert_eq!(git(&copy, &["status", "--porcelain"]), "");
    assert_eq!(git(&copy, &["log", "--format=%h", "--", "small"]).lines().count(), 3);
    assert!(git(&copy, &["log", "-p", "--", "small"]).contains("+two"));
    assert_eq!(git(&copy, &["blame", "-s", "small"]).lines().count(), 1);
    // Of what is missing git says so, and fetches nothing.
    let missing = try_git(&copy, &["show", before]);
    assert!(!missing.status.success());
    git(&copy, &["fsck", "--connectivity-only"]);
    git(&copy, &["gc", "--quiet"]);

    // An earlier commit is a base as any other.
    let first = git(&remote, &["rev-parse", "HEAD~2"]);
    let base = house.resolve(&remote, Some(first.trim())).await.unwrap();
    assert_eq!(base.read("large").unwrap().unwrap(), large('a').into_bytes());
    assert!(has(&mirror, before));
}

#[tokio::test]
async fn a_remote_that_leaves_nothing_out_gives_all() {
    let house = house();
    let remote = remote(&house, false);
    let base = house.resolve(&remote, None).await.unwrap();
    let before = git(&remote, &["rev-parse", "HEAD~2:large"]);
    assert!(has(&mirror(&base), before.trim()));
    super::commit(&remote, &[("large", &large('c'))]);
    let base = house.resolve(&remote, None).await.unwrap();
    assert_eq!(base.read("large").unwrap().unwrap(), large('c').into_bytes());
}

#[tokio::test]
async fn what_was_cut_off_between_the_commit_and_its_contents_is_fetched_by_the_next() {
    let house = house();
    let remote = remote(&house, true);
    let base = house.resolve(&remote, None).await.unwrap();
    let (mirror, commit) = (mirror(&base), base.commit.clone().unwrap());
    drop(base);
    // The commit is there, its large file and its layout are not.
    let large_one = git(&remote, &["rev-parse", "HEAD:large"]);
    for pack in std::fs::read_dir(mirror.join("objects/pack")).unwrap().flatten() {
        let path = pack.path();
        let listed = path.extension().is_some_and(|extension| extension == "idx")
            && git(&mirror, &["verify-pack", "-v", path.to_str().unwrap()]).contains(large_one.trim());
        if listed {
            for extension in ["idx", "pack", "rev", "promisor"] {
                let _ = std::fs::remove_file(path.with_extension(extension));
            }
        }
    }
    assert!(!has(&mirror, large_one.trim()));
    std::fs::remove_dir_all(mirror.with_file_name("snapshots")).unwrap();
    let away = remote.with_extension("away");
    std::fs::rename(&remote, &away).unwrap();
    let error = house.resolve(&remote, Some(commit.as_str())).await.unwrap_err();
    assert!(matches!(error, RepositoryError::Unreachable { .. }), "{error:?}");
    assert!(has(&mirror, commit.as_str()), "what is there stays");
    std::fs::rename(&away, &remote).unwrap();
    let base = house.resolve(&remote, Some(commit.as_str())).await.unwrap();
    assert_eq!(base.read("large").unwrap().unwrap(), large('b').into_bytes());
}
