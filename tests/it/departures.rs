//! Who is sent away, on two replicas of one database: his keys, tokens, streams and held requests end within five seconds on
//! both, and his tasks are cancelled.

use crate::support::{
    service::{Api, Ground, call, say, second_data_dir},
    stream::Stream,
};
use journeyman::{
    app::{AdminAction, admin},
    domain::Role,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// What is promised.
const WITHIN: Duration = Duration::from_secs(5);

async fn run(ground: &Ground, action: AdminAction) -> Vec<String> {
    let data = tempfile::tempdir().unwrap();
    admin(&ground.settings(data.path()), action).await.unwrap()
}

/// Streams of one caller, of a task and of his team, open on one replica.
async fn streams(api: &Api, task: &str) -> [Stream; 2] {
    let mut of_task = Stream::open(api, task, None).await.unwrap().ok().unwrap();
    assert_eq!(of_task.next().await.unwrap().event, "task.created");
    let board = api.http.get(format!("{}/v1/events", api.base)).bearer_auth(&api.key);
    let mut board = Stream::of(board.header("accept", "text/event-stream").send().await.unwrap());
    assert_eq!(board.next().await.unwrap().event, "snapshot");
    [of_task, board]
}

/// A request that is held until something changes; how it is answered.
fn held(api: &Api, path: &str) -> tokio::task::JoinHandle<u16> {
    let request = api.http.get(format!("{}{path}", api.base)).bearer_auth(&api.key).header("prefer", "wait=60");
    tokio::spawn(async move { request.send().await.unwrap().status().as_u16() })
}

async fn until_refused(api: &Api) {
    while api.get("/v1/me").await.0 != 401 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

struct Ends {
    api: Api,
    streams: [Stream; 2],
    held: tokio::task::JoinHandle<u16>,
}

impl Ends {
    async fn of(api: Api, task: &str) -> Self {
        let streams = streams(&api, task).await;
        Self { held: held(&api, "/v1/environments"), streams, api }
    }

    /// Everything of his on a replica ends in time.
    async fn come(self, since: Instant, what: &str) {
        let all = async {
            let [of_task, board] = self.streams;
            let (_, _, held, ()) = tokio::join!(of_task.rest(), board.rest(), self.held, until_refused(&self.api));
            assert_eq!(held.unwrap(), 401, "{what}: a held request");
        };
        let left = WITHIN.saturating_sub(since.elapsed());
        assert!(tokio::time::timeout(left, all).await.is_ok(), "{what}: it goes on");
    }
}

fn sleeper() -> Value {
    json!({ "sequence": [call("shell", json!({ "command": "sleep 300" })), say("Done.")] })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deactivated_users_keys_streams_and_tasks_end_on_every_replica() {
    let ground = Ground::new(&sleeper()).await;
    let one = ground.start().await;
    let (_dir, data_dir) = second_data_dir();
    let other = ground.start_with(&data_dir, None).await;
    let first = one.api();
    assert_eq!(first.get("/v1/users").await.0, 200, "the first admin is an operator");
    let operator = ground.member(&one.base, "default", "olga").await;
    assert_eq!(operator.get("/v1/users").await.0, 403);
    for (name, operator, now) in [("olga", true, "is now"), ("admin", false, "is no longer")] {
        let told = run(&ground, AdminAction::SetOperator { name: name.to_owned(), operator }).await;
        assert_eq!(told, [format!("user {name} {now} an operator of the instance")]);
    }
    let here = ground.member(&one.base, "default", "bob").await;
    let there = Api { base: other.base.clone(), ..here.clone() };
    let task = here.create(&json!({ "request": "sleep", "mode": "answer" })).await;
    here.met(&task, "tool.started", 1).await;
    let asked = Instant::now();
    while operator.get("/v1/users").await.0 != 200 || first.get("/v1/users").await.0 != 403 {
        assert!(asked.elapsed() < WITHIN, "the command is heard of");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let ends = [Ends::of(here.clone(), &task).await, Ends::of(there, &task).await];
    let bob = here.get("/v1/me").await.1["user"]["id"].as_str().unwrap().to_owned();
    let since = Instant::now();
    let (status, gone) = operator.post(&format!("/v1/users/{bob}/deactivate"), &json!({})).await;
    assert_eq!(status, 200, "{gone}");
    let [here, there] = ends;
    tokio::join!(here.come(since, "where it was asked"), there.come(since, "elsewhere"));
    let ended = operator.until(&task, |task| task["status"] == "cancelled").await;
    assert_eq!(ended["created_by"]["name"], "bob");
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_members_streams_and_a_revoked_key_end_on_every_replica() {
    let ground = Ground::new(&sleeper()).await;
    let one = ground.start().await;
    let (_dir, data_dir) = second_data_dir();
    let other = ground.start_with(&data_dir, None).await;
    let admin_here = one.api();
    let bob = ground.member(&other.base, "default", "bob").await;
    let eve = ground.member(&other.base, "default", "eve").await;
    let task = bob.create(&json!({ "request": "sleep", "mode": "answer" })).await;
    let ends = [Ends::of(bob.clone(), &task).await, Ends::of(eve.clone(), &task).await];
    let bob = bob.get("/v1/me").await.1["user"]["id"].as_str().unwrap().to_owned();
    let key = eve.get("/v1/me").await.1["api_key"].as_str().unwrap().to_owned();
    let since = Instant::now();
    for path in [format!("/v1/members/{bob}"), format!("/v1/api_keys/{key}")] {
        let answer = admin_here.http.delete(format!("{}{path}", admin_here.base)).bearer_auth(&admin_here.key).send();
        assert_eq!(answer.await.unwrap().status().as_u16(), 204, "{path}");
    }
    let [removed, revoked] = ends;
    tokio::join!(removed.come(since, "the member"), revoked.come(since, "the key"));
    admin_here.until(&task, |task| task["status"] == "cancelled").await;
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lower_role_ends_streams_of_the_higher_one() {
    let ground = Ground::new(&sleeper()).await;
    let one = ground.start().await;
    let (_dir, data_dir) = second_data_dir();
    let other = ground.start_with(&data_dir, None).await;
    run(
        &ground,
        AdminAction::AddUser { name: "admin".to_owned(), team: "default".to_owned(), role: Role::Admin, email: None },
    )
    .await;
    let bob = ground.member(&other.base, "default", "bob").await;
    let task = bob.create(&json!({ "request": "sleep", "mode": "answer" })).await;
    let [of_task, _board] = streams(&bob, &task).await;
    let id = bob.get("/v1/me").await.1["user"]["id"].as_str().unwrap().to_owned();
    let api = one.api();
    let edit = api.http.patch(format!("{}/v1/members/{id}", api.base)).bearer_auth(&api.key);
    let since = Instant::now();
    assert_eq!(edit.json(&json!({ "role": "viewer" })).send().await.unwrap().status().as_u16(), 200);
    tokio::time::timeout(WITHIN, of_task.rest()).await.expect("the stream ends");
    while bob.get("/v1/me").await.1["role"] != "viewer" {
        assert!(since.elapsed() < WITHIN, "the role is heard of");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    one.stop().await;
    other.stop().await;
}
