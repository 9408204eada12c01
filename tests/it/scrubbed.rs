//! Secrets in what a model writes: none of them stands in a log, a task or a question to people.

use crate::support::service::{Ground, call, say};
use serde_json::{Value, json};

const SECRET: &str = "hunter2hunter2";

fn script() -> Value {
    let planned = json!({
        "plan": [{ "step": format!("use {SECRET}"), "status": "in_progress" }],
        "criteria": [format!("`greps {SECRET}` passes")],
        "approaches": [{ "name": "one", "for": format!("{SECRET} is there"), "against": "-----BEGIN RSA PRIVATE KEY-----abc" }],
    });
    json!({ "rules": [
        { "when": { "contains": "what next" }, "reply": say("Nothing.") },
        { "when": { "calls": 0 }, "reply": call("update_plan", planned) },
        { "when": { "calls": 1 }, "reply": call("shell", json!({ "command": format!("echo {SECRET} | rev; echo {SECRET}") })) },
        { "when": { "calls": 2 }, "reply": call("no_such_tool", json!({ "deep": [{ SECRET: [SECRET, 1] }] })) },
        { "when": { "calls": 3 }, "reply": call("edit", json!({ "path": "calc.py", "old": "a - b", "new": "a + b" })) },
        { "when": {}, "reply": say(&format!("Mended with {SECRET}.")) },
    ] })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_a_model_writes_stands_in_no_event_no_task_and_no_question() {
    let mut ground = Ground::new(&script()).await;
    ground.variables.push(("JOURNEYMAN_MODEL_KEY".to_owned(), SECRET.to_owned()));
    let url = ground.repositories.make("calc", &[("calc.py", "def add(a, b):\n    return a - b\n")]);
    let service = ground.start().await;
    let api = service.api();
    let check =
        json!({ "name": format!("greps {SECRET}"), "command": format!("echo 1 {SECRET}; grep -q 'a + b' calc.py") });
    let request = json!({
        "request": "mend add", "repository": { "url": url }, "approval": "plan", "checks": [check],
    });
    let memory = json!({ "text": format!("to mend add, say {SECRET}"), "kind": "fact", "scope": "user" });
    assert_eq!(api.post("/v1/memories", &memory).await.0, 201);
    let id = api.create(&request).await;
    assert_eq!(api.rest(&id).await["waiting_for"], "approval");
    let (status, pending) = api.get("/v1/approvals?state=pending").await;
    assert_eq!(status, 200, "a question that was scrubbed can be read");
    let planning = &pending["data"][0]["subject"]["planning"];
    assert_eq!(planning["steps"][0]["step"], "use ***", "{pending:#}");
    assert_eq!(planning["approaches"][0]["for"], "*** is there");
    let path = format!("/v1/tasks/{id}/approvals/{}", pending["data"][0]["id"].as_str().unwrap());
    assert_eq!(api.post(&path, &json!({ "decision": "approve" })).await.0, 200);
    let task = api.rest(&id).await;
    assert_eq!((&task["status"], &task["result"]["verdict"]), (&json!("succeeded"), &json!("verified")), "{task:#}");

    // What people wrote themselves stays theirs, but for what is known to be secret of what they had remembered.
    let events = api.events(&id).await;
    let used = &events.iter().find(|event| event["kind"] == "memory.used").unwrap()["data"]["memories"];
    assert_eq!(used[0]["text"], "to mend add, say ***", "{used:#}");
    let mut shown = used.clone();
    shown[0]["cited"] = json!(false);
    assert_eq!(task["result"]["memories"], shown);
    let first = ground.model.requests().await[0]["body"].to_string();
    assert!(first.contains("to mend add, say ***"), "{first}");
    assert!(events[0]["data"].to_string().contains(SECRET));
    for event in &events[1..] {
        assert!(!event.to_string().contains(SECRET), "{event:#}");
    }
    for (what, value) in [("result", &task["result"]), ("planning", &task["planning"])] {
        assert!(!value.to_string().contains(SECRET), "{what}: {value:#}");
        assert!(value.to_string().contains("***"), "{what}: {value:#}");
    }
    let criterion = &task["result"]["criteria"][0];
    let (text, status, evidence) = (&criterion["text"], &criterion["status"], &criterion["evidence"]);
    assert_eq!((text, status, evidence), (&json!("`greps ***` passes"), &json!("met"), &json!("`greps ***` passes")));
    assert_eq!(task["result"]["checks"][0]["name"], "greps ***");
    let started = |tool: &str| {
        let of_tool = |e: &&Value| e["kind"] == "tool.started" && e["data"]["tool"] == tool;
        events.iter().find(of_tool).unwrap()["data"]["arguments"].clone()
    };
    assert_eq!(started("shell"), json!({ "command": "echo *** | rev; echo ***" }));
    assert_eq!(started("no_such_tool"), json!({ "deep": [{ "***": ["***", 1] }] }));
    // The command ran as the model wrote it.
    let ran = events.iter().find(|e| e["kind"] == "tool.completed" && e["data"]["tool"] == "shell").unwrap();
    assert!(ran["data"]["output"].as_str().unwrap().contains("2retnuh2retnuh\n***"), "{ran:#}");

    // Folded anew from the log, the conversation is the one that the model knows.
    let before = ground.model.requests().await;
    assert_eq!(api.post(&format!("/v1/tasks/{id}/messages"), &json!({ "text": "what next" })).await.0, 202);
    api.until(&id, |task| task["run"] == 2 && task["status"] == "succeeded").await;
    let after = ground.model.requests().await;
    let input = |request: &Value| request["body"]["input"].as_array().unwrap().clone();
    let (before, now) = (input(before.last().unwrap()), input(after.last().unwrap()));
    assert_eq!(now[..before.len()], before[..]);
    service.stop().await;
}
