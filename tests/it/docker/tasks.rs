//! Whole tasks in containers, and what happens to them when things break.

use crate::{
    backends::{assert_none_is_left, losses, rest, tasks},
    support::{
        calculator,
        engine::{self, BUSYBOX, Engine, HOST},
        service::{call, plan, say},
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_done_and_verified_in_containers_and_leaves_none() {
    tasks::a_task_is_done_and_verified_and_leaves_nothing(engine::shared().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_deleted_in_mid_task_is_made_again() {
    tasks::what_is_taken_away_in_mid_task_is_made_again(engine::shared().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_deleted_under_a_check_is_made_again() {
    tasks::what_is_taken_away_under_a_check_is_made_again(engine::shared().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_s_container_is_ended_by_the_next_which_goes_on() {
    let engine = engine::shared().await;
    tasks::what_a_killed_server_leaves_is_ended_by_the_next_which_goes_on(engine, "crash").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_lost_with_its_container_is_laid_anew_and_told() {
    let engine = engine::shared().await;
    losses::a_copy_that_is_lost_between_two_calls(engine, &engine.variables(HOST)).await;
    losses::a_copy_that_is_lost_under_a_call(engine, &engine.variables(HOST)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_stopped_and_started_in_mid_task_costs_no_task() {
    let mut engine = Engine::new().await;
    let ground = tasks::ground(&engine).await;
    let service = ground.start().await;
    let api = service.api();
    for (kind, count) in [("tool.completed", 3), ("brief.ready", 1)] {
        let id = api.create(&calculator::request(&ground)).await;
        api.met(&id, kind, count).await;
        engine.stop().await;
        engine.start().await;
        let (task, events) = rest(&api, &id).await;
        assert_eq!(task["result"]["verdict"], "verified", "stopped at {kind} {count}: {task:#} {events:#?}");
        assert_none_is_left(&engine, &id).await;
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
    assert_none_is_left(engine, &id).await;
    service.stop().await;
}
