//! Validation of whole tasks: what lies, breaks, flickers or is missing gets the verdict of the evidence.

use crate::support::service::{Ground, call, plan, say};
use serde_json::{Value, json};

const ADD: &str = "def add(a, b):\n    return a - b\n";

fn mend() -> Value {
    call("edit", json!({ "path": "calc.py", "old": "a - b", "new": "a + b" }))
}

/// The task and its verdicts, oldest first, after a model did this to these files.
async fn task(files: &[(&str, &str)], steps: &[Value], checks: &Value) -> (Value, Vec<Value>) {
    let ground = Ground::new(&json!({ "sequence": steps })).await;
    let url = ground.repositories.make("calc", files);
    let service = ground.start().await;
    let api = service.api();
    let body =
        json!({ "request": "mend it", "repository": { "url": url }, "checks": checks, "limits": { "refinements": 0 } });
    let id = api.create(&body).await;
    let task = api.rest(&id).await;
    let events = api.events(&id).await;
    service.stop().await;
    let completed = events.into_iter().filter(|event| event["kind"] == "checks.completed");
    (task, completed.map(|event| event["data"].clone()).collect())
}

fn findings<'a>(task: &'a Value, kind: &str) -> Vec<&'a Value> {
    task["result"]["findings"].as_array().unwrap().iter().filter(|finding| finding["kind"] == kind).collect()
}

/// Fails once in each sandbox in which add works.
fn cold(marker: &str) -> String {
    format!(
        "import os, unittest\nfrom calc import add\n\nclass A(unittest.TestCase):\n    def test_adds(self):\n        self.assertEqual(add(2, 3), 5)\n\n    def test_cold(self):\n        if add(2, 3) == 5 and not os.path.exists('{marker}'):\n            open('{marker}', 'w').close()\n            self.fail('cold')\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_fails_and_then_passes_unchanged_is_named_as_flaky() {
    let tests = cold("/tmp/seen");
    let files = [("calc.py", ADD), ("test_calc.py", tests.as_str())];
    let (task, _) = task(&files, &[plan(), mend(), say("Done.")], &json!(["python3 -m unittest"])).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#}");
    let last = &task["result"]["checks"][0]["final"];
    assert_eq!((&last["outcome"], &last["flaky"]["tests"]), (&json!("pass"), &json!(["test_calc.A.test_cold"])));
    let log = last["log"].as_str().unwrap();
    assert!(
        log.contains("AssertionError: cold")
            && log.contains("[run again on the same tree, unchanged: python3 -m unittest -v -k"),
        "{log}"
    );
    let flaky = findings(&task, "flaky");
    assert!(flaky.len() == 1 && flaky[0]["message"].as_str().unwrap().contains("test_calc.A.test_cold"), "{flaky:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_passes_only_on_what_its_first_run_left_is_not_flaky() {
    let tests = cold("seen.txt");
    let files = [("calc.py", ADD), ("test_calc.py", tests.as_str())];
    let (task, _) = task(&files, &[plan(), mend(), say("Done.")], &json!(["python3 -m unittest"])).await;
    assert_eq!(task["result"]["verdict"], "failed", "{task:#}");
    assert_eq!(task["result"]["checks"][0]["final"]["failing"], json!(["test_calc.A.test_cold"]));
    assert_eq!(findings(&task, "flaky").len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_the_time_does_not_reach_says_so() {
    let checks =
        json!([{ "command": "sleep 1 && true", "name": "slow", "timeout_seconds": 1 }, "grep -q 'a + b' calc.py"]);
    let ground = Ground::new(&json!({ "sequence": [plan(), mend(), say("Done.")] })).await;
    let url = ground.repositories.make("calc", &[("calc.py", ADD)]);
    let service = ground.start().await;
    let api = service.api();
    let body = json!({ "request": "mend it", "repository": { "url": url }, "checks": checks,
        "limits": { "refinements": 0, "validation_seconds": 1 } });
    let id = api.create(&body).await;
    let task = api.rest(&id).await;
    service.stop().await;
    assert_eq!(task["result"]["verdict"], "unverified", "{task:#}");
    let runs: Vec<&Value> = task["result"]["checks"].as_array().unwrap().iter().map(|check| &check["final"]).collect();
    assert!(runs.iter().any(|run| run["obstacle"] == "time_limit"), "{runs:#?}");
    let reasons = task["result"]["reason"].as_str().unwrap();
    assert!(reasons.contains("limits.validation_seconds"), "{reasons}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_measure_that_regresses_is_a_finding_with_three_figures_of_each_tree() {
    let checks = json!([
        "grep -q 'a + b' calc.py",
        { "name": "cost", "command": "grep -q 'a + b' calc.py && echo cost 300 || echo cost 100", "kind": "measure",
          "metric": "cost (\\d+)", "max_regression": 0.5 },
    ]);
    let (task, _) = task(&[("calc.py", ADD)], &[plan(), mend(), say("Done.")], &checks).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#}");
    let measured = &task["result"]["checks"][1]["measured"];
    assert_eq!(
        measured,
        &json!({ "base": [100.0, 100.0, 100.0], "final": [300.0, 300.0, 300.0], "base_median": 100.0, "final_median": 300.0, "change": 2.0 })
    );
    let slower = findings(&task, "performance");
    assert_eq!((slower.len(), &slower[0]["severity"]), (1, &json!("serious")), "{slower:?}");
    assert!(slower[0]["message"].as_str().unwrap().contains("200 % worse; 50 % is allowed"), "{slower:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_patch_brings_is_told_with_its_severity() {
    let patch = "*** Begin Patch\n*** Add File: dist/app.js\n+let a = 1;\n*** Add File: .github/workflows/ci.yml\n+on: push\n*** Update File: requirements.txt\n@@\n flask==3.0\n+requests==2.32\n*** End Patch\n";
    let files = [("calc.py", ADD), ("requirements.txt", "flask==3.0\n"), (".gitignore", "/dist/\n")];
    let steps = [plan(), mend(), call("apply_patch", json!({ "patch": patch })), say("Done.")];
    let (task, _) = task(&files, &steps, &json!(["grep -q 'a + b' calc.py"])).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#}");
    let told: Vec<_> = task["result"]["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (&f["kind"], &f["severity"], &f["path"]))
        .collect();
    assert_eq!(
        told,
        [
            (&json!("protected_path"), &json!("serious"), &json!(".github/workflows/ci.yml")),
            (&json!("dependency"), &json!("warning"), &json!("requirements.txt")),
            (&json!("ignored_file"), &json!("warning"), &json!("dist/app.js")),
        ]
    );
}
