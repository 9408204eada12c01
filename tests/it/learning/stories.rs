//! What people tell the agent is in their later tasks, and in nobody else's.

use super::{PRICES, asked, ground, learner, learnt, memories, memory, names, of_kind, request, script, told_first};
use crate::support::service::{call, say};
use serde_json::{Value, json};

const LESSON: &str = "Indent Python with four spaces, never with tabs.";

/// One that learns what it is told about indentation.
fn about_tabs() -> Value {
    learner(&of_kind("message"), names(&[memory(LESSON, "preference", "repository", &["{{1}}"])]))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_corrects_the_agent_twice_need_not_a_third_time_and_others_are_not_told() {
    let ground = ground(&script(vec![about_tabs()], json!([{ "text": "Looked.", "repeat": 9 }]))).await;
    let service = ground.start().await;
    let ada = ground.member(&service.base, "default", "ada").await;
    let bob = ground.member(&service.base, "default", "bob").await;
    let corrected = async |words: &str| {
        let id = ada.create(&request(&ground, &json!({}))).await;
        ada.rest(&id).await;
        let (status, accepted) = ada.post(&format!("/v1/tasks/{id}/messages"), &json!({ "text": words })).await;
        assert_eq!(status, 202, "{accepted}");
        ada.until(&id, |task| task["run"] == 2 && task["status"] == "succeeded").await;
        let ended = ada.get(&format!("/v1/tasks/{id}")).await.1["last_seq"].as_i64().unwrap();
        let learnt = learnt(&ada, &id, 2).await;
        assert_eq!(ada.events(&id).await.len() as i64, ended, "nothing is appended after the end");
        (id, accepted["seq"].as_i64().unwrap(), learnt)
    };

    let (first, seq, learnings) = corrected("No tabs! Indent Python with four spaces, please, never with tabs.").await;
    assert_eq!(
        (&learnings[0]["run"], &learnings[0]["outcome"], &learnings[1]["outcome"]),
        (&json!(2), &json!("learned"), &json!("nothing")),
        "{learnings:#?}"
    );
    assert_eq!(
        (&learnings[1]["calls"], &learnings[0]["calls"]),
        (&json!(0), &json!(1)),
        "nothing was asked of nothing"
    );
    assert_eq!(learnings[0]["model"], "learner");
    assert!(learnings[0]["usage"]["input_tokens"].as_u64().unwrap() > 100, "{learnings:#?}");
    assert!(learnings[0]["cost_usd"].as_f64().unwrap() > 0.0, "{PRICES}");
    let mine = memories(&ada).await;
    assert_eq!(mine.len(), 1, "{mine:#?}");
    assert_eq!(learnings[0]["memories"], json!([mine[0]["id"]]));
    assert_eq!(
        (&mine[0]["text"], &mine[0]["kind"], &mine[0]["scope"], &mine[0]["state"], &mine[0]["origin"]),
        (&json!(LESSON), &json!("preference"), &json!("user_repository"), &json!("active"), &json!("correction"))
    );
    let me = ada.get("/v1/me").await.1["user"].clone();
    assert_eq!(
        mine[0]["evidence"],
        json!({ "task": first, "events": [seq], "sources": [{ "provenance": "person", "events": [seq], "user": me["id"] }] })
    );
    assert_eq!(mine[0]["more_evidence"], json!([]));

    // Said again, in other words: the same memory, better borne out.
    let (second, again, _) = corrected("Four spaces, please! I never want tabs in Python; indent with spaces.").await;
    let mine = memories(&ada).await;
    assert_eq!(mine.len(), 1, "{mine:#?}");
    assert_eq!(mine[0]["more_evidence"][0]["task"], json!(second));
    assert_eq!(mine[0]["more_evidence"][0]["events"], json!([again]));

    let third = told_first(&ground, &ada, &json!({})).await;
    assert!(third.contains(LESSON), "{third}");
    assert!(!told_first(&ground, &bob, &json!({})).await.contains(LESSON));
    assert_eq!(memories(&bob).await, Vec::<Value>::new());

    let id = mine[0]["id"].as_str().unwrap();
    let (status, history) = ada.get(&format!("/v1/memories/{id}/history")).await;
    assert_eq!(status, 200);
    let what: Vec<&Value> = history["data"].as_array().unwrap().iter().map(|change| &change["what"]).collect();
    assert_eq!(what, ["merged", "made"]);
    let made = &history["data"][1];
    assert_eq!(
        (&made["user"], &made["task"], &made["after"]),
        (&me["id"], &json!(first), &json!({ "state": "active" }))
    );
    assert_eq!(made["detail"], "learnt from a correction");
    assert_eq!(bob.get(&format!("/v1/memories/{id}/history")).await.0, 404);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_cut_the_work_off_are_learnt_from_with_what_the_agent_did() {
    let interruption = learner(
        &of_kind("interruption"),
        names(&[memory("Run the tests with unittest, not with pytest", "convention", "repository", &["{{1}}"])]),
    );
    let sequence = json!([call("shell", json!({ "command": "sleep 300 # pytest" })), say("I use unittest.")]);
    let ground = ground(&script(vec![interruption], sequence)).await;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&request(&ground, &json!({}))).await;
    api.met(&id, "tool.started", 1).await;
    let said = json!({ "text": "Stop. Run the tests with unittest, not with pytest.", "on_busy": "interrupt" });
    assert_eq!(api.post(&format!("/v1/tasks/{id}/messages"), &said).await.0, 202);
    api.rest(&id).await;
    assert_eq!(learnt(&api, &id, 1).await[0]["outcome"], "learned");
    let mine = memories(&api).await;
    assert_eq!((&mine[0]["state"], &mine[0]["origin"]), (&json!("active"), &json!("correction")), "{mine:#?}");
    let asked = asked(&ground).await;
    assert_eq!(asked.len(), 1);
    // It is asked about data, without tools, and told what the agent was doing.
    assert!(asked[0].get("tools").is_none_or(|tools| tools.as_array().is_none_or(Vec::is_empty)));
    assert!(asked[0]["messages"].to_string().contains("called shell with"), "{asked:#?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_later_takes_the_place_of_what_was_said_before() {
    let learns = |contains: &str, text: &str| {
        let text = memory(text, "preference", "user", &["{{1}}"]);
        json!({ "when": { "instructions_contain": "You look back at work", "contains": contains,
            "matches": of_kind("message") }, "reply": names(&[text]) })
    };
    let rules = vec![
        learns("I changed my mind", "Write commit messages in English"),
        learns("auf Deutsch", "Write commit messages in German (auf Deutsch)"),
        learns("not write", "Do not write commit messages in English"),
    ];
    let ground = ground(&script(rules, json!([{ "text": "Looked.", "repeat": 9 }]))).await;
    let service = ground.start().await;
    let api = service.api();
    let say = async |words: &str| {
        let id = api.create(&request(&ground, &json!({}))).await;
        api.rest(&id).await;
        api.post(&format!("/v1/tasks/{id}/messages"), &json!({ "text": words })).await;
        api.until(&id, |task| task["run"] == 2 && task["status"] == "succeeded").await;
        learnt(&api, &id, 2).await
    };
    say("Do not write commit messages in English, please.").await;
    say("I changed my mind: write commit messages in English.").await;
    let mine = memories(&api).await;
    assert_eq!(mine.len(), 2, "{mine:#?}");
    assert_eq!((&mine[0]["state"], &mine[1]["state"]), (&json!("active"), &json!("stale")));
    assert_eq!(mine[1]["superseded_by"], mine[0]["id"]);
    let old = mine[1]["id"].as_str().unwrap();
    let history = api.get(&format!("/v1/memories/{old}/history")).await.1;
    assert_eq!(history["data"][0]["what"], "superseded", "{history:#}");
    assert_eq!(history["data"][0]["before"], json!({ "state": "active" }));
    assert_eq!(history["data"][0]["after"], json!({ "state": "stale", "superseded_by": mine[0]["id"] }));
    let prompt = told_first(&ground, &api, &json!({ "request": "Write commit messages" })).await;
    assert!(prompt.contains("Write commit messages in English") && !prompt.contains("Do not write"), "{prompt}");
    service.stop().await;
}
