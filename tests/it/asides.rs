//! Calls outside the loop, and replies that break off: whatever cuts them short, what they may have cost is counted.

use crate::support::{
    calculator,
    process::Process,
    replayed::{export, fold},
    service::{Ground, call, plan, say},
};
use serde_json::{Value, json};

fn entry(ground: &Ground, name: &str, rest: &str) -> String {
    let url = &ground.model.url;
    format!(
        "[[models]]\nname = \"{name}\"\nurl = \"{url}\"\napi = \"responses\"\nmax_output_tokens = 900\n\
         prices = {{ input = 1.0, cached_input = 0.1, output = 2.0 }}\n{rest}\n"
    )
}

fn configure(ground: &mut Ground, models: &str) {
    let path = ground.data.path().join("models.toml");
    std::fs::write(&path, models).unwrap();
    ground.variables.push(("JOURNEYMAN_CONFIG".to_owned(), path.display().to_string()));
}

fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["kind"] == kind).map(|event| &event["data"]).collect()
}

fn unreported(task: &Value) -> (u64, u64, f64) {
    let sums = &task["usage"]["unreported"];
    let number = |field: &str| sums[field].as_u64().unwrap();
    (number("calls"), number("tokens"), sums["cost_usd"].as_f64().unwrap())
}

fn outcomes(events: &[Value]) -> Vec<Value> {
    of_kind(events, "aside.completed").iter().map(|data| data["outcome"].clone()).collect()
}

/// A worker that mends the fault and a critic, whose first call nobody answers.
async fn reviewed() -> (Ground, Value) {
    let edit = call("edit", json!({ "path": "calc.py", "old": "a - b", "new": "a + b" }));
    let content = say(&json!({ "findings": [], "criteria": [] }).to_string());
    let critic =
        json!({ "when": { "model": "critic" }, "fault": { "kind": "hang_before", "times": 1 }, "reply": content });
    let script = json!({ "rules": [critic], "sequence": [plan(), edit, say("Mended."), say("Mended indeed.")] });
    let mut ground = calculator::ground(&script).await;
    let models = [entry(&ground, "worker", ""), entry(&ground, "critic", "roles = [\"review\"]")].concat();
    configure(&mut ground, &models);
    let mut body = calculator::request(&ground);
    body["model"] = json!("worker");
    (ground, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_that_a_crash_cuts_off_is_counted_and_done_anew() {
    let (ground, body) = reviewed().await;
    let process = Process::start(&ground, ground.data.path());
    let id = process.api.create(&body).await;
    process.api.met(&id, "aside.started", 1).await;
    while !ground.model.requests().await.iter().any(|request| request["body"]["model"] == "critic") {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    process.kill();
    let next = Process::start(&ground, ground.data.path());
    let task = next.api.rest(&id).await;
    let events = next.api.events(&id).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#}");
    assert_eq!((of_kind(&events, "aside.started").len(), outcomes(&events)), (2, vec![json!("answered")]));
    let (calls, tokens, cost) = unreported(&task);
    assert_eq!(calls, 1, "{task:#}");
    assert!(tokens > 900 && cost > 900.0 * 2e-6, "{task:#}");
    let reviews = of_kind(&events, "review.completed");
    assert_eq!((reviews.len(), &reviews[0]["failed"]), (1, &Value::Null));
    assert_eq!(reviews[0]["calls"], 1, "what was lost is told of by itself");
    // The loop's four calls and both of the critic's, and nothing twice.
    let answered: u64 = ["model.completed", "aside.completed"]
        .iter()
        .flat_map(|kind| of_kind(&events, kind))
        .map(|data| data["usage"]["input_tokens"].as_u64().unwrap())
        .sum();
    assert_eq!(task["usage"]["input_tokens"], answered, "{events:#?}");
    next.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_that_words_cut_short_is_counted_and_the_words_are_heard() {
    let (ground, body) = reviewed().await;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&body).await;
    api.met(&id, "aside.started", 1).await;
    assert_eq!(api.post(&format!("/v1/tasks/{id}/messages"), &json!({ "text": "Mind the zero." })).await.0, 202);
    let task = api.rest(&id).await;
    let events = api.events(&id).await;
    assert_eq!(
        (&task["status"], &task["result"]["summary"]),
        (&json!("succeeded"), &json!("Mended indeed.")),
        "{task:#}"
    );
    assert_eq!(outcomes(&events), ["lost", "answered"], "{events:#?}");
    assert_eq!(unreported(&task).0, 1, "{task:#}");
    assert_eq!(fold(&export(&api, &id, "").await).difference, None);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_breaks_off_before_its_first_word_and_one_without_usage_are_counted() {
    let hidden = json!({ "kind": "cut", "after_events": 0, "times": 1 });
    let answer = json!({ "text": "It adds.", "fault": "no_usage" });
    let script = json!({ "sequence": [answer], "rules": [{ "when": { "model": "worker" }, "fault": hidden }] });
    let mut ground = calculator::ground(&script).await;
    let models = entry(&ground, "worker", "retries = { attempts = 3, first_delay_ms = 1 }");
    configure(&mut ground, &models);
    let mut body = calculator::request(&ground);
    (body["model"], body["mode"]) = (json!("worker"), json!("answer"));
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&body).await;
    let task = api.rest(&id).await;
    assert_eq!(task["status"], "succeeded", "{task:#}");
    let events = api.events(&id).await;
    assert_eq!(of_kind(&events, "model.retried")[0]["broke_off"], true, "{events:#?}");
    let completed = of_kind(&events, "model.completed")[0];
    assert_eq!((&completed["estimated"], &completed["cost_usd"]), (&json!(true), &Value::Null), "{completed:#}");
    let (calls, tokens, cost) = unreported(&task);
    assert_eq!((calls, &task["usage"]["input_tokens"]), (2, &json!(0)), "{task:#}");
    assert!(tokens > 2 * 900 && cost > 2.0 * 900.0 * 2e-6, "{task:#}");
    assert_eq!(fold(&export(&api, &id, "").await).difference, None);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_broke_off_before_a_crash_is_counted() {
    let cut = json!({ "kind": "cut", "after_events": 3, "times": 1 });
    let look = json!({ "text": "Let me look at all of it first.", "fault": cut });
    let mut ground = calculator::ground(&json!({ "sequence": [look] })).await;
    let patient = "retries = { attempts = 3, first_delay_ms = 60000, max_delay_ms = 60000, max_wait_ms = 600000 }";
    let models = entry(&ground, "worker", patient);
    configure(&mut ground, &models);
    let mut body = calculator::request(&ground);
    (body["model"], body["mode"]) = (json!("worker"), json!("answer"));
    let process = Process::start(&ground, ground.data.path());
    let id = process.api.create(&body).await;
    // It stands in the log before the next try, which is a minute away.
    process.api.met(&id, "model.retried", 1).await;
    let (_, before) = process.api.get(&format!("/v1/tasks/{id}")).await;
    assert_eq!(unreported(&before).0, 1, "{before:#}");
    process.kill();
    let next = Process::start(&ground, ground.data.path());
    let task = next.api.rest(&id).await;
    assert_eq!(task["status"], "succeeded", "{task:#}");
    // The reply that broke off, and the try of which the crash leaves no trace.
    let (calls, tokens, _) = unreported(&task);
    assert_eq!((calls, tokens), (2, 2 * unreported(&before).1), "{task:#}");
    next.kill();
}
