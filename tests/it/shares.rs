//! Who has how much of what all share: places of webhooks, of publishings. Statements on a database of their own.

use crate::support;
use journeyman::{
    clock,
    domain::{ReplicaId, TeamId, UserId, WebhookEndpointId},
    store::{
        self, Store, jobs,
        trackers::issues,
        webhooks::{self, Place, Room},
    },
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::{collections::HashMap, time::Duration};
use uuid::Uuid;

struct Ground {
    store: Store,
    database: PgConnection,
}

impl Ground {
    async fn new() -> Self {
        let url = support::database().await;
        let store =
            Store::connect(&store::Settings { connections: 4, ..store::Settings::new(&url) }, true).await.unwrap();
        Self { store, database: PgConnection::connect(&url).await.unwrap() }
    }

    async fn run(&mut self, statement: String) {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut self.database).await.unwrap();
    }

    async fn team(&mut self, name: &str) -> TeamId {
        let id: Uuid = clock::new_id();
        self.run(format!("INSERT INTO teams (id, name) VALUES ('{id}', '{name}')")).await;
        TeamId(id)
    }

    /// An endpoint with so many deliveries that have been due for so many seconds.
    async fn endpoint(&mut self, team: TeamId, failing: bool, due: usize, seconds: u32) -> WebhookEndpointId {
        let (id, since) = (clock::new_id::<Uuid>(), if failing { "now()" } else { "NULL" });
        self.run(format!(
            "INSERT INTO webhook_endpoints (team, id, url, events, description, failing_since)
             VALUES ('{}', '{id}', 'https://hook.example/', '{{*}}', '', {since})",
            team.0
        ))
        .await;
        self.run(format!(
            "INSERT INTO webhook_deliveries (team, endpoint, kind, body, due_at)
             SELECT '{}', '{id}', 'task.created', '{{}}', now() - interval '{seconds} seconds' FROM generate_series(1, {due})",
            team.0
        ))
        .await;
        WebhookEndpointId(id)
    }

    /// How many were claimed of each.
    async fn claimed(&self, room: Room, places: &[Place]) -> HashMap<WebhookEndpointId, usize> {
        let claimed = webhooks::claim(&self.store, room, places, Duration::from_secs(60)).await.unwrap();
        claimed.into_iter().fold(HashMap::new(), |mut all, one| {
            *all.entry(one.endpoint).or_default() += 1;
            all
        })
    }
}

fn fast(team: TeamId, endpoint: WebhookEndpointId, under_way: u32) -> Place {
    Place { team, endpoint, under_way, room: 16 - under_way, slow: false }
}

#[tokio::test]
async fn a_team_has_three_quarters_of_the_places_and_what_is_slow_or_fails_half() {
    let mut ground = Ground::new().await;
    let (ours, theirs) = (ground.team("ours").await, ground.team("theirs").await);
    let room = Room { all: 16, doubtful: 8, of_unknown: 2, of_team: 12 };
    let flood = ground.endpoint(ours, false, 100, 60).await;
    let new = ground.endpoint(theirs, false, 5, 1).await;
    // What nobody has tried has two, what is fast no more than the team's share, with what is under way.
    let claimed = ground.claimed(room, &[fast(ours, flood, 3)]).await;
    assert_eq!((claimed[&flood], claimed[&new]), (9, 2), "{claimed:?}");

    let mut ground = Ground::new().await;
    let (ours, theirs) = (ground.team("ours").await, ground.team("theirs").await);
    let mut places = Vec::new();
    for _ in 0..10 {
        let endpoint = ground.endpoint(ours, false, 4, 60).await;
        places.push(Place { team: ours, endpoint, under_way: 0, room: 2, slow: true });
    }
    let well = ground.endpoint(theirs, false, 3, 1).await;
    places.push(fast(theirs, well, 0));
    let claimed = ground.claimed(room, &places).await;
    let slow: usize = claimed.iter().filter(|(endpoint, _)| **endpoint != well).map(|(_, count)| count).sum();
    assert_eq!((slow, claimed[&well]), (8, 3), "{claimed:?}");
}

/// What a team may have no more of takes no other team's rank.
#[tokio::test]
async fn a_team_at_its_limit_leaves_the_places_of_those_that_fail_to_others() {
    let mut ground = Ground::new().await;
    let (ours, theirs) = (ground.team("ours").await, ground.team("theirs").await);
    let flood = ground.endpoint(ours, false, 100, 60).await;
    for _ in 0..8 {
        ground.endpoint(ours, true, 1, 60).await;
    }
    let failing = ground.endpoint(theirs, true, 1, 1).await;
    let room = Room { all: 4, doubtful: 8, of_unknown: 2, of_team: 12 };
    let claimed = ground.claimed(room, &[Place { room: 0, ..fast(ours, flood, 12) }]).await;
    assert_eq!(claimed, HashMap::from([(failing, 1)]));
}

#[tokio::test]
async fn one_person_has_no_more_jobs_under_way_than_is_said() {
    let mut ground = Ground::new().await;
    let team = ground.team("ours").await;
    let (busy, other): (UserId, UserId) = (clock::new_id(), clock::new_id());
    for (user, count) in [(busy, 3_000), (other, 2)] {
        ground
            .run(format!(
                "INSERT INTO jobs (team, id, kind, user_id, ready_at)
                 SELECT '{}', new_id(), 'publish', '{}', now() - interval '1 second' * {count} FROM generate_series(1, {count})",
                team.0, user.0
            ))
            .await;
    }
    let (replica, host): (ReplicaId, Uuid) = (clock::new_id(), clock::new_id());
    let mut of: HashMap<UserId, usize> = HashMap::new();
    for _ in 0..3 {
        let lease = Duration::from_secs(60);
        for job in jobs::claim(&ground.store, "publish", (replica, host), lease, (16, 4)).await.unwrap() {
            *of.entry(job.user).or_default() += 1;
        }
    }
    // Who waits behind three thousand is found all the same.
    assert_eq!(of, HashMap::from([(busy, 4), (other, 2)]));
}

#[tokio::test]
async fn an_integration_has_heard_of_the_repositories_of_its_issues() {
    let mut ground = Ground::new().await;
    let team = ground.team("ours").await;
    let mut ids = Vec::new();
    for (name, issue) in
        [("a", "acme/calc#12"), ("b", "acme/calculator#1"), ("c", "acme/calc!3"), ("d", "other/calc#12")]
    {
        let id: Uuid = clock::new_id();
        ground
            .run(format!(
                "INSERT INTO integrations (team, id, name, tracker, owner, spec)
                 VALUES ('{}', '{id}', '{name}', 'github', '{id}', '{{}}')",
                team.0
            ))
            .await;
        ground
            .run(format!(
                "INSERT INTO tracker_issues (team, integration, issue) VALUES ('{}', '{id}', '{issue}')",
                team.0
            ))
            .await;
        ids.push(id);
    }
    let mut heard = issues::heard_of(&ground.store, team, "Acme/Calc").await.unwrap();
    heard.sort();
    assert_eq!(heard, [ids[0], ids[2]]);
}
