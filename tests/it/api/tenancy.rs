//! What belongs to another team is as if it were not there, and roles hold on every route.

use super::harness::{ADMIN, Server, server};
use journeyman::{clock, domain::Role};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

/// Every route of a task, with a body that would be accepted.
fn task_routes(task: &str, approval: &str) -> Vec<(Method, String, Option<Value>)> {
    let path = |rest: &str| format!("/v1/tasks/{task}{rest}");
    vec![
        (Method::GET, path(""), None),
        (Method::PATCH, path(""), Some(json!({ "title": "mine now" }))),
        (Method::POST, path("/messages"), Some(json!({ "text": "hello" }))),
        (Method::POST, path("/cancel"), Some(json!({}))),
        (Method::POST, path("/pause"), Some(json!({}))),
        (Method::POST, path("/resume"), Some(json!({}))),
        (Method::POST, path("/retry"), Some(json!({}))),
        (Method::POST, path("/feedback"), Some(json!({ "rating": "up" }))),
        (Method::GET, path("/events"), None),
        (Method::GET, path("/conversation"), None),
        (Method::GET, path("/patch"), None),
        (Method::GET, path("/patch?from_turn=1"), None),
        (Method::GET, path("/files/README"), None),
        (Method::GET, path("/outputs/call_1_0"), None),
        (Method::GET, path("/checks/0/log"), None),
        (Method::GET, path("/approvals"), None),
        (Method::POST, path(&format!("/approvals/{approval}")), Some(json!({ "decision": "approve" }))),
        (Method::DELETE, path(""), None),
    ]
}

/// Status and body without the request id, whose place is kept.
async fn answer(
    server: &Server,
    key: &str,
    (method, path, body): (Method, String, Option<Value>),
) -> (StatusCode, String) {
    let mut request = server.request(method, &path, key);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let reply = server.send(request).await;
    let id = reply.json()["request_id"].as_str().unwrap().to_owned();
    (reply.status, String::from_utf8(reply.bytes).unwrap().replace(&id, "ID"))
}

#[tokio::test]
async fn another_teams_task_answers_on_every_route_as_one_that_never_was() {
    let server = server().await;
    let (_, stranger) = server.user("strangers", "sam", Role::Admin, None).await;
    let foreign = server.task(ADMIN, "Ours alone").await.to_string();
    let unknown = clock::new_id::<Uuid>().to_string();
    let approval = clock::new_id::<Uuid>().to_string();
    for (of_foreign, of_unknown) in task_routes(&foreign, &approval).into_iter().zip(task_routes(&unknown, &approval)) {
        let route = format!("{} {}", of_foreign.0, of_foreign.1);
        let (status, body) = answer(&server, &stranger, of_foreign).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{route}: {body}");
        assert_eq!((status, body), answer(&server, &stranger, of_unknown).await, "{route}");
    }
    let stream = server.request(Method::GET, &format!("/v1/tasks/{foreign}/events"), &stranger);
    server.send(stream.header("accept", "text/event-stream")).await.expect(404);
    let untouched = server.get(&format!("/v1/tasks/{foreign}"), ADMIN).await.expect(200).json();
    assert_eq!((&untouched["last_seq"], &untouched["title"]), (&json!(2), &json!("Ours alone")));
    assert_eq!(server.get("/v1/tasks", &stranger).await.expect(200).json()["data"], json!([]));
}

#[tokio::test]
async fn other_resources_of_another_team_are_not_there_either() {
    let server = server().await;
    let (_, stranger) = server.user("strangers", "sam", Role::Admin, None).await;
    let memory = json!({ "text": "ours", "scope": "team_repository", "repository": "https://example.org/a" });
    let memory = server.post("/v1/memories", ADMIN, &memory).await.expect(201).id();
    let key = server.post("/v1/api_keys", ADMIN, &json!({ "name": "ours" })).await.expect(201).id();
    let upload = server.request(Method::POST, "/v1/uploads", ADMIN).body(b"\x1f\x8brest".to_vec());
    let upload = server.send(upload).await.expect(201).id();
    let team = server.get("/v1/me", ADMIN).await.json()["team"]["id"].as_str().unwrap().to_owned();
    let environment = server.post("/v1/environments", ADMIN, &json!({ "name": "ours" })).await.expect(201).id();
    let credential = json!({ "host": "git.example.org", "kind": "token", "secret": "a-token-of-ours" });
    let credential = server.post("/v1/git_credentials", ADMIN, &credential).await.expect(201).id();
    for path in [
        format!("/v1/memories/{memory}"),
        format!("/v1/api_keys/{key}"),
        format!("/v1/teams/{team}"),
        format!("/v1/environments/{environment}"),
        format!("/v1/environments/{environment}/secrets"),
        format!("/v1/git_credentials/{credential}"),
    ] {
        server.get(&path, &stranger).await.expect(404);
        server.get(&path, ADMIN).await.expect(200);
    }
    server.delete(&format!("/v1/memories/{memory}"), &stranger).await.expect(404);
    server.patch(&format!("/v1/memories/{memory}"), &stranger, &json!({ "text": "x" })).await.expect(404);
    server.delete(&format!("/v1/api_keys/{key}"), &stranger).await.expect(404);
    let task = json!({ "request": "x", "repository": { "upload": upload } });
    assert_eq!(server.post("/v1/tasks", &stranger, &task).await.pointers(), ["/repository/upload"]);
    server.post("/v1/tasks", ADMIN, &task).await.expect(201);
    for list in ["/v1/memories", "/v1/approvals", "/v1/environments", "/v1/git_credentials"] {
        assert_eq!(server.get(list, &stranger).await.expect(200).json()["data"], json!([]), "{list}");
    }
    let found = server.post("/v1/memories/search", &stranger, &json!({ "query": "ours" })).await.expect(200).json();
    assert_eq!(found["data"], json!([]));
    let members = server.get("/v1/members", &stranger).await.expect(200).json();
    assert_eq!(members["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_viewer_reads_and_changes_nothing() {
    let server = server().await;
    let (_, viewer) = server.user("default", "vera", Role::Viewer, None).await;
    let task = server.task(ADMIN, "Look at this").await.to_string();
    let approval = clock::new_id::<Uuid>().to_string();
    for (method, path, body) in task_routes(&task, &approval) {
        let mut request = server.request(method.clone(), &path, &viewer);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let status = server.send(request).await.status.as_u16();
        if method == Method::GET {
            assert!(matches!(status, 200 | 404), "{method} {path}: {status}");
        } else {
            assert_eq!(status, 403, "{method} {path}");
        }
    }
    for (path, body) in [
        ("/v1/tasks", json!({ "request": "x" })),
        ("/v1/memories", json!({ "text": "x" })),
        ("/v1/api_keys", json!({ "name": "x" })),
        ("/v1/environments", json!({ "name": "x" })),
        ("/v1/git_credentials", json!({ "host": "x.org", "kind": "token", "secret": "x" })),
    ] {
        assert_eq!(server.post(path, &viewer, &body).await.expect(403).json()["code"], "forbidden");
    }
    let upload = server.request(Method::POST, "/v1/uploads", &viewer).body(b"\x1f\x8b".to_vec());
    server.send(upload).await.expect(403);
    for path in ["/v1/tasks", "/v1/me", "/v1/models", "/v1/teams", "/v1/members", "/v1/memories", "/v1/approvals"] {
        server.get(path, &viewer).await.expect(200);
    }
}

#[tokio::test]
async fn only_an_admin_opens_the_network() {
    let server = server().await;
    let (_, member) = server.user("default", "mia", Role::Member, None).await;
    let task = json!({ "request": "x", "network": { "mode": "open" } });
    server.post("/v1/tasks", &member, &task).await.expect(403);
    server.post("/v1/tasks", ADMIN, &task).await.expect(201);
}

#[tokio::test]
async fn nobody_makes_tasks_in_anothers_name() {
    let server = server().await;
    let (bob, _) = server.user("default", "bob", Role::Member, None).await;
    let me = server.get("/v1/me", ADMIN).await.json()["user"]["id"].clone();
    server.post("/v1/tasks", ADMIN, &json!({ "request": "x", "on_behalf_of": bob })).await.expect(403);
    server.post("/v1/tasks", ADMIN, &json!({ "request": "x", "on_behalf_of": me })).await.expect(201);
}
