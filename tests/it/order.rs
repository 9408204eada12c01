//! Calls of one reply in a whole task: what changes something is done one by one, in the order in which it was asked.

use crate::support::{
    calculator::served,
    service::{plan, say},
};
use serde_json::{Value, json};

fn one(tool: &str, arguments: Value) -> Value {
    json!({ "tool": tool, "arguments": arguments })
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_and_reads_of_one_reply_see_each_other_in_their_order() {
    let shell = |command: &str| one("shell", json!({ "command": command }));
    let read = || one("read_file", json!({ "path": "log.txt" }));
    let replies = json!({ "calls": [
        // The slow one is not overtaken.
        shell("sleep 0.5; echo one >> log.txt"),
        read(),
        one("search", json!({ "pattern": "one", "path": "log.txt" })),
        one("edit", json!({ "path": "log.txt", "old": "one", "new": "two" })),
        read(),
        shell("echo three >> log.txt"),
        one("apply_patch", json!({ "patch": "*** Begin Patch\n*** Update File: log.txt\n@@\n two\n-three\n+four\n*** End Patch\n" })),
        shell("cat log.txt"),
    ] });
    let (ground, service, api) = served(&json!({ "sequence": [plan(), replies, say("Done.")] })).await;
    let url = format!("file://{}", ground.repositories.path().join("calc").display());
    let id = api.create(&json!({ "request": "write a log", "repository": { "url": url }, "checks": ["true"] })).await;
    assert_eq!(api.rest(&id).await["status"], "succeeded");
    let events = api.events(&id).await;
    service.stop().await;
    let of_kind = |kind: &str| events.iter().filter(|event| event["kind"] == kind).skip(1).collect::<Vec<_>>();
    let outputs: Vec<&str> =
        of_kind("tool.completed").iter().map(|event| event["data"]["output"].as_str().unwrap()).collect();
    assert_eq!(outputs.len(), 8, "{outputs:#?}");
    assert!(outputs[1].contains("one"), "{outputs:#?}");
    assert!(outputs[2].contains("log.txt:1: one"), "{outputs:#?}");
    assert!(outputs[4].contains("two") && !outputs[4].contains("one"), "{outputs:#?}");
    assert!(outputs[7].ends_with("two\nfour\n") || outputs[7].ends_with("two\nfour"), "{outputs:#?}");
    // A call that may change something begins when all before it have ended; two that read begin together.
    let kinds: Vec<&str> = events
        .iter()
        .map(|event| event["kind"].as_str().unwrap())
        .filter(|kind| kind.starts_with("tool."))
        .skip(2)
        .collect();
    let (begun, done) = ("tool.started", "tool.completed");
    let alone = [begun, done];
    let expected = [&alone[..], &[begun, begun, done, done], &alone, &alone, &alone, &alone, &alone].concat();
    assert_eq!(kinds, expected);
}
