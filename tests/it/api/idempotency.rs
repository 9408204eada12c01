//! The same key does a thing once.

use super::harness::{ADMIN, Reply, Server, server};
use futures::future::join_all;
use journeyman::domain::Role;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

async fn post(server: &Server, path: &str, token: &str, key: &str, body: &Value) -> Reply {
    server.send(server.request(Method::POST, path, token).header("idempotency-key", key).json(body)).await
}

#[tokio::test]
async fn fifty_concurrent_copies_make_one_task() {
    let server = server().await;
    let body = json!({ "request": "only once" });
    let copies = join_all((0..50).map(|_| post(&server, "/v1/tasks", ADMIN, "one", &body))).await;
    let first = copies.iter().find(|copy| copy.header("idempotency-replayed").is_none()).expect("one did it");
    for copy in &copies {
        assert_eq!(copy.status.as_u16(), 201, "{}", String::from_utf8_lossy(&copy.bytes));
        assert_eq!(copy.bytes, first.bytes);
        assert_eq!(copy.header("location"), first.header("location"));
    }
    assert_eq!(copies.iter().filter(|copy| copy.header("idempotency-replayed") == Some("true")).count(), 49);
    assert_eq!(server.get("/v1/tasks", ADMIN).await.json()["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_same_answer_comes_again_and_another_body_is_refused() {
    let server = server().await;
    let (first, second) = (json!({ "request": "a", "priority": 1 }), json!({ "request": "b" }));
    let made = post(&server, "/v1/tasks", ADMIN, "k", &first).await.expect(201);
    let reordered = server.request(Method::POST, "/v1/tasks", ADMIN).header("idempotency-key", "k");
    let reordered = reordered.header("content-type", "application/json").body(r#" {"priority":1, "request":"a"}"#);
    assert_eq!(server.send(reordered).await.expect(201).bytes, made.bytes);
    let refused = post(&server, "/v1/tasks", ADMIN, "k", &second).await.expect(422).json();
    assert_eq!(refused["code"], "idempotency_key_reused");
    let (_, bob) = server.user("default", "bob", Role::Member, None).await;
    let other = post(&server, "/v1/tasks", &bob, "k", &second).await.expect(201);
    assert_ne!(other.id(), made.id(), "a key is its principal's");
    let memory = json!({ "text": "the same key for another route" });
    post(&server, "/v1/memories", ADMIN, "k", &memory).await.expect(201);
}

#[tokio::test]
async fn actions_are_done_once() {
    let server = server().await;
    let id = server.task(ADMIN, "x").await;
    let path = format!("/v1/tasks/{id}");
    let said = json!({ "text": "hello" });
    let first = post(&server, &format!("{path}/messages"), ADMIN, "m", &said).await.expect(202);
    let again = post(&server, &format!("{path}/messages"), ADMIN, "m", &said).await.expect(202);
    assert_eq!(first.bytes, again.bytes);
    post(&server, &format!("{path}/cancel"), ADMIN, "c", &json!({})).await.expect(202);
    post(&server, &format!("{path}/cancel"), ADMIN, "c", &json!({})).await.expect(202);
    post(&server, &format!("{path}/cancel"), ADMIN, "d", &json!({})).await.expect(409);
    let events = server.get(&format!("{path}/events"), ADMIN).await.json();
    let kinds: Vec<_> =
        events["data"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["task.created", "task.status", "message.user", "task.control", "task.status"]);
}

#[tokio::test]
async fn a_refusal_does_not_use_the_key_up() {
    let server = server().await;
    post(&server, "/v1/tasks", ADMIN, "k", &json!({ "request": "" })).await.expect(422);
    post(&server, "/v1/tasks", ADMIN, "k", &json!({ "request": "now it is right" })).await.expect(201);
    let long = "k".repeat(256);
    post(&server, "/v1/tasks", ADMIN, &long, &json!({ "request": "x" })).await.expect(422);
    post(&server, "/v1/tasks", ADMIN, " ", &json!({ "request": "x" })).await.expect(422);
}

#[tokio::test]
async fn a_copy_that_waits_too_long_is_told_so() {
    let server = server().await;
    let me = server.get("/v1/me", ADMIN).await.json();
    let mut other = PgConnection::connect(&server.url).await.unwrap();
    let mut first = other.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO idempotency_keys (team, user_id, route, key, fingerprint)
         VALUES ($1::text::uuid, $2::text::uuid, 'POST /v1/tasks', 'slow', ''::bytea)",
    )
    .bind(me["team"]["id"].as_str().unwrap())
    .bind(me["user"]["id"].as_str().unwrap())
    .execute(&mut *first)
    .await
    .unwrap();
    let body = json!({ "request": "x" });
    let refused = post(&server, "/v1/tasks", ADMIN, "slow", &body).await.expect(409);
    assert_eq!((&refused.json()["code"], refused.header("retry-after")), (&json!("in_flight"), Some("1")));
    first.rollback().await.unwrap();
    post(&server, "/v1/tasks", ADMIN, "slow", &body).await.expect(201);
}

#[tokio::test]
async fn after_a_day_a_key_is_new() {
    let server = server().await;
    let body = json!({ "request": "x" });
    let first = post(&server, "/v1/tasks", ADMIN, "k", &body).await.expect(201);
    let mut connection = PgConnection::connect(&server.url).await.unwrap();
    sqlx::query("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")
        .execute(&mut connection)
        .await
        .unwrap();
    let second = post(&server, "/v1/tasks", ADMIN, "k", &json!({ "request": "y" })).await.expect(201);
    assert_ne!(first.id(), second.id());
}
