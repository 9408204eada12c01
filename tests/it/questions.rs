//! Questions to people, whole: asked by the model, waited for without a workspace, answered or not.

use crate::support::{
    calculator,
    service::{Ground, call, say},
};
use serde_json::{Value, json};

fn script() -> Value {
    let questions = json!([{ "question": "Add or subtract?", "options": ["add", "subtract"] }, { "question": "Why?" }]);
    json!({ "sequence": [call("ask_user", json!({ "questions": questions })), say("So it is.")] })
}

async fn ground() -> Ground {
    calculator::ground(&script()).await
}

fn request(ground: &Ground, more: &Value) -> Value {
    let mut request = calculator::request(ground);
    request["mode"] = json!("answer");
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

fn output(events: &[Value]) -> String {
    let completed = events.iter().find(|event| event["kind"] == "tool.completed").unwrap();
    completed["data"]["output"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_outlives_a_restart_and_its_answer_reaches_the_model() {
    let ground = ground().await;
    let service = ground.start().await;
    let id = service.api().create(&request(&ground, &json!({}))).await;
    let task = service.api().rest(&id).await;
    assert_eq!((&task["status"], &task["waiting_for"]), (&json!("waiting"), &json!("input")), "{task:#}");
    service.stop().await;

    let service = ground.start().await;
    let api = service.api();
    let (_, pending) = api.get("/v1/approvals?state=pending").await;
    let asked = &pending["data"][0];
    assert_eq!((&asked["kind"], &asked["default"]), (&json!("question"), &json!("deny")), "{pending}");
    assert_eq!(asked["subject"]["questions"][0]["options"], json!(["add", "subtract"]));
    let path = format!("/v1/tasks/{id}/approvals/{}", asked["id"].as_str().unwrap());
    for wrong in [
        json!({ "decision": "approve" }),
        json!({ "decision": "answer" }),
        json!({ "decision": "answer", "answers": ["add"] }),
        json!({ "decision": "answer", "answers": ["add", ""] }),
    ] {
        assert_eq!(api.post(&path, &wrong).await.0, 422, "{wrong}");
    }
    let (status, decided) =
        api.post(&path, &json!({ "decision": "answer", "answers": ["add", "It is called so."] })).await;
    assert_eq!(status, 200, "{decided}");
    let task = api.rest(&id).await;
    assert_eq!((&task["status"], &task["run"]), (&json!("succeeded"), &json!(1)), "{task:#}");
    assert_eq!(output(&api.events(&id).await), "The answers:\n1. add\n2. It is called so.");
    assert_eq!(api.post(&path, &json!({ "decision": "deny" })).await.0, 409);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_passes_during_a_restart_gives_the_question_back() {
    let ground = ground().await;
    let service = ground.start().await;
    let id = service.api().create(&request(&ground, &json!({ "approval_deadline_seconds": 1 }))).await;
    service.api().met(&id, "approval.requested", 1).await;
    service.stop().await;

    let service = ground.start().await;
    let api = service.api();
    let task = api.until(&id, |task| task["status"] == "succeeded").await;
    assert_eq!(task["result"]["answer"], "So it is.");
    let events = api.events(&id).await;
    assert!(output(&events).starts_with("Nobody answers (nobody decided before the deadline)."), "{events:#?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_instead_of_an_answer_withdraws_the_question() {
    let ground = ground().await;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&request(&ground, &json!({}))).await;
    api.rest(&id).await;
    let (status, answer) = api.post(&format!("/v1/tasks/{id}/messages"), &json!({ "text": "Never mind." })).await;
    assert_eq!(status, 202, "{answer}");
    let task = api.until(&id, |task| task["status"] == "succeeded").await;
    assert_eq!(task["run"], 2, "{task:#}");
    assert!(output(&api.events(&id).await).contains("a message came instead of a decision"));
    assert_eq!(api.get("/v1/approvals?state=pending").await.1["data"], json!([]));
    service.stop().await;
}
