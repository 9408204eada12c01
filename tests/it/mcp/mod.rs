//! MCP servers: what a model gets of their tools, and what becomes of calls, whatever a server does.

mod catalog;
mod http;
mod workspace;

use crate::support::service::{Api, Ground};
use serde_json::{Value, json};

/// Writes the settings file of a ground; takes effect with the next start.
fn configure(ground: &mut Ground, toml: &str) {
    let path = ground.data.path().join("settings.toml");
    std::fs::write(&path, toml).unwrap();
    ground.variables.retain(|(name, _)| name != "JOURNEYMAN_CONFIG");
    ground.variables.push(("JOURNEYMAN_CONFIG".to_owned(), path.display().to_string()));
}

fn request(url: &str, mode: &str) -> Value {
    json!({ "request": "use the tools", "mode": mode, "repository": { "url": url } })
}

/// Outcome and output of each call, in order.
async fn answers(api: &Api, task: &str) -> Vec<(String, String)> {
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let events = api.events(task).await;
    let completed = events.iter().filter(|event| event["kind"] == "tool.completed");
    completed.map(|event| (word(&event["data"]["outcome"]), word(&event["data"]["output"]))).collect()
}

/// What `brief.ready` says of the servers.
async fn found(api: &Api, task: &str) -> Value {
    let events = api.events(task).await;
    events.iter().find(|event| event["kind"] == "brief.ready").unwrap()["data"]["mcp"].clone()
}

fn tool_names(body: &Value) -> Vec<String> {
    body["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

fn of_servers(body: &Value) -> Vec<String> {
    tool_names(body).into_iter().filter(|name| name.starts_with("mcp__")).collect()
}
