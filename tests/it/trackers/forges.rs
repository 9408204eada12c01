//! Who may is asked of the forge, live, and what cannot be found out is no leave.

use super::{
    sent::{sent, sent_with},
    stories::World,
};
use crate::support::calculator;
use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use journeyman::domain::linked_account::Provider;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const TOKEN: &str = "forge-token-canary-0123456789";

/// A forge's API, as its vendor's documents describe it.
#[derive(Clone)]
struct Forge {
    tracker: Provider,
    asked: Arc<Mutex<Vec<String>>>,
    /// What it answers instead.
    broken: Arc<Mutex<Option<u16>>>,
}

async fn answer(State(forge): State<Forge>, request: Request) -> Response {
    let header =
        |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let known = match forge.tracker {
        Provider::Gitlab => header("private-token") == TOKEN,
        Provider::Gitea => header("authorization") == format!("token {TOKEN}"),
        _ => header("authorization") == format!("Bearer {TOKEN}"),
    };
    let path = request.uri().path().to_owned();
    forge.asked.lock().unwrap().push(path.clone());
    if let Some(status) = *forge.broken.lock().unwrap() {
        return StatusCode::from_u16(status).unwrap().into_response();
    }
    if !known {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let body = match path.as_str() {
        "/api/v3/repos/acme/calc/collaborators/ada/permission"
        | "/api/v1/repos/acme/calc/collaborators/ada/permission" => {
            json!({ "permission": "write", "role_name": "maintain", "user": { "login": "ada" } })
        }
        "/api/v3/repos/acme/calc/collaborators/bob/permission"
        | "/api/v1/repos/acme/calc/collaborators/bob/permission" => {
            json!({ "permission": "read", "role_name": "read", "user": { "login": "bob" } })
        }
        "/api/v4/projects/acme%2Fcalc/members/all/21" => {
            json!({ "id": 21, "username": "ada", "state": "active", "access_level": 30 })
        }
        "/api/v4/projects/acme%2Fcalc/members/all/22" => {
            json!({ "id": 22, "username": "bob", "state": "active", "access_level": 20 })
        }
        _ => return (StatusCode::NOT_FOUND, axum::Json(json!({ "message": "Not Found" }))).into_response(),
    };
    axum::Json(body).into_response()
}

async fn world(tracker: Provider) -> (World, Forge) {
    let forge = Forge { tracker, asked: Arc::default(), broken: Arc::default() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(forge.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let script = json!({ "sequence": [{ "text": "Looked.", "repeat": 99 }] });
    let mut ground = calculator::ground(&script).await;
    ground.variables.push(("JOURNEYMAN_PRIVATE_HOSTS".to_owned(), "127.0.0.0/8".to_owned()));
    let more = json!({ "allowed_users": [], "token": TOKEN, "base_url": base });
    (World::on(ground, tracker, &more).await, forge)
}

fn by_bob(tracker: Provider) -> super::sent::Sent {
    let (name, author): (_, fn(&mut Value)) = match tracker {
        Provider::Github => ("issues_labeled", |p| p["sender"]["login"] = json!("bob")),
        Provider::Gitea => ("issue_label_updated", |p| p["sender"]["login"] = json!("bob")),
        _ => ("issue_labelled", |p| {
            p["user"]["username"] = json!("bob");
            p["user"]["id"] = json!(22);
        }),
    };
    sent_with(tracker, name, author)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_write_may_ask_and_who_may_read_may_not() {
    for (tracker, name) in [
        (Provider::Github, "issues_labeled"),
        (Provider::Gitlab, "issue_labelled"),
        (Provider::Gitea, "issue_label_updated"),
    ] {
        let (world, forge) = world(tracker).await;
        let refused = world.done(&by_bob(tracker)).await;
        assert_eq!(refused["state"], "ignored", "{tracker:?}: {refused:#}");
        assert!(
            refused["reason"].as_str().unwrap().starts_with("bob may not make or steer tasks: his "),
            "{refused:#}"
        );
        let done = world
            .done(&sent_with(tracker, name, |p| {
                for place in ["/issue/updated_at", "/object_attributes/updated_at"] {
                    if let Some(at) = p.pointer_mut(place) {
                        *at = json!("2026-11-09T10:00:00Z");
                    }
                }
            }))
            .await;
        assert_eq!(done["state"], "done", "{tracker:?}: {done:#} {:?}", forge.asked.lock().unwrap());
        let task = world.api.rest(done["task"].as_str().unwrap()).await;
        assert_eq!(
            (&task["source"]["outsider"], &task["source"]["untrusted"]),
            (&json!(true), &Value::Null),
            "{task:#}"
        );
        // It is asked once a minute about one person.
        let asked = forge.asked.lock().unwrap().clone();
        assert_eq!(asked.iter().filter(|path| path.contains("ada") || path.ends_with("/21")).count(), 1, "{asked:?}");
        world.service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forge_that_refuses_or_knows_nobody_gives_no_leave() {
    let (world, forge) = world(Provider::Github).await;
    *forge.broken.lock().unwrap() = Some(403);
    let failed = world.done(&sent(Provider::Github, "issues_labeled")).await;
    assert_eq!(
        (&failed["state"], &failed["reason"]),
        (&json!("failed"), &json!("who may could not be asked: the forge refused the integration's token (403)"))
    );
    // One that is away is asked again.
    *forge.broken.lock().unwrap() = Some(502);
    let later =
        sent_with(Provider::Github, "issues_labeled", |p| p["issue"]["updated_at"] = json!("2026-11-03T10:00:00Z"));
    let (status, answer) = world.send(&later).await;
    assert_eq!(status, 202);
    let path = format!("/v1/integrations/{}/deliveries", world.integration["id"].as_str().unwrap());
    let told = |page: &Value| page["data"][0]["reason"] == "who may could not be asked: the forge answered 502";
    let page = world.api.until_at(&path, told).await;
    assert_eq!(page["data"][0]["state"], "waiting", "{page:#}");
    *forge.broken.lock().unwrap() = None;
    let came = world.came(&answer).await;
    assert_eq!(came["state"], "done", "{came:#}");
    assert!(came["attempts"].as_u64().unwrap() > 1);
    let stranger = sent_with(Provider::Github, "issues_labeled", |p| {
        p["sender"]["login"] = json!("mallory");
        p["issue"]["number"] = json!(44);
    });
    let came = world.done(&stranger).await;
    assert_eq!(came["state"], "ignored", "{came:#}");
    assert_eq!(world.tasks().await.len(), 1);
    world.service.stop().await;
}
