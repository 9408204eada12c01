//! A task that waits for people has no process: what ran for it has ended by the time that it is said to wait, and it gets
//! a workspace over the same files again when it goes on.

use crate::support::{
    calculator,
    engine::{self, HOST},
    service::{Api, Ground, call, plan, say},
};
use serde_json::{Value, json};
use std::{
    os::unix::fs::MetadataExt,
    sync::atomic::{AtomicU32, Ordering},
};

/// Leaves a file, and processes that would go on for ever.
const BUSY: &str = "echo kept > made.txt; setsid sleep 86400 & (trap '' TERM HUP; sleep 86400 & wait) & echo begun";
static USED: AtomicU32 = AtomicU32::new(0);
const AGAIN: &str = "cat made.txt; ps -eo comm= | grep -c sleep; true";

/// Processes of this machine that are the task's user's, but for the dead that nobody has noticed.
fn processes(ground: &Ground, id: &str) -> Vec<String> {
    let directory = ground.data.path().join("workspaces").join(id);
    let uid = std::fs::metadata(&directory).unwrap().uid();
    assert!(uid >= 100_000, "each task has a user of its own where the service is root, as these tests are");
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        let field = |name| status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
        if field("Uid:").and_then(|value| value.parse().ok()) == Some(uid) && field("State:") != Some("Z") {
            let arguments =
                std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default().replace('\0', " ");
            found.push(format!(
                "{} {} {arguments}",
                field("Name:").unwrap_or_default(),
                field("State:").unwrap_or_default()
            ));
        }
    }
    found
}

fn shell(command: &str) -> Value {
    call("shell", json!({ "command": command }))
}

/// Lets a task come to its wait and on from there by `go_on`; it has no process in between.
async fn rests_without_processes(
    script: &[Value],
    more: &Value,
    pause: bool,
    variables: &[(String, String)],
    go_on: impl AsyncFnOnce(&Api, &str),
) {
    let mut ground = calculator::ground(&json!({ "sequence": script })).await;
    ground.variables.extend_from_slice(variables);
    // Users of its own, so that processes of other tests are not taken for the task's.
    let base = 1_000_000_000 + 100_000 * USED.fetch_add(1, Ordering::Relaxed);
    ground.variables.push(("JOURNEYMAN_SANDBOX_UID_BASE".to_owned(), base.to_string()));
    let service = ground.start().await;
    let api = service.api();
    let mut request = calculator::request(&ground);
    request.as_object_mut().unwrap().remove("checks");
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let id = api.create(&request).await;
    if pause {
        api.met(&id, "tool.completed", 1).await;
        assert!(
            processes(&ground, &id).iter().any(|process| process.starts_with("sleep")),
            "{:?}",
            processes(&ground, &id)
        );
        assert_eq!(api.post(&format!("/v1/tasks/{id}/pause"), &json!({})).await.0, 202);
    }
    let task = api.until(&id, |task| task["status"] == "waiting").await;
    assert_eq!(processes(&ground, &id), [""; 0], "{task:#}");
    assert!(ground.data.path().join("workspaces").join(&id).join("copy/made.txt").is_file());
    go_on(&api, &id).await;
    let task = api.until(&id, |task| task["status"] == "succeeded").await;
    let events = api.events(&id).await;
    let shells: Vec<&Value> =
        events.iter().filter(|e| e["kind"] == "tool.completed" && e["data"]["tool"] == "shell").collect();
    let last = shells.last().unwrap()["data"]["output"].as_str().unwrap();
    assert!(last.contains("kept\n0\n"), "the same files, none of the old processes: {last} {task:#}");
    service.stop().await;
}

async fn decide(api: &Api, id: &str, decision: &Value) {
    let (_, pending) = api.get(&format!("/v1/tasks/{id}/approvals")).await;
    let approval = pending["data"][0]["id"].as_str().unwrap_or_else(|| panic!("{pending:#}"));
    let (status, answer) = api.post(&format!("/v1/tasks/{id}/approvals/{approval}"), decision).await;
    assert_eq!(status, 200, "{answer}");
}

fn asking() -> [Value; 4] {
    let questions = json!([{ "question": "Go on?", "options": ["yes", "no"] }]);
    [shell(BUSY), call("ask_user", json!({ "questions": questions })), shell(AGAIN), say("Done.")]
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_question_waits_nothing_runs() {
    let answer =
        async |api: &Api, id: &str| decide(api, id, &json!({ "decision": "answer", "answers": ["yes"] })).await;
    rests_without_processes(&asking(), &json!({ "mode": "answer" }), false, &[], answer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_plan_waits_for_its_approval_nothing_runs() {
    let script = [shell(BUSY), plan(), shell(AGAIN), say("Done.")];
    let approve = async |api: &Api, id: &str| decide(api, id, &json!({ "decision": "approve" })).await;
    rests_without_processes(&script, &json!({ "approval": "plan" }), false, &[], approve).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_task_is_paused_nothing_runs() {
    let script = [shell(BUSY), shell("sleep 2"), shell(AGAIN), say("Done.")];
    let resume = async |api: &Api, id: &str| {
        assert_eq!(api.post(&format!("/v1/tasks/{id}/resume"), &json!({})).await.0, 202);
    };
    rests_without_processes(&script, &json!({ "mode": "answer" }), true, &[], resume).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_of_containers_and_of_sandboxes_that_were_ready() {
    let variables = engine::shared().await.variables(HOST);
    let ready = ("JOURNEYMAN_READY_SANDBOXES".to_owned(), "1".to_owned());
    for variables in [variables, vec![ready]] {
        let answer =
            async |api: &Api, id: &str| decide(api, id, &json!({ "decision": "answer", "answers": ["yes"] })).await;
        rests_without_processes(&asking(), &json!({ "mode": "answer" }), false, &variables, answer).await;
    }
}
