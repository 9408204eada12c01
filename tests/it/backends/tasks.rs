//! Whole tasks, and what happens to them when things break.

use super::{Machines, assert_none_is_left, one_of, rest};
use crate::support::{
    calculator::{self, ten_turns},
    process::Process,
    service::Ground,
};
use serde_json::{Value, json};

pub(crate) async fn ground<M: Machines>(machines: &M) -> Ground {
    let mut ground = calculator::ground(&ten_turns()).await;
    ground.variables.extend(machines.variables(M::HOST));
    ground
}

pub(crate) async fn a_task_is_done_and_verified_and_leaves_nothing(machines: &impl Machines) {
    let ground = ground(machines).await;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&calculator::request(&ground)).await;
    let (task, events) = rest(&api, &id).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#} {events:#?}");
    let patch = api.text(&format!("/v1/tasks/{id}/patch")).await.1;
    assert!(patch.contains("+    return a + b"), "{patch}");
    assert_none_is_left(machines, &id).await;
    service.stop().await;
}

/// Taken away at any moment of a task.
pub(crate) async fn what_is_taken_away_in_mid_task_is_made_again(machines: &impl Machines) {
    let ground = ground(machines).await;
    let service = ground.start().await;
    let api = service.api();
    for (kind, count) in [("tool.started", 2), ("tool.completed", 4), ("tool.completed", 7)] {
        let id = api.create(&calculator::request(&ground)).await;
        api.met(&id, kind, count).await;
        for name in machines.of_task(&id).await {
            machines.take_away(&name).await;
        }
        let (task, events) = rest(&api, &id).await;
        assert_eq!(task["result"]["verdict"], "verified", "taken away at {kind} {count}: {task:#} {events:#?}");
        assert_none_is_left(machines, &id).await;
    }
    service.stop().await;
}

pub(crate) async fn what_is_taken_away_under_a_check_is_made_again(machines: &impl Machines) {
    let ground = ground(machines).await;
    let service = ground.start().await;
    let api = service.api();
    let mut request = calculator::request(&ground);
    request["checks"] = json!(["sleep 2; python3 -m unittest"]);
    let id = api.create(&request).await;
    api.met(&id, "checks.started", 1).await;
    let first = one_of(machines, &id).await;
    machines.take_away(&first).await;
    let (task, events) = rest(&api, &id).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#} {events:#?}");
    assert_none_is_left(machines, &id).await;
    service.stop().await;
}

/// `after`: what the log says the next server went on after.
pub(crate) async fn what_a_killed_server_leaves_is_ended_by_the_next_which_goes_on(
    machines: &impl Machines,
    after: &str,
) {
    let ground = ground(machines).await;
    let process = Process::start(&ground, ground.data.path());
    let id = process.api.create(&calculator::request(&ground)).await;
    process.api.met(&id, "tool.completed", 4).await;
    let old = one_of(machines, &id).await;
    process.kill();
    let next = Process::start(&ground, ground.data.path());
    assert!(!machines.of_task(&id).await.contains(&old), "it is gone before the first task is driven");
    let (task, events) = rest(&next.api, &id).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#} {events:#?}");
    let turns = events.iter().filter(|e| e["kind"] == "model.completed").count();
    assert_eq!(turns, 10, "{events:#?}");
    let recovered: Vec<&Value> =
        events.iter().filter(|e| e["kind"] == "recovered").map(|e| &e["data"]["after"]).collect();
    assert_eq!(recovered, [after], "{events:#?}");
    assert_none_is_left(machines, &id).await;
    assert_eq!(next.running.drain().await.code(), Some(0));
}
