//! Validation of a repository of several packages: what a change cannot reach is not run, and is named.

use crate::support::service::{Ground, call, plan, say};
use serde_json::{Value, json};

/// What each package says of itself, its code, and its tests.
fn package(name: &str, needs: &str, test: &str) -> Vec<(String, String)> {
    let project = format!("[project]\nname = \"{name}\"\nversion = \"1\"\ndependencies = [{needs}]\n");
    let tests = format!(
        "import sys, unittest\nsys.path.insert(0, '../core')\n\n\nclass Of(unittest.TestCase):\n    def test_{name}(self):\n        {test}\n"
    );
    vec![
        (format!("{name}/pyproject.toml"), project),
        (format!("{name}/{name}.py"), "def add(a, b):\n    return a - b\n".to_owned()),
        (format!("{name}/test_{name}.py"), tests),
    ]
}

/// Three packages: `app` needs `core`, `other` stands alone and is broken. The task's result after an edit.
async fn result(edited: &str, checks: &Value) -> Value {
    let ground = Ground::new(&json!({ "sequence": [
        plan(), call("edit", json!({ "path": edited, "old": "a - b", "new": "a + b" })), say("Done."),
    ] }))
    .await;
    let mut files = package("core", "", "from core import add; self.assertEqual(add(2, 3), 5)");
    files.extend(package("app", "\"core\"", "from core import add; self.assertEqual(add(1, 1), 2)"));
    files.extend(package("other", "", "self.fail('broken')"));
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let url = ground.repositories.make("mono", &files);
    let service = ground.start().await;
    let api = service.api();
    let body =
        json!({ "request": "mend it", "repository": { "url": url }, "checks": checks, "limits": { "refinements": 0 } });
    let id = api.create(&body).await;
    let task = api.rest(&id).await;
    service.stop().await;
    task["result"].clone()
}

fn ran(result: &Value) -> Vec<&Value> {
    let checks = result["checks"].as_array().unwrap().iter();
    checks
        .flat_map(|check| check["final"]["tests"].as_array().into_iter().flatten())
        .map(|test| &test["name"])
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_package_is_checked_there_and_where_it_is_needed() {
    let result = result("core/core.py", &json!([])).await;
    assert_eq!(result["verdict"], "verified", "{result:#}");
    let mut ran = ran(&result);
    ran.sort_by_key(|name| name.to_string());
    assert_eq!(ran, [&json!("test_app.Of.test_app"), &json!("test_core.Of.test_core")], "{result:#}");
    let reason = result["reason"].as_str().unwrap();
    assert!(reason.contains("not run") && reason.contains("in `other`"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_the_task_names_runs_whatever_the_change_reaches() {
    let named = json!([{ "command": "python3 -m unittest -v", "workdir": "other" }]);
    let result = result("core/core.py", &named).await;
    assert_eq!(result["verdict"], "failed", "{result:#}");
    assert_eq!(ran(&result), [&json!("test_other.Of.test_other")]);
}
