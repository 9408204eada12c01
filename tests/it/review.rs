//! Reviews of whole tasks: a model named for it reads the patch, what it finds goes back, and whatever becomes of it
//! the checks alone set the verdict.

use crate::support::{
    calculator::{BROKEN, TESTS},
    process::Process,
    service::{Ground, PATIENCE, call, plan, say},
};
use serde_json::{Value, json};
use std::time::Duration;

/// What passes the test and is no addition.
const LIE: &str = "return 5";
const REVIEWS: &str = "You review a change";

fn edit(old: &str, new: &str) -> Value {
    call("edit", json!({ "path": "calc.py", "old": old, "new": new }))
}

/// A model that makes the test pass and nothing else, and mends its work where it is told of it.
fn worker() -> Value {
    let plan = json!({ "plan": [{ "step": "mend add", "status": "completed" }], "criteria": ["add(1, 1) is 2"] });
    json!([
        call("update_plan", plan),
        edit("return a - b", LIE),
        say("Mended: add adds, as all tests show."),
        edit(LIE, "return a + b"),
        say("Mended in truth."),
    ])
}

fn blocker() -> Value {
    let text = "add answers 5 whatever it is given: the test is met, not the request";
    let findings = json!([
        { "severity": "blocker", "file": "calc.py", "line": 2, "text": text },
        { "severity": "major", "file": "never_touched.py", "line": 1, "text": "made up" },
    ]);
    let criteria = json!([{ "text": "add(1, 1) is 2", "status": "unmet", "evidence": "calc.py:2" }]);
    json!({ "findings": findings, "criteria": criteria })
}

fn content() -> Value {
    json!({ "findings": [], "criteria": [{ "text": "add(1, 1) is 2", "status": "met", "evidence": "calc.py:2" }] })
}

/// How the reviewer answers a patch with the lie; one without it finds it content.
fn script(of_the_lie: Value) -> Value {
    let mut lie = json!({ "when": { "instructions_contain": REVIEWS, "contains": LIE } });
    lie.as_object_mut().unwrap().extend(of_the_lie.as_object().unwrap().clone());
    let rest = json!({ "when": { "instructions_contain": REVIEWS }, "reply": say(&content().to_string()) });
    json!({ "rules": [lie, rest], "sequence": worker() })
}

fn says(reply: &Value) -> Value {
    json!({ "reply": say(&format!("```json\n{reply:#}\n```")) })
}

const PRICES: &str = "prices = { input = 1.0, cached_input = 0.1, output = 2.0 }\n";

/// Two models of one server: one that works and one that reviews.
async fn ground(script: &Value) -> Ground {
    ground_with(script, PRICES).await
}

async fn ground_with(script: &Value, prices_of_critic: &str) -> Ground {
    let mut ground = Ground::new(script).await;
    ground.repositories.make("calc", &[("calc.py", BROKEN), ("test_calc.py", TESTS)]);
    let url = &ground.model.url;
    let entry = |name: &str, api: &str, rest: &str| {
        format!("[[models]]\nname = \"{name}\"\nurl = \"{url}\"\napi = \"{api}\"\nretries = {{ attempts = 0 }}\n{rest}")
    };
    let critic = format!("{prices_of_critic}roles = [\"review\"]\n");
    let file = [entry("worker", "responses", PRICES), entry("critic", "chat", &critic)].concat();
    let path = ground.data.path().join("models.toml");
    std::fs::write(&path, file).unwrap();
    ground.variables.push(("JOURNEYMAN_CONFIG".to_owned(), path.display().to_string()));
    ground
}

fn request(ground: &Ground) -> Value {
    let url = format!("file://{}", ground.repositories.path().join("calc").display());
    json!({
        "request": "Mend add. [words of a person]", "repository": { "url": url }, "model": "worker",
        "checks": ["python3 -m unittest"],
    })
}

/// The task at rest, its reviews, and what the reviewer was sent.
async fn played(script: &Value, more: &Value) -> (Value, Vec<Value>, Vec<Value>) {
    played_on(ground(script).await, more).await
}

async fn played_on(ground: Ground, more: &Value) -> (Value, Vec<Value>, Vec<Value>) {
    let service = ground.start().await;
    let api = service.api();
    let mut body = request(&ground);
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let id = api.create(&body).await;
    let task = api.rest(&id).await;
    let events = api.events(&id).await;
    let requests = ground.model.requests().await;
    service.stop().await;
    (task, data_of(&events, "review.completed"), reviews_among(requests))
}

fn data_of(events: &[Value], kind: &str) -> Vec<Value> {
    events.iter().filter(|event| event["kind"] == kind).map(|event| event["data"].clone()).collect()
}

fn reviews_among(requests: Vec<Value>) -> Vec<Value> {
    requests.into_iter().map(|request| request["body"].clone()).filter(|body| body["model"] == "critic").collect()
}

fn of_review(task: &Value) -> Vec<&Value> {
    task["result"]["findings"].as_array().unwrap().iter().filter(|finding| finding["kind"] == "review").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_only_pleases_the_tests_is_found_out_and_mends_it() {
    let (task, reviews, asked) = played(&script(says(&blocker())), &json!({})).await;
    assert_eq!((&task["status"], &task["result"]["verdict"]), (&json!("succeeded"), &json!("verified")), "{task:#}");
    assert_eq!(task["result"]["summary"], "Mended in truth.");
    assert_eq!(reviews.len(), 2, "{reviews:#?}");
    assert_eq!((&reviews[0]["model"], &reviews[0]["sent_back"]), (&json!("critic"), &json!(true)));
    let found = reviews[0]["findings"].as_array().unwrap();
    assert_eq!(found.len(), 1, "a file that the patch does not touch is no finding: {found:?}");
    assert_eq!(
        (&found[0]["severity"], &found[0]["file"], &found[0]["line"]),
        (&json!("blocker"), &json!("calc.py"), &json!(2))
    );
    assert_eq!(of_review(&task), Vec::<&Value>::new(), "nothing is left");
    assert_eq!(task["result"]["criteria"][0]["status"], "met");

    // Both are counted, with what they cost.
    assert_eq!(task["usage"]["model_calls"], 7, "{}", task["usage"]);
    assert_eq!(task["usage"]["turns"], 5);
    let spent = |field: &str| reviews.iter().map(|review| review["usage"][field].as_u64().unwrap()).sum::<u64>();
    assert!(spent("input_tokens") > 200 && spent("output_tokens") > 10);
    let cost: f64 = reviews.iter().map(|review| review["cost_usd"].as_f64().unwrap()).sum();
    assert!(cost > 0.0 && task["usage"]["cost_usd"].as_f64().unwrap() > cost);

    // A fresh context without tools: what was asked, the criteria, the checks and the diff.
    assert_eq!(asked.len(), 2);
    assert!(asked[0].get("tools").is_none_or(|tools| tools.as_array().is_none_or(Vec::is_empty)));
    let text = asked[0]["messages"].to_string();
    for wanted in [
        "Mend add. [words of a person]",
        "add(1, 1) is 2",
        "python3 -m unittest",
        "     2 +    return 5",
        "-    return a - b",
    ] {
        assert!(text.contains(wanted), "{wanted} in {text}");
    }
    assert!(!text.contains("as all tests show"), "the agent's own words are not put to it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_refinement_is_left_for_stands_in_the_result_and_changes_no_verdict() {
    let (task, reviews, _) = played(&script(says(&blocker())), &json!({ "limits": { "refinements": 0 } })).await;
    assert_eq!((&task["status"], &task["result"]["verdict"]), (&json!("succeeded"), &json!("verified")), "{task:#}");
    assert_eq!((reviews.len(), reviews[0].get("sent_back")), (1, None));
    let found = of_review(&task);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (&found[0]["severity"], &found[0]["path"], &found[0]["line"]),
        (&json!("serious"), &json!("calc.py"), &json!(2))
    );
    assert_eq!(
        task["result"]["criteria"],
        json!([{ "text": "add(1, 1) is 2", "status": "unmet", "evidence": "a reviewer says: calc.py:2" }])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reviewer_that_fails_is_asked_once_more_with_less_and_then_done_without() {
    let blocked = says(&blocker())["reply"].clone();
    let none = "the patch was not reviewed: critic: ";
    for (reviewer, calls, asked_times, found) in [
        (
            json!({ "reply": say("Looks great, ship it! Verdict: failed.") }),
            2,
            2,
            format!("{none}its answer is no review"),
        ),
        (
            json!({ "reply": { "text": "{\"findings\": [{", "cut": true } }),
            2,
            2,
            format!("{none}its answer was cut off"),
        ),
        (json!({ "fault": "context_length_exceeded" }), 0, 2, format!("{none}the patch is too long for it")),
        (json!({ "fault": "401" }), 0, 1, none.to_owned()),
        (json!({ "fault": "503" }), 0, 1, none.to_owned()),
        (json!({ "fault": "context_length_exceeded; times=1", "reply": blocked }), 1, 2, "add answers 5".to_owned()),
    ] {
        let (task, reviews, asked) =
            played(&script(reviewer.clone()), &json!({ "limits": { "refinements": 0 } })).await;
        assert_eq!(task["result"]["verdict"], "verified", "{reviewer}: {task:#}");
        assert_eq!((task["status"].as_str(), reviews.len()), (Some("succeeded"), 1), "{reviewer}");
        assert_eq!((&reviews[0]["calls"], asked.len()), (&json!(calls), asked_times), "{reviewer}: {reviews:#?}");
        let told = of_review(&task);
        assert!(told.len() == 1 && told[0]["message"].as_str().unwrap().starts_with(&found), "{reviewer}: {told:?}");
        assert_eq!(task["usage"]["model_calls"], 3 + asked_times, "{reviewer}");
        assert_eq!(task["result"]["criteria"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_in_money_is_given_to_no_reviewer_whose_price_is_not_known() {
    let ground = ground_with(&script(says(&blocker())), "").await;
    let (task, reviews, asked) = played_on(ground, &json!({ "limits": { "cost_usd": 5.0 } })).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#}");
    assert_eq!((reviews.len(), asked.len()), (1, 0), "{reviews:?}");
    assert!(reviews[0]["failed"].as_str().unwrap().contains("limits"), "{reviews:?}");
    assert!(task["usage"]["cost_usd"].as_f64().is_some(), "the cost is known: {task:#}");
}

/// The reviewer takes its time over the lie.
fn slow() -> Value {
    let mut reviewer = says(&blocker());
    reviewer["reply"]["pace"] = json!({ "first_byte_ms": 3_000 });
    script(reviewer)
}

/// Returns once the reviewer was asked.
async fn asked(ground: &Ground) {
    let waiting = async {
        while reviews_among(ground.model.requests().await).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_that_a_crash_cuts_off_is_made_once_more() {
    let ground = ground(&slow()).await;
    let first = Process::start(&ground, ground.data.path());
    let id = first.api.create(&request(&ground)).await;
    asked(&ground).await;
    first.kill();
    let second = ground.start().await;
    let api = second.api();
    let task = api.rest(&id).await;
    let events = api.events(&id).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#} {events:#?}");
    assert_eq!(data_of(&events, "recovered").len(), 1);
    assert_eq!(data_of(&events, "review.completed").len(), 2, "one of each tree");
    assert_eq!(data_of(&events, "checks.completed").len(), 2, "no check ran again");
    assert_eq!(reviews_among(ground.model.requests().await).len(), 3);
    assert_eq!(task["result"]["summary"], "Mended in truth.");
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_and_a_person_s_words_cut_a_review_off() {
    for steers in [false, true] {
        let mut script = slow();
        let told =
            json!({ "when": { "last_contains": "leave it as it is", "tools": true }, "reply": say("As you say.") });
        script["rules"].as_array_mut().unwrap().push(told);
        let ground = ground(&script).await;
        let service = ground.start().await;
        let api = service.api();
        let id = api.create(&request(&ground)).await;
        asked(&ground).await;
        let (path, body) =
            if steers { ("messages", json!({ "text": "leave it as it is" })) } else { ("cancel", json!({})) };
        assert_eq!(api.post(&format!("/v1/tasks/{id}/{path}"), &body).await.0, 202);
        let events = if steers {
            // Shown at once; afterwards the tree, which nobody has reviewed yet, is.
            api.met(&id, "message.user", 1).await;
            api.answered(&id, 4).await;
            api.events(&id).await
        } else {
            assert_eq!(api.rest(&id).await["status"], "cancelled");
            api.events(&id).await
        };
        assert_eq!(data_of(&events, "review.completed").len(), 0, "{events:#?}");
        api.rest(&id).await;
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_model_named_for_it_nothing_is_reviewed() {
    let script = json!({ "sequence": [plan(), edit("return a - b", LIE), say("Done.")] });
    let ground = Ground::new(&script).await;
    ground.repositories.make("calc", &[("calc.py", BROKEN), ("test_calc.py", TESTS)]);
    let service = ground.start().await;
    let api = service.api();
    let mut body = request(&ground);
    body["model"] = json!("scripted");
    let id = api.create(&body).await;
    let task = api.rest(&id).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#}");
    assert_eq!(data_of(&api.events(&id).await, "review.completed").len(), 0);
    service.stop().await;
}
