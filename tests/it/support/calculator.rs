//! A repository whose addition is wrong, and a model that mends it in ten turns.

use super::service::{Api, Ground, TestService, call, plan, say};
use serde_json::{Value, json};

pub(crate) const BROKEN: &str = "def add(a, b):\n    return a - b\n";
pub(crate) const TESTS: &str = "import unittest\nfrom calc import add\n\n\nclass AddTest(unittest.TestCase):\n    def test_adds(self):\n        self.assertEqual(add(2, 3), 5)\n";

/// Ten turns; what must not be lost to an interruption is done twice.
pub(crate) fn ten_turns() -> Value {
    let mend = || call("shell", json!({ "command": "printf 'def add(a, b):\\n    return a + b\\n' > calc.py" }));
    json!({ "pace": { "first_byte_ms": 25 }, "sequence": [
        call("list_files", json!({})),
        json!({ "calls": [
            { "tool": "read_file", "arguments": { "path": "calc.py" } },
            { "tool": "read_file", "arguments": { "path": "test_calc.py" } },
        ] }),
        call("shell", json!({ "command": "echo three" })),
        plan(),
        call("search", json!({ "pattern": "def add" })),
        mend(),
        mend(),
        call("shell", json!({ "command": "echo eight" })),
        call("update_plan", json!({ "plan": [{ "step": "mend it", "status": "completed" }] })),
        say("Mended."),
    ] })
}

/// A task on it that its tests judge.
pub(crate) fn request(ground: &Ground) -> Value {
    let url = format!("file://{}", ground.repositories.path().join("calc").display());
    json!({ "request": "mend add", "repository": { "url": url }, "checks": ["python3 -m unittest"] })
}

pub(crate) async fn ground(script: &Value) -> Ground {
    let ground = Ground::new(script).await;
    ground.repositories.make("calc", &[("calc.py", BROKEN), ("test_calc.py", TESTS)]);
    ground
}

/// The same without tests, and a service over it that has started.
pub(crate) async fn served(script: &Value) -> (Ground, TestService, Api) {
    let ground = Ground::new(script).await;
    ground.repositories.make("calc", &[("calc.py", BROKEN)]);
    let service = ground.start().await;
    let api = service.api();
    (ground, service, api)
}
