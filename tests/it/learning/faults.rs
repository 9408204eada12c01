//! A learner that fails, lies, babbles or takes its time: what it names counts only where it is borne out.

use super::{LEARNS, asked, counted, ground, learnt, memories, memory, names, number, request, script, sql};
use crate::support::service::{Api, Ground, KEY, say};
use serde_json::{Value, json};

/// A task with one message, which a learner answers by these rules; its service goes on.
async fn told(rules: Vec<Value>, message: &str) -> (Ground, crate::support::service::TestService, Api, String) {
    let ground = ground(&script(rules, json!([{ "text": "Looked.", "repeat": 9 }]))).await;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&request(&ground, &json!({}))).await;
    api.rest(&id).await;
    assert_eq!(api.post(&format!("/v1/tasks/{id}/messages"), &json!({ "text": message })).await.0, 202);
    api.until(&id, |task| task["run"] == 2 && task["status"] == "succeeded").await;
    (ground, service, api, id)
}

fn replies(reply: Value) -> Value {
    json!({ "when": { "instructions_contain": LEARNS, "matches": r#""name":"(\w+)""# }, "reply": reply })
}

const SAID: &str = "Use four spaces, please, not tabs, in calc.py.";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_answer_is_asked_once_more_and_then_done_without() {
    let schema = json!({ "memories": [{ "text": "x", "kind": "rumour", "scope": "user", "evidence": [] }] });
    for reply in [
        say("Sure! Here is what I learnt."),
        say(&schema.to_string()),
        json!({ "text": "{\"memories\": [", "cut": true }),
    ] {
        let (ground, service, api, id) = told(vec![replies(reply.clone())], SAID).await;
        let rows = learnt(&api, &id, 2).await;
        assert_eq!((&rows[0]["outcome"], &rows[0]["calls"]), (&json!("failed"), &json!(2)), "{reply}: {rows:#?}");
        assert!(rows[0]["detail"].as_str().unwrap().starts_with("the model's answer does not count: "), "{rows:#?}");
        let asked = asked(&ground).await;
        assert!(asked[1]["messages"].to_string().contains("Your answer does not count"), "{asked:#?}");
        assert_eq!(memories(&api).await.len(), 0);
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_mended_in_the_second_answer() {
    let good = names(&[memory("Use four spaces, not tabs", "preference", "user", &["{{1}}"])]);
    let mut second = replies(good);
    second["when"]["contains"] = json!("does not count");
    let (_ground, service, api, id) = told(vec![second, replies(say("```\nnot json\n```"))], SAID).await;
    let rows = learnt(&api, &id, 2).await;
    assert_eq!((&rows[0]["outcome"], &rows[0]["calls"]), (&json!("learned"), &json!(2)), "{rows:#?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_borne_out_by_nothing_or_holds_a_secret_is_dropped_and_the_rest_is_kept() {
    let good = "Use four spaces, not tabs";
    let all = [
        memory(&"four spaces ".repeat(100), "preference", "user", &["{{1}}"]),
        memory("Use four spaces in all files", "preference", "user", &["4711", "f9"]),
        memory("Use four spaces and sk-abcdefghij0123456789", "preference", "user", &["{{1}}"]),
        memory(&format!("Use four spaces and {KEY}"), "preference", "user", &["{{1}}"]),
        memory("Use\u{200b} four spaces,\n not tabs\u{202e}", "preference", "user", &["{{1}}", "4711"]),
    ];
    let message = format!("{SAID} My key is {KEY} and sk-zyxwvutsrq9876543210.");
    let (ground, service, api, id) = told(vec![replies(names(&all))], &message).await;
    let rows = learnt(&api, &id, 2).await;
    assert_eq!((&rows[0]["outcome"], &rows[0]["calls"]), (&json!("learned"), &json!(1)), "{rows:#?}");
    let mine = memories(&api).await;
    assert_eq!(mine.len(), 1, "{mine:#?}");
    assert_eq!((&mine[0]["text"], &mine[0]["state"]), (&json!(good), &json!("active")));
    let question = asked(&ground).await[0].to_string();
    assert!(!question.contains(KEY) && !question.contains("sk-zyx"), "{question}");
    assert!(question.contains("Use four spaces, please"), "{question}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_absent_or_late_is_asked_again_later_and_what_it_may_have_cost_counts() {
    let good = names(&[memory("Use four spaces, not tabs", "preference", "user", &["{{1}}"])]);
    for fault in ["status=503; times=1", "cut; times=1", "401; times=9"] {
        let mut rule = replies(good.clone());
        rule["fault"] = json!(fault);
        let (ground, service, api, id) = told(vec![rule], SAID).await;
        if fault.starts_with("401") {
            let rows = learnt(&api, &id, 2).await;
            assert_eq!((&rows[0]["outcome"], &rows[0]["calls"]), (&json!("failed"), &json!(1)), "{rows:#?}");
            service.stop().await;
            continue;
        }
        let waits = "SELECT count(*) FROM jobs WHERE kind = 'learn' AND attempts = 1 AND lease_replica IS NULL";
        counted(&ground, waits, 1).await;
        let rows = api.get(&format!("/v1/tasks/{id}/learnings")).await.1["data"].clone();
        assert_eq!(rows[0]["outcome"], Value::Null);
        assert!(!rows[0]["detail"].as_str().unwrap().is_empty(), "people are told why: {rows:#}");
        let charged = number(&ground, "SELECT sum(charged)::bigint FROM learnings").await;
        assert_eq!(charged > 0, fault.starts_with("cut"), "{fault}: {charged}");
        sql(&ground, "UPDATE jobs SET ready_at = now() WHERE kind = 'learn'").await;
        let rows = learnt(&api, &id, 2).await;
        assert_eq!((&rows[0]["outcome"], &rows[0]["calls"]), (&json!("learned"), &json!(2)), "{fault}: {rows:#?}");
        assert_eq!(memories(&api).await.len(), 1);
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_learner_is_not_waited_for_beyond_its_time() {
    let mut reply = names(&[]);
    reply["pace"] = json!({ "first_byte_ms": 20_000 });
    let mut ground = ground(&script(vec![replies(reply)], json!([{ "text": "Looked.", "repeat": 9 }]))).await;
    ground.variables.push(("JOURNEYMAN_LEARNING_TIMEOUT_SECONDS".to_owned(), "0.2".to_owned()));
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&request(&ground, &json!({}))).await;
    api.rest(&id).await;
    api.post(&format!("/v1/tasks/{id}/feedback"), &json!({ "rating": "down", "comment": SAID })).await;
    counted(&ground, "SELECT count(*) FROM jobs WHERE kind = 'learn' AND attempts = 1 AND lease_replica IS NULL", 1)
        .await;
    let rows = api.get(&format!("/v1/tasks/{id}/learnings")).await.1["data"].clone();
    assert_eq!(rows[0]["detail"], "the model took longer than 200ms");
    assert!(number(&ground, "SELECT sum(charged)::bigint FROM learnings").await > 0);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn learning_from_one_task_takes_no_more_than_it_may() {
    let mut ground = ground(&script(vec![], json!([{ "text": "Looked.", "repeat": 9 }]))).await;
    ground.variables.push(("JOURNEYMAN_LEARNING_TASK_TOKENS".to_owned(), "9000".to_owned()));
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&request(&ground, &json!({}))).await;
    api.rest(&id).await;
    // Whether they come one after another or at once.
    for _ in 0..8 {
        api.post(&format!("/v1/tasks/{id}/feedback"), &json!({ "rating": "down", "comment": SAID })).await;
    }
    let rows = learnt(&api, &id, 9).await;
    assert!(rows.iter().any(|row| row["outcome"] == "skipped"), "{rows:#?}");
    let used: u64 = rows
        .iter()
        .map(|row| row["usage"]["input_tokens"].as_u64().unwrap() + row["usage"]["output_tokens"].as_u64().unwrap())
        .sum();
    assert!(used > 0 && used <= 9_000, "{used}");
    service.stop().await;
}
