//! What one caller may ask at once: rates, streams, places in the queue.

use super::harness::{ADMIN, Reply, Server, claims, server, server_limited, token};
use journeyman::{
    api::{Rate, Rates},
    domain::{Role, Scope, Status, task::TaskDetail},
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{num::NonZeroU32, time::Duration};

fn rate(requests: u32, seconds: u64) -> Option<Rate> {
    Some(Rate { requests: NonZeroU32::new(requests).unwrap(), window: Duration::from_secs(seconds) })
}

fn told(reply: &Reply) -> [Option<&str>; 2] {
    ["ratelimit-policy", "ratelimit"].map(|name| reply.header(name))
}

#[tokio::test]
async fn rates_are_held_by_class_and_told_on_every_answer() {
    let rates = Rates { person: rate(2, 600), key: rate(3, 600), tool: rate(5, 600) };
    let server = server_limited(rates, 100).await;
    let (_, bobs) = server.user("default", "bob", Role::Member, None).await;
    let (_, eves) = server.user("default", "eve", Role::Viewer, None).await;
    for (path, status, left) in [("/v1/me", 200, 2), ("/v1/tasks/nonsense", 404, 1), ("/v1/audit_log", 403, 0)] {
        let reply = server.get(path, &bobs).await.expect(status);
        let limit = format!("\"key\";r={left};t={}", (3 - left) * 200);
        assert_eq!(told(&reply), [Some("\"key\";q=3;w=600"), Some(limit.as_str())], "{path}");
    }
    let refused = server.get("/v1/me", &bobs).await.expect(429);
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((190..=200).contains(&seconds), "{seconds}");
    assert_eq!(told(&refused), [Some("\"key\";q=3;w=600"), Some("\"key\";r=0;t=600")]);
    let problem = refused.json();
    assert_eq!((&problem["code"], &problem["violated-policies"]), (&json!("rate_limited"), &json!(["key"])));
    // Others have a count of their own, and so has another key of his.
    server.get("/v1/me", &eves).await.expect(200);
    let (_, other) = server.user("default", "bob", Role::Member, None).await;
    server.get("/v1/me", &other).await.expect(200);
    // A person is one, whatever token he shows.
    for (number, status) in [(1, 200), (2, 200), (3, 429)] {
        let mut claims = claims("jane", "default", "member");
        claims["jti"] = json!(number);
        let reply = server.get("/v1/me", &token(&claims)).await.expect(status);
        assert_eq!(told(&reply)[0], Some("\"person\";q=2;w=600"));
    }
    let scopes = [Scope::TasksRead, Scope::TasksDelegate];
    let (_, tools) = server.user("default", "tool", Role::Member, Some(&scopes)).await;
    assert_eq!(told(&server.get("/v1/me", &tools).await)[1], Some("\"tool\";r=4;t=120"));
    // Who is nobody is not counted, nor is what needs no key.
    for (path, key, status) in [("/v1/me", "jm_nobodys", 401), ("/v1/me", "", 401), ("/healthz", "", 200)] {
        for _ in 0..8 {
            assert_eq!(told(&server.get(path, key).await.expect(status)), [None, None], "{path}");
        }
    }
}

#[tokio::test]
async fn without_rates_nothing_is_told_or_refused() {
    let server = server().await;
    for _ in 0..50 {
        assert_eq!(told(&server.get("/v1/me", ADMIN).await.expect(200)), [None, None]);
    }
}

#[tokio::test]
async fn a_user_has_so_many_streams_open_and_no_more() {
    let server = server_limited(Rates::default(), 2).await;
    let task = server.task(ADMIN, "Watch this").await;
    let open = async |path: &str, key: &str| {
        let request = server.request(Method::GET, path, key).header("accept", "text/event-stream");
        request.send().await.unwrap()
    };
    let of_task = format!("/v1/tasks/{task}/events");
    let (one, other) = (open(&of_task, ADMIN).await, open("/v1/events", ADMIN).await);
    assert_eq!((one.status().as_u16(), other.status().as_u16()), (200, 200));
    let refused = open(&of_task, ADMIN).await;
    assert_eq!(refused.status().as_u16(), 429);
    assert!(refused.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap() > 0);
    let detail = refused.json::<Value>().await.unwrap()["detail"].as_str().unwrap().to_owned();
    assert_eq!(detail, "you have 2 streams open here, as many as one user may: close one first");
    assert_eq!(open("/v1/events", ADMIN).await.status().as_u16(), 429);
    // It is the user's, whatever key he comes with; others have places of their own.
    let (_, second) = server.user("default", "admin", Role::Admin, None).await;
    assert_eq!(open(&of_task, &second).await.status().as_u16(), 429);
    let (_, eves) = server.user("default", "eve", Role::Viewer, None).await;
    assert_eq!(open(&of_task, &eves).await.status().as_u16(), 200);
    // A page is no stream.
    server.get(&of_task, ADMIN).await.expect(200);
    drop(one);
    let again = async {
        while open(&of_task, ADMIN).await.status().as_u16() != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), again).await.expect("a closed stream's place is free");
}

async fn limit(server: &Server, path: &str, limits: Value) {
    server.patch(path, ADMIN, &json!({ "limits": limits })).await.expect(200);
}

#[tokio::test]
async fn a_full_queue_says_so_and_takes_what_has_begun_all_the_same() {
    let server = server().await;
    let (bob, bobs) = server.user("default", "bob", Role::Member, None).await;
    let team = server.get("/v1/me", ADMIN).await.json()["team"]["id"].as_str().unwrap().to_owned();
    limit(&server, &format!("/v1/members/{bob}"), json!({ "queued_tasks": 2 })).await;
    limit(&server, &format!("/v1/teams/{team}"), json!({ "queued_tasks": 3 })).await;
    let full = |reply: Reply, of: &str, depth: u32, cap: u32| {
        let reply = reply.expect(429);
        assert_eq!(reply.header("retry-after"), Some("10"));
        let problem = reply.json();
        assert_eq!(problem["code"], "queue_full");
        assert_eq!((&problem["of"], &problem["depth"], &problem["cap"]), (&json!(of), &json!(depth), &json!(cap)));
    };
    let begin = async |key: &str| server.post("/v1/tasks", key, &json!({ "request": "x" })).await;
    let first = begin(&bobs).await.expect(201).id();
    begin(&bobs).await.expect(201);
    full(begin(&bobs).await, "user", 2, 2);
    begin(ADMIN).await.expect(201);
    full(begin(ADMIN).await, "team", 3, 3);
    // Another team has a queue of its own.
    let (_, sams) = server.user("strangers", "sam", Role::Member, None).await;
    begin(&sams).await.expect(201);
    // What a worker has taken waits no longer.
    let mut workers = server.claim().await;
    workers.retain(|worker| worker.lease.task.to_string() == first);
    workers[0].status(Status::Running, None, &TaskDetail::default()).await;
    workers[0].succeed().await;
    assert_eq!(workers.len(), 1);
    for _ in 0..3 {
        begin(ADMIN).await.expect(201);
    }
    // A retry, a message that wakes and a fork are work that begins; one that is refused changes nothing.
    let path = format!("/v1/tasks/{first}");
    let before = server.get(&path, ADMIN).await.bytes;
    for (what, body) in [("retry", json!({})), ("messages", json!({ "text": "once more" }))] {
        full(server.post(&format!("{path}/{what}"), &bobs, &body).await, "team", 3, 3);
    }
    assert_eq!(server.get(&path, ADMIN).await.bytes, before);
    // A refusal is no answer that a key stands for.
    let keyed = |key: &str| {
        let request = server.request(Method::POST, "/v1/tasks", key).header("idempotency-key", "once");
        server.send(request.json(&json!({ "request": "x" })))
    };
    full(keyed(ADMIN).await, "team", 3, 3);
    limit(&server, &format!("/v1/teams/{team}"), json!({ "queued_tasks": null })).await;
    let made = keyed(ADMIN).await.expect(201).id();
    assert_eq!(keyed(ADMIN).await.expect(201).id(), made);
    limit(&server, &format!("/v1/members/{bob}"), json!({ "queued_tasks": 0 })).await;
    full(begin(&bobs).await, "user", 0, 0);
}

#[tokio::test]
async fn however_many_come_at_once_the_queue_takes_no_more_than_it_may() {
    let server = server().await;
    let (bob, bobs) = server.user("default", "bob", Role::Member, None).await;
    limit(&server, &format!("/v1/members/{bob}"), json!({ "queued_tasks": 5 })).await;
    let body = json!({ "request": "x" });
    let all = (0..24).map(|_| server.post("/v1/tasks", &bobs, &body));
    let statuses: Vec<u16> = futures::future::join_all(all).await.iter().map(|reply| reply.status.as_u16()).collect();
    let count = |wanted| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!((count(201), count(429)), (5, 19), "{statuses:?}");
}

#[tokio::test]
async fn an_operator_weighs_teams_and_their_admins_do_not() {
    let server = server().await;
    let (_, ann) = server.user("default", "ann", Role::Admin, None).await;
    let team = server.get("/v1/me", ADMIN).await.json()["team"]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/teams/{team}");
    assert_eq!(server.get(&path, &ann).await.json()["weight"], 1);
    server.patch(&path, &ann, &json!({ "weight": 9 })).await.expect(403);
    assert_eq!(server.patch(&path, ADMIN, &json!({ "weight": 9 })).await.expect(200).json()["weight"], 9);
    for weight in [0, 1_001] {
        assert_eq!(server.patch(&path, ADMIN, &json!({ "weight": weight })).await.pointers(), ["/weight"]);
    }
}
