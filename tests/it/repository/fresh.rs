//! Mirrors that are fetched before a task asks.

use super::{
    House, commit, git,
    served::{Server, repositories},
};
use journeyman::{
    domain::git_credential::GitCredentialKind,
    secrets::Secret,
    workspace::{
        FreshSettings, Refreshed,
        repository::{Credentials, GitCredential, Repositories, RepositoryError},
    },
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(30);
const SOON: FreshSettings = FreshSettings { repositories: 8, every: Duration::from_millis(10) };

/// The next look at a mirror that is due.
async fn next(repositories: &Repositories) -> Refreshed {
    let begun = Instant::now();
    loop {
        if let Some(refreshed) = repositories.refresh_next().await {
            return refreshed;
        }
        assert!(begun.elapsed() < PATIENCE, "nothing becomes due");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn what_tasks_asked_for_lately_is_there_when_the_next_one_asks() {
    let house = House::new();
    let remote = house.remote("one", &[("a", "1")]);
    let server = Server::start(&house).await;
    let repositories = repositories(&house, |settings| settings.fresh = SOON);
    assert_eq!(repositories.refresh_next().await, None, "nobody has asked for anything");
    let url = server.url("one");
    repositories.resolve(house.team, &url, Some("main")).await.unwrap();
    assert_eq!(next(&repositories).await, Refreshed::Fresh);
    commit(&remote, &[("a", "2")]);
    assert_eq!(next(&repositories).await, Refreshed::Fetched);
    let fetches = server.state.fetches.load(Ordering::SeqCst);
    let base = repositories.resolve(house.team, &url, Some("main")).await.unwrap();
    assert_eq!(base.read("a").unwrap().unwrap(), b"2");
    assert_eq!(server.state.fetches.load(Ordering::SeqCst), fetches, "the task itself fetched nothing");
    commit(&remote, &[("a", "3")]);
    let base = repositories.resolve(house.team, &url, Some("main")).await.unwrap();
    assert_eq!(base.read("a").unwrap().unwrap(), b"3", "what is newer than the last look is asked for all the same");
}

#[tokio::test]
async fn the_job_does_so_by_itself_until_it_is_stopped() {
    let house = House::with(|settings| settings.fresh = SOON);
    let remote = house.remote("one", &[("a", "1")]);
    let base = house.resolve(&remote, None).await.unwrap();
    let (stop, repositories) = (CancellationToken::new(), house.repositories.clone());
    let stopped = stop.clone();
    let job = tokio::spawn(async move { journeyman::jobs::keep_mirrors_fresh(&repositories, stopped).await });
    commit(&remote, &[("a", "2")]);
    let commit = git(&remote, &["rev-parse", "HEAD"]);
    let laid_out = base.mount()[0].0.parent().unwrap().with_file_name("snapshots").join(commit.trim());
    let begun = Instant::now();
    while !laid_out.exists() {
        assert!(begun.elapsed() < PATIENCE, "the mirror is not fetched");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.cancel();
    tokio::time::timeout(PATIENCE, job).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_a_team_may_no_longer_reach_is_fetched_no_more() {
    let house = House::new();
    let remote = house.remote("one", &[("a", "1")]);
    let server = Server::start(&house).await;
    let given = Arc::new(AtomicBool::new(true));
    let there = Arc::clone(&given);
    let ask = move |_, _| -> futures::future::BoxFuture<'static, _> {
        let credential = there.load(Ordering::SeqCst).then(|| GitCredential {
            id: "one".to_owned(),
            kind: GitCredentialKind::Token,
            username: None,
            secret: Secret::new("a-token-that-is-taken-away"),
            names_port: true,
            known_hosts: None,
        });
        Box::pin(std::future::ready(Ok(credential)))
    };
    let repositories = repositories(&house, |settings| {
        settings.fresh = SOON;
        settings.credentials = Credentials(Some(Arc::new(ask)));
    });
    let url = server.url("guarded/one");
    repositories.resolve(house.team, &url, None).await.unwrap();
    assert_eq!(next(&repositories).await, Refreshed::Fresh);
    given.store(false, Ordering::SeqCst);
    commit(&remote, &[("a", "2")]);
    let authorized = server.state.authorized.load(Ordering::SeqCst);
    let fetches = server.state.fetches.load(Ordering::SeqCst);
    assert_eq!(next(&repositories).await, Refreshed::Failed);
    assert_eq!(server.state.authorized.load(Ordering::SeqCst), authorized, "the token is not sent any more");
    assert_eq!(server.state.fetches.load(Ordering::SeqCst), fetches);
    let error = repositories.resolve(house.team, &url, None).await.unwrap_err();
    assert!(matches!(error, RepositoryError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn the_number_is_bounded_what_fails_is_forgotten_and_zero_is_off() {
    let house = House::new();
    let (one, two) = (house.remote("one", &[("a", "1")]), house.remote("two", &[("a", "1")]));
    let server = Server::start(&house).await;
    let off = repositories(&house, |_| {});
    off.resolve(house.team, &server.url("one"), None).await.unwrap();
    assert_eq!((off.refreshes(), off.refresh_next().await), (false, None));

    let repositories =
        repositories(&house, |settings| settings.fresh = FreshSettings { repositories: 1, every: Duration::ZERO });
    for name in ["one", "two"] {
        repositories.resolve(house.team, &server.url(name), None).await.unwrap();
    }
    commit(&one, &[("a", "2")]);
    assert_eq!(next(&repositories).await, Refreshed::Fresh, "the one that was asked for first is forgotten");
    commit(&two, &[("a", "2")]);
    assert_eq!(next(&repositories).await, Refreshed::Fetched);
    std::fs::rename(&two, two.with_extension("away")).unwrap();
    let mut failures = 0;
    while let Some(refreshed) = repositories.refresh_next().await {
        assert_eq!(refreshed, Refreshed::Failed);
        failures += 1;
    }
    assert_eq!(failures, 6);
}

#[tokio::test]
async fn a_branch_that_is_gone_is_not_asked_for_again_and_others_are() {
    let house = House::new();
    let remote = house.remote("one", &[("a", "1")]);
    git(&remote, &["branch", "side"]);
    let server = Server::start(&house).await;
    let repositories = repositories(&house, |settings| settings.fresh = SOON);
    for branch in ["main", "side"] {
        repositories.resolve(house.team, &server.url("one"), Some(branch)).await.unwrap();
    }
    git(&remote, &["branch", "-D", "side"]);
    commit(&remote, &[("a", "2")]);
    assert_eq!(next(&repositories).await, Refreshed::Fetched);
    assert_eq!(next(&repositories).await, Refreshed::Fresh);
    git(&remote, &["checkout", "-q", "--detach"]);
    git(&remote, &["branch", "-D", "main"]);
    assert_eq!(next(&repositories).await, Refreshed::Fresh);
    assert_eq!(repositories.refresh_next().await, None);
    tokio::time::sleep(4 * SOON.every).await;
    assert_eq!(repositories.refresh_next().await, None, "nothing of it is left to look after");
}

#[tokio::test]
async fn many_small_packs_become_few_and_working_copies_find_their_objects() {
    let house = House::with(|settings| settings.fresh = SOON);
    let remote = house.remote("one", &[("a", "0")]);
    let first = house.resolve(&remote, None).await.unwrap();
    let copy = house.copy(&first, &journeyman::domain::event::TreeDelta::default(), "copy").await;
    super::enter(&first, &copy);
    for number in 1..55 {
        commit(&remote, &[("a", &number.to_string())]);
        house.resolve(&remote, None).await.unwrap();
    }
    let packs = || {
        let entries = std::fs::read_dir(first.mount()[0].0.join("pack")).unwrap().flatten();
        entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "pack")).count()
    };
    assert_eq!(packs(), 55);
    commit(&remote, &[("a", "last")]);
    assert_eq!(next(&house.repositories).await, Refreshed::Fetched);
    assert!(packs() < 5, "{}", packs());
    assert_eq!(git(&copy, &["show", "HEAD:a"]).trim(), "0");
    git(&copy, &["fsck", "--connectivity-only"]);
    assert_eq!(house.resolve(&remote, None).await.unwrap().read("a").unwrap().unwrap(), b"last");
}

#[tokio::test]
async fn who_stops_waiting_for_an_origin_holds_up_nobody_else() {
    let house = House::new();
    house.remote("one", &[("a", "1")]);
    let server = Server::start(&house).await;
    let repositories = repositories(&house, |settings| settings.connect_timeout = Duration::from_secs(1));
    let url = server.url("slow/one");
    let waited = tokio::time::timeout(Duration::from_millis(200), repositories.resolve(house.team, &url, Some("a")));
    assert!(waited.await.is_err());
    let other = tokio::time::timeout(PATIENCE, repositories.resolve(house.team, &url, Some("b"))).await;
    let error = other.expect("the look-up that was given up does not hold its turn").unwrap_err();
    assert!(matches!(error, RepositoryError::Unreachable { .. }), "{error:?}");
}
