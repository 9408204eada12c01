//! Conversations that grow beyond the model's window, whole: summarised in mid-turn, and gone on with.

use crate::support::{
    calculator,
    service::{Ground, call, say},
};
use serde_json::{Value, json};

const WINDOW: u64 = 13_000;
/// What the model is shown of it is cut to about 10,000 tokens.
const BIG: &str = "python3 -m unittest 2>&1 | tail -3; seq 1 20000";

/// A model that looks at something big, sums up, mends the fault, and says so; `summary` is how it answers the call
/// that carries no tools.
fn script(summary: Value) -> Value {
    let plan =
        json!({ "tool": "update_plan", "arguments": { "plan": [{ "step": "mend it", "status": "in_progress" }] } });
    let mend = json!({ "path": "calc.py", "old": "a - b", "new": "a + b" });
    let mut summarises = json!({ "when": { "tools": false } });
    summarises.as_object_mut().unwrap().extend(summary.as_object().unwrap().clone());
    json!({ "rules": [
        summarises,
        { "when": { "contains": "begins anew", "calls": 0 }, "reply": call("edit", mend) },
        { "when": { "contains": "begins anew" }, "reply": say("Mended.") },
        { "reply": { "calls": [plan, { "tool": "shell", "arguments": { "command": BIG } }] } },
    ] })
}

async fn played(summary: Value, wire: &'static str) -> (Value, Vec<Value>, Vec<Value>) {
    let mut ground = calculator::ground(&script(summary)).await;
    ground.window_tokens = Some(WINDOW);
    ground.wire = wire;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&calculator::request(&ground)).await;
    let task = api.rest(&id).await;
    let (events, requests) = (api.events(&id).await, ground.model.requests().await);
    service.stop().await;
    (task, events, requests)
}

fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["kind"] == kind).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_summarised_in_mid_turn_and_the_work_goes_on() {
    for wire in ["responses", "chat", "messages"] {
        let (task, events, requests) = played(json!({ "reply": say("SUMMARY: add subtracts.") }), wire).await;
        assert_eq!(task["result"]["verdict"], "verified", "{wire}: {task:#}\n{events:#?}");
        let compactions = of_kind(&events, "compaction");
        assert_eq!(compactions.len(), 1, "{wire}");
        let data = &compactions[0]["data"];
        let tokens = |field: &str| data[field].as_u64().unwrap();
        assert!(tokens("tokens_before") > WINDOW * 9 / 10 && tokens("tokens_after") < WINDOW / 2, "{wire}: {data}");
        assert_eq!(data["summarised"], true);
        let kinds: Vec<_> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
        assert_eq!(task["usage"]["model_calls"], 4, "{wire}: the summary is one of them: {kinds:?}");
        assert_eq!(task["usage"]["turns"], 3, "{wire}");
        // Nothing is done twice: the command that was under way stands in the new prompt as done.
        assert_eq!(of_kind(&events, "tool.completed").len(), 3, "{wire}");
        let after = requests.last().unwrap()["body"].to_string();
        for kept in ["mend add", "SUMMARY: add subtracts.", "do not make them again", "seq 1 20000"] {
            assert!(after.contains(kept), "{wire}: {kept}");
        }
        // The call outside the loop carries no tools, and none of the loop's prompt.
        let summary = requests.iter().find(|request| request["body"]["tools"].as_array().is_none_or(Vec::is_empty));
        assert!(summary.unwrap()["body"].to_string().contains("hand over unfinished work"), "{wire}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_summary_what_the_server_kept_has_to_do() {
    let faults = [json!({ "fault": "context_length_exceeded" }), json!({ "fault": "empty" })];
    for summary in faults {
        let (task, events, _) = played(summary.clone(), "responses").await;
        assert_eq!(task["result"]["verdict"], "verified", "{summary}: {task:#}\n{events:#?}");
        assert_eq!(of_kind(&events, "compaction")[0]["data"]["summarised"], false, "{summary}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_finds_the_prompt_too_long_is_given_a_shorter_one() {
    let script = json!({ "rules": [
        { "when": { "tools": false }, "reply": say("SUMMARY: all is well.") },
        { "when": { "contains": "begins anew" }, "reply": say("It subtracts.") },
        { "when": { "calls": 1 }, "fault": "context_length_exceeded" },
        { "reply": call("read_file", json!({ "path": "calc.py" })) },
    ] });
    let ground = calculator::ground(&script).await;
    let service = ground.start().await;
    let api = service.api();
    let mut request = calculator::request(&ground);
    request["mode"] = json!("answer");
    let id = api.create(&request).await;
    let task = api.rest(&id).await;
    let events = api.events(&id).await;
    assert_eq!(task["result"]["answer"], "It subtracts.", "{task:#}\n{events:#?}");
    assert_eq!(of_kind(&events, "model.retried")[0]["data"]["overflowed"], true);
    assert_eq!(of_kind(&events, "compaction").len(), 1);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_no_compaction_makes_fit_ends_the_run() {
    let script = json!({ "rules": [
        { "when": { "tools": false }, "reply": say("SUMMARY") },
        { "when": { "contains": "begins anew" }, "fault": "context_length_exceeded" },
        { "when": { "calls": 1 }, "fault": "context_length_exceeded" },
        { "reply": call("read_file", json!({ "path": "calc.py" })) },
    ] });
    let ground: Ground = calculator::ground(&script).await;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&calculator::request(&ground)).await;
    let task = api.rest(&id).await;
    let events = api.events(&id).await;
    assert_eq!((&task["status"], &task["error"]["code"]), (&json!("failed"), &json!("stuck")), "{task:#}");
    assert_eq!(of_kind(&events, "compaction").len(), 3);
    service.stop().await;
}
