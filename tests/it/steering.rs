//! Tests of people's hands on a running task: messages, cancel, pause, resume, retry, approvals, limits.

use crate::support::{
    calculator::{self, served},
    replayed::{export, fold},
    service::{Api, Ground, call, plan, say},
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn request(ground: &Ground, more: &Value) -> Value {
    let url = format!("file://{}", ground.repositories.path().join("calc").display());
    let mut body = json!({ "request": "mend add", "repository": { "url": url } });
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

async fn has(api: &Api, task: &str, kind: &str, count: usize) {
    let since = Instant::now();
    while api.events(task).await.iter().filter(|e| e["kind"] == kind).count() < count {
        assert!(since.elapsed() < Duration::from_secs(20), "{kind}: {:#?}", api.events(task).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn outcomes(events: &[Value]) -> Vec<&str> {
    events.iter().filter(|e| e["kind"] == "tool.completed").map(|e| e["data"]["outcome"].as_str().unwrap()).collect()
}

fn texts(request: &Value) -> String {
    request["body"]["input"].to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_ends_a_running_command_at_once() {
    let script = json!({ "sequence": [call("shell", json!({ "command": "sleep 60" })), say("never")] });
    let (ground, service, api) = served(&script).await;
    let id = api.create(&request(&ground, &json!({}))).await;
    has(&api, &id, "tool.started", 1).await;
    let since = Instant::now();
    let (status, answer) = api.post(&format!("/v1/tasks/{id}/cancel"), &json!({})).await;
    assert_eq!(status, 202, "{answer}");
    let task = api.rest(&id).await;
    assert_eq!(task["status"], "cancelled");
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
    let events = api.events(&id).await;
    assert_eq!(outcomes(&events), ["interrupted"]);
    let (status, answer) = api.post(&format!("/v1/tasks/{id}/cancel"), &json!({})).await;
    assert_eq!(status, 409, "{answer}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_of_a_task_that_waits_tells_of_its_patch_as_any_other_end_does() {
    let edit = call("edit", json!({ "path": "calc.py", "old": "a - b", "new": "a + b" }));
    let ask = call("ask_user", json!({ "questions": [{ "question": "Is that right?" }] }));
    let ground = calculator::ground(&json!({ "sequence": [plan(), edit, ask, say("So it is.")] })).await;
    let service = ground.start().await;
    let api = service.api();
    let more = json!({ "request": "Mend add. Do not touch test_calc.py." });
    let id = api.create(&request(&ground, &more)).await;
    assert_eq!(api.rest(&id).await["waiting_for"], "input");
    assert_eq!(api.post(&format!("/v1/tasks/{id}/cancel"), &json!({})).await.0, 202);
    let task = api.rest(&id).await;
    let stat = json!({ "files": 1, "additions": 1, "deletions": 1 });
    assert_eq!((&task["status"], &task["result"]["patch"]), (&json!("cancelled"), &stat), "{task:#}");
    let patch = api.text(&format!("/v1/tasks/{id}/patch")).await.1;
    assert!(patch.contains("+    return a + b"), "{patch}");
    let kept = &task["result"]["criteria"][0];
    assert_eq!(kept["status"], "met", "what the request forbids was looked at: {task:#}");
    assert_eq!(fold(&export(&api, &id, "").await).difference, None);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupting_message_cuts_the_call_off_and_is_the_next_thing_the_model_reads() {
    let script = json!({ "sequence": [call("shell", json!({ "command": "sleep 60" })), say("As you wish.")] });
    let (ground, service, api) = served(&script).await;
    let id = api.create(&request(&ground, &json!({}))).await;
    has(&api, &id, "tool.started", 1).await;
    let message = json!({ "text": "stop that, answer at once", "on_busy": "interrupt" });
    let (status, answer) = api.post(&format!("/v1/tasks/{id}/messages"), &message).await;
    assert_eq!(status, 202, "{answer}");
    let task = api.rest(&id).await;
    assert_eq!(task["status"], "succeeded", "{task:#}");
    let events = api.events(&id).await;
    assert_eq!(outcomes(&events), ["interrupted"]);
    let requests = ground.model.requests().await;
    assert_eq!(requests.len(), 2);
    let input = texts(&requests[1]);
    let (cut, words) = (input.find("outcome unknown").unwrap(), input.find("stop that").unwrap());
    assert!(cut < words, "the call's result comes before the words: {input}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_steering_message_waits_for_the_next_call_and_a_queued_one_for_the_next_run() {
    let script = json!({ "sequence": [
        call("shell", json!({ "command": "sleep 1" })), say("Steered."), say("And the queued one."),
    ] });
    let (ground, service, api) = served(&script).await;
    let id = api.create(&request(&ground, &json!({}))).await;
    has(&api, &id, "tool.started", 1).await;
    for (text, on_busy) in [("do that later", "queue"), ("mind the zero", "steer")] {
        let message = json!({ "text": text, "on_busy": on_busy });
        assert_eq!(api.post(&format!("/v1/tasks/{id}/messages"), &message).await.0, 202);
    }
    let task = api.until(&id, |task| task["run"] == 2 && task["status"] == "succeeded").await;
    let requests = ground.model.requests().await;
    assert_eq!(requests.len(), 3, "{task:#}");
    assert!(texts(&requests[1]).contains("mind the zero") && !texts(&requests[1]).contains("do that later"));
    assert!(texts(&requests[2]).contains("do that later"));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_task_waits_and_a_resume_goes_on_where_it_was() {
    let script = json!({ "sequence": [
        call("shell", json!({ "command": "sleep 1; echo one > made.txt" })),
        call("shell", json!({ "command": "cat made.txt" })),
        say("Done."),
    ] });
    let (ground, service, api) = served(&script).await;
    let id = api.create(&request(&ground, &json!({ "mode": "answer" }))).await;
    has(&api, &id, "tool.started", 1).await;
    assert_eq!(api.post(&format!("/v1/tasks/{id}/pause"), &json!({})).await.0, 202);
    let task = api.rest(&id).await;
    assert_eq!((&task["status"], &task["waiting_for"]), (&json!("waiting"), &json!("paused")), "{task:#}");
    assert_eq!(api.post(&format!("/v1/tasks/{id}/resume"), &json!({})).await.0, 202);
    let task = api.until(&id, |task| task["status"] == "succeeded").await;
    assert_eq!(task["run"], 2);
    let events = api.events(&id).await;
    let last = events.iter().rfind(|e| e["kind"] == "tool.completed").unwrap();
    assert!(last["data"]["output"].as_str().unwrap().contains("one"), "{last:#}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_ends_the_run_with_its_patch_kept_and_a_resume_with_more_goes_on() {
    let fix = call("edit", json!({ "path": "calc.py", "old": "a - b", "new": "a + b" }));
    let script = json!({ "sequence": [plan(), fix, call("shell", json!({ "command": "true" })), say("Done.")] });
    let (ground, service, api) = served(&script).await;
    let id = api.create(&request(&ground, &json!({ "limits": { "turns": 2 } }))).await;
    let task = api.rest(&id).await;
    assert_eq!(task["error"]["code"], "limit_turns", "{task:#}");
    assert_eq!(task["result"]["patch"]["files"], 1, "{task:#}");
    assert!(api.text(&format!("/v1/tasks/{id}/patch")).await.1.contains("+    return a + b"));
    let (status, answer) = api.post(&format!("/v1/tasks/{id}/resume"), &json!({ "limits": { "turns": 10 } })).await;
    assert_eq!(status, 202, "{answer}");
    let task = api.until(&id, |task| task["status"] == "succeeded").await;
    assert_eq!(task["usage"]["turns"], 4, "{task:#}");
    assert_eq!(task["result"]["verdict"], "unverified");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_starts_from_the_start_of_the_last_run() {
    let script = json!({ "sequence": [
        call("shell", json!({ "command": "ls; touch left.txt" })), call("shell", json!({ "command": "true" })), say("Done."),
    ] });
    let (ground, service, api) = served(&script).await;
    let id = api.create(&request(&ground, &json!({ "mode": "answer", "limits": { "turns": 2 } }))).await;
    assert_eq!(api.rest(&id).await["error"]["code"], "limit_turns");
    let (status, answer) = api.post(&format!("/v1/tasks/{id}/retry"), &json!({ "limits": { "turns": 10 } })).await;
    assert_eq!(status, 202, "{answer}");
    let task = api.until(&id, |task| task["status"] == "succeeded").await;
    assert_eq!(task["run"], 2);
    let requests = ground.model.requests().await;
    assert_eq!(requests.len(), 5, "two of the first run, three of the second");
    assert_eq!(requests[0]["body"]["input"], requests[2]["body"]["input"], "the conversation starts over");
    let events = api.events(&id).await;
    let looks: Vec<_> = events
        .iter()
        .filter(|e| e["kind"] == "tool.completed" && e["data"]["output"].as_str().unwrap().contains("calc.py"))
        .collect();
    assert_eq!(looks.len(), 2);
    assert!(
        !looks[1]["data"]["output"].as_str().unwrap().contains("left.txt"),
        "the working copy starts over: {looks:#?}"
    );
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_has_not_come_yet_is_taken_back_by_a_resume() {
    let script = json!({ "sequence": [call("shell", json!({ "command": "sleep 3" })), say("Done.")] });
    let (ground, service, api) = served(&script).await;
    let id = api.create(&request(&ground, &json!({ "mode": "answer" }))).await;
    has(&api, &id, "tool.started", 1).await;
    let act = async |action: &str| api.post(&format!("/v1/tasks/{id}/{action}"), &json!({})).await.0;
    assert_eq!(act("resume").await, 409, "there is nothing to take back");
    assert_eq!((act("pause").await, act("resume").await), (202, 202));
    let task = api.rest(&id).await;
    assert_eq!((&task["status"], &task["run"]), (&json!("succeeded"), &json!(1)), "{task:#}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_at_rest_shows_its_patch_so_far_and_its_commands_whole_output() {
    let script = json!({ "sequence": [
        plan(),
        call("shell", json!({ "command": "sed -i 's/a - b/a + b/' calc.py; printf 'one\\ntwo'" })),
        call("shell", json!({ "command": "chmod +x calc.py" })),
        call("shell", json!({ "command": "sleep 60" })),
        say("Done."),
    ] });
    let (ground, service, api) = served(&script).await;
    let id = api.create(&request(&ground, &json!({}))).await;
    has(&api, &id, "checkpoint", 2).await;
    has(&api, &id, "tool.started", 4).await;
    assert_eq!(api.post(&format!("/v1/tasks/{id}/pause"), &json!({})).await.0, 202);
    let wake = json!({ "text": "stop that", "on_busy": "interrupt" });
    assert_eq!(api.post(&format!("/v1/tasks/{id}/messages"), &wake).await.0, 202);
    let task = api.rest(&id).await;
    assert_eq!((&task["status"], &task["phase"]), (&json!("waiting"), &json!("generation")), "{task:#}");
    let (status, patch) = api.text(&format!("/v1/tasks/{id}/patch")).await;
    assert!(status == 200 && patch.contains("+    return a + b"), "{status} {patch}");
    let events = api.events(&id).await;
    let first = events.iter().find(|e| e["kind"] == "checkpoint").unwrap();
    let (status, patch) = api.text(&format!("/v1/tasks/{id}/patch?from_turn={}", first["data"]["turn"])).await;
    assert!(status == 200 && patch.contains("new mode 100755") && !patch.contains("a + b"), "{status} {patch}");
    let shell = events.iter().find(|e| e["kind"] == "tool.completed" && e["data"]["tool"] == "shell").unwrap();
    let call = shell["data"]["call"].as_str().unwrap();
    assert_eq!(api.text(&format!("/v1/tasks/{id}/outputs/{call}")).await, (200, "one\ntwo".to_owned()));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_after_the_end_changes_the_task_and_not_its_log() {
    let script = json!({ "sequence": [say("It subtracts."), say("It still does.")] });
    let (ground, service, api) = served(&script).await;
    let id = api.create(&request(&ground, &json!({ "mode": "answer" }))).await;
    let task = api.rest(&id).await;
    let edit = async |body: &Value| {
        let answer = api.http.patch(format!("{}/v1/tasks/{id}", api.base)).bearer_auth(&api.key).json(body).send();
        let answer = answer.await.unwrap();
        let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
        (tag, answer.json::<Value>().await.unwrap())
    };
    let (tag, same) = edit(&json!({})).await;
    assert_eq!(
        (same["last_seq"].as_i64(), tag.trim_matches('"')),
        (task["last_seq"].as_i64(), task["last_seq"].to_string().as_str())
    );
    let (edited, renamed) = edit(&json!({ "title": "What add does", "limits": { "turns": 7 } })).await;
    assert_eq!((&renamed["title"], &renamed["last_seq"]), (&json!("What add does"), &task["last_seq"]));
    assert_ne!(edited, tag, "who has the old one is told that it is old");
    assert_eq!(api.post(&format!("/v1/tasks/{id}/messages"), &json!({ "text": "and now?" })).await.0, 202);
    let again = api.until(&id, |task| task["run"] == 2 && task["status"] == "succeeded").await;
    assert_eq!(again["limits"]["turns"], 7);
    let events = api.events(&id).await;
    let said = events.iter().find(|e| e["kind"] == "task.updated").unwrap_or_else(|| panic!("{events:#?}"));
    assert_eq!((&said["run"], &said["data"]["limits"]["turns"]), (&json!(2), &json!(7)));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_waits_for_its_approval_and_may_come_back_edited() {
    let fix = call("edit", json!({ "path": "calc.py", "old": "a - b", "new": "a + b" }));
    let script = json!({ "sequence": [plan(), fix, say("Done.")] });
    let (ground, service, api) = served(&script).await;
    let id = api.create(&request(&ground, &json!({ "approval": "plan" }))).await;
    let task = api.rest(&id).await;
    assert_eq!((&task["status"], &task["waiting_for"]), (&json!("waiting"), &json!("approval")), "{task:#}");
    let (_, pending) = api.get("/v1/approvals?state=pending").await;
    let approval = pending["data"][0]["id"].as_str().unwrap_or_else(|| panic!("{pending:#}")).to_owned();
    let decision =
        json!({ "decision": "approve", "plan": [{ "step": "mend add, and nothing else", "status": "in_progress" }] });
    let (status, answer) = api.post(&format!("/v1/tasks/{id}/approvals/{approval}"), &decision).await;
    assert!(status < 300, "{status} {answer}");
    assert_eq!(api.post(&format!("/v1/tasks/{id}/approvals/{approval}"), &decision).await.0, 409);
    let task = api.until(&id, |task| task["status"] == "succeeded").await;
    assert_eq!(task["planning"]["origin"], "person", "{task:#}");
    assert_eq!(task["planning"]["steps"][0]["step"], "mend add, and nothing else");
    let requests = ground.model.requests().await;
    assert!(texts(&requests[1]).contains("mend add, and nothing else"));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_plan_is_told_to_the_model() {
    let script = json!({ "sequence": [plan(), say("Then I leave it.")] });
    let (ground, service, api) = served(&script).await;
    let id = api.create(&request(&ground, &json!({ "approval": "plan" }))).await;
    api.rest(&id).await;
    let (_, pending) = api.get(&format!("/v1/tasks/{id}/approvals")).await;
    let approval = pending["data"][0]["id"].as_str().unwrap();
    let decision = json!({ "decision": "deny", "note": "too large" });
    assert!(api.post(&format!("/v1/tasks/{id}/approvals/{approval}"), &decision).await.0 < 300);
    let task = api.until(&id, |task| task["status"] == "succeeded").await;
    assert_eq!(task["result"]["verdict"], "no_change", "{task:#}");
    assert!(texts(&ground.model.requests().await[1]).contains("too large"));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_told_the_service_to_remember_is_in_his_next_prompt() {
    let (ground, service, api) = served(&json!({ "sequence": [say("Noted.")] })).await;
    let memory = json!({ "text": "Write comments in Esperanto.", "kind": "preference", "scope": "user" });
    let (status, answer) = api.post("/v1/memories", &memory).await;
    assert_eq!(status, 201, "{answer}");
    let id = api.create(&request(&ground, &json!({}))).await;
    let task = api.rest(&id).await;
    assert!(texts(&ground.model.requests().await[0]).contains("Esperanto"), "{task:#}");
    assert_eq!(task["result"]["memories"][0]["memory"], answer["id"], "{task:#}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_comes_near_is_told_once_and_reached_all_the_same() {
    let look = |n: u32| call("shell", json!({ "command": format!("echo {n}") }));
    let script = json!({ "sequence": (0..12).map(look).collect::<Vec<_>>() });
    let (ground, service, api) = served(&script).await;
    let id = api.create(&request(&ground, &json!({ "limits": { "turns": 10 } }))).await;
    let task = api.rest(&id).await;
    assert_eq!(task["error"]["code"], "limit_turns", "{task:#}");
    let events = api.events(&id).await;
    let warned: Vec<_> = events.iter().filter(|e| e["kind"] == "limit.warned").map(|e| &e["data"]).collect();
    assert_eq!(warned, [&json!({ "limit": "turns", "used": 8.0, "limit_value": 10.0 })]);
    let requests = ground.model.requests().await;
    assert_eq!(requests.len(), 10);
    let told: Vec<bool> = requests.iter().map(|request| texts(request).contains("8 of 10 replies")).collect();
    assert_eq!(told, [false, false, false, false, false, false, false, false, true, true], "before the ninth call");
    service.stop().await;
}
