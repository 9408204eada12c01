//! Tests of the baseline that runs beside the loop.

use crate::support::service::{Api, Ground, TestService, call, plan, say};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// A task that has changed a file and then sleeps in a command; its id.
async fn changed_and_asleep(check: &str) -> (Ground, TestService, Api, String) {
    let script = json!({ "sequence": [
        plan(),
        call("edit", json!({ "path": "calc.py", "old": "a - b", "new": "a + b" })),
        call("shell", json!({ "command": "sleep 60" })),
        say("Mended."),
    ] });
    let ground = Ground::new(&script).await;
    let url = ground.repositories.make("calc", &[("calc.py", "def add(a, b):\n    return a - b\n")]);
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&json!({ "request": "mend add", "repository": { "url": url }, "checks": [check] })).await;
    (ground, service, api, id)
}

async fn eventually<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let since = Instant::now();
    while !is_so().await {
        assert!(since.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checks_run_on_the_base_while_the_model_is_still_at_work() {
    let (ground, service, api, id) = changed_and_asleep("grep -q 'a + b' calc.py").await;
    eventually("the baseline is kept before the first verdict", || async {
        let mut connection = PgConnection::connect(&ground.database).await.unwrap();
        let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM baselines").fetch_one(&mut connection).await.unwrap();
        kept == 1
    })
    .await;
    let so_far = api.events(&id).await;
    assert!(so_far.iter().all(|event| event["kind"] != "checks.started"), "{so_far:#?}");
    let wake = json!({ "text": "go on", "on_busy": "interrupt" });
    assert_eq!(api.post(&format!("/v1/tasks/{id}/messages"), &wake).await.0, 202);
    let task = api.rest(&id).await;
    let check = &task["result"]["checks"][0];
    assert_eq!(
        (&task["result"]["verdict"], &check["baseline"]["outcome"], &check["final"]["outcome"]),
        (&json!("verified"), &json!("fail"), &json!("pass")),
        "{task:#}"
    );
    service.stop().await;
}

/// Whether a command with exactly these arguments runs anywhere on this machine.
fn runs(command_line: &str) -> bool {
    let wanted = command_line.replace(' ', "\0") + "\0";
    let pids = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path().join("cmdline"));
    pids.into_iter().any(|path| std::fs::read_to_string(path).is_ok_and(|found| found == wanted))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_baseline_that_still_runs_ends_with_its_task() {
    // Nobody else on this machine sleeps for just so long.
    let command = format!("sleep 61.{}", std::process::id());
    let (_ground, service, api, id) = changed_and_asleep(&command).await;
    eventually("the baseline runs", || async { runs(&command) }).await;
    assert_eq!(api.post(&format!("/v1/tasks/{id}/cancel"), &json!({})).await.0, 202);
    let task = api.rest(&id).await;
    assert_eq!(task["status"], "cancelled", "{task:#}");
    assert!(!runs(&command), "it outlived its task");
    service.stop().await;
}

/// Two tasks of one base and one check, one after the other; what their baselines gave.
async fn twice(ground: &Ground, url: &str, check: &str) -> Vec<serde_json::Value> {
    let mut found = Vec::new();
    for _ in 0..2 {
        let service = ground.start().await;
        let api = service.api();
        let id = api.create(&json!({ "request": "mend add", "repository": { "url": url }, "checks": [check] })).await;
        found.push(api.rest(&id).await["result"]["checks"][0]["baseline"].clone());
        service.stop().await;
    }
    found
}

async fn kept(ground: &Ground) -> i64 {
    let mut connection = PgConnection::connect(&ground.database).await.unwrap();
    sqlx::query_scalar("SELECT count(*) FROM baselines").fetch_one(&mut connection).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_run_on_the_base_is_tried_again_by_the_next_task() {
    let script = json!({ "rules": [
        { "when": { "calls": 0 }, "reply": plan() },
        { "when": { "calls": 1 }, "reply": call("edit", json!({ "path": "calc.py", "old": "a - b", "new": "a + b" })) },
        { "when": {}, "reply": say("Mended.") },
    ] });
    let ground = Ground::new(&script).await;
    let url = ground.repositories.make("calc", &[("calc.py", "def add(a, b):\n    return a - b\n")]);
    let runs = twice(&ground, &url, "no-such-program-anywhere").await;
    assert!(runs.iter().all(|run| run["outcome"] == "could_not_run"), "{runs:#?}");
    assert_eq!(kept(&ground).await, 0);
    let runs = twice(&ground, &url, "grep -q 'a - b' calc.py").await;
    assert!(runs.iter().all(|run| run["outcome"] == "pass"), "{runs:#?}");
    assert_eq!(kept(&ground).await, 1, "what passed is kept, and is the same after a restart");
}
