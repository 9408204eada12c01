//! Endpoints as admins manage them.

use super::{endpoint, receiver::Receiver, served};
use journeyman::{
    domain::secret::SecretKind,
    store::{
        Settings, Store, sealed,
        webhooks::{Kept, trim},
    },
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::Duration;

async fn patch(api: &crate::support::service::Api, path: &str, body: Value) -> (u16, Value) {
    let answer = api.http.patch(format!("{}{path}", api.base)).bearer_auth(&api.key).json(&body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_made_changed_and_deleted_and_its_secret_is_shown_once() {
    let (ground, service, api) = served().await;
    let body = json!({ "url": "https://hooks.example.org/a?b=c", "events": ["task.status", "approval.*"], "description": "ours" });
    let post = async |key: &str, body: &Value| {
        let request = api.http.post(format!("{}/v1/webhook_endpoints", api.base)).bearer_auth(&api.key);
        let answer = request.header("idempotency-key", key).json(body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (status, made) = post("once", &body).await;
    assert_eq!(status, 201, "{made:#}");
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert_eq!(secret.strip_prefix("whsec_").unwrap().len(), 44, "32 bytes in base64");
    assert_eq!(made["events"], json!(["approval.*", "task.status"]));
    assert_eq!(post("once", &body).await, (201, made.clone()), "the same key gets the same answer");
    let path = format!("/v1/webhook_endpoints/{}", made["id"].as_str().unwrap());
    let (_, got) = api.get(&path).await;
    assert_eq!((&got["secret"], &got["enabled"], &got["disabled_reason"]), (&Value::Null, &json!(true), &Value::Null));
    assert_eq!(api.get("/v1/webhook_endpoints").await.1["data"], json!([got]));
    // It is nowhere in the database as it is.
    let mut connection = PgConnection::connect(&ground.database).await.unwrap();
    for table in ["webhook_secrets", "webhook_endpoints", "idempotency_keys", "audit_log"] {
        let asked = format!("SELECT count(*) FROM {table} t WHERE t::text LIKE '%' || $1 || '%'");
        let found: i64 =
            sqlx::query_scalar(AssertSqlSafe(asked)).bind(&secret[6..]).fetch_one(&mut connection).await.unwrap();
        assert_eq!(found, 0, "{table}");
    }
    let (status, edited) = patch(&api, &path, json!({ "description": "theirs", "enabled": false })).await;
    assert_eq!((status, &edited["enabled"], &edited["url"]), (200, &json!(false), &got["url"]), "{edited:#}");
    let (status, refused) = api.post(&format!("{path}/test"), &json!({})).await;
    assert_eq!((status, &refused["code"]), (409, &json!("webhook_endpoint_disabled")), "{refused:#}");
    let deleted = api.http.delete(format!("{}{path}", api.base)).bearer_auth(&api.key).send().await.unwrap();
    assert_eq!(deleted.status(), 204);
    assert_eq!(api.get(&path).await.0, 404);
    let (_, log) = api.get("/v1/audit_log?limit=100").await;
    let said: Vec<&str> =
        log["data"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).rev().collect();
    let said: Vec<&str> = said.into_iter().filter(|action| action.starts_with("webhook")).collect();
    assert_eq!(said, ["webhook_endpoint.created", "webhook_endpoint.updated", "webhook_endpoint.deleted"]);
    assert!(!log.to_string().contains("b=c"), "an address can be a secret: {log:#}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_an_endpoint_is_named() {
    let (_ground, service, api) = served().await;
    for (body, pointer, word) in [
        (json!({ "url": "https://a.org" }), "/events", "missing"),
        (json!({ "url": "https://a.org", "events": [] }), "/events", "at least one"),
        (json!({ "url": "https://a.org", "events": ["task.state"] }), "/events/0", "task.status, task.phase"),
        (json!({ "url": "https://a.org", "events": ["*", "t*"] }), "/events/1", "webhook_endpoint.disabled"),
        (json!({ "url": "hooks", "events": ["*"] }), "/url", "must be a URL"),
        (json!({ "url": "ftp://a.org", "events": ["*"] }), "/url", "https"),
        (json!({ "url": "https://u:p@a.org", "events": ["*"] }), "/url", "password"),
        (json!({ "url": "https://a.org/#x", "events": ["*"] }), "/url", "fragment"),
        (json!({ "url": "https://10.0.0.1/", "events": ["*"] }), "/url", "private"),
        (json!({ "url": "https://[::ffff:10.0.0.1]/", "events": ["*"] }), "/url", "private"),
        (json!({ "url": "https://0x0a.1/", "events": ["*"] }), "/url", "private"),
        (json!({ "url": "https://localhost/", "events": ["*"] }), "/url", "private"),
        (json!({ "url": "https://169.254.169.254/", "events": ["*"] }), "/url", "link-local"),
        (json!({ "url": "http://8.8.8.8/", "events": ["*"] }), "/url", "https alone"),
        (json!({ "url": "https://a.org", "events": ["*"], "secret": "mine" }), "/secret", "unknown"),
    ] {
        let (status, answer) = api.post("/v1/webhook_endpoints", &body).await;
        assert_eq!((status, &answer["errors"][0]["pointer"]), (422, &json!(pointer)), "{body}: {answer:#}");
        assert!(answer["errors"][0]["detail"].as_str().unwrap().contains(word), "{body}: {answer:#}");
    }
    let body = json!({ "url": "https://a.org", "events": ["*"] });
    for _ in 0..20 {
        assert_eq!(api.post("/v1/webhook_endpoints", &body).await.0, 201);
    }
    let (status, answer) = api.post("/v1/webhook_endpoints", &body).await;
    assert_eq!((status, &answer["code"]), (409, &json!("too_many")), "{answer:#}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_is_sent_whatever_the_endpoint_wants_and_deliveries_are_paged() {
    let (_ground, service, api) = served().await;
    let receiver = Receiver::start().await;
    let endpoint = endpoint(&api, &receiver.url, json!(["approval.resolved"])).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(endpoint.test(&api).await);
    }
    let received = receiver.met(3).await;
    assert!(received.iter().all(|one| one.json()["type"] == "webhook.test" && one.is_signed_by(&endpoint.secret)));
    assert_eq!(received[0].json()["data"]["webhook_endpoint"], endpoint.id.as_str());
    endpoint.settled(&api).await;
    let (_, first) = api.get(&format!("{}/deliveries?limit=2&state=delivered", endpoint.path)).await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let (_, second) = api.get(&format!("{}/deliveries?limit=2&state=delivered&cursor={cursor}", endpoint.path)).await;
    let listed: Vec<&str> = [&first, &second]
        .iter()
        .flat_map(|page| page["data"].as_array().unwrap())
        .map(|one| one["id"].as_str().unwrap())
        .collect();
    ids.reverse();
    assert_eq!(listed, ids);
    assert_eq!(second["next_cursor"], Value::Null);
    assert_eq!(api.get(&format!("{}/deliveries?state=lost", endpoint.path)).await.0, 422);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_finished_is_kept_for_a_while_and_what_nobody_waits_for_is_not() {
    let (ground, service, api) = served().await;
    let receiver = Receiver::start().await;
    let kept = endpoint(&api, &receiver.url, json!(["*"])).await;
    let left = endpoint(&api, "https://hooks.example.org/", json!(["*"])).await;
    for _ in 0..3 {
        kept.test(&api).await;
        kept.settled(&api).await;
    }
    service.stop().await;
    let store = Store::connect(&Settings::new(&ground.database), false).await.unwrap();
    // A commit that saw the endpoint while it was being deleted leaves such a row.
    let lost = "INSERT INTO webhook_deliveries (team, endpoint, kind, body)
        SELECT team, gen_random_uuid(), 'task.status', '{}' FROM webhook_endpoints WHERE id = $1";
    super::sql(&ground, lost, &left.id).await;
    let hour = Duration::from_secs(3_600);
    assert_eq!(trim(&store, Kept { age: hour, of_endpoint: 2 }, 100).await.unwrap(), 2, "the oldest, and the lost one");
    assert_eq!(trim(&store, Kept { age: hour, of_endpoint: 2 }, 100).await.unwrap(), 0);
    assert_eq!(trim(&store, Kept { age: Duration::ZERO, of_endpoint: 2 }, 1).await.unwrap(), 1);
    assert_eq!(trim(&store, Kept { age: Duration::ZERO, of_endpoint: 2 }, 100).await.unwrap(), 1);
    // A change of the master key finds what signs.
    let found = sealed::under_other_keys(&store, "another", None, 100).await.unwrap();
    let of_webhooks = found.iter().filter(|(owner, _)| owner.kind == SecretKind::Webhook);
    let mut ids: Vec<String> = of_webhooks.map(|(owner, _)| owner.id.to_string()).collect();
    ids.sort();
    let mut both = vec![kept.id, left.id];
    both.sort();
    assert_eq!(ids, both);
    store.close().await;
}
