//! Webhooks: endpoints, what they are sent and how it is signed, retries, dead and forbidden addresses, crashes. Receivers are HTTP
//! servers of the tests', and verify with code of their own.

mod addresses;
mod crashes;
mod endpoints;
mod pace;
mod receiver;
mod retries;
mod signatures;

use crate::support::service::{Api, Ground, PATIENCE, TestService, say};
use receiver::Receiver;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::time::Duration;

/// What lets a test's own receivers be reached, and does not make it wait.
pub(super) const SETTINGS: [(&str, &str); 3] = [
    ("JOURNEYMAN_PRIVATE_HOSTS", "127.0.0.0/8"),
    ("JOURNEYMAN_WEBHOOK_RETRY_SECONDS", "0.1,0.1,0.1"),
    ("JOURNEYMAN_WEBHOOK_TIMEOUT_SECONDS", "2"),
];

pub(super) async fn ground(more: &[(&str, &str)]) -> Ground {
    let mut ground = Ground::new(&json!({ "sequence": [say("Done.")] })).await;
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    ground.variables.extend(SETTINGS.iter().chain(more).map(own));
    ground
}

pub(super) async fn served() -> (Ground, TestService, Api) {
    let ground = ground(&[]).await;
    let service = ground.start().await;
    let api = service.api();
    (ground, service, api)
}

/// An endpoint with its secret.
pub(super) struct Endpoint {
    pub(super) path: String,
    pub(super) id: String,
    pub(super) secret: String,
}

pub(super) async fn endpoint(api: &Api, url: &str, events: Value) -> Endpoint {
    let (status, made) = api.post("/v1/webhook_endpoints", &json!({ "url": url, "events": events })).await;
    assert_eq!(status, 201, "{made:#}");
    let id = made["id"].as_str().unwrap().to_owned();
    let secret = made["secret"].as_str().unwrap().to_owned();
    Endpoint { path: format!("/v1/webhook_endpoints/{id}"), id, secret }
}

impl Endpoint {
    pub(super) async fn test(&self, api: &Api) -> String {
        let (status, made) = api.post(&format!("{}/test", self.path), &json!({})).await;
        assert_eq!(status, 202, "{made:#}");
        made["id"].as_str().unwrap().to_owned()
    }

    pub(super) async fn deliveries(&self, api: &Api) -> Vec<Value> {
        let (status, page) = api.get(&format!("{}/deliveries?limit=100", self.path)).await;
        assert_eq!(status, 200, "{page:#}");
        page["data"].as_array().unwrap().clone()
    }

    pub(super) async fn delivery(&self, api: &Api, id: &str) -> Value {
        self.deliveries(api).await.into_iter().find(|one| one["id"] == id).unwrap()
    }

    /// Waits until a delivery is in a state; the delivery.
    pub(super) async fn until(&self, api: &Api, id: &str, state: &str) -> Value {
        let path = format!("{}/deliveries?limit=100", self.path);
        let of = |page: &Value| page["data"].as_array().unwrap().iter().find(|one| one["id"] == id).cloned();
        let page = api.until_at(&path, |page| of(page).is_some_and(|one| one["state"] == state)).await;
        of(&page).unwrap()
    }

    /// Waits until all that was ever to be sent is finished.
    pub(super) async fn settled(&self, api: &Api) {
        let path = format!("{}/deliveries?state=pending", self.path);
        api.until_at(&path, |page| page["data"].as_array().unwrap().is_empty()).await;
    }
}

/// A task that ends at once; its id.
pub(super) async fn task(api: &Api) -> String {
    let id = api.create(&json!({ "request": "say something private", "mode": "answer" })).await;
    assert_eq!(api.rest(&id).await["status"], "succeeded");
    id
}

/// The (type, task, seq) of what a receiver got, sorted, each once.
pub(super) fn told(receiver: &Receiver) -> Vec<(String, String, i64)> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut all: Vec<_> = receiver
        .received()
        .iter()
        .map(|one| {
            (
                word(&one.json()["type"]),
                word(&one.json()["data"]["task"]),
                one.json()["data"]["seq"].as_i64().unwrap_or_default(),
            )
        })
        .collect();
    all.sort();
    all.dedup();
    all
}

/// The same of a task's log.
pub(super) async fn logged(api: &Api, task: &str, wanted: impl Fn(&str) -> bool) -> Vec<(String, String, i64)> {
    let mut all: Vec<_> = api
        .events(task)
        .await
        .iter()
        .map(|event| (event["kind"].as_str().unwrap().to_owned(), task.to_owned(), event["seq"].as_i64().unwrap()))
        .filter(|(kind, ..)| wanted(kind))
        .collect();
    all.sort();
    all
}

/// Has time pass for a row, as nobody waits for days.
pub(super) async fn sql(ground: &Ground, statement: &str, id: &str) {
    let mut connection = PgConnection::connect(&ground.database).await.unwrap();
    let done = sqlx::query(sqlx::AssertSqlSafe(statement.to_owned()))
        .bind(id.parse::<uuid::Uuid>().unwrap())
        .execute(&mut connection)
        .await
        .unwrap();
    assert_eq!(done.rows_affected(), 1, "{statement}");
    connection.close().await.unwrap();
}

/// Waits for what a test's own receiver sees.
pub(super) async fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
