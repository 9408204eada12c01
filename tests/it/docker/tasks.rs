//! Whole tasks in containers, and what happens to them when things break.

use crate::support::{
    calculator::{self, ten_turns},
    engine::{self, BUSYBOX, Engine, HOST},
    process::Process,
    service::{Api, Ground, call, plan, say},
};
use serde_json::Value;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(120);

async fn ground(engine: &Engine) -> Ground {
    let mut ground = calculator::ground(&ten_turns()).await;
    ground.variables.extend(engine.variables(HOST));
    ground
}

/// Waits for the end of a task that had trouble, which may take longer than others; task and log.
async fn rest(api: &Api, id: &str) -> (Value, Vec<Value>) {
    let begun = Instant::now();
    loop {
        let task = api.get(&format!("/v1/tasks/{id}?until=rest")).await.1;
        if !matches!(task["status"].as_str(), Some("queued" | "running")) {
            return (task, api.events(id).await);
        }
        assert!(begun.elapsed() < PATIENCE, "{task:#} {:#?}", api.events(id).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The container that a task's own workspace is, once there is one.
async fn container(engine: &Engine, id: &str) -> String {
    let begun = Instant::now();
    loop {
        if let Some(name) = engine.containers(id).await.pop() {
            return name;
        }
        assert!(begun.elapsed() < PATIENCE, "the task has no container");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn assert_nothing_is_left(engine: &Engine, id: &str) {
    let begun = Instant::now();
    while !engine.containers(id).await.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", engine.containers(id).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_done_and_verified_in_containers_and_leaves_none() {
    let engine = engine::shared().await;
    let ground = ground(engine).await;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&calculator::request(&ground)).await;
    let (task, events) = rest(&api, &id).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#} {events:#?}");
    let patch = api.text(&format!("/v1/tasks/{id}/patch")).await.1;
    assert!(patch.contains("+    return a + b"), "{patch}");
    assert_nothing_is_left(engine, &id).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_deleted_in_mid_task_is_made_again() {
    let engine = engine::shared().await;
    let ground = ground(engine).await;
    let service = ground.start().await;
    let api = service.api();
    for (kind, count) in [("tool.started", 2), ("tool.completed", 4), ("tool.completed", 7)] {
        let id = api.create(&calculator::request(&ground)).await;
        api.met(&id, kind, count).await;
        for name in engine.containers(&id).await {
            engine.delete(&name).await;
        }
        let (task, events) = rest(&api, &id).await;
        assert_eq!(task["result"]["verdict"], "verified", "deleted at {kind} {count}: {task:#} {events:#?}");
        assert_nothing_is_left(engine, &id).await;
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_deleted_under_a_check_is_made_again() {
    let engine = engine::shared().await;
    let ground = ground(engine).await;
    let service = ground.start().await;
    let api = service.api();
    let mut request = calculator::request(&ground);
    request["checks"] = serde_json::json!(["sleep 2; python3 -m unittest"]);
    let id = api.create(&request).await;
    api.met(&id, "checks.started", 1).await;
    let first = container(engine, &id).await;
    engine.delete(&first).await;
    let (task, events) = rest(&api, &id).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#} {events:#?}");
    assert_nothing_is_left(engine, &id).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_s_container_is_ended_by_the_next_which_goes_on() {
    let engine = engine::shared().await;
    let ground = ground(engine).await;
    let process = Process::start(&ground, ground.data.path());
    let id = process.api.create(&calculator::request(&ground)).await;
    process.api.met(&id, "tool.completed", 4).await;
    let old = container(engine, &id).await;
    process.kill();
    let next = Process::start(&ground, ground.data.path());
    assert!(!engine.containers(&id).await.contains(&old), "it is gone before the first task is driven");
    let (task, events) = rest(&next.api, &id).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#} {events:#?}");
    let turns = events.iter().filter(|e| e["kind"] == "model.completed").count();
    assert_eq!(turns, 10, "{events:#?}");
    assert_nothing_is_left(engine, &id).await;
    assert_eq!(next.running.drain().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_stopped_and_started_in_mid_task_costs_no_task() {
    let mut engine = Engine::new().await;
    let ground = ground(&engine).await;
    let service = ground.start().await;
    let api = service.api();
    for (kind, count) in [("tool.completed", 3), ("brief.ready", 1)] {
        let id = api.create(&calculator::request(&ground)).await;
        api.met(&id, kind, count).await;
        engine.stop().await;
        engine.start().await;
        let (task, events) = rest(&api, &id).await;
        assert_eq!(task["result"]["verdict"], "verified", "stopped at {kind} {count}: {task:#} {events:#?}");
        assert_nothing_is_left(&engine, &id).await;
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_in_an_image_without_git_and_python_is_done_and_verified() {
    let engine = engine::shared().await;
    let script = serde_json::json!({ "rules": [
        { "when": { "calls": 0 }, "reply": plan() },
        { "when": { "calls": 1 }, "reply": call("shell", serde_json::json!({ "command": "git --version || echo none; ls" })) },
        { "when": { "calls": 2 }, "reply": call("edit", serde_json::json!({ "path": "calc.py", "old": "a - b", "new": "a + b" })) },
        { "when": {}, "reply": say("Mended.") },
    ] });
    let mut ground = calculator::ground(&script).await;
    ground.variables.extend(engine.variables(BUSYBOX));
    let service = ground.start().await;
    let api = service.api();
    let mut request = calculator::request(&ground);
    request["checks"] = serde_json::json!(["grep -q 'a + b' calc.py"]);
    let id = api.create(&request).await;
    let (task, events) = rest(&api, &id).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#} {events:#?}");
    let patch = api.text(&format!("/v1/tasks/{id}/patch")).await.1;
    assert!(patch.contains("+    return a + b"), "{patch}");
    assert_nothing_is_left(engine, &id).await;
    service.stop().await;
}
