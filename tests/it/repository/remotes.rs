//! Resolving refs at local remotes.

use super::{House, commit, enter, git, url, write};
use journeyman::{
    domain::event::TreeDelta,
    workspace::{
        repository::{Origin, RepositoryError},
        source::SourceError,
    },
};

#[tokio::test]
async fn branches_tags_and_commits_are_found_whole_or_shortened() {
    let house = House::new();
    let remote = house.remote("one", &[("a", "1")]);
    let first = git(&remote, &["rev-parse", "HEAD"]);
    git(&remote, &["tag", "light"]);
    git(&remote, &["tag", "-a", "-m", "said", "v1"]);
    git(&remote, &["checkout", "-q", "-b", "feature/x"]);
    let second = commit(&remote, &[("a", "2")]);
    git(&remote, &["checkout", "-q", "main"]);
    for (reference, commit, name) in [
        (None, &first, Some("refs/heads/main")),
        (Some("HEAD"), &first, Some("refs/heads/main")),
        (Some("main"), &first, Some("refs/heads/main")),
        (Some("refs/heads/feature/x"), &second, Some("refs/heads/feature/x")),
        (Some("feature/x"), &second, Some("refs/heads/feature/x")),
        (Some("heads/feature/x"), &second, Some("refs/heads/feature/x")),
        (Some("light"), &first, Some("refs/tags/light")),
        (Some("v1"), &first, Some("refs/tags/v1")),
        (Some(first.as_str()), &first, None),
        (Some(&second[..10]), &second, None),
    ] {
        let base = house.resolve(&remote, reference).await.unwrap();
        assert_eq!(base.commit.as_ref().map(ToString::to_string).as_ref(), Some(commit), "{reference:?}");
        assert_eq!(base.reference.as_deref(), name, "{reference:?}");
    }
}

#[tokio::test]
async fn a_commit_that_no_branch_has_is_fetched_by_its_id() {
    let house = House::new();
    let remote = house.remote("one", &[("a", "1")]);
    let lost = commit(&remote, &[("a", "2")]);
    git(&remote, &["reset", "-q", "--hard", "HEAD~1"]);
    let base = house.resolve(&remote, Some(&lost)).await.unwrap();
    assert_eq!(base.read("a").unwrap().unwrap(), b"2");
    assert_eq!(base.history().lines().count(), 2);
}

#[tokio::test]
async fn what_cannot_be_resolved_is_told_apart() {
    let house = House::new();
    let empty = house.remote("empty", &[]);
    assert!(matches!(house.resolve(&empty, None).await, Err(RepositoryError::Empty)));
    assert!(matches!(house.resolve(&empty, Some("main")).await, Err(RepositoryError::Empty)));
    let remote = house.remote("one", &[("a", "1")]);
    for reference in ["nope", "refs/heads/nope", "1234567", "1234567890123456789012345678901234567890"] {
        let error = house.resolve(&remote, Some(reference)).await.unwrap_err();
        assert!(matches!(&error, RepositoryError::NoSuchRef { reference: named } if named == reference), "{error:?}");
    }
    let error = house.resolve(&house.root.path().join("remotes/absent"), None).await.unwrap_err();
    assert!(matches!(error, RepositoryError::Unreachable { .. }), "{error:?}");
    write(house.root.path(), "remotes/plain/file", "no repository");
    let error = house.resolve(&house.root.path().join("remotes/plain"), None).await.unwrap_err();
    assert!(matches!(&error, RepositoryError::Unreachable { reason } if reason.contains("not")), "{error:?}");
    assert!(error.is_remote());
}

#[tokio::test]
async fn local_repositories_are_used_below_allowed_directories_alone() {
    let house = House::new();
    let refused = |error: RepositoryError| {
        assert!(matches!(error, RepositoryError::Source(SourceError::Url(_))), "{error:?}");
    };
    let outside = house.root.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    git(&outside, &["init", "-q", "-b", "main"]);
    commit(&outside, &[("secret", "s")]);
    refused(house.resolve(&outside, None).await.unwrap_err());
    refused(house.resolve(&house.root.path().join("remotes/../outside"), None).await.unwrap_err());
    let link = house.root.path().join("remotes/link");
    std::os::unix::fs::symlink(&outside, &link).unwrap();
    refused(house.resolve(&link, None).await.unwrap_err());
    let pointer = house.root.path().join("remotes/pointer");
    write(&pointer, ".git", format!("gitdir: {}\n", outside.join(".git").display()));
    refused(house.resolve(&pointer, None).await.unwrap_err());
    let linked = house.root.path().join("remotes/linked");
    std::fs::create_dir(&linked).unwrap();
    std::os::unix::fs::symlink(outside.join(".git"), linked.join(".git")).unwrap();
    refused(house.resolve(&linked, None).await.unwrap_err());
}

#[tokio::test]
async fn a_warm_mirror_needs_no_remote_for_a_commit_that_it_has() {
    let house = House::new();
    let remote = house.remote("one", &[("a", "1")]);
    let base = house.resolve(&remote, None).await.unwrap();
    std::fs::rename(&remote, house.root.path().join("gone")).unwrap();
    let commit = base.commit.clone().unwrap();
    drop(base);
    let again = house.resolve(&remote, Some(commit.as_str())).await.unwrap();
    assert_eq!(again.read("a").unwrap().unwrap(), b"1");
    let url = url(&remote);
    let reopened = house.repositories.reopen(house.team, Origin::Url(&url), &commit, Some("refs/heads/x")).await;
    assert_eq!(reopened.unwrap().reference.as_deref(), Some("refs/heads/x"));
    assert!(matches!(house.resolve(&remote, None).await, Err(RepositoryError::Unreachable { .. })));
}

#[tokio::test]
async fn teams_do_not_share_mirrors() {
    let house = House::new();
    let remote = house.remote("one", &[("a", "1")]);
    let ours = house.resolve(&remote, None).await.unwrap();
    let theirs = house.repositories.resolve(journeyman::clock::new_id(), &url(&remote), None).await.unwrap();
    assert_ne!(ours.mount()[0].0, theirs.mount()[0].0);
}

#[tokio::test]
async fn many_tasks_at_once_share_one_fetch() {
    let house = House::new();
    let remote = house.remote("one", &[("a", "1")]);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let (repositories, team, url) = (house.repositories.clone(), house.team, url(&remote));
        tasks.spawn(async move { repositories.resolve(team, &url, None).await.unwrap() });
    }
    let bases = tasks.join_all().await;
    assert_eq!(bases.len(), 40);
    let packs = std::fs::read_dir(bases[0].mount()[0].0.join("pack")).unwrap();
    let packs = packs.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "pack"));
    assert_eq!(packs.count(), 1);
    assert!(std::sync::Arc::ptr_eq(&bases[0].entries(), &bases[39].entries()), "one list for all");
}

#[tokio::test]
async fn a_broken_mirror_is_made_anew() {
    let house = House::new();
    let remote = house.remote("one", &[("a", "1"), ("b/c", "2")]);
    let base = house.resolve(&remote, None).await.unwrap();
    let objects = base.mount()[0].0.clone();
    drop(base);
    for entry in std::fs::read_dir(objects.join("pack")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    std::fs::remove_dir_all(objects.join("../../snapshots")).unwrap();
    let base = house.resolve(&remote, None).await.unwrap();
    assert_eq!(base.read("b/c").unwrap().unwrap(), b"2");
    // and in the next process, with the snapshot still there
    let objects = base.mount()[0].0.clone();
    drop(base);
    for entry in std::fs::read_dir(objects.join("pack")).unwrap() {
        std::fs::write(entry.unwrap().path().with_extension("pack"), "rubbish").ok();
    }
    let settings = journeyman::workspace::repository::RepositorySettings {
        allow_local: vec![house.root.path().join("remotes")],
        ..journeyman::workspace::repository::RepositorySettings::new(house.root.path().join("data"))
    };
    let next =
        journeyman::workspace::repository::Repositories::new(settings, journeyman::net::AddressPolicy::default());
    let base = next.resolve(house.team, &url(&remote), None).await.unwrap();
    let copy = house.copy(&base, &TreeDelta::default(), "copy").await;
    enter(&base, &copy);
    assert_eq!(git(&copy, &["log", "--format=%s"]), "a change");
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_leaves_nothing_half_done() {
    let house = House::with(|settings| settings.file_limit = 10);
    let files: Vec<(String, String)> = (0..11).map(|n| (format!("f{n}"), n.to_string())).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let remote = house.remote("one", &files);
    let error = house.resolve(&remote, None).await.unwrap_err();
    assert!(matches!(&error, RepositoryError::TooLarge { what } if what.contains("10 files")), "{error:?}");

    let house = House::with(|settings| settings.size_limit_bytes = 1 << 20);
    let remote = house.remote("large", &[]);
    let noise: Vec<u8> = (0..4 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    write(&remote, "noise", noise);
    commit(&remote, &[]);
    let error = house.resolve(&remote, None).await.unwrap_err();
    assert!(matches!(error, RepositoryError::TooLarge { .. }), "{error:?}");
    let left: Vec<_> = walk(&house.root.path().join("data/mirrors"));
    assert!(left.iter().all(|path| !path.contains("tmp_") && !path.contains("partial")), "{left:?}");
}

#[tokio::test]
async fn a_full_disk_is_told_and_leaves_nothing_half_done() {
    let house = House::new();
    let data = house.root.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let mount = |arguments: &[&str]| {
        #[expect(clippy::disallowed_methods, reason = "the test makes a small disk")]
        let status = std::process::Command::new(arguments[0]).args(&arguments[1..]).arg(&data).output();
        status.is_ok_and(|output| output.status.success())
    };
    if !mount(&["mount", "-t", "tmpfs", "-o", "size=1m", "none"]) {
        // only root can
        return;
    }
    let remote = house.remote("large", &[]);
    let noise: Vec<u8> = (0..2 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    write(&remote, "noise", noise);
    commit(&remote, &[]);
    let error = house.resolve(&remote, None).await.unwrap_err();
    let left = walk(&data);
    assert!(mount(&["mount", "-o", "remount,size=64m"]));
    let again = house.resolve(&remote, None).await;
    let whole = again.as_ref().is_ok_and(|base| base.read("noise").unwrap().unwrap().len() == 2 << 20);
    drop(again);
    assert!(mount(&["umount", "-l"]));
    assert!(!error.is_remote(), "{error:?}");
    assert!(
        error.public_message().contains("storage full") || error.public_message().contains("no storage"),
        "{error:?}"
    );
    assert!(left.iter().all(|path| !path.contains("tmp_") && !path.contains("partial")), "{left:?}");
    assert!(whole, "with room again it works");
}

fn walk(directory: &std::path::Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        all.push(entry.path().display().to_string());
        if entry.path().is_dir() {
            all.extend(walk(&entry.path()));
        }
    }
    all
}
