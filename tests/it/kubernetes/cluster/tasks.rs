//! Whole tasks in Pods, and what happens to them when things break.

use crate::support::{
    calculator::{self, ten_turns},
    cluster::{self, Cluster, HOST},
    process::Process,
    service::{Api, Ground},
};
use serde_json::Value;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(180);

async fn ground(cluster: &Cluster) -> Ground {
    let mut ground = calculator::ground(&ten_turns()).await;
    ground.variables.extend(cluster.variables(HOST));
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

async fn assert_nothing_is_left(cluster: &Cluster, id: &str) {
    let begun = Instant::now();
    while !cluster.pods(id).await.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", cluster.pods(id).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_done_and_verified_in_pods_and_leaves_none() {
    let cluster = cluster::shared().await;
    let ground = ground(cluster).await;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&calculator::request(&ground)).await;
    let (task, events) = rest(&api, &id).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#} {events:#?}");
    let patch = api.text(&format!("/v1/tasks/{id}/patch")).await.1;
    assert!(patch.contains("+    return a + b"), "{patch}");
    assert_nothing_is_left(cluster, &id).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_deleted_in_mid_task_is_made_again_from_the_checkpoint() {
    let cluster = cluster::shared().await;
    let ground = ground(cluster).await;
    let service = ground.start().await;
    let api = service.api();
    for (kind, count) in [("tool.started", 2), ("tool.completed", 4), ("tool.completed", 7)] {
        let id = api.create(&calculator::request(&ground)).await;
        api.met(&id, kind, count).await;
        for name in cluster.pods(&id).await {
            cluster.delete(&name).await;
        }
        let (task, events) = rest(&api, &id).await;
        assert_eq!(task["result"]["verdict"], "verified", "deleted at {kind} {count}: {task:#} {events:#?}");
        assert_nothing_is_left(cluster, &id).await;
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_deleted_under_a_check_is_made_again() {
    let cluster = cluster::shared().await;
    let ground = ground(cluster).await;
    let service = ground.start().await;
    let api = service.api();
    let mut request = calculator::request(&ground);
    request["checks"] = serde_json::json!(["sleep 2; python3 -m unittest"]);
    let id = api.create(&request).await;
    api.met(&id, "checks.started", 1).await;
    let begun = Instant::now();
    let name = loop {
        if let Some(name) = cluster.pods(&id).await.pop() {
            break name;
        }
        assert!(begun.elapsed() < PATIENCE, "the task has no Pod");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    cluster.delete(&name).await;
    let (task, events) = rest(&api, &id).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#} {events:#?}");
    assert_nothing_is_left(cluster, &id).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_s_pod_is_ended_by_the_next_which_goes_on() {
    let cluster = cluster::shared().await;
    let ground = ground(cluster).await;
    let process = Process::start(&ground, ground.data.path());
    let id = process.api.create(&calculator::request(&ground)).await;
    process.api.met(&id, "tool.completed", 4).await;
    let old = cluster.pods(&id).await.pop().expect("the task has a Pod");
    process.kill();
    let next = Process::start(&ground, ground.data.path());
    assert!(!cluster.pods(&id).await.contains(&old), "it is gone before the first task is driven");
    let (task, events) = rest(&next.api, &id).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#} {events:#?}");
    let turns = events.iter().filter(|e| e["kind"] == "model.completed").count();
    assert_eq!(turns, 10, "{events:#?}");
    let recovered = events.iter().find(|e| e["kind"] == "recovered").map(|e| e["data"]["after"].clone());
    assert_eq!(recovered, Some("host_loss".into()), "{events:#?}");
    assert_nothing_is_left(cluster, &id).await;
    assert_eq!(next.running.drain().await.code(), Some(0));
}
