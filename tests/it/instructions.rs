//! Instructions in layers: the operator's and a team's, as they were when a task began.

use crate::support::service::{Api, Ground, KEY, call, say};
use journeyman::{
    agent::prompt::layer_text,
    domain::{BlobHash, instructions::InstructionLayer},
};
use serde_json::{Value, json};
use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

async fn put(api: &Api, key: &str, body: &Value) -> (u16, Value) {
    let request = api.http.put(format!("{}/v1/instructions", api.base)).bearer_auth(key).json(body);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn question(ground: &Ground) -> Value {
    let url = format!("file://{}", ground.repositories.path().join("calc").display());
    json!({ "request": "what is x?", "mode": "answer", "repository": { "url": url } })
}

/// The texts of a request's first items, without those of the model.
fn texts(body: &Value) -> Vec<String> {
    body["input"].as_array().unwrap().iter().map(|item| item["content"].to_string()).collect()
}

fn position(texts: &[String], words: &str) -> Option<usize> {
    let found: Vec<usize> = (0..texts.len()).filter(|at| texts[*at].contains(words)).collect();
    assert!(found.len() < 2, "{words} stands {} times", found.len());
    found.first().copied()
}

async fn bodies(ground: &Ground, task: &str) -> Vec<Value> {
    let requests = ground.model.requests().await;
    requests.iter().map(|r| r["body"].clone()).filter(|body| body["prompt_cache_key"] == task).collect()
}

fn layers(events: &[Value]) -> Value {
    events.iter().find(|event| event["kind"] == "brief.ready").unwrap()["data"]["instructions"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_keeps_the_instructions_that_it_began_with_through_changes_and_crashes() {
    let script =
        json!({ "sequence": [call("read_file", json!({ "path": "calc.py" })), say("First."), say("Second.")] });
    let mut ground = Ground::new(&script).await;
    ground.repositories.make("calc", &[("calc.py", "x = 1\n"), ("AGENTS.md", "CONVENTION: tabs.\n")]);
    ground.variables.push(("JOURNEYMAN_INSTRUCTIONS".to_owned(), "OPERATOR: no telemetry.".to_owned()));
    let fell = Arc::new(AtomicBool::new(false));
    let falls = Arc::clone(&fell);
    // Once, in the first task, between two of its steps.
    let failpoint = Arc::new(move |_, boundary| {
        if boundary == 6 && !falls.swap(true, Ordering::SeqCst) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    let service = ground.start_with(ground.data.path(), Some(failpoint)).await;
    let api = service.api();
    assert_eq!(api.get("/v1/instructions").await.1["version"], 0);
    assert_eq!(put(&api, KEY, &json!({ "text": "TEAM: answer shortly.\n" })).await.0, 200);

    let id = api.create(&question(&ground)).await;
    api.rest(&id).await;
    assert!(fell.load(Ordering::SeqCst));
    assert_eq!(put(&api, KEY, &json!({ "text": "TEAM: answer at length." })).await.1["version"], 2);
    service.stop().await;
    ground.variables.retain(|(name, _)| name != "JOURNEYMAN_INSTRUCTIONS");
    let service = ground.start().await;
    let api = service.api();
    api.post(&format!("/v1/tasks/{id}/messages"), &json!({ "text": "and y?" })).await;
    api.until(&id, |task| task["run"] == 2 && task["status"] == "succeeded").await;
    let later = api.create(&question(&ground)).await;
    api.rest(&later).await;
    let (events, of_later) = (api.events(&id).await, api.events(&later).await);
    service.stop().await;

    let all = bodies(&ground, &id).await;
    assert!(all.len() >= 3, "{} requests", all.len());
    for pair in all.windows(2) {
        assert_eq!((&pair[0]["instructions"], &pair[0]["tools"]), (&pair[1]["instructions"], &pair[1]["tools"]));
        let (before, after) = (pair[0]["input"].as_array().unwrap(), pair[1]["input"].as_array().unwrap());
        assert_eq!(before[..], after[..before.len().min(after.len())]);
    }
    let seen = texts(all.last().unwrap());
    let order = ["OPERATOR: no telemetry.", "TEAM: answer shortly.", "CONVENTION: tabs.", "# This task"];
    let order: Vec<Option<usize>> = order.iter().map(|words| position(&seen, words)).collect();
    assert_eq!(order[..3], [Some(0), Some(1), Some(2)], "most shared first, each once");
    assert!(order[3] > order[2] && position(&seen, "at length").is_none());
    let digest = |text: &str| json!(BlobHash::of(text.as_bytes()));
    assert_eq!(
        layers(&events),
        json!([
            { "layer": "operator", "version": null, "digest": digest("OPERATOR: no telemetry.") },
            { "layer": "team", "version": 1, "digest": digest("TEAM: answer shortly.") },
        ])
    );
    let seen = texts(&bodies(&ground, &later).await[0]);
    assert!(position(&seen, "at length").is_some() && position(&seen, "OPERATOR").is_none());
    assert_eq!(layers(&of_later)[0]["version"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_instructions_neither_the_prompt_nor_the_log_says_anything_of_layers() {
    let ground = Ground::new(&json!({ "sequence": [say("Yes.")] })).await;
    ground.repositories.make("calc", &[("calc.py", "x = 1\n")]);
    let service = ground.start().await;
    let api = service.api();
    for text in ["TEAM: answer shortly.", ""] {
        assert_eq!(put(&api, KEY, &json!({ "text": text })).await.0, 200);
    }
    let id = api.create(&question(&ground)).await;
    api.rest(&id).await;
    assert_eq!(layers(&api.events(&id).await), Value::Null);
    assert!(position(&texts(&bodies(&ground, &id).await[0]), "TEAM").is_none());
    service.stop().await;
}

#[test]
fn a_small_window_gets_the_beginning_of_a_layer_and_is_told_so() {
    let long = "One rule on a line.\n".repeat(500);
    let whole = layer_text(InstructionLayer::Team, &long, 128_000);
    assert!(whole.ends_with("One rule on a line.\n") && whole.contains("outrank the request"), "{whole}");
    let short = layer_text(InstructionLayer::Team, &long, 8_000);
    assert!(short.len() < 2_000 && short.contains("on a line.\n[cut: "), "{short}");
    let tiny = layer_text(InstructionLayer::Operator, &"ü".repeat(4_000), 100);
    assert!(tiny.contains("[cut: 800 of 8000 bytes"), "{tiny}");
}
