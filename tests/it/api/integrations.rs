//! Integrations: managed by admins, read by all of the team, secrets by nobody; what comes to their hooks is believed by its
//! signature alone.

use super::harness::{ADMIN, Reply, Server, server};
use crate::trackers::sent::{SECRET, Sent, sent, sent_with};
use journeyman::{
    clock,
    domain::{Role, TeamId, linked_account::Provider},
    secrets::Keyring,
    store::{sealed, trackers::integrations},
};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use uuid::Uuid;

const TOKEN: &str = "canary-token-5f2c9b1e77aa";

fn whole() -> Value {
    json!({
        "name": "our forge", "tracker": "github", "secret": SECRET, "base_url": "https://git.example.org/", "token": TOKEN,
        "rules": { "labels": ["agent"], "mention": "@bot", "assignee": "bot" },
        "repositories": { "acme/calc": { "url": "https://git.example.org/acme/calc.git", "ref": "main" } },
        "allowed_users": ["ada"], "approval": "plan", "network": { "mode": "off" }, "limits": { "turns": 20 },
    })
}

async fn send(server: &Server, integration: &str, sent: &Sent) -> Reply {
    let request = server.client.post(format!("{}/v1/hooks/{integration}", server.base)).headers(sent.map());
    server.send(request.body(sent.body.clone())).await
}

#[tokio::test]
async fn an_integration_is_made_read_changed_and_deleted_without_its_secrets() {
    let server = server().await;
    let send_it = || {
        let request = server.request(Method::POST, "/v1/integrations", ADMIN).json(&whole());
        server.send(request.header("idempotency-key", "once"))
    };
    let made = send_it().await.expect(201);
    let integration = made.json();
    let path = format!("/v1/integrations/{}", made.id());
    assert_eq!(made.header("location"), Some(path.as_str()));
    assert_eq!(send_it().await.expect(201).json(), integration);
    let mut shown = integration.clone();
    for key in ["id", "created_at", "updated_at", "owner"] {
        assert!(shown[key].is_string(), "{key}");
        shown.as_object_mut().unwrap().remove(key);
    }
    let mut wanted = whole();
    wanted.as_object_mut().unwrap().remove("secret");
    wanted.as_object_mut().unwrap().remove("token");
    wanted["base_url"] = json!("https://git.example.org");
    wanted["network"] = json!({ "mode": "off", "hosts": [] });
    wanted["environment"] = Value::Null;
    wanted["has_token"] = json!(true);
    wanted["previous_secret_until"] = Value::Null;
    wanted["publish"] = json!("pull_request");
    wanted["pull_requests"] = json!({ "labels": [], "reviewers": [] });
    wanted["app"] = Value::Null;
    wanted["answers"] = json!({ "enabled": true, "template": null });
    wanted["hook_url"] = json!(format!("https://journeyman.example.org/v1/hooks/{}", made.id()));
    assert_eq!(shown, wanted);
    assert_eq!(server.get(&path, ADMIN).await.expect(200).json(), integration);
    assert_eq!(server.get("/v1/integrations", ADMIN).await.expect(200).json()["data"], json!([integration]));
    let (_, viewer) = server.user("default", "viewer", Role::Viewer, None).await;
    server.get(&path, &viewer).await.expect(200);
    server.patch(&path, &viewer, &json!({ "name": "mine" })).await.expect(403);
    server.get(&format!("{path}/deliveries"), &viewer).await.expect(403);

    let edited = server.patch(&path, ADMIN, &json!({ "allowed_users": null, "rules": { "labels": ["x"] } })).await;
    let edited = edited.expect(200).json();
    assert_eq!((&edited["allowed_users"], &edited["rules"]["labels"]), (&json!([]), &json!(["x"])));
    assert_eq!((&edited["rules"]["mention"], &edited["approval"]), (&Value::Null, &json!("plan")));
    // A token is not sent elsewhere by who cannot read it.
    let moved = json!({ "base_url": "https://evil.example" });
    assert_eq!(server.patch(&path, ADMIN, &moved).await.pointers(), ["/token"]);
    server.patch(&path, ADMIN, &json!({ "base_url": "https://evil.example", "token": "another" })).await.expect(200);
    let without = server.patch(&path, ADMIN, &json!({ "token": null })).await.expect(200).json();
    assert_eq!(without["has_token"], false);

    // Sealed for just this owner.
    let team = TeamId(server.get("/v1/me", ADMIN).await.json()["team"]["id"].as_str().unwrap().parse().unwrap());
    server.patch(&path, ADMIN, &json!({ "token": TOKEN })).await.expect(200);
    let id = made.id().parse().unwrap();
    let value = integrations::token(&server.store, team, id).await.unwrap().unwrap();
    let owner = sealed::of_integration(team, id.0, "token");
    assert_eq!(Keyring::new(&[7; 32], &[]).open(&owner, &value).unwrap().expose(), TOKEN);
    assert!(sealed::key_ids(&server.store).await.unwrap().iter().any(|(_, count)| *count == 2));

    server.post("/v1/integrations", ADMIN, &whole()).await.expect(409);
    server.delete(&path, ADMIN).await.expect(204);
    server.delete(&path, ADMIN).await.expect(404);
    let log = server.get("/v1/audit_log", ADMIN).await.expect(200);
    let text = String::from_utf8_lossy(&log.bytes).into_owned();
    for action in ["integration.created", "integration.updated", "integration.deleted"] {
        assert!(text.contains(action), "{action}");
    }
    assert!(!text.contains(TOKEN) && !text.contains(SECRET));
}

#[tokio::test]
async fn what_is_wrong_with_an_integration_is_named() {
    let server = server().await;
    let with = |key: &str, value: Value| {
        let mut body = whole();
        body[key] = value;
        body
    };
    for (body, pointer) in [
        (json!({}), "/name"),
        (with("name", json!("")), "/name"),
        (with("tracker", json!("bugzilla")), "/tracker"),
        (with("secret", json!("short")), "/secret"),
        (with("secret", json!("with\nlines in it")), "/secret"),
        (with("token", json!("not visible\u{7f}")), "/token"),
        (with("base_url", json!("ftp://x")), "/base_url"),
        (with("base_url", json!("https://me:it@x.org")), "/base_url"),
        (with("rules", json!({ "labels": [""] })), "/rules/labels/0"),
        (with("rules", json!({ "labels": "agent" })), "/rules/labels"),
        (with("rules", json!({ "mention": "two words" })), "/rules/mention"),
        (with("rules", json!({ "colours": [] })), "/rules/colours"),
        (with("repositories", json!({ "a/b": { "url": "file:///etc" } })), "/repositories/a~1b/url"),
        (with("repositories", json!({ "a/b": { "url": "https://x.org/a", "ref": "--x" } })), "/repositories/a~1b/ref"),
        (with("allowed_users", json!([" "])), "/allowed_users/0"),
        (with("environment", json!("nowhere")), "/environment"),
        (with("network", json!({ "mode": "sometimes" })), "/network/mode"),
        (with("limits", json!({ "turns": 0 })), "/limits/turns"),
        (with("colour", json!("red")), "/colour"),
    ] {
        assert_eq!(server.post("/v1/integrations", ADMIN, &body).await.pointers(), [pointer], "{body}");
    }
}

#[tokio::test]
async fn a_hook_believes_the_present_secret_and_for_a_day_the_one_before() {
    let server = server().await;
    let id = server.post("/v1/integrations", ADMIN, &whole()).await.expect(201).id();
    let path = format!("/v1/integrations/{id}");
    let ping = || sent(Provider::Github, "ping");
    send(&server, &id, &ping()).await.expect(200);
    let next = "the next secret of the hook";
    send(&server, &id, &ping().signed(next)).await.expect(401);
    let rotated = server.patch(&path, ADMIN, &json!({ "secret": next })).await.expect(200).json();
    assert!(rotated["previous_secret_until"].is_string(), "{rotated}");
    send(&server, &id, &ping()).await.expect(200);
    send(&server, &id, &ping().signed(next)).await.expect(200);
    server.patch(&path, ADMIN, &json!({ "secret": "the third secret of it" })).await.expect(200);
    send(&server, &id, &ping()).await.expect(401);
    send(&server, &id, &ping().signed(next)).await.expect(200);
    send(&server, &id, &ping().signed("the third secret of it")).await.expect(200);

    // What does not exist is answered as what is not believed.
    let masked = |reply: Reply| {
        let mut body = reply.expect(401).json();
        body["request_id"] = Value::Null;
        body
    };
    let unknown = masked(send(&server, &clock::new_id::<Uuid>().to_string(), &ping()).await);
    assert_eq!(unknown, masked(send(&server, &id, &ping()).await));
    assert_eq!(unknown["code"], "unauthenticated");
    send(&server, "no-id", &ping()).await.expect(404);
    server.get(&format!("/v1/hooks/{id}"), ADMIN).await.expect(405);
    let mut large = sent_with(Provider::Github, "issues_labeled", |p| p["issue"]["body"] = json!("x".repeat(2 << 20)));
    assert_eq!(
        send(&server, &id, &large.clone().signed("the third secret of it")).await.expect(202).json()["state"],
        "waiting"
    );
    large.body.resize((5 << 20) + 1, b' ');
    send(&server, &id, &large).await.expect(413);
}

#[tokio::test]
async fn deliveries_are_listed_by_state_and_page_and_replayed() {
    let server = server().await;
    let id = server.post("/v1/integrations", ADMIN, &whole()).await.expect(201).id();
    let path = format!("/v1/integrations/{id}/deliveries");
    let label = |name: &str, number: u32| {
        sent_with(Provider::Github, "issues_labeled", |p| {
            p["label"]["name"] = json!(name);
            p["issue"]["number"] = json!(number);
        })
    };
    for number in 0..3 {
        send(&server, &id, &label("bug", number)).await.expect(200);
    }
    send(&server, &id, &label("agent", 9)).await.expect(202);
    let all = server.get(&path, ADMIN).await.expect(200).json();
    let shown: Vec<Value> =
        all["data"].as_array().unwrap().iter().map(|row| json!([row["issue"], row["state"]])).collect();
    assert_eq!(
        shown,
        [
            json!(["acme/calc#9", "waiting"]),
            json!(["acme/calc#2", "ignored"]),
            json!(["acme/calc#1", "ignored"]),
            json!(["acme/calc#0", "ignored"]),
        ]
    );
    let page = server.get(&format!("{path}?state=ignored&limit=2"), ADMIN).await.expect(200).json();
    let next = page["next_cursor"].as_str().unwrap();
    let rest = server.get(&format!("{path}?state=ignored&limit=2&cursor={next}"), ADMIN).await.expect(200).json();
    assert_eq!((rest["data"].as_array().unwrap().len(), &rest["next_cursor"]), (1, &Value::Null));
    assert_eq!(server.get(&format!("{path}?state=sometimes"), ADMIN).await.pointers(), ["/state"]);
    let one = rest["data"][0]["id"].as_str().unwrap().to_owned();
    let replay = format!("{path}/{one}/replay");
    let replayed = server.post(&replay, ADMIN, &json!({})).await.expect(202).json();
    assert_eq!((&replayed["state"], &replayed["reason"]), (&json!("waiting"), &Value::Null));
    server.post(&format!("{path}/{}/replay", clock::new_id::<Uuid>()), ADMIN, &json!({})).await.expect(404);
    let ping = send(&server, &id, &sent(Provider::Github, "ping")).await.expect(200).json();
    let nothing = format!("{path}/{}/replay", ping["delivery"].as_str().unwrap());
    assert_eq!(server.post(&nothing, ADMIN, &json!({})).await.expect(409).json()["code"], "nothing_to_do");
}

#[tokio::test]
async fn a_thousand_deliveries_are_answered_fast_and_none_is_lost() {
    let server = server().await;
    let id = server.post("/v1/integrations", ADMIN, &whole()).await.expect(201).id();
    let sends: Vec<Sent> = (0..1_000)
        .map(|number| {
            sent_with(Provider::Github, "issues_labeled", |p| {
                // A tenth asks for something.
                p["label"]["name"] = json!(if number % 10 == 0 { "agent" } else { "bug" });
                p["issue"]["number"] = json!(number);
            })
        })
        .collect();
    let mut took: Vec<Duration> = Vec::new();
    for batch in sends.chunks(8) {
        let timed = batch.iter().map(|sent| async {
            let begun = Instant::now();
            let status = send(&server, &id, sent).await.status;
            assert!(status == 202 || status == 200, "{status}");
            begun.elapsed()
        });
        took.extend(futures::future::join_all(timed).await);
    }
    took.sort();
    let (median, most) = (took[500], took[990]);
    assert!(most < Duration::from_millis(500), "median {median:?}, 99th percentile {most:?}");
    let waiting = server.get(&format!("/v1/integrations/{id}/deliveries?state=waiting&limit=100"), ADMIN).await;
    assert_eq!(waiting.expect(200).json()["data"].as_array().unwrap().len(), 100);
}
