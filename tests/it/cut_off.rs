//! Replies that were cut at their maximal length in the midst of a call: nothing of such a call is done, and the model
//! is told why.

use crate::support::{
    calculator::BROKEN,
    replayed::{export, fold},
    service::{Ground, call, plan, say},
};
use serde_json::{Value, json};

/// The task, its calls' tools with outcomes and outputs, and the model's last prompt, after these replies.
async fn played(steps: &[Value]) -> (Value, Vec<(String, String, String)>, String) {
    let ground = Ground::new(&json!({ "sequence": steps })).await;
    let url = ground.repositories.make("calc", &[("calc.py", BROKEN)]);
    let service = ground.start().await;
    let api = service.api();
    let body = json!({ "request": "mend it", "repository": { "url": url }, "checks": ["grep -q 'a + b' calc.py"] });
    let id = api.create(&body).await;
    let task = api.rest(&id).await;
    let events = api.events(&id).await;
    let replayed = fold(&export(&api, &id, "").await);
    assert!(replayed.difference.is_none() && replayed.unknown_because.is_none(), "{replayed:#?}");
    let requests = ground.model.requests().await;
    service.stop().await;
    let words = |data: &Value, name: &str| data[name].as_str().unwrap().to_owned();
    let done = events.iter().filter(|event| event["kind"] == "tool.completed").map(|event| &event["data"]);
    let calls = done.map(|data| (words(data, "tool"), words(data, "outcome"), words(data, "output"))).collect();
    (task, calls, requests.last().unwrap()["body"].to_string())
}

fn cut(calls: Value) -> Value {
    json!({ "cut": true, "calls": calls })
}

const TOLD: &str = "Your reply was cut off at its maximal length";

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_a_reply_was_cut_in_is_not_run_and_the_model_is_told() {
    let bare = "*** Begin Patch\n*** Update File: calc.py\n@@\n-def add(a, b):\n-    return a - b\n+def add(a, b):\n+    total = a";
    let in_json = "{\"patch\": \"*** Begin Patch\n*** Add File: notes.txt\n+one\n+two\n+thr";
    let whole_json = json!({ "patch": format!("{bare} + b") });
    let command = "{\"command\": \"echo 1 > new.txt; rm -rf no";
    let mend = call("edit", json!({ "path": "calc.py", "old": "a - b", "new": "a + b" }));
    for (tool, arguments) in [
        ("apply_patch", json!(bare)),
        ("apply_patch", json!(in_json)),
        ("apply_patch", whole_json),
        ("shell", json!(command)),
        ("list_files", json!("")),
    ] {
        let last = cut(json!([{ "tool": tool, "arguments": arguments }]));
        let (task, calls, prompt) = played(&[plan(), last, mend.clone(), say("Done.")]).await;
        assert_eq!(task["result"]["verdict"], "verified", "{task:#}");
        assert_eq!(task["result"]["patch"]["files"], 1, "{arguments}: {task:#}");
        assert_eq!((calls[1].0.as_str(), calls[1].1.as_str()), (tool, "error"), "{calls:#?}");
        assert!(calls[1].2.contains("was not called") && calls[1].2.contains("cut off"), "{calls:#?}");
        assert_eq!(calls[2].1, "ok", "{calls:#?}");
        assert!(prompt.contains(TOLD), "{prompt}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_came_whole_before_the_cut_are_run() {
    let patch = "*** Begin Patch\n*** Update File: calc.py\n@@\n-    return a - b\n+    return a + b\n*** End Patch";
    for arguments in [json!({ "patch": patch }), json!(patch)] {
        let read = json!({ "tool": "read_file", "arguments": { "path": "calc.py" } });
        let cut_read = json!({ "tool": "read_file", "arguments": "{\"path\": \"ca" });
        let first = cut(json!([{ "tool": "apply_patch", "arguments": arguments }]));
        let second = cut(json!([read, cut_read]));
        let (task, calls, prompt) = played(&[plan(), first, second, say("Done.")]).await;
        assert_eq!(task["result"]["verdict"], "verified", "{task:#}");
        let outcomes: Vec<&str> = calls.iter().map(|call| call.1.as_str()).collect();
        assert_eq!(outcomes, ["ok", "ok", "ok", "error"], "{calls:#?}");
        assert_eq!(prompt.matches(TOLD).count(), 2, "{prompt}");
    }
}
