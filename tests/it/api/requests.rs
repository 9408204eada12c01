//! How requests are read and what is said of those that cannot be.

use super::harness::{ADMIN, Reply, server};
use journeyman::clock;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

/// Every refusal has the one shape.
#[track_caller]
fn is_problem(reply: &Reply, status: u16, code: &str) {
    let body = reply.json();
    assert_eq!(reply.status.as_u16(), status, "{body}");
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    assert_eq!(body["status"], status);
    assert_eq!(body["code"], code, "{body}");
    assert_eq!(body["type"], format!("urn:journeyman:problem:{code}"));
    assert!(body["title"].is_string() && body["detail"].is_string(), "{body}");
    let id: Uuid = body["request_id"].as_str().unwrap().parse().unwrap();
    assert_eq!(reply.header("x-request-id"), Some(id.to_string().as_str()));
}

#[tokio::test]
async fn every_refusal_is_problem_details_with_the_request_id() {
    let server = server().await;
    is_problem(&server.get("/nowhere", ADMIN).await, 404, "not_found");
    is_problem(&server.get("/v1/tasks/not-an-id", ADMIN).await, 404, "not_found");
    is_problem(&server.get(&format!("/v1/tasks/{}", clock::new_id::<Uuid>()), ADMIN).await, 404, "not_found");
    is_problem(&server.get("/v1/tasks", "").await, 401, "unauthenticated");
    is_problem(&server.get("/v1/tasks", "jm_nothing").await, 401, "unauthenticated");
    is_problem(&server.get("/panics", "").await, 500, "internal");
    assert!(!String::from_utf8(server.get("/panics", "").await.bytes).unwrap().contains("secret"));

    let wrong = server.delete("/v1/tasks", ADMIN).await;
    is_problem(&wrong, 405, "method_not_allowed");
    let allow = wrong.header("allow").unwrap();
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");

    let text = server.request(Method::POST, "/v1/tasks", ADMIN).header("content-type", "text/plain").body("{}");
    is_problem(&server.send(text).await, 415, "unsupported_media_type");
    let untyped = server.request(Method::POST, "/v1/tasks", ADMIN).body("{}");
    is_problem(&server.send(untyped).await, 415, "unsupported_media_type");
    let large = json!({ "request": "x".repeat(1024 * 1024) });
    is_problem(&server.post("/v1/tasks", ADMIN, &large).await, 413, "too_large");
    // However much of it comes.
    let huge = json!({ "request": "x".repeat(20 << 20) });
    is_problem(&server.post("/v1/tasks", ADMIN, &huge).await, 413, "too_large");
    is_problem(&server.post("/v1/tasks", ADMIN, &json!({})).await, 422, "invalid");
    assert!(server.get("/healthz", "").await.header("x-request-id").is_some());
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_refused() {
    let server = server().await;
    let deep = format!("{{\"request\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for body in ["", "{", "nonsense", "[]", "[\"fix it\"]", "null", "\"fix it\"", "{\"request\":\"x\"} {}", &deep] {
        let request = server.request(Method::POST, "/v1/tasks", ADMIN);
        let reply = server.send(request.header("content-type", "application/json").body(body.to_owned())).await;
        is_problem(&reply, 422, "invalid");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_task_is_named_by_its_pointer() {
    let server = server().await;
    let long = |length: usize| "x".repeat(length);
    let task = |name: &str, value: Value| json!({ "request": "do it", name: value });
    let url = |url: &str| task("repository", json!({ "url": url }));
    let reference = |name: &str| task("repository", json!({ "url": "https://example.org/a.git", "ref": name }));
    let cases: Vec<(Value, &str)> = vec![
        (json!({}), "/request"),
        (json!({ "request": "" }), "/request"),
        (json!({ "request": " \n" }), "/request"),
        (json!({ "request": 7 }), "/request"),
        (json!({ "request": null }), "/request"),
        (json!({ "request": "a\u{0}b" }), "/request"),
        (json!({ "request": long(200_001) }), "/request"),
        (task("title", json!(long(201))), "/title"),
        (task("title", json!("two\nlines")), "/title"),
        (task("title", json!("")), "/title"),
        (task("titel", json!("misspelt")), "/titel"),
        (task("mode", json!("fast")), "/mode"),
        (task("mode", json!(3)), "/mode"),
        (task("model", json!("unheard-of")), "/model"),
        (task("environment", json!("production")), "/environment"),
        (task("approval", json!("sometimes")), "/approval"),
        (task("priority", json!(101)), "/priority"),
        (task("priority", json!(-101)), "/priority"),
        (task("priority", json!("high")), "/priority"),
        (task("priority", json!(1.5)), "/priority"),
        (task("limits", json!({ "turns": 0 })), "/limits/turns"),
        (task("limits", json!({ "turns": -1 })), "/limits/turns"),
        (task("limits", json!({ "turns": 1_000_000 })), "/limits/turns"),
        (task("limits", json!({ "wall_seconds": 0 })), "/limits/wall_seconds"),
        (task("limits", json!({ "tokens": 0 })), "/limits/tokens"),
        (task("limits", json!({ "cost_usd": -1 })), "/limits/cost_usd"),
        (task("limits", json!({ "refinements": 1_000 })), "/limits/refinements"),
        (task("limits", json!({ "hours": 1 })), "/limits/hours"),
        (task("limits", json!([1, 2, 3])), "/limits"),
        (task("checks", json!("make test")), "/checks"),
        (task("checks", json!([7])), "/checks/0"),
        (task("checks", json!([""])), "/checks/0/command"),
        (task("checks", json!(["make", { "name": "b" }])), "/checks/1/command"),
        (task("checks", json!([{ "command": "make", "shell": true }])), "/checks/0/shell"),
        (task("checks", json!([{ "command": "make", "timeout_seconds": 0 }])), "/checks/0/timeout_seconds"),
        (task("checks", json!([{ "command": "make", "workdir": "../.." }])), "/checks/0/workdir"),
        (task("checks", json!([{ "command": "make", "kind": "guess" }])), "/checks/0/kind"),
        (task("checks", json!([{ "command": "make", "metric": "(" }])), "/checks/0/metric"),
        (task("checks", json!(["make", "make"])), "/checks/1/name"),
        (task("checks", json!(vec!["true"; 0].into_iter().chain((0..51).map(|_| "x")).collect::<Vec<_>>())), "/checks"),
        (task("labels", json!({ "a": 1 })), "/labels/a"),
        (task("labels", json!({ "a/b": long(257) })), "/labels/a~1b"),
        (task("labels", json!({ "a": "x\u{0}" })), "/labels/a"),
        (task("labels", json!(["a"])), "/labels"),
        (task("network", json!({})), "/network/mode"),
        (task("network", json!({ "mode": "some" })), "/network/mode"),
        (task("network", json!({ "mode": "allowlist", "hosts": ["http://x"] })), "/network/hosts/0"),
        (task("network", json!({ "mode": "off", "hosts": ["pypi.org"] })), "/network/hosts"),
        (task("output_schema", json!("object")), "/output_schema"),
        (task("output_schema", json!({ "title": long(65_536) })), "/output_schema"),
        (task("repository", json!("https://example.org/a.git")), "/repository"),
        (task("repository", json!({})), "/repository"),
        (task("repository", json!({ "url": "https://example.org/a", "upload": Uuid::nil() })), "/repository"),
        (task("repository", json!({ "url": "https://example.org/a", "branch": "x" })), "/repository/branch"),
        (task("repository", json!({ "upload": "seven" })), "/repository/upload"),
        (task("repository", json!({ "upload": Uuid::nil() })), "/repository/upload"),
        (url("http://127.0.0.1/a.git"), "/repository/url"),
        (url("http://169.254.169.254/latest"), "/repository/url"),
        (url("file:///etc"), "/repository/url"),
        (url("--upload-pack=touch /tmp/x"), "/repository/url"),
        (url("ext::sh -c id"), "/repository/url"),
        (url("ftp://example.org/a"), "/repository/url"),
        (url(""), "/repository/url"),
        (reference("--output=/etc/passwd"), "/repository/ref"),
        (reference("a..b"), "/repository/ref"),
        (reference(""), "/repository/ref"),
    ];
    let mut wrong = Vec::new();
    for (body, pointer) in cases {
        let reply = server.post("/v1/tasks", ADMIN, &body).await;
        is_problem(&reply, 422, "invalid");
        let pointers = reply.pointers();
        if !pointers.iter().any(|found| found == pointer) {
            wrong.push(format!("{body} gave {pointers:?}, not {pointer}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(server.get("/v1/tasks", ADMIN).await.expect(200).json()["data"], json!([]), "nothing was made");
}

#[tokio::test]
async fn all_mistakes_are_told_at_once() {
    let server = server().await;
    let body = json!({ "request": "", "priority": 900, "limits": { "turns": 0 }, "model": "none" });
    let pointers = server.post("/v1/tasks", ADMIN, &body).await.pointers();
    assert_eq!(pointers, ["/limits/turns", "/model", "/priority", "/request"]);
}

#[tokio::test]
async fn unknown_and_wrong_query_parameters_are_refused() {
    let server = server().await;
    let cases = [
        ("/v1/tasks?limit=0", "/limit"),
        ("/v1/tasks?limit=101", "/limit"),
        ("/v1/tasks?limit=-1", "/limit"),
        ("/v1/tasks?limit=ten", "/limit"),
        ("/v1/tasks?limit=1&limit=2", "/limit"),
        ("/v1/tasks?colour=blue", "/colour"),
        ("/v1/tasks?status=asleep", "/status"),
        ("/v1/tasks?status=queued,asleep", "/status"),
        ("/v1/tasks?waiting_for=godot", "/waiting_for"),
        ("/v1/tasks?source=smoke", "/source"),
        ("/v1/tasks?created_by=you", "/created_by"),
        ("/v1/tasks?label=nothing", "/label"),
        ("/v1/tasks?updated_after=yesterday", "/updated_after"),
        ("/v1/tasks?until=dawn", "/until"),
        ("/v1/tasks?q=%00", "/q"),
        ("/v1/tasks?cursor=made-up", "/cursor"),
        ("/v1/memories?state=odd", "/state"),
        ("/v1/memories?cursor=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "/cursor"),
        ("/v1/approvals?state=odd", "/state"),
        ("/v1/api_keys?limit=1000", "/limit"),
        ("/v1/members?page=2", "/page"),
        ("/v1/models?x=", "/x"),
        ("/v1/me?x=1", "/x"),
    ];
    for (path, pointer) in cases {
        assert_eq!(server.get(path, ADMIN).await.pointers(), [pointer], "{path}");
    }
    let body = json!({ "request": "x", "name": "x", "text": "x" });
    for path in ["/v1/tasks?dry_run=1", "/v1/memories?dry_run=1", "/v1/api_keys?dry_run=1"] {
        assert_eq!(server.post(path, ADMIN, &body).await.pointers(), ["/dry_run"], "{path}");
    }
    let task = server.task(ADMIN, "look").await;
    server.delete(&format!("/v1/tasks/{task}?force=1"), ADMIN).await.expect(422);
    for (query, pointer) in [
        ("?until=never", "/until"),
        ("?x=1", "/x"),
        ("/events?after=-1", "/after"),
        ("/events?after=x", "/after"),
        ("/events?limit=0", "/limit"),
        ("/events?cursor=x", "/cursor"),
        ("/events?follow=maybe", "/follow"),
        ("/conversation?limit=999", "/limit"),
        ("/patch?from_turn=-1", "/from_turn"),
        ("/patch?turn=1", "/turn"),
        ("/files/README?turn=x", "/turn"),
    ] {
        assert_eq!(server.get(&format!("/v1/tasks/{task}{query}"), ADMIN).await.pointers(), [pointer], "{query}");
    }
}

#[tokio::test]
async fn a_cursor_belongs_to_its_list_and_its_filters() {
    let server = server().await;
    for request in ["one", "two", "three"] {
        server.task(ADMIN, request).await;
    }
    let page = server.get("/v1/tasks?limit=2", ADMIN).await.expect(200).json();
    let cursor = page["next_cursor"].as_str().unwrap();
    let next = server.get(&format!("/v1/tasks?limit=2&cursor={cursor}"), ADMIN).await.expect(200).json();
    assert_eq!(next["data"].as_array().unwrap().len(), 1);
    assert_eq!(next["data"][0]["title"], "one");
    assert_eq!(next["next_cursor"], Value::Null);
    for foreign in ["/v1/tasks?status=queued&cursor=", "/v1/memories?cursor=", "/v1/members?cursor="] {
        assert_eq!(server.get(&format!("{foreign}{cursor}"), ADMIN).await.pointers(), ["/cursor"], "{foreign}");
    }
    let (_, other) = server.user("others", "olga", journeyman::domain::Role::Member, None).await;
    assert_eq!(server.get(&format!("/v1/tasks?limit=2&cursor={cursor}"), &other).await.pointers(), ["/cursor"]);
    let mut broken = cursor.to_owned().into_bytes();
    broken[5] = if broken[5] == b'A' { b'B' } else { b'A' };
    let broken = String::from_utf8(broken).unwrap();
    assert_eq!(server.get(&format!("/v1/tasks?limit=2&cursor={broken}"), ADMIN).await.pointers(), ["/cursor"]);
}
