//! Tests of plans that people approve: nothing is changed before they have.

use crate::support::{
    replayed::{export, fold},
    service::{Api, Ground, TestService, call, plan, say},
};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

async fn asked_for_plans(script: &[Value]) -> (Ground, TestService, Api, String) {
    let ground = Ground::new(&json!({ "sequence": script })).await;
    let url = ground.repositories.make("calc", &[("calc.py", "def add(a, b):\n    return a - b\n")]);
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&json!({ "request": "mend add", "repository": { "url": url }, "approval": "plan" })).await;
    (ground, service, api, id)
}

fn edit() -> Value {
    call("edit", json!({ "path": "calc.py", "old": "a - b", "new": "a + b" }))
}

fn shell(command: &str) -> Value {
    call("shell", json!({ "command": command }))
}

/// Waits for the question and decides it; the task once it rests again.
async fn decide(api: &Api, id: &str, decision: &Value) -> Value {
    let waiting = api.rest(id).await;
    assert_eq!((&waiting["status"], &waiting["waiting_for"]), (&json!("waiting"), &json!("approval")), "{waiting:#}");
    let (_, pending) = api.get("/v1/approvals?state=pending").await;
    let approval = pending["data"][0]["id"].as_str().unwrap_or_else(|| panic!("{pending:#}")).to_owned();
    let (status, answer) = api.post(&format!("/v1/tasks/{id}/approvals/{approval}"), decision).await;
    assert_eq!(status, 200, "{answer}");
    api.rest(id).await
}

fn outcomes(events: &[Value], tool: &str) -> Vec<String> {
    let of_tool = events.iter().filter(|e| e["kind"] == "tool.completed" && e["data"]["tool"] == tool);
    of_tool.map(|e| e["data"]["outcome"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_denied_plan_neither_edits_nor_commands_change_anything() {
    let script = [plan(), edit(), shell("echo x >> calc.py"), shell("echo y >> calc.py"), say("I leave it.")];
    let (_ground, service, api, id) = asked_for_plans(&script).await;
    let task = decide(&api, &id, &json!({ "decision": "deny", "note": "too large" })).await;
    let events = api.events(&id).await;
    assert_eq!(outcomes(&events, "edit"), ["denied"], "{events:#?}");
    // A command is a look around until one has changed files; what that one changed is not kept.
    assert_eq!(outcomes(&events, "shell"), ["ok", "denied"]);
    assert_eq!((&task["status"], &task["result"]["verdict"]), (&json!("succeeded"), &json!("no_change")), "{task:#}");
    assert_eq!(task["result"]["patch"], Value::Null);
    assert_eq!(api.text(&format!("/v1/tasks/{id}/patch")).await, (200, String::new()));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_will_not_plan_has_its_own_words_put_to_people() {
    let script = [edit(), edit(), edit(), say("Done.")];
    let (_ground, service, api, id) = asked_for_plans(&script).await;
    let task = decide(&api, &id, &json!({ "decision": "approve", "plan": [{ "step": "mend add alone" }] })).await;
    let events = api.events(&id).await;
    assert_eq!(outcomes(&events, "edit"), ["denied", "denied", "ok"], "{events:#?}");
    assert_eq!(
        (&task["planning"]["origin"], &task["planning"]["steps"][0]["step"]),
        (&json!("person"), &json!("mend add alone"))
    );
    assert_eq!(task["result"]["patch"]["files"], 1, "{task:#}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_in_place_of_a_decision_approves_nothing() {
    let script = [plan(), edit(), plan(), edit(), say("Done.")];
    let (_ground, service, api, id) = asked_for_plans(&script).await;
    api.rest(&id).await;
    assert_eq!(api.post(&format!("/v1/tasks/{id}/messages"), &json!({ "text": "mind the zero" })).await.0, 202);
    let task = decide(&api, &id, &json!({ "decision": "approve" })).await;
    let events = api.events(&id).await;
    assert_eq!(outcomes(&events, "edit"), ["denied", "ok"], "{events:#?}");
    assert_eq!(task["result"]["patch"]["files"], 1, "{task:#}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_question_or_a_plan_changes_by_commands_is_not_its_result() {
    for mode in ["answer", "plan"] {
        let ground = Ground::new(&json!({ "sequence": [shell("echo x >> calc.py"), say("So it is.")] })).await;
        let url = ground.repositories.make("calc", &[("calc.py", "x = 1\n")]);
        let service = ground.start().await;
        let api = service.api();
        let id = api.create(&json!({ "request": "what is x?", "repository": { "url": url }, "mode": mode })).await;
        let task = api.rest(&id).await;
        assert_eq!((&task["status"], &task["result"]["patch"]), (&json!("succeeded"), &Value::Null), "{task:#}");
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_cannot_be_read_holds_up_no_other_deadline() {
    let script = json!({ "rules": [
        { "when": { "calls": 0 }, "reply": plan() },
        { "when": {}, "reply": say("I leave it.") },
    ] });
    let ground = Ground::new(&script).await;
    let url = ground.repositories.make("calc", &[("calc.py", "x = 1\n")]);
    let service = ground.start().await;
    let api = service.api();
    let request = json!({ "request": "mend add", "repository": { "url": url }, "approval": "plan" });
    let mut ids = Vec::new();
    for _ in 0..2 {
        let id = api.create(&request).await;
        assert_eq!(api.rest(&id).await["waiting_for"], "approval");
        ids.push(id);
    }
    let mut connection = PgConnection::connect(&ground.database).await.unwrap();
    let first: uuid::Uuid = ids[0].parse().unwrap();
    sqlx::query(
        "UPDATE approvals SET deadline = now() - interval '1 minute',
            subject = CASE WHEN task = $1 THEN 'no JSON' ELSE subject END",
    )
    .bind(first)
    .execute(&mut connection)
    .await
    .unwrap();
    let task = api.until(&ids[1], |task| task["status"] == "succeeded").await;
    assert_eq!(task["result"]["verdict"], "no_change", "{task:#}");
    assert_eq!(api.get(&format!("/v1/tasks/{}", ids[0])).await.1["status"], "waiting");
    service.stop().await;
}

/// A plan of these steps, each with its status.
fn plan_of(steps: &[(&str, &str)]) -> Value {
    let steps: Vec<Value> = steps.iter().map(|(step, status)| json!({ "step": step, "status": status })).collect();
    call("update_plan", json!({ "plan": steps }))
}

fn steps(task: &Value) -> Vec<&str> {
    task["planning"]["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_in_place_of_the_approved_one_is_put_to_people_and_ticks_are_not() {
    let script = [
        plan_of(&[("Mend add", "in_progress"), ("Say so", "pending")]),
        edit(),
        plan_of(&[("mend  add.", "completed"), ("Say so", "in_progress")]),
        plan_of(&[("Say so", "in_progress"), ("Write it anew in C", "pending")]),
        call("edit", json!({ "path": "calc.py", "old": "a + b", "new": "b + a" })),
        say("Done."),
    ];
    for (decision, expected) in [("approve", ["Say so", "Write it anew in C"]), ("deny", ["mend  add.", "Say so"])] {
        let (_ground, service, api, id) = asked_for_plans(&script).await;
        decide(&api, &id, &json!({ "decision": "approve" })).await;
        let waiting = api.rest(&id).await;
        assert_eq!(steps(&waiting), ["Say so", "Write it anew in C"], "it is shown as it is asked about");
        let (_, pending) = api.get("/v1/approvals?state=pending").await;
        assert_eq!(pending["data"][0]["subject"]["planning"]["steps"][1]["step"], "Write it anew in C", "{pending:#}");
        let task = decide(&api, &id, &json!({ "decision": decision })).await;
        let events = api.events(&id).await;
        assert_eq!(events.iter().filter(|event| event["kind"] == "approval.requested").count(), 2);
        let last = if decision == "deny" { "denied" } else { "ok" };
        assert_eq!(outcomes(&events, "update_plan"), ["ok", "ok", last], "{events:#?}");
        // What was approved before holds, and with it what was done.
        assert_eq!(outcomes(&events, "edit"), ["ok", "ok"]);
        assert_eq!((steps(&task), &task["result"]["patch"]["files"]), (expected.to_vec(), &json!(1)), "{task:#}");
        let replayed = fold(&export(&api, &id, "").await);
        assert_eq!(replayed.difference, None);
        service.stop().await;
    }
}

/// The end of a task whose model deletes the failing test, asked about and decided so.
async fn weakened(decision: &Value) -> (Value, Vec<Value>) {
    let test = "    def test_adds(self):\n        self.assertEqual(add(2, 3), 5)\n\n";
    let tests = format!(
        "import unittest\nfrom calc import add\n\n\nclass A(unittest.TestCase):\n{test}    def test_zero(self):\n        self.assertEqual(add(0, 0), 0)\n"
    );
    let change = |old: &str, new: &str| call("edit", json!({ "path": "test_calc.py", "old": old, "new": new }));
    let zero = "    def test_zero";
    let script = [
        plan(),
        change(test, ""),
        say("All tests pass."),
        change(zero, &format!("{test}{zero}")),
        edit(),
        say("Mended."),
    ];
    let ground = Ground::new(&json!({ "sequence": script })).await;
    let files = [("calc.py", "def add(a, b):\n    return a - b\n"), ("test_calc.py", &tests)];
    let url = ground.repositories.make("calc", &files);
    let service = ground.start().await;
    let api = service.api();
    let body = json!({
        "request": "mend add", "repository": { "url": url }, "checks": ["python3 -m unittest"],
        "approval": "on_risk", "approval_default": "approve",
    });
    let id = api.create(&body).await;
    assert_eq!(api.rest(&id).await["waiting_for"], "approval");
    let (_, pending) = api.get("/v1/approvals?state=pending").await;
    let asked = &pending["data"][0];
    assert_eq!((&asked["kind"], &asked["default"]), (&json!("weakened_tests"), &json!("deny")), "{asked:#}");
    assert!(asked["subject"]["weakened"][0]["message"].as_str().unwrap().contains("test_adds"), "{asked:#}");
    let task = decide(&api, &id, decision).await;
    let events = api.events(&id).await;
    assert_eq!(fold(&export(&api, &id, "").await).difference, None);
    service.stop().await;
    (task, events)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_may_approve_that_a_patch_weakens_tests() {
    let (task, events) = weakened(&json!({ "decision": "approve" })).await;
    assert_eq!((&task["status"], &task["result"]["verdict"]), (&json!("succeeded"), &json!("verified")), "{task:#}");
    // What was approved is told all the same, and holds nobody up.
    let findings = task["result"]["findings"].as_array().unwrap();
    let kinds: Vec<_> = findings.iter().map(|finding| (&finding["kind"], &finding["severity"])).collect();
    assert_eq!(kinds, [(&json!("tests_edited"), &json!("warning"))], "{task:#}");
    assert_eq!(task["usage"]["turns"], 3, "the model is not asked again");
    let verdicts = events.iter().filter(|event| event["kind"] == "checks.completed");
    let verdicts: Vec<_> = verdicts.map(|event| (&event["data"]["verdict"], &event["data"]["weakened"])).collect();
    assert_eq!(verdicts, [(&json!("failed"), &json!(true)), (&json!("verified"), &Value::Null)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_that_may_not_weaken_tests_goes_back_with_the_reason() {
    let (task, events) = weakened(&json!({ "decision": "deny", "note": "it is right" })).await;
    assert_eq!((&task["status"], &task["result"]["verdict"]), (&json!("succeeded"), &json!("verified")), "{task:#}");
    assert_eq!(task["result"]["summary"], "Mended.");
    let told: Vec<&str> = events
        .iter()
        .filter(|event| event["kind"] == "message.developer")
        .map(|event| event["data"]["text"].as_str().unwrap())
        .collect();
    assert!(told.len() == 1 && told[0].contains("not approved. It is said: it is right."), "{told:?}");
    assert_eq!(events.iter().filter(|event| event["kind"] == "approval.requested").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_approved_plan_allowed_is_gone_when_the_next_run_begins() {
    let script = [
        shell("sed -i 's/a - b/a * b/' calc.py"),
        say("Done."),
        say("You are welcome."),
        plan(),
        edit(),
        say("Mended."),
        shell("echo unapproved >> calc.py"),
        say("Done."),
    ];
    let (_ground, service, api, id) = asked_for_plans(&script).await;
    let task = api.rest(&id).await;
    assert_eq!(task["result"]["verdict"], "no_change", "{task:#}");
    let again = async |text: &str, run: u64| {
        assert_eq!(api.post(&format!("/v1/tasks/{id}/messages"), &json!({ "text": text })).await.0, 202);
        api.until(&id, |task| task["run"] == run && task["status"] != "running" && task["status"] != "queued").await
    };
    let task = again("thanks", 2).await;
    assert_eq!((&task["result"]["verdict"], &task["result"]["patch"]), (&json!("no_change"), &Value::Null), "{task:#}");

    again("now mend it", 3).await;
    let task = decide(&api, &id, &json!({ "decision": "approve" })).await;
    assert_eq!(task["result"]["patch"]["additions"], 1, "{task:#}");
    let patch = api.text(&format!("/v1/tasks/{id}/patch")).await.1;
    assert!(patch.contains("+    return a + b"), "{patch}");

    // What was approved stands; what was not goes.
    let task = again("and more", 4).await;
    assert_eq!(task["result"]["patch"]["additions"], 1, "{task:#}");
    assert_eq!(api.text(&format!("/v1/tasks/{id}/patch")).await.1, patch);
    service.stop().await;
}
