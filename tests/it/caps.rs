//! What runs at once: caps of users and teams are exact however many replicas claim, and teams share by their weights.

use crate::support;
use journeyman::{
    clock,
    domain::{ReplicaId, Role, TaskId, TaskSpec, TeamId, UserId, task::LOG_VERSION},
    store::{
        Store, accounts,
        jobs::{self, Claimed},
        members, task_edits, tasks, teams,
    },
};
use std::{collections::HashMap, time::Duration};

const TTL: Duration = Duration::from_secs(60);

async fn user(store: &Store, team: &str, name: &str) -> (TeamId, UserId) {
    let team = accounts::ensure_team(store, clock::new_id(), team).await.unwrap();
    let identity = accounts::Identity { issuer: "local", subject: name, name, email: None };
    let user = accounts::ensure_user(store, clock::new_id(), identity).await.unwrap();
    accounts::set_member(store, team, user, Role::Member).await.unwrap();
    (team, user)
}

async fn queue(store: &Store, (team, user): (TeamId, UserId), count: usize) {
    let spec: TaskSpec = crate::store::spec();
    for _ in 0..count {
        let new = tasks::NewTask { team, id: clock::new_id(), created_by: user, author: "a", spec: &spec };
        let mut tx = store.team(team).await.unwrap();
        tasks::create(&mut tx, &new, None).await.unwrap();
        tx.commit().await.unwrap();
    }
}

async fn claim(store: &Store, limit: u32) -> Vec<Claimed> {
    let replica: ReplicaId = clock::new_id();
    jobs::claim_tasks(store, replica, replica.0, LOG_VERSION, TTL, limit).await.unwrap()
}

/// All that six replicas get at once.
async fn all(store: &Store) -> Vec<Claimed> {
    let claims = (0..6).map(|_| claim(store, 10));
    futures::future::join_all(claims).await.into_iter().flatten().collect()
}

async fn cap_user(store: &Store, (team, user): (TeamId, UserId), cap: &str) {
    let mut tx = store.team(team).await.unwrap();
    assert!(members::set_limits(&mut tx, user, &format!("{{\"concurrent_tasks\":{cap}}}")).await.unwrap());
    tx.commit().await.unwrap();
}

async fn cap_team(store: &Store, team: TeamId, cap: &str) {
    let mut tx = store.team(team).await.unwrap();
    assert!(teams::set_limits(&mut tx, &format!("{{\"concurrent_tasks\":{cap}}}")).await.unwrap());
    tx.commit().await.unwrap();
}

/// The task rests: its place is another's.
async fn rest(store: &Store, team: TeamId, task: TaskId) {
    let mut tx = store.team(team).await.unwrap();
    task_edits::fence(&mut tx, task).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_and_a_teams_cap_hold_whoever_claims_at_once() {
    let store = support::store().await;
    let (bob, eve, sam) =
        (user(&store, "one", "bob").await, user(&store, "one", "eve").await, user(&store, "other", "sam").await);
    for who in [bob, eve, sam] {
        queue(&store, who, 12).await;
    }
    cap_user(&store, bob, "2").await;
    cap_team(&store, bob.0, "5").await;
    let claimed = all(&store).await;
    let of = |who: (TeamId, UserId)| claimed.iter().filter(move |one| (one.team, one.user) == who);
    assert_eq!((of(bob).count(), of(eve).count(), of(sam).count()), (2, 3, 12));
    assert_eq!(all(&store).await, []);
    // One that rests makes room for one.
    rest(&store, bob.0, of(bob).next().unwrap().task).await;
    let next = all(&store).await;
    assert_eq!(next.iter().map(|one| one.user).collect::<Vec<_>>(), [bob.1]);
    // Eve's place may be taken by Eve alone now: Bob has as many as he may.
    rest(&store, bob.0, of(eve).next().unwrap().task).await;
    assert_eq!(all(&store).await.iter().map(|one| one.user).collect::<Vec<_>>(), [eve.1]);
    cap_user(&store, bob, "null").await;
    cap_team(&store, bob.0, "6").await;
    assert_eq!(all(&store).await.len(), 1);
    cap_team(&store, bob.0, "null").await;
    assert_eq!(all(&store).await.len(), 24 - 2 - 6);
}

#[tokio::test]
async fn a_capped_task_whose_worker_is_gone_is_taken_over() {
    let store = support::store().await;
    let bob = user(&store, "one", "bob").await;
    queue(&store, bob, 2).await;
    cap_user(&store, bob, "1").await;
    let replica: ReplicaId = clock::new_id();
    let one = jobs::claim_tasks(&store, replica, replica.0, LOG_VERSION, TTL, 10).await.unwrap();
    assert_eq!((one.len(), claim(&store, 10).await.len()), (1, 0));
    jobs::expire_host(&store, replica.0, clock::new_id()).await.unwrap();
    let again = claim(&store, 10).await;
    assert_eq!((again.len(), again[0].task, again[0].taken_over), (1, one[0].task, true));
}

#[tokio::test]
async fn teams_share_by_their_weights_and_their_members_equally() {
    let store = support::store().await;
    let (bob, eve, sam) =
        (user(&store, "light", "bob").await, user(&store, "heavy", "eve").await, user(&store, "heavy", "sam").await);
    for who in [bob, eve, sam] {
        queue(&store, who, 20).await;
    }
    let mut tx = store.team(eve.0).await.unwrap();
    assert!(teams::set_weight(&mut tx, 3).await.unwrap());
    tx.commit().await.unwrap();
    let mut running: HashMap<UserId, usize> = HashMap::new();
    for round in 1..=5 {
        for one in claim(&store, 4).await {
            *running.entry(one.user).or_default() += 1;
        }
        let of = |who: (TeamId, UserId)| running.get(&who.1).copied().unwrap_or_default();
        assert_eq!((of(bob), of(eve) + of(sam)), (round, 3 * round), "after {round} rounds");
        assert!(of(eve).abs_diff(of(sam)) <= 1, "{running:?}");
    }
    // Where a team has nothing left to do the others have it all.
    for _ in 0..20 {
        for one in claim(&store, 4).await {
            *running.entry(one.user).or_default() += 1;
        }
    }
    assert_eq!([bob, eve, sam].map(|who| running[&who.1]), [20, 20, 20]);
}
