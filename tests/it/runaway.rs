//! Whole tasks whose model never ends of its own: a limit does, and what was done is kept.

use crate::support::{
    calculator::{ground, request},
    replayed::{export, fold},
    service::{Ground, TestService, call, plan},
};
use serde_json::{Value, json};

fn shell(command: &str) -> Value {
    call("shell", json!({ "command": command }))
}

fn edit() -> Value {
    call("edit", json!({ "path": "calc.py", "old": "a - b", "new": "a + b" }))
}

/// The line again and again.
fn for_ever(mut line: Value) -> Value {
    line["repeat"] = json!(10_000);
    line
}

/// The task's end and its log, after a good edit and then this for ever.
async fn played(line: Value, more: &Value) -> (Value, Vec<Value>) {
    let ground: Ground = ground(&json!({ "sequence": [plan(), edit(), for_ever(line)] })).await;
    let service: TestService = ground.start().await;
    let api = service.api();
    let mut body = request(&ground);
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let id = api.create(&body).await;
    let task = api.rest(&id).await;
    let events = api.events(&id).await;
    assert_eq!(fold(&export(&api, &id, "").await).difference, None);
    service.stop().await;
    (task, events)
}

fn count(events: &[Value], kind: &str) -> usize {
    events.iter().filter(|event| event["kind"] == kind).count()
}

/// What was done before is kept and judged.
fn kept(task: &Value) {
    assert_eq!((&task["status"], &task["result"]["verdict"]), (&json!("failed"), &json!("verified")), "{task:#}");
    assert_eq!(task["result"]["patch"]["files"], 1, "{task:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_repeats_one_call_is_told_so_once_and_then_stopped() {
    // What differs in each result says nothing.
    for command in ["grep -rn nothing .", "echo \"pid $$ at $(date +%H:%M:%S)\"", "bash -c 'kill -9 $$'"] {
        let (task, events) = played(shell(command), &json!({})).await;
        kept(&task);
        assert_eq!(task["error"]["code"], "stuck", "{command}: {task:#}");
        let told = events.iter().filter(|event| event["kind"] == "message.developer");
        assert_eq!(told.count(), 1, "{command}");
        let calls = count(&events, "tool.completed");
        assert!(calls <= 2 + 4 + 4, "{command}: {calls} calls");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_always_does_something_new_is_stopped_by_each_limit() {
    let new = || shell("head -c 600 /dev/urandom | base64");
    let (task, events) = played(new(), &json!({ "limits": { "turns": 12 } })).await;
    kept(&task);
    assert_eq!((task["error"]["code"].as_str(), count(&events, "model.completed")), (Some("limit_turns"), 12));

    let (task, _) = played(new(), &json!({ "limits": { "tokens": 120_000 } })).await;
    kept(&task);
    assert_eq!(task["error"]["code"], "limit_tokens");
    let used = task["usage"]["input_tokens"].as_u64().unwrap() + task["usage"]["output_tokens"].as_u64().unwrap();
    assert!((60_000..=120_000).contains(&used), "{used}");

    let (task, _) = played(new(), &json!({ "limits": { "wall_seconds": 2, "turns": 1_000 } })).await;
    kept(&task);
    assert_eq!(task["error"]["code"], "limit_wall_time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_never_ends_is_cut_off_at_the_limit() {
    let more = json!({ "limits": { "wall_seconds": 2 } });
    let endless = call("shell", json!({ "command": "while :; do :; done", "timeout_ms": 600_000 }));
    let (task, events) = played(endless, &more).await;
    kept(&task);
    assert_eq!(task["error"]["code"], "limit_wall_time");
    let last = events.iter().rfind(|event| event["kind"] == "tool.completed").unwrap();
    assert_eq!(last["data"]["outcome"], "interrupted", "{last:#}");
}
