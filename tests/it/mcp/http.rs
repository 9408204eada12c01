//! Servers at an address: a little one that speaks streamable HTTP, and goes wrong on purpose.

use super::{answers, configure, found, of_servers, request};
use crate::support::service::{Ground, call, say};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

const TOKEN: &str = "mcp-token-0123456789";

#[derive(Clone, Default)]
struct Seen {
    redirected: Arc<AtomicU32>,
    slow: Arc<AtomicU32>,
    cancelled: Arc<AtomicU32>,
}

/// The server's address and what it has seen.
async fn server() -> (String, Seen) {
    let seen = Seen::default();
    let router = Router::new()
        .route("/mcp", post(speak))
        .route("/moved", post(|| async { Redirect::temporary("/elsewhere") }))
        .route("/elsewhere", post(elsewhere).get(elsewhere))
        .route("/", get(|| async { "no MCP" }))
        .with_state(seen.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    tokio::spawn(journeyman::api::serve(listener, router, stop));
    (format!("http://{address}"), seen)
}

async fn elsewhere(State(seen): State<Seen>) -> StatusCode {
    seen.redirected.fetch_add(1, Ordering::SeqCst);
    StatusCode::OK
}

fn json_answer(message: &Value) -> Response {
    ([("content-type", "application/json"), ("mcp-session-id", "one")], message.to_string()).into_response()
}

/// Events with a comment and a notification before the message, which is cut into lines.
fn events(message: &Value) -> Response {
    let notice =
        json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "level": "info", "data": "x" } });
    let lines = serde_json::to_string_pretty(message).unwrap().replace('\n', "\r\ndata: ");
    let body = format!(": hello\n\nid: 1\ndata: {notice}\n\nevent: message\r\ndata: {lines}\r\n\r\n");
    ([("content-type", "text/event-stream")], body).into_response()
}

async fn speak(State(seen): State<Seen>, headers: HeaderMap, body: Bytes) -> Response {
    let message: Value = serde_json::from_slice(&body).unwrap();
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if header("authorization") != format!("Bearer {TOKEN}") || !header("accept").contains("text/event-stream") {
        return (StatusCode::UNAUTHORIZED, "who are you?").into_response();
    }
    let result = |value: Value| json!({ "jsonrpc": "2.0", "id": message["id"], "result": value });
    let text = |words: &str| result(json!({ "content": [{ "type": "text", "text": words }] }));
    if message["method"] == "initialize" {
        let version = &message["params"]["protocolVersion"];
        let info = json!({ "name": "little", "version": "1" });
        return json_answer(&result(
            json!({ "protocolVersion": version, "capabilities": { "tools": {} }, "serverInfo": info }),
        ));
    }
    if header("mcp-session-id") != "one" || header("mcp-protocol-version").is_empty() {
        return StatusCode::BAD_REQUEST.into_response();
    }
    match (message["method"].as_str().unwrap(), message["params"]["name"].as_str().unwrap_or_default()) {
        ("notifications/cancelled", _) => {
            seen.cancelled.fetch_add(1, Ordering::SeqCst);
            StatusCode::ACCEPTED.into_response()
        }
        ("notifications/initialized", _) => StatusCode::ACCEPTED.into_response(),
        ("tools/list", _) => {
            let names = ["weather", "slow", "broken", "token", "cut", "huge"];
            let tool = |name: &str| json!({ "name": name, "description": name, "inputSchema": { "type": "object" } });
            events(&result(json!({ "tools": names.map(tool) })))
        }
        ("tools/call", "weather") => events(&text("sunny")),
        ("tools/call", "token") => json_answer(&text(header("authorization"))),
        ("tools/call", "broken") => (StatusCode::INTERNAL_SERVER_ERROR, "out of order").into_response(),
        ("tools/call", "cut") => ([("content-type", "text/event-stream")], "data: {\"half").into_response(),
        ("tools/call", "huge") => json_answer(&text(&"x".repeat(6 << 20))),
        ("tools/call", "slow") => {
            seen.slow.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(60)).await;
            StatusCode::OK.into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn entry(name: &str, url: &str, rest: &str) -> String {
    format!("[[mcp_servers]]\nname = \"{name}\"\nurl = \"{url}\"\ntrust = true\neffects = \"reads\"\n{rest}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_at_an_address_is_spoken_to_and_its_faults_are_errors_of_its_calls() {
    let (base, seen) = server().await;
    let names = ["weather", "token", "broken", "cut", "huge", "slow", "weather"];
    let mut sequence: Vec<Value> = names.iter().map(|name| call(&format!("mcp__sky__{name}"), json!({}))).collect();
    sequence.push(say("Told."));
    let mut ground = Ground::new(&json!({ "sequence": sequence })).await;
    let url = ground.repositories.make("tools", &[("a.txt", "a\n")]);
    let token = "headers = { Authorization = \"env:SKY\" }\ntimeout_seconds = 1.5";
    let moved = entry("moved", &format!("{base}/moved"), "");
    let plain = entry("plain", &format!("{base}/mcp"), "");
    configure(&mut ground, &[entry("sky", &format!("{base}/mcp"), token), moved, plain].concat());
    ground.variables.push(("SKY".to_owned(), format!("Bearer {TOKEN}")));
    ground.variables.push(("JOURNEYMAN_PRIVATE_HOSTS".to_owned(), "127.0.0.1".to_owned()));
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&request(&url, "answer")).await;
    let task = api.rest(&id).await;
    assert_eq!(task["status"], "succeeded", "{task:#}");
    let (given, servers) = (answers(&api, &id).await, found(&api, &id).await);
    service.stop().await;

    let expected = [
        ("ok", "sunny"),
        ("ok", "***"),
        ("error", "it answered with status 500: out of order"),
        ("error", "it ended its answer without a result"),
        ("error", "its answer is larger than 4 MiB"),
        ("timed_out", "it did not answer within 1.5 s"),
        ("ok", "sunny"),
    ];
    for ((outcome, output), (wanted, words)) in given.iter().zip(expected) {
        assert_eq!((outcome.as_str(), output.contains(words)), (wanted, true), "{words}: {output}");
        assert!(!output.contains(TOKEN));
    }
    assert_eq!((given.len(), seen.slow.load(Ordering::SeqCst)), (expected.len(), 1), "no call is sent twice");
    assert_eq!(seen.cancelled.load(Ordering::SeqCst), 1, "it was told that nobody waits any more");
    assert_eq!(seen.redirected.load(Ordering::SeqCst), 0, "no redirect is followed");
    assert!(servers[0]["error"].as_str().unwrap().contains("status 307"), "{servers:#}");
    assert!(servers[1]["error"].as_str().unwrap().contains("status 401: who are you?"), "{servers:#}");
    assert_eq!(servers[2], json!({ "name": "sky", "tools": 6 }));
    let requests = ground.model.requests().await;
    assert_eq!(of_servers(&requests[0]["body"]).len(), 6);
    assert!(!json!(requests).to_string().contains(TOKEN), "the token stays in the service");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_address_is_not_spoken_to_unless_the_settings_allow_it() {
    let (base, _) = server().await;
    let mut ground = Ground::new(&json!({ "sequence": [say("Told.")] })).await;
    let url = ground.repositories.make("tools", &[("a.txt", "a\n")]);
    configure(&mut ground, &entry("sky", &format!("{base}/mcp"), ""));
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&request(&url, "answer")).await;
    assert_eq!(api.rest(&id).await["status"], "succeeded");
    let servers = found(&api, &id).await;
    service.stop().await;
    assert!(servers[0]["error"].as_str().unwrap().contains("127.0.0.1 is a private, loopback"), "{servers:#}");
}
