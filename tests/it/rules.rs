//! Rules about commands, whole: denied, asked about, decided, remembered, over restarts and crashes.

use crate::support::{
    calculator,
    failpoint::each_at_its_own_boundary,
    service::{Api, Ground, call, plan, say},
};
use serde_json::{Value, json};

const RULES: &str = r#"
    [[rules]]
    prefix = ["npm", "install"]
    decision = "deny"
    reason = "use npm ci"
    match = ["npm install left-pad"]
    not_match = ["npm ci"]
"#;

fn shell(command: &str) -> Value {
    call("shell", json!({ "command": command }))
}

/// A model that does these things in turn, on a server with an operator's rules.
async fn ground(script: &[Value]) -> Ground {
    let mut ground = calculator::ground(&json!({ "sequence": script })).await;
    let path = ground.data.path().join("rules.toml");
    std::fs::write(&path, RULES).unwrap();
    ground.variables.push(("JOURNEYMAN_CONFIG".to_owned(), path.display().to_string()));
    ground
}

fn request(ground: &Ground, more: &Value) -> Value {
    let mut request = calculator::request(ground);
    request["mode"] = json!("answer");
    request["approval"] = json!("on_risk");
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

/// The one approval that waits for people.
async fn pending(api: &Api, id: &str) -> (String, Value) {
    let task = api.rest(id).await;
    assert_eq!((&task["status"], &task["waiting_for"]), (&json!("waiting"), &json!("approval")), "{task:#}");
    let (_, page) = api.get("/v1/approvals?state=pending").await;
    let mut rows: Vec<Value> = page["data"].as_array().unwrap().clone();
    rows.retain(|row| row["task"] == id);
    assert_eq!(rows.len(), 1, "{page}");
    (format!("/v1/tasks/{id}/approvals/{}", rows[0]["id"].as_str().unwrap()), rows.remove(0))
}

fn completed(events: &[Value]) -> Vec<(&str, &str)> {
    let done = events.iter().filter(|event| event["kind"] == "tool.completed");
    done.map(|event| (event["data"]["outcome"].as_str().unwrap(), event["data"]["output"].as_str().unwrap())).collect()
}

fn count(events: &[Value], kind: &str) -> usize {
    events.iter().filter(|event| event["kind"] == kind).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_command_is_told_with_reason_and_mend_and_nobody_is_asked() {
    let script = [shell("echo a > a; npm install left-pad"), shell("git push || true; ls"), say("So it is.")];
    let ground = ground(&script).await;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&request(&ground, &json!({ "approval": "never" }))).await;
    let task = api.rest(&id).await;
    assert_eq!(task["status"], "succeeded", "{task:#}");
    let events = api.events(&id).await;
    let done = completed(&events);
    let expected = "denied: a rule of this server forbids `npm install` (use npm ci). Nothing of the call was run. Reach \
                    the goal without it";
    assert_eq!((done[0].0, done[1].0), ("denied", "ok"), "{done:?}");
    assert!(done[0].1.starts_with(expected) && !done[1].1.lines().any(|line| line == "a"), "{done:?}");
    assert_eq!(count(&events, "approval.requested"), 0);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_about_a_command_outlives_a_restart_and_its_decision_can_hold_for_the_task() {
    let script = [
        call("shell", json!({ "command": "sleep 600", "background": true })),
        json!({ "calls": [
            { "tool": "shell", "arguments": { "command": "echo kept > kept" } },
            { "tool": "shell", "arguments": { "command": "git push origin main; cat kept", "workdir": "." } },
        ] }),
        shell("git -c a.b=c push; echo twice"),
        say("So it is."),
    ];
    let ground = ground(&script).await;
    let service = ground.start().await;
    let id = service.api().create(&request(&ground, &json!({}))).await;
    pending(&service.api(), &id).await;
    service.stop().await;

    let service = ground.start().await;
    let api = service.api();
    let (path, asked) = pending(&api, &id).await;
    assert_eq!((&asked["kind"], &asked["default"]), (&json!("command"), &json!("deny")), "{asked}");
    let subject = &asked["subject"];
    assert_eq!(
        (&subject["tool"], &subject["command"], &subject["rule"], &subject["about"]),
        (
            &json!("shell"),
            &json!("git push origin main; cat kept"),
            &json!("ask: git push|send-email"),
            &json!(["git push"])
        )
    );
    assert_eq!(subject["reason"], "it sends work to another place");
    let before = api.events(&id).await;
    assert_eq!(count(&before, "tool.started"), 2, "what is asked about has not begun: {before:#?}");
    let (status, wrong) = api.post(&path, &json!({ "decision": "answer", "answers": ["yes"] })).await;
    assert_eq!(status, 422, "{wrong}");
    let (status, decided) = api.post(&path, &json!({ "decision": "approve", "remember": "task" })).await;
    assert_eq!(status, 200, "{decided}");
    assert_eq!(api.post(&path, &json!({ "decision": "deny" })).await.0, 409);
    let task = api.rest(&id).await;
    assert_eq!((&task["status"], &task["run"]), (&json!("succeeded"), &json!(1)), "{task:#}");
    let events = api.events(&id).await;
    let done = completed(&events);
    assert!(done[2].1.ends_with("kept\n") && done[3].1.ends_with("twice\n"), "{done:?}");
    assert_eq!(count(&events, "approval.requested"), 1);
    let told = events.iter().find(|event| event["kind"] == "message.developer").unwrap();
    let told = told["data"]["text"].as_str().unwrap();
    assert!(told.ends_with("- process 1: `sleep 600`"), "{told}");
    let requests = ground.model.requests().await;
    assert!(requests[2]["body"]["input"].to_string().contains("have ended with it"), "{requests:#?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_deadline_the_default_holds_and_a_decision_comes_too_late() {
    for (default, outcome) in [("deny", "denied"), ("approve", "ok")] {
        let ground = ground(&[shell("git push; echo pushed"), say("So it is.")]).await;
        let service = ground.start().await;
        let wait = json!({ "approval_deadline_seconds": 1, "approval_default": default });
        let id = service.api().create(&request(&ground, &wait)).await;
        service.api().met(&id, "approval.requested", 1).await;
        service.stop().await;
        let service = ground.start().await;
        let api = service.api();
        let task = api.until(&id, |task| task["status"] == "succeeded").await;
        let events = api.events(&id).await;
        let done = completed(&events);
        assert_eq!(done[0].0, outcome, "{task:#} {done:?}");
        if outcome == "denied" {
            assert!(done[0].1.contains("It is said: nobody decided before the deadline."), "{done:?}");
        }
        let (_, all) = api.get(&format!("/v1/tasks/{id}/approvals")).await;
        let path = format!("/v1/tasks/{id}/approvals/{}", all["data"][0]["id"].as_str().unwrap());
        assert_eq!(api.post(&path, &json!({ "decision": "approve" })).await.0, 410);
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_or_a_cancel_withdraws_the_question_and_the_command_never_runs() {
    let ground = ground(&[shell("git push; echo pushed"), say("So it is.")]).await;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&request(&ground, &json!({}))).await;
    pending(&api, &id).await;
    let (status, answer) = api.post(&format!("/v1/tasks/{id}/messages"), &json!({ "text": "Leave that." })).await;
    assert_eq!(status, 202, "{answer}");
    let task = api.until(&id, |task| task["status"] == "succeeded").await;
    let events = api.events(&id).await;
    let done = completed(&events);
    assert!(done[0].0 == "denied" && done[0].1.contains("a message came instead of a decision"), "{task:#} {done:?}");

    let id = api.create(&request(&ground, &json!({}))).await;
    let (path, _) = pending(&api, &id).await;
    assert_eq!(api.post(&format!("/v1/tasks/{id}/cancel"), &json!({})).await.0, 202);
    let task = api.rest(&id).await;
    assert_eq!(task["status"], "cancelled", "{task:#}");
    assert_eq!(api.post(&path, &json!({ "decision": "approve" })).await.0, 409);
    assert_eq!(api.get("/v1/approvals?state=pending").await.1["data"], json!([]));
    let events = api.events(&id).await;
    assert!(completed(&events).iter().all(|(outcome, _)| *outcome != "ok"), "{events:#?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_call_is_told_the_persons_words_and_always_asks_about_plan_and_edit() {
    let edit = call("edit", json!({ "path": "calc.py", "old": "a - b", "new": "a + b" }));
    let ground = ground(&[plan(), edit.clone(), edit, say("Done.")]).await;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&request(&ground, &json!({ "mode": "change", "approval": "always" }))).await;
    let mut kinds = Vec::new();
    for decision in [
        json!({ "decision": "approve" }),
        json!({ "decision": "deny", "note": "not yet" }),
        json!({ "decision": "approve" }),
    ] {
        let (path, asked) = pending(&api, &id).await;
        kinds.push((asked["kind"].clone(), asked["subject"]["paths"].clone()));
        let (status, answer) = api.post(&path, &decision).await;
        assert_eq!(status, 200, "{answer}");
    }
    let task = api.rest(&id).await;
    assert_eq!((&task["status"], &task["result"]["patch"]["files"]), (&json!("succeeded"), &json!(1)), "{task:#}");
    let about = json!(["calc.py"]);
    assert_eq!(kinds, [(json!("plan"), Value::Null), (json!("command"), about.clone()), (json!("command"), about)]);
    let events = api.events(&id).await;
    let done = completed(&events);
    assert_eq!(done.iter().map(|one| one.0).collect::<Vec<_>>(), ["ok", "denied", "ok"], "{done:?}");
    assert!(
        done[1].1.starts_with("denied: not approved. It is said: not yet. Nothing of the call was run."),
        "{done:?}"
    );
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_boundary_neither_runs_an_asked_command_twice_nor_asks_twice() {
    let (failpoint, seen) = each_at_its_own_boundary();
    let ground = ground(&[shell("true; ls"), shell("git push; echo pushed >> log; cat log"), say("So it is.")]).await;
    let service = ground.start_with(ground.data.path(), Some(failpoint)).await;
    let api = service.api();
    let mut crashes = 0;
    for _ in 0..16 {
        let id = api.create(&request(&ground, &json!({}))).await;
        let (path, _) = pending(&api, &id).await;
        assert_eq!(api.post(&path, &json!({ "decision": "approve" })).await.0, 200);
        let task = api.rest(&id).await;
        let events = api.events(&id).await;
        let (at, crashed) = seen.lock().unwrap()[&id.parse().unwrap()];
        crashes += u32::from(crashed);
        assert_eq!(task["status"], "succeeded", "at {at}: {task:#}");
        assert_eq!((count(&events, "approval.requested"), count(&events, "approval.resolved")), (1, 1), "at {at}");
        let done = completed(&events);
        let (outcome, output) = done[1];
        assert!(
            (outcome == "ok" && output.matches("pushed").count() == 1) || (crashed && outcome == "interrupted"),
            "at {at}: {done:?}"
        );
    }
    assert!(crashes >= 8, "only {crashes} boundaries were met");
    service.stop().await;
}
