//! Tests of whole tasks: HTTP in, scripted model over HTTP, real sandboxes, real git, verdict out.

use crate::support::service::{Ground, call, plan, say};
use serde_json::{Value, json};

const ADD: &str = "def add(a, b):\n    return a - b\n";
const TESTS: &str = "import unittest\nfrom calc import add\n\n\nclass AddTest(unittest.TestCase):\n    def test_adds(self):\n        self.assertEqual(add(2, 3), 5)\n\n    def test_zero(self):\n        self.assertEqual(add(0, 0), 0)\n";

fn calculator(ground: &Ground) -> String {
    ground.repositories.make("calc", &[("calc.py", ADD), ("test_calc.py", TESTS)])
}

fn edit(old: &str, new: &str) -> Value {
    call("edit", json!({ "path": "calc.py", "old": old, "new": new }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_first_attempt_is_sent_back_and_the_second_is_verified() {
    let script = json!({ "sequence": [
        call("shell", json!({ "command": "python3 -m unittest 2>&1 | tail -5" })),
        plan(),
        edit("a - b", "a * b"),
        say("Done."),
        edit("a * b", "a + b"),
        say("Mended: add now adds."),
    ] });
    let ground = Ground::new(&script).await;
    let url = calculator(&ground);
    let service = ground.start().await;
    let api = service.api();
    let id = api
        .create(&json!({ "request": "add() is wrong, mend it", "repository": { "url": url }, "checks": ["python3 -m unittest"] }))
        .await;
    let task = api.rest(&id).await;
    let events = api.events(&id).await;
    assert_eq!(task["status"], "succeeded", "{task:#}\n{events:#?}");
    assert_eq!(task["result"]["verdict"], "verified", "{task:#}");
    assert_eq!(task["result"]["patch"], json!({ "files": 1, "additions": 1, "deletions": 1 }));
    assert_eq!(task["result"]["checks"][0]["baseline"]["outcome"], "fail");
    assert_eq!(task["result"]["checks"][0]["final"]["outcome"], "pass");
    assert_eq!(task["usage"]["turns"], 6);
    let verdicts: Vec<_> =
        events.iter().filter(|e| e["kind"] == "checks.completed").map(|e| &e["data"]["verdict"]).collect();
    assert_eq!(verdicts, ["failed", "verified"]);
    let phases: Vec<_> =
        events.iter().filter(|e| e["kind"] == "task.phase").map(|e| e["data"]["phase"].as_str().unwrap()).collect();
    assert_eq!(phases, ["planning", "generation", "validation", "refinement", "validation"]);
    let seqs: Vec<_> = events.iter().map(|e| e["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, (1..=seqs.len() as i64).collect::<Vec<_>>());

    let (status, patch) = api.text(&format!("/v1/tasks/{id}/patch")).await;
    assert_eq!(status, 200);
    assert!(patch.contains("-    return a - b\n+    return a + b\n"), "{patch}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_without_edits_or_checks() {
    let script = json!({ "sequence": [call("read_file", json!({ "path": "calc.py" })), say("It subtracts.")] });
    let ground = Ground::new(&script).await;
    let url = calculator(&ground);
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&json!({ "request": "what does add do?", "repository": { "url": url } })).await;
    let task = api.rest(&id).await;
    assert_eq!(task["status"], "succeeded", "{task:#}");
    assert_eq!(task["result"]["answer"], "It subtracts.");
    assert_eq!(task["result"]["verdict"], "no_change");
    assert_eq!(task["result"]["patch"], Value::Null);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_before_a_plan_are_refused_and_never_block_the_work() {
    let fix = || edit("a - b", "a + b");
    let script = json!({ "sequence": [fix(), fix(), fix(), say("Done.")] });
    let ground = Ground::new(&script).await;
    let url = calculator(&ground);
    let service = ground.start().await;
    let api = service.api();
    let id = api
        .create(&json!({ "request": "mend add", "repository": { "url": url }, "checks": ["python3 -m unittest"] }))
        .await;
    let task = api.rest(&id).await;
    let events = api.events(&id).await;
    let outcomes: Vec<_> = events
        .iter()
        .filter(|e| e["kind"] == "tool.completed")
        .map(|e| e["data"]["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["denied", "denied", "ok"], "{events:#?}");
    assert_eq!(task["planning"]["origin"], "server");
    assert_eq!(task["result"]["verdict"], "verified", "{task:#}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_prompt_extends_the_one_before() {
    let script = json!({ "sequence": [
        call("shell", json!({ "command": "echo one" })), plan(), edit("a - b", "a + b"), say("Done."),
    ] });
    let ground = Ground::new(&script).await;
    let url = calculator(&ground);
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&json!({ "request": "mend add", "repository": { "url": url } })).await;
    api.rest(&id).await;
    let (status, answer) = api.post(&format!("/v1/tasks/{id}/messages"), &json!({ "text": "and now?" })).await;
    assert_eq!(status, 202, "{answer}");
    api.until(&id, |task| task["run"] == 2 && task["status"] != "queued" && task["status"] != "running").await;
    let requests = ground.model.requests().await;
    assert!(requests.len() >= 5, "{}", requests.len());
    let bodies: Vec<_> = requests.iter().map(|r| r["body"].clone()).collect();
    for pair in bodies.windows(2) {
        assert_eq!(pair[0]["instructions"], pair[1]["instructions"]);
        assert_eq!(pair[0]["tools"], pair[1]["tools"]);
        let (before, after) = (pair[0]["input"].as_array().unwrap(), pair[1]["input"].as_array().unwrap());
        assert_eq!(before[..], after[..before.len()]);
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_is_not_there_fails_the_task_with_gits_reason() {
    let ground = Ground::new(&json!({ "sequence": [say("never asked")] })).await;
    let service = ground.start().await;
    let api = service.api();
    let url = format!("file://{}/nowhere", ground.repositories.path().display());
    let id = api.create(&json!({ "request": "x", "repository": { "url": url } })).await;
    let task = api.rest(&id).await;
    assert_eq!(task["status"], "failed", "{task:#}");
    assert_eq!(task["error"]["code"], "repository_unreachable");
    assert!(ground.model.requests().await.is_empty());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn git_works_inside_the_workspace_on_the_servers_mirror() {
    let command = "git status --short && git log --format=%s && git show HEAD:calc.py | head -1";
    let script = json!({ "sequence": [call("shell", json!({ "command": command })), say("Clean.")] });
    let ground = Ground::new(&script).await;
    let url = calculator(&ground);
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&json!({ "request": "is it clean?", "repository": { "url": url } })).await;
    api.rest(&id).await;
    let events = api.events(&id).await;
    let output =
        events.iter().find(|e| e["kind"] == "tool.completed").unwrap()["data"]["output"].as_str().unwrap().to_owned();
    assert!(output.contains("\nfirst\ndef add(a, b):"), "{output}");
    service.stop().await;
}
