//! What is learnt from, besides what people say in passing: feedback, denials, plans and answers of people, checks that
//! were mended.

use super::{asked, ground, learner, learnt, memories, memory, names, of_kind, request, script};
use crate::support::service::{Api, call, plan, say};
use serde_json::{Value, json};

/// One source of this kind, from which this is learnt; the memory, and what the learner was asked.
async fn learns(
    kind: &str,
    text: &str,
    sequence: Value,
    more: Value,
    act: impl AsyncFn(&Api, &str),
) -> (Value, String) {
    let rule = learner(&of_kind(kind), names(&[memory(text, "lesson", "repository", &["{{1}}"])]));
    let ground = ground(&script(vec![rule], sequence)).await;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&request(&ground, &more)).await;
    api.rest(&id).await;
    act(&api, &id).await;
    api.until(&id, |task| task["status"] == "succeeded").await;
    let rows = learnt(&api, &id, 1).await;
    assert!(rows.iter().any(|row| row["outcome"] == "learned"), "{rows:#?}\n{:#?}", asked(&ground).await);
    let mine = memories(&api).await;
    assert_eq!(mine.len(), 1, "{mine:#?}");
    assert_eq!(mine[0]["text"], text);
    let question = asked(&ground).await[0]["messages"].to_string();
    service.stop().await;
    (mine[0].clone(), question)
}

/// Decides the task's only approval.
async fn decide(api: &Api, task: &str, decision: Value) {
    let approvals = api.get(&format!("/v1/tasks/{task}/approvals")).await.1;
    let id = approvals["data"][0]["id"].as_str().unwrap();
    let (status, answer) = api.post(&format!("/v1/tasks/{task}/approvals/{id}"), &decision).await;
    assert_eq!(status, 200, "{answer:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn feedback_in_words_is_learnt_from_and_a_mere_thumb_is_not() {
    let text = "Run make check before the work is done";
    let said = async |api: &Api, id: &str| {
        let body = json!({ "rating": "down", "comment": "You should run make check before you say the work is done." });
        let (status, feedback) = api.post(&format!("/v1/tasks/{id}/feedback"), &body).await;
        assert_eq!((status, &feedback["rating"]), (201, &json!("down")), "{feedback:#}");
        assert_eq!(feedback.get("merged"), None);
        let thumb = json!({ "rating": "up" });
        assert_eq!(api.post(&format!("/v1/tasks/{id}/feedback"), &thumb).await.0, 201);
        let rows = learnt(api, id, 3).await;
        let of = |outcome: &str| rows.iter().filter(|row| row["outcome"] == outcome).count();
        assert_eq!((of("learned"), of("nothing")), (1, 2), "{rows:#?}");
    };
    let (memory, question) = learns("feedback", text, json!([say("Done, I think.")]), json!({}), said).await;
    assert_eq!((&memory["state"], &memory["origin"]), (&json!("active"), &json!("feedback")));
    assert!(memory["evidence"]["sources"][0]["feedback"].is_string(), "{memory:#}");
    assert_eq!(memory["evidence"]["events"], json!([]));
    assert!(question.contains("said: Done, I think."), "{question}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_is_denied_with_a_reason_is_learnt_from() {
    let text = "Never change the public API without asking";
    let note = "Never change the public API without asking me first";
    let denied = async |api: &Api, id: &str| decide(api, id, json!({ "decision": "deny", "note": note })).await;
    let sequence = json!([plan(), say("Then I leave it.")]);
    let (memory, question) = learns("denial", text, sequence, json!({ "approval": "plan" }), denied).await;
    assert_eq!((&memory["state"], &memory["origin"]), (&json!("active"), &json!("correction")));
    assert!(question.contains("denied the plan") && question.contains("mend it"), "{question}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_without_a_word_proposes_and_does_not_decide() {
    let denied = async |api: &Api, id: &str| decide(api, id, json!({ "decision": "deny" })).await;
    let sequence = json!([plan(), say("Then I leave it.")]);
    // The plan's words are the agent's.
    let (memory, _) = learns("denial", "mend it", sequence, json!({ "approval": "plan" }), denied).await;
    assert_eq!(memory["state"], "proposed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_puts_into_a_plan_is_his_own_and_what_he_leaves_in_it_is_not() {
    let edited = async |api: &Api, id: &str| {
        let steps = json!([{ "step": "mend it" }, { "step": "update the changelog in CHANGES.md" }]);
        decide(api, id, json!({ "decision": "approve", "plan": steps })).await;
    };
    let sequence = || json!([plan(), say("Done as planned.")]);
    let more = || json!({ "approval": "plan" });
    let text = "Update the changelog in CHANGES.md";
    let (memory, question) = learns("plan_edit", text, sequence(), more(), edited).await;
    assert_eq!((&memory["state"], &memory["origin"]), (&json!("active"), &json!("correction")), "{question}");
    let (memory, _) = learns("plan_edit", "mend it", sequence(), more(), edited).await;
    assert_eq!(memory["state"], "proposed");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_to_the_agent_s_questions_are_learnt_from() {
    let questions = json!({ "questions": [{ "question": "Which database?" }] });
    let answered = async |api: &Api, id: &str| {
        decide(api, id, json!({ "decision": "answer", "answers": ["Always Postgres 15, never SQLite."] })).await;
    };
    let sequence = json!([call("ask_user", questions), say("So be it.")]);
    let (memory, question) = learns("answer", "Use Postgres 15, never SQLite", sequence, json!({}), answered).await;
    assert_eq!((&memory["state"], &memory["origin"]), (&json!("active"), &json!("correction")));
    assert!(question.contains("Which database?"), "{question}");
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_that_failed_and_were_mended_make_a_proposal_with_the_files_that_it_is_about() {
    let edit = |old: &str, new: &str| call("edit", json!({ "path": "calc.py", "old": old, "new": new }));
    let sequence = json!([
        plan(),
        edit("return a - b", "return a * b"),
        say("Mended."),
        edit("return a * b", "return a + b"),
        say("Mended in truth."),
    ]);
    let text = "add in calc.py is tested with python3 -m unittest";
    let mut learnt_of = memory(text, "fact", "repository", &["{{1}}"]);
    learnt_of["files"] = json!(["calc.py", "test_calc.py", "no_such_file.py"]);
    let rule = learner(&of_kind("checks_failed_then_passed"), names(&[learnt_of]));
    let ground = ground(&script(vec![rule], sequence)).await;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&request(&ground, &json!({ "checks": ["python3 -m unittest"] }))).await;
    let task = api.rest(&id).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#}");
    assert_eq!(learnt(&api, &id, 1).await[0]["outcome"], "learned");
    let mine = memories(&api).await;
    assert_eq!((&mine[0]["state"], &mine[0]["origin"]), (&json!("proposed"), &json!("checks")), "{mine:#?}");
    let events = api.events(&id).await;
    let completed: Vec<&Value> =
        events.iter().filter(|event| event["kind"] == "checks.completed").map(|event| &event["seq"]).collect();
    assert_eq!(mine[0]["evidence"]["events"], json!(completed));
    assert_eq!(mine[0]["evidence"]["sources"][0]["provenance"], "tool");
    // As the task left it, and as it was.
    let oid = |content: &str| {
        use sha1::Digest;
        let mut hash = sha1::Sha1::new();
        hash.update(format!("blob {}\0{content}", content.len()));
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let files = json!([
        { "path": "calc.py", "oid": oid("def add(a, b):\n    return a + b\n") },
        { "path": "test_calc.py", "oid": oid(crate::support::calculator::TESTS) },
    ]);
    assert_eq!(mine[0]["evidence"]["files"], files);
    let question = asked(&ground).await[0]["messages"].to_string();
    assert!(question.contains("test_adds") && question.contains("They passed later, with changes to"), "{question}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_is_shown_what_weighs_most_first_and_that_it_may_name_nothing() {
    let edit = |old: &str, new: &str| call("edit", json!({ "path": "calc.py", "old": old, "new": new }));
    let sequence = json!([
        call("remember", json!({ "text": "The calculator is in calc.py" })),
        plan(),
        edit("return a - b", "return a * b"),
        say("Mended."),
        edit("return a * b", "return a + b"),
        call("ask_user", json!({ "questions": [{ "question": "Is that all?" }] })),
        { "text": "Mended in truth.", "repeat": 9 },
    ]);
    let ground = ground(&script(vec![], sequence)).await;
    let service = ground.start().await;
    let api = service.api();
    let more = json!({ "checks": ["python3 -m unittest"], "approval": "plan" });
    let id = api.create(&request(&ground, &more)).await;
    api.rest(&id).await;
    let steps = json!([{ "step": "mend it" }, { "step": "say what was wrong" }]);
    decide(&api, &id, json!({ "decision": "approve", "plan": steps })).await;
    let waits = |task: &Value| task["status"] == "waiting" && task["waiting_for"] == "input";
    api.until(&id, waits).await;
    let approvals = api.get(&format!("/v1/tasks/{id}/approvals")).await.1;
    let open = approvals["data"].as_array().unwrap().iter().find(|one| one["decision"].is_null()).unwrap();
    let path = format!("/v1/tasks/{id}/approvals/{}", open["id"].as_str().unwrap());
    let answer = json!({ "decision": "answer", "answers": ["Yes, all of it."] });
    assert_eq!(api.post(&path, &answer).await.0, 200);
    let task = api.until(&id, |task| task["status"] == "succeeded").await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#}");
    let rows = learnt(&api, &id, 1).await;
    assert_eq!(
        (&rows[0]["outcome"], &rows[0]["calls"], &rows[0]["detail"]),
        (&json!("nothing"), &json!(1), &json!("the model found nothing"))
    );
    let asked = asked(&ground).await;
    let question = asked[0]["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap();
    let question: Value = serde_json::from_str(question).unwrap();
    let kinds: Vec<&Value> = question["evidence"].as_array().unwrap().iter().map(|one| &one["kind"]).collect();
    assert_eq!(kinds, ["answer", "plan_edit", "checks_failed_then_passed", "agent_note"], "{question:#}");
    assert!(asked[0].to_string().contains("an empty list is a good and frequent answer"), "{asked:#?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_model_is_named_for_it_nothing_is_put_into_the_queue() {
    let mut ground = ground(&script(vec![], json!([say("Looked.")]))).await;
    ground.variables.retain(|(name, _)| name != "JOURNEYMAN_CONFIG");
    let service = ground.start().await;
    let api = service.api();
    let mut body = request(&ground, &json!({}));
    body["model"] = json!("scripted");
    let id = api.create(&body).await;
    api.rest(&id).await;
    api.post(&format!("/v1/tasks/{id}/feedback"), &json!({ "rating": "down", "comment": "Not so." })).await;
    assert_eq!(api.get(&format!("/v1/tasks/{id}/learnings")).await.1["data"], json!([]));
    assert_eq!(super::number(&ground, "SELECT count(*) FROM jobs WHERE kind = 'learn'").await, 0);
    service.stop().await;

    // A single model that variables describe can be named for it as well.
    ground.variables.push(("JOURNEYMAN_MODEL_ROLES".to_owned(), "review, learning".to_owned()));
    let service = ground.start().await;
    let api = service.api();
    let said = json!({ "rating": "down", "comment": "Not so." });
    assert_eq!(api.post(&format!("/v1/tasks/{id}/feedback"), &said).await.0, 201);
    assert_eq!(learnt(&api, &id, 1).await[0]["model"], "scripted");
    service.stop().await;
}
