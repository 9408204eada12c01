//! Many memories in one place, and recalls from it: for the test of speed and for `make bench`.

use journeyman::{
    clock,
    domain::{Role, TaskId, TeamId, UserId},
    memory::{Recall, Wanted},
    scripted::{self, Script},
    store::{Store, accounts},
};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub(crate) const REPOSITORY: &str = "https://git.example.org/acme/large.git";

pub(crate) async fn member(store: &Store, team: TeamId, name: &str) -> UserId {
    let identity = accounts::Identity { issuer: "local", subject: name, name, email: None };
    let user = accounts::ensure_user(store, clock::new_id(), identity).await.unwrap();
    accounts::set_member(store, team, user, Role::Member).await.unwrap();
    user
}

/// Writes memories of about twenty words, each with some of its own.
pub(crate) async fn write(owner: &mut sqlx::PgConnection, team: TeamId, user: UserId, repository: &str, count: i32) {
    sqlx::query(
        "INSERT INTO memories (team, id, user_id, text, kind, scope, repository, state, origin)
         SELECT $1, gen_random_uuid(), $2, (
                SELECT string_agg('word' || (floor(3000 * power(random(), 3)))::int || CASE WHEN w % 4 = 0 THEN ' the' ELSE '' END, ' ')
                FROM generate_series(1, 20 + n % 7) AS w
            ) || ' number' || n, 'fact', 'team_repository', $3, 'active', 'user'
         FROM generate_series(1, $4) AS n",
    )
    .bind(team.0)
    .bind(user.0)
    .bind(repository)
    .bind(count)
    .execute(owner)
    .await
    .unwrap();
}

/// A server of vectors of 384 numbers, for as long as `stop` is not cancelled.
pub(crate) async fn hashing(stop: &CancellationToken) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let script = json!({ "embeddings": { "dimensions": 384 } });
    tokio::spawn(scripted::serve(Script::from_json(&script.to_string()).unwrap(), listener, stop.clone()));
    url
}

/// How long recalls from the place take, each for another request; the first, which reads the place, is left out.
pub(crate) async fn recalls(
    store: &Store,
    recall: &Recall,
    team: TeamId,
    user: UserId,
    rounds: usize,
) -> Vec<Duration> {
    let mut times = Vec::new();
    for round in 0..=rounds {
        times.push(recall_once(store, recall, team, user, round).await);
    }
    times.split_off(1)
}

/// One of them.
pub(crate) async fn recall_once(store: &Store, recall: &Recall, team: TeamId, user: UserId, round: usize) -> Duration {
    let request = format!("Repair word{round} where word7 and word40 meet number{round}, and word900 is late");
    let wanted = Wanted {
        team,
        user,
        task: TaskId(clock::new_id()),
        repository: Some(REPOSITORY),
        request: &request,
        window_tokens: 128_000,
        on_default: true,
        file: &|_| None,
    };
    let started = Instant::now();
    let recalled = recall.recall(store, wanted).await.unwrap();
    let taken = started.elapsed();
    assert!(!recalled.memories.is_empty());
    taken
}
