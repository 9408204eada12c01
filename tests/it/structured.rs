//! Results as JSON, whole: what a schema must be, what comes of it on each wire, through crashes and follow-ups.

use crate::support::{
    calculator::{BROKEN, TESTS},
    failpoint::each_at_its_own_boundary,
    service::{Api, Ground, call, plan, say},
};
use serde_json::{Value, json};

const ASKED: &str = "valid by the JSON Schema below";
const AGAIN: &str = "That is not valid by the schema";

fn schema() -> Value {
    json!({
        "type": "object", "required": ["cause", "files"], "additionalProperties": false,
        "properties": { "cause": { "$ref": "#/$defs/text" }, "files": { "type": "array", "items": { "type": "string" } } },
        "$defs": { "text": { "type": "string", "minLength": 3 } },
    })
}

fn good() -> Value {
    json!({ "cause": "it subtracts", "files": ["calc.py"] })
}

/// A model that mends the sum, says so, and is at first wrong about its result.
fn script() -> Value {
    let mend = call("edit", json!({ "path": "calc.py", "old": "a - b", "new": "a + b" }));
    json!({
        "rules": [
            { "when": { "last_contains": AGAIN }, "reply": say(&format!("```json\n{:#}\n```", good())) },
            { "when": { "last_contains": ASKED }, "reply": say("{\"cause\": \"\", \"files\": \"calc.py\"}") },
            { "when": { "last_contains": "And why?" }, "reply": say("Nobody had looked.") },
        ],
        "sequence": [plan(), mend, say("Mended: it subtracted.")],
    })
}

async fn ground(script: &Value) -> Ground {
    let ground = Ground::new(script).await;
    ground.repositories.make("calc", &[("calc.py", BROKEN), ("test_calc.py", TESTS)]);
    ground
}

fn request(ground: &Ground) -> Value {
    let url = format!("file://{}", ground.repositories.path().join("calc").display());
    json!({
        "request": "Mend add.", "repository": { "url": url }, "checks": ["python3 -m unittest"], "output_schema": schema(),
    })
}

fn asked(events: &[Value]) -> Vec<&Value> {
    events.iter().filter(|event| event["kind"] == "output.requested").map(|event| &event["data"]).collect()
}

/// Each request of the loop begins with all of the one before.
fn assert_prefixes(requests: &[Value], items: &str) {
    let bodies: Vec<&Value> = requests.iter().map(|request| &request["body"]).collect();
    for pair in bodies.windows(2) {
        let (before, after) = (pair[0][items].as_array().unwrap(), pair[1][items].as_array().unwrap());
        assert_eq!(before[..], after[..before.len()]);
        assert_eq!(pair[0]["tools"], pair[1]["tools"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_asked_for_checked_and_mended_and_a_follow_up_has_its_own() {
    let ground = ground(&script()).await;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&request(&ground)).await;
    let task = api.rest(&id).await;
    let events = api.events(&id).await;
    assert_eq!((&task["status"], &task["result"]["verdict"]), (&json!("succeeded"), &json!("verified")), "{task:#}");
    assert_eq!(
        (&task["result"]["structured"], &task["result"]["summary"]),
        (&good(), &json!("Mended: it subtracted."))
    );
    assert_eq!(task["usage"]["turns"], 5);
    let wrong = asked(&events)[1]["errors"].as_array().unwrap();
    assert!(wrong[0].as_str().unwrap().starts_with("/cause: ") && wrong[1].as_str().unwrap().starts_with("/files: "));
    assert_eq!(events.iter().filter(|event| event["kind"] == "checks.completed").count(), 1);
    assert_prefixes(&ground.model.requests().await, "input");
    // What it was asked with stands in the conversation.
    let page = api.get(&format!("/v1/tasks/{id}/conversation?limit=100")).await.1;
    let developer = page["data"].as_array().unwrap().iter().filter(|item| item["type"] == "developer");
    let texts: Vec<&Value> = developer.map(|item| &item["text"]).collect();
    assert!(asked(&events).iter().all(|asked| texts.contains(&&asked["text"])), "{texts:#?}");

    let said = api.post(&format!("/v1/tasks/{id}/messages"), &json!({ "text": "And why?" })).await;
    assert_eq!(said.0, 202, "{}", said.1);
    let task = api.until(&id, |task| task["run"] == 2 && task["status"] == "succeeded").await;
    assert_eq!((&task["result"]["structured"], &task["result"]["summary"]), (&good(), &json!("Nobody had looked.")));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_never_gets_it_right_fails_with_its_patch_and_verdict_kept() {
    for wire in ["chat", "messages"] {
        let mut script = script();
        script["rules"][0]["reply"] = say("Trust me, it is right.");
        let mut ground = ground(&script).await;
        ground.wire = wire;
        let service = ground.start().await;
        let api = service.api();
        let id = api.create(&request(&ground)).await;
        let task = api.rest(&id).await;
        assert_eq!((&task["status"], &task["error"]["code"]), (&json!("failed"), &json!("output_schema")), "{task:#}");
        let result = &task["result"];
        assert_eq!((&result["verdict"], &result["patch"]["files"]), (&json!("verified"), &json!(1)));
        assert_eq!((&result["structured"], &result["summary"]), (&json!(null), &json!("Mended: it subtracted.")));
        assert_eq!(asked(&api.events(&id).await).len(), 3);
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_whose_answer_is_the_json_already_is_asked_for_nothing() {
    let script = json!({ "sequence": [say(&format!("```json\n{}\n```", good()))] });
    let ground = ground(&script).await;
    let service = ground.start().await;
    let api = service.api();
    let mut body = request(&ground);
    body["mode"] = json!("answer");
    let task = api.rest(&api.create(&body).await).await;
    assert_eq!((&task["status"], &task["result"]["structured"]), (&json!("succeeded"), &good()), "{task:#}");
    assert_eq!(task["usage"]["model_calls"], 1);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_boundary_asks_for_the_result_as_often_as_none() {
    let (failpoint, seen) = each_at_its_own_boundary();
    let script = json!({
        "rules": script()["rules"],
        "sequence": [say("It subtracts.")],
    });
    let ground = ground(&script).await;
    let service = ground.start_with(ground.data.path(), Some(failpoint)).await;
    let api = service.api();
    let mut body = request(&ground);
    body["mode"] = json!("answer");
    loop {
        let mut ids = Vec::new();
        for _ in 0..6 {
            ids.push(api.create(&body).await);
        }
        let mut undisturbed = 0;
        for id in &ids {
            undisturbed += u32::from(!sound(&api, id).await);
            assert!(seen.lock().unwrap().contains_key(&id.parse().unwrap()));
        }
        if undisturbed > 1 {
            break;
        }
    }
    service.stop().await;
}

/// Whether the task had crashed; it ends as one that had not.
async fn sound(api: &Api, id: &str) -> bool {
    let task = api.rest(id).await;
    let events = api.events(id).await;
    assert_eq!(
        (&task["status"], &task["result"]["structured"]),
        (&json!("succeeded"), &good()),
        "{task:#}\n{events:#?}"
    );
    assert_eq!(task["result"]["answer"], "It subtracts.");
    let attempts: Vec<&Value> = asked(&events).iter().map(|data| &data["attempt"]).collect();
    assert_eq!(attempts, [1, 2], "{events:#?}");
    events.iter().any(|event| event["kind"] == "recovered")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_cannot_be_used_is_refused_where_it_is_wrong() {
    let ground = ground(&script()).await;
    let service = ground.start().await;
    let api = service.api();
    for (schema, pointer) in [
        (json!({ "properties": { "a/b": { "type": "texts" } } }), "/output_schema/properties/a~1b/type"),
        (json!({ "items": { "$ref": "http://127.0.0.1/schema" } }), "/output_schema/items/$ref"),
        (json!({ "$ref": "#" }), "/output_schema/$ref"),
        (json!([]), "/output_schema"),
    ] {
        let mut body = request(&ground);
        body["output_schema"] = schema;
        let (status, problem) = api.post("/v1/tasks", &body).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!(pointer)), "{problem}");
    }
    service.stop().await;
}
