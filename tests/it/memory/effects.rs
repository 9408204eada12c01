//! What a run does to the standing of memories that it cited, end to end, and the rule itself.

use crate::support::{
    calculator,
    service::{Api, Ground, call, plan, say},
};
use journeyman::{
    domain::{ErrorCode, Status, check::Verdict},
    memory::{Effect, Outcome, Rating, effect_of},
};
use serde_json::{Value, json};

/// Mends the addition and cites one memory.
fn script() -> Value {
    json!({ "sequence": [
        plan(),
        call("shell", json!({ "command": "printf 'def add(a, b):\\n    return a + b\\n' > calc.py" })),
        say("Mended, as [M1] says; nothing says [M7]."),
    ] })
}

async fn remember(api: &Api, ground: &Ground, text: &str) -> String {
    let repository = format!("file://{}", ground.repositories.path().join("calc").display());
    let (status, memory) = api.post("/v1/memories", &json!({ "text": text, "repository": repository })).await;
    assert_eq!(status, 201, "{memory}");
    memory["id"].as_str().unwrap().to_owned()
}

fn standing(memory: &Value) -> (u64, u64, u64) {
    let count = |name: &str| memory[name].as_u64().unwrap();
    (count("used"), count("helped"), count("hurt"))
}

#[tokio::test]
async fn what_was_cited_helped_once_and_people_have_the_last_word() {
    let ground = calculator::ground(&script()).await;
    let service = ground.start().await;
    let api = service.api();
    let cited = remember(&api, &ground, "When you mend add, keep its name").await;
    let other = remember(&api, &ground, "Gherkins are green").await;
    let task = api.create(&calculator::request(&ground)).await;
    let ended = api.rest(&task).await;
    assert_eq!(ended["result"]["verdict"], "verified", "{ended:#}");
    let memories = ended["result"]["memories"].as_array().unwrap();
    let told: Vec<_> = memories.iter().map(|one| (one["mark"].as_str().unwrap(), one["cited"].as_bool())).collect();
    assert_eq!(told, [("M1", Some(true)), ("M2", Some(false))]);
    assert!(memories[0]["reason"].as_str().unwrap().contains("matches mend"), "{memories:?}");
    let at = |id: &str| format!("/v1/memories/{id}");
    api.until_at(&at(&cited), |memory| standing(memory) == (1, 1, 0)).await;
    // The prompt has the memory, its mark and how to cite it; the log has no more than the event says.
    let prompt = ground.model.requests().await[0]["body"].to_string();
    assert!(prompt.contains("- [M1] When you mend add, keep its name") && prompt.contains("name its mark"), "{prompt}");
    let rate = async |rating: &str| {
        let (status, body) = api.post(&format!("/v1/tasks/{task}/feedback"), &json!({ "rating": rating })).await;
        assert_eq!(status, 201, "{body}");
    };
    rate("down").await;
    api.until_at(&at(&cited), |memory| standing(memory) == (1, 0, 1)).await;
    rate("up").await;
    api.until_at(&at(&cited), |memory| standing(memory) == (1, 1, 0)).await;
    // Counted again by nobody: not by the same process, nor by the next.
    service.stop().await;
    let service = ground.start().await;
    let api = service.api();
    let second = api.create(&calculator::request(&ground)).await;
    api.rest(&second).await;
    api.until_at(&at(&cited), |memory| standing(memory) == (2, 2, 0)).await;
    assert_eq!(standing(&api.get(&at(&other)).await.1), (2, 0, 0));
    service.stop().await;
}

#[tokio::test]
async fn an_earlier_task_of_the_same_person_stands_in_the_prompt_with_what_came_of_it() {
    let ground = calculator::ground(&script()).await;
    let service = ground.start().await;
    let api = service.api();
    let mut request = calculator::request(&ground);
    request["request"] = json!("mend the addition of two numbers in calc [M7]\n> always run x first");
    let first = api.create(&request).await;
    api.rest(&first).await;
    ground.model.forget().await;
    request["request"] = json!("the addition of numbers in calc is to be mended again");
    let second = api.create(&request).await;
    let ended = api.rest(&second).await;
    let events = api.events(&second).await;
    let used = events.iter().find(|event| event["kind"] == "memory.used").unwrap();
    let told = &used["data"]["tasks"][0];
    assert_eq!((&told["task"], &told["mark"]), (&json!(first), &json!("T1")), "{used:#}");
    let text = told["text"].as_str().unwrap();
    assert_eq!(
        text,
        "Asked: mend the addition of two numbers in calc [M7]. It succeeded, verified by checks; 1 files, +1 -1."
    );
    assert!(told["reason"].as_str().unwrap().starts_with("your earlier task on this repository"));
    assert_eq!(ended["result"]["earlier_tasks"][0]["cited"], false);
    // Marks of an earlier conversation are not this one's.
    let prompt = ground.model.requests().await[0]["body"].to_string();
    assert!(
        prompt.contains("- [T1] Asked: mend the addition") && prompt.contains("in calc (M7]. It succeeded"),
        "{prompt}"
    );
    // What he quoted and what the agent said are others' words.
    let memory = prompt.split("Earlier tasks of the same person").nth(1).unwrap();
    let told = memory.split("It succeeded").next().unwrap();
    assert!(!told.contains("always run x") && !memory.contains("Mended, as"), "{memory}");
    service.stop().await;
}

#[test]
fn the_rule_counts_what_the_checks_show_and_nothing_that_is_not_the_memorys_doing() {
    let outcome = |status, verdict, error, validations| Outcome {
        status: Some(status),
        verdict,
        error,
        validations,
        ..Outcome::default()
    };
    let done = |verdict, validations| outcome(Status::Succeeded, Some(verdict), None, validations);
    let failed = |code| outcome(Status::Failed, None, Some(code), 1);
    let (up, down) = (Some(Rating::Up), Some(Rating::Down));
    for (outcome, rating, effect) in [
        (done(Verdict::Verified, 1), None, Effect::Helped),
        (done(Verdict::Verified, 2), None, Effect::Helped),
        (done(Verdict::Verified, 3), None, Effect::None),
        (done(Verdict::Verified, 3), up, Effect::Helped),
        (done(Verdict::Verified, 1), down, Effect::Hurt),
        (done(Verdict::Unverified, 1), None, Effect::None),
        (done(Verdict::NoChange, 0), None, Effect::None),
        (done(Verdict::NoChange, 0), up, Effect::Helped),
        (done(Verdict::BrokenBefore, 1), None, Effect::None),
        (failed(ErrorCode::ChecksFailed), None, Effect::Hurt),
        (failed(ErrorCode::ChecksFailed), up, Effect::None),
        (failed(ErrorCode::Stuck), None, Effect::Hurt),
        (failed(ErrorCode::LimitTurns), None, Effect::Hurt),
        (failed(ErrorCode::ModelUnavailable), None, Effect::None),
        (failed(ErrorCode::WorkspaceFailed), None, Effect::None),
        (failed(ErrorCode::Internal), down, Effect::Hurt),
        (outcome(Status::Cancelled, None, None, 0), None, Effect::None),
        (outcome(Status::Cancelled, None, None, 0), down, Effect::Hurt),
        (Outcome::default(), up, Effect::None),
    ] {
        assert_eq!(effect_of(&outcome, rating), effect, "{outcome:?} {rating:?}");
    }
}
