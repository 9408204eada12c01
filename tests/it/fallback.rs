//! A model that cannot be had: another takes over, and the log says so.

use crate::support::service::{Api, Ground, TestService, call, say};
use journeyman::runner::Failpoint;
use serde_json::{Value, json};
use std::{
    ops::ControlFlow,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

/// Three models of one scripted server: the first falls back to a missing one and then to the third.
async fn ground(script: &Value) -> Ground {
    let mut ground = Ground::new(script).await;
    ground.repositories.make("calc", &[("calc.py", "def add(a, b):\n    return a - b\n")]);
    let url = &ground.model.url;
    let entry = |name: &str, api: &str, rest: &str| {
        format!(
            "[[models]]\nname = \"{name}\"\nurl = \"{url}\"\napi = \"{api}\"\nretries = {{ attempts = 0 }}\n{rest}\n"
        )
    };
    let file = [
        entry(
            "first",
            "responses",
            "fallback = [\"gone\", \"third\"]\nprices = { input = 1.0, cached_input = 0.1, output = 2.0 }",
        ),
        entry("gone", "messages", ""),
        entry("third", "chat", ""),
    ];
    let path = ground.data.path().join("models.toml");
    std::fs::write(&path, file.concat()).unwrap();
    ground.variables.push(("JOURNEYMAN_CONFIG".to_owned(), path.display().to_string()));
    ground
}

/// The first model works until it has answered once in a task; then it is overloaded until somebody speaks.
fn script() -> Value {
    let look = |name: &str| json!({"when": {"model": name, "calls": 0}, "reply": call("list_files", json!({}))});
    json!({ "rules": [
        {"when": {"contains": "once more", "model": "first"}, "reply": say("First again.")},
        look("first"),
        {"when": {"model": "first"}, "fault": "503"},
        {"when": {"model": "gone"}, "fault": "status=404; code=model_not_found; message=The model gone does not exist"},
        {"when": {"model": "third"}, "reply": say("Third.")},
    ] })
}

async fn create(ground: &Ground, api: &Api) -> String {
    let url = format!("file://{}", ground.repositories.path().join("calc").display());
    let body =
        json!({ "request": "what does add do?", "mode": "answer", "model": "first", "repository": { "url": url } });
    api.create(&body).await
}

fn started(events: &[Value]) -> Vec<&str> {
    let of = |event: &'_ Value| event["kind"] == "model.started";
    events.iter().filter(|e| of(e)).map(|e| e["data"]["model"].as_str().unwrap()).collect()
}

fn take_overs(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|e| e["data"]["next_model"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_model_goes_on_with_what_was_said_until_the_next_run() {
    let ground = ground(&script()).await;
    let service = ground.start().await;
    let api = service.api();
    let id = create(&ground, &api).await;
    let task = api.rest(&id).await;
    let events = api.events(&id).await;
    assert_eq!(task["status"], "succeeded", "{events:#?}");
    assert_eq!(task["result"]["answer"], "Third.", "{task:#}");
    assert_eq!(started(&events), ["first", "first", "gone", "third"], "{events:#?}");
    assert_eq!(take_overs(&events), ["gone", "third"]);

    let requests = ground.model.requests().await;
    let last = &requests.last().unwrap()["body"];
    assert_eq!(last["model"], "third");
    let roles: Vec<&str> = last["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool"], "{last:#}");
    assert_eq!(last["messages"][2]["tool_calls"][0]["function"]["name"], "list_files");
    let completed: Vec<&Value> = events.iter().filter(|e| e["kind"] == "model.completed").collect();
    assert_eq!(completed[1]["data"]["cache"]["miss"]["cause"], "model_changed", "{:#}", completed[1]);
    assert!(task["usage"]["cache"]["expected_tokens"].as_u64().is_some_and(|expected| expected > 0));

    api.post(&format!("/v1/tasks/{id}/messages"), &json!({ "text": "once more" })).await;
    let task = api.until(&id, |task| task["run"] == 2 && task["status"] == "succeeded").await;
    assert_eq!(task["result"]["answer"], "First again.", "the next run goes back to the task's own model");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_models_fail_the_task_ends_with_the_last_ones_words() {
    let rules = json!([{"when": {"model": "third"}, "fault": "status=500; message=third is down"}, {"fault": "503"}]);
    let ground = ground(&json!({ "rules": rules })).await;
    let service = ground.start().await;
    let api = service.api();
    let id = create(&ground, &api).await;
    let task = api.rest(&id).await;
    assert_eq!((task["status"].as_str(), task["error"]["code"].as_str()), (Some("failed"), Some("model_unavailable")));
    assert!(task["error"]["message"].as_str().unwrap().contains("third is down"), "{task:#}");
    assert_eq!(started(&api.events(&id).await), ["first", "gone", "third"]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_refused_goes_to_no_other_model() {
    let ground =
        ground(&json!({ "rules": [{"when": {"model": "first"}, "fault": "400"}, {"reply": say("No.")}] })).await;
    let service = ground.start().await;
    let api = service.api();
    let id = create(&ground, &api).await;
    let task = api.rest(&id).await;
    assert_eq!(task["error"]["code"], "model_rejected", "{task:#}");
    assert_eq!(started(&api.events(&id).await), ["first"]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_in_money_keeps_models_without_a_price_away() {
    let ground =
        ground(&json!({ "rules": [{"when": {"model": "first"}, "fault": "503"}, {"reply": say("No.")}] })).await;
    let service = ground.start().await;
    let api = service.api();
    let url = format!("file://{}", ground.repositories.path().join("calc").display());
    let limits = json!({ "cost_usd": 1.0 });
    let id = api
        .create(&json!({ "request": "x?", "mode": "answer", "model": "first", "limits": limits, "repository": { "url": url } }))
        .await;
    let task = api.rest(&id).await;
    assert_eq!(task["error"]["code"], "model_unavailable", "{task:#}");
    assert_eq!(started(&api.events(&id).await), ["first"]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_with_a_small_window_takes_over_before_the_first_reply() {
    let rules = json!([{"when": {"model": "first"}, "fault": "503"}, {"reply": say("Third.")}]);
    let mut ground = Ground::new(&json!({ "rules": rules })).await;
    let conventions = "Each line of this tells how code is written here.\n".repeat(600);
    ground.repositories.make("calc", &[("calc.py", "x = 1\n"), ("AGENTS.md", &conventions)]);
    let url = &ground.model.url;
    let file = format!(
        "[[models]]\nname = \"first\"\nurl = \"{url}\"\nretries = {{ attempts = 0 }}\nfallback = \"third\"\n\
         [[models]]\nname = \"third\"\nurl = \"{url}\"\napi = \"chat\"\nwindow = 8000\nmax_output_tokens = 1000\n"
    );
    let path = ground.data.path().join("models.toml");
    std::fs::write(&path, file).unwrap();
    ground.variables.push(("JOURNEYMAN_CONFIG".to_owned(), path.display().to_string()));
    let service = ground.start().await;
    let api = service.api();
    let id = create(&ground, &api).await;
    let task = api.rest(&id).await;
    let events = api.events(&id).await;
    assert_eq!(task["status"], "succeeded", "{events:#?}");
    let kinds: Vec<&str> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"compaction"), "{kinds:?}");
    let requests = ground.model.requests().await;
    let (whole, cut) = (requests[0]["body"].to_string(), requests.last().unwrap()["body"].to_string());
    assert!(whole.len() > 30_000, "the brief is made for the first model: {} bytes", whole.len());
    assert!(cut.len() < 20_000 && cut.contains("does not fit this model's window"), "{} bytes", cut.len());
    assert!(cut.contains("what does add do?"));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_given_to_another_model_gives_it_no_sealed_reasoning() {
    let look = json!({ "calls": [{ "tool": "list_files", "arguments": {} }], "reasoning": "Hm." });
    let mut ground = Ground::new(&json!({ "sequence": [look, say("First."), say("Second.")] })).await;
    ground.repositories.make("calc", &[("calc.py", "x = 1\n")]);
    let url = ground.model.url.clone();
    let path = ground.data.path().join("models.toml");
    let point = |id: &str| {
        let entry = format!("[[models]]\nname = \"first\"\nmodel = \"{id}\"\napi = \"responses\"\nurl = \"{url}\"\n");
        std::fs::write(&path, entry).unwrap();
    };
    ground.variables.push(("JOURNEYMAN_CONFIG".to_owned(), path.display().to_string()));
    point("gpt-a");
    let service = ground.start().await;
    let id = create(&ground, &service.api()).await;
    assert_eq!(service.api().rest(&id).await["status"], "succeeded");
    service.stop().await;
    let before = ground.model.requests().await;
    assert!(before[1]["body"]["input"].to_string().contains("encrypted_content"), "{:#}", before[1]["body"]);

    point("gpt-b");
    let service = ground.start().await;
    let api = service.api();
    api.post(&format!("/v1/tasks/{id}/messages"), &json!({ "text": "and now?" })).await;
    let task = api.until(&id, |task| task["run"] == 2 && task["status"] == "succeeded").await;
    assert_eq!(task["result"]["answer"], "Second.");
    let requests = ground.model.requests().await;
    let last = &requests.last().unwrap()["body"];
    assert_eq!(last["model"], "gpt-b");
    let input = last["input"].to_string();
    assert!(!input.contains("encrypted_content") && input.contains("list_files"), "{last:#}");
    let events = api.events(&id).await;
    let completed = events.iter().rfind(|event| event["kind"] == "model.completed").unwrap();
    assert_eq!(completed["data"]["cache"]["miss"]["cause"], "model_changed", "{completed:#}");
    service.stop().await;
}

async fn crashed_at(ground: &Ground, boundary: u32, data: &Path) -> TestService {
    let left = AtomicU32::new(1);
    let failpoint: Failpoint = Arc::new(move |_, at| {
        if at == boundary && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    ground.start_with(data, Some(failpoint)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_around_the_change_goes_on_with_the_model_that_the_log_names() {
    for boundary in [7, 9, 10, 11, 12, 13] {
        let ground = ground(&script()).await;
        let service = crashed_at(&ground, boundary, ground.data.path()).await;
        let api = service.api();
        let id = create(&ground, &api).await;
        let task = api.rest(&id).await;
        let events = api.events(&id).await;
        assert_eq!(task["result"]["answer"], "Third.", "crash at {boundary}: {events:#?}");
        assert_eq!(take_overs(&events), ["gone", "third"], "crash at {boundary}: {events:#?}");
        let mut order = started(&events);
        order.dedup();
        assert_eq!(order, ["first", "gone", "third"], "crash at {boundary}: {events:#?}");
        assert!(events.iter().any(|e| e["kind"] == "recovered"), "nothing crashed at {boundary}: {events:#?}");
        service.stop().await;
    }
}
