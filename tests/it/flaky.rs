//! Failures that are run again: by chance, by what a run leaves behind, and by the order of tests.

use crate::support::service::{Ground, call, plan, say};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const ADD: &str = "def add(a, b):\n    return a - b\n";

/// The task after a model made this edit to these files, which the check judges, with a way out to this port.
async fn edited(files: &[(&str, &str)], edit: Value, check: Value, port: u16) -> Value {
    let mut ground = Ground::new(&json!({ "sequence": [plan(), call("edit", edit), say("Done.")] })).await;
    let settings = ground.data.path().join("settings.toml");
    std::fs::write(&settings, "[network.names]\n\"chance.test\" = \"127.0.0.1\"\n").unwrap();
    ground.variables.extend([
        ("JOURNEYMAN_CONFIG".to_owned(), settings.display().to_string()),
        ("JOURNEYMAN_PRIVATE_HOSTS".to_owned(), "127.0.0.0/8".to_owned()),
    ]);
    let url = ground.repositories.make("calc", files);
    let service = ground.start().await;
    let api = service.api();
    let body = json!({ "request": "mend it", "repository": { "url": url }, "checks": [check], "limits": { "refinements": 0 },
        "network": { "mode": "allowlist", "hosts": [format!("chance.test:{port}")] } });
    let id = api.create(&body).await;
    let task = api.rest(&id).await;
    service.stop().await;
    task
}

fn flaky(task: &Value) -> Vec<&Value> {
    task["result"]["findings"].as_array().unwrap().iter().filter(|finding| finding["kind"] == "flaky").collect()
}

/// Answers the first request with `bad` and all others with `good`; its port.
async fn chance() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for asked in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let body = if asked == 0 { "bad" } else { "good" };
            let answer =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_fails_by_chance_and_then_passes_alone_and_among_the_others_is_named_as_flaky() {
    let port = chance().await;
    let tests = format!(
        "import unittest, urllib.request\nfrom calc import add\n\nclass A(unittest.TestCase):\n    def test_adds(self):\n        \
         self.assertEqual(add(2, 3), 5)\n\n    def test_chance(self):\n        if add(2, 3) == 5:\n            \
         self.assertEqual(urllib.request.urlopen('http://chance.test:{port}/').read(), b'good')\n"
    );
    let files = [("calc.py", ADD), ("test_calc.py", tests.as_str())];
    let mend = json!({ "path": "calc.py", "old": "a - b", "new": "a + b" });
    let check = json!({ "name": "tests", "command": "python3 -m unittest", "network": true });
    let task = edited(&files, mend, check, port).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#}");
    let last = &task["result"]["checks"][0]["final"];
    assert_eq!((&last["outcome"], &last["flaky"]["tests"]), (&json!("pass"), &json!(["test_calc.A.test_chance"])));
    let log = last["log"].as_str().unwrap();
    let again = |command: &str| log.contains(&format!("[run again on the same tree, unchanged: {command}"));
    assert!(log.contains("b'bad'") && again("python3 -m unittest -v -k") && again("python3 -m unittest]"), "{log}");
    let flaky = flaky(&task);
    assert!(flaky.len() == 1 && flaky[0]["message"].as_str().unwrap().contains("test_chance"), "{flaky:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_passes_only_on_what_its_first_run_left_is_not_flaky() {
    for marker in ["'seen.txt'", "'/tmp/seen'", "os.path.expanduser('~/.seen')"] {
        let tests = format!(
            "import os, unittest\nfrom calc import add\n\nclass A(unittest.TestCase):\n    def test_adds(self):\n        \
             self.assertEqual(add(2, 3), 5)\n\n    def test_cold(self):\n        if add(2, 3) == 5 and not os.path.exists({marker}):\n            \
             open({marker}, 'w').close()\n            self.fail('cold')\n"
        );
        let files = [("calc.py", ADD), ("test_calc.py", tests.as_str())];
        let mend = json!({ "path": "calc.py", "old": "a - b", "new": "a + b" });
        for command in ["python3 -m unittest", "true && python3 -m unittest"] {
            let task = edited(&files, mend.clone(), json!(command), 1).await;
            assert_eq!(task["result"]["verdict"], "failed", "{marker}: {task:#}");
            assert_eq!(task["result"]["checks"][0]["final"]["failing"], json!(["test_calc.A.test_cold"]), "{marker}");
            assert_eq!(flaky(&task).len(), 0, "{marker}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_fails_for_what_runs_before_it_is_not_flaky() {
    let app = "KEPT = {}\n\ndef keep(name):\n    KEPT[name] = 1\n    result = dict(KEPT)\n    KEPT.clear()\n    return result\n";
    let tests = "import unittest\nimport app\n\nclass A(unittest.TestCase):\n    def test_a_keeps(self):\n        \
                 self.assertEqual(app.keep('x'), {'x': 1})\n\n    def test_b_forgets(self):\n        \
                 self.assertEqual(app.KEPT, {})\n";
    let leaks = json!({ "path": "app.py", "old": "    KEPT.clear()\n", "new": "" });
    let task = edited(&[("app.py", app), ("test_app.py", tests)], leaks, json!("python3 -m unittest"), 1).await;
    assert_eq!(task["result"]["verdict"], "failed", "{task:#}");
    assert_eq!(task["result"]["checks"][0]["final"]["failing"], json!(["test_app.A.test_b_forgets"]));
    assert_eq!(flaky(&task).len(), 0, "{task:#}");
}
