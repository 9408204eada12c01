//! Limits of a provider: how much at once, whose turn it is, and what the provider says itself.

use super::{Canned, Provider, client, user};
use crate::scripted::Scripted;
use journeyman::{
    domain::item::Wire,
    llm::{Attribution, Call, Client, Conversation, Model, ModelError, Rate},
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

async fn ask_for(client: Client, model: Model, share: String, text: String) -> Result<(), ModelError> {
    let mut conversation = Conversation::new(&model, "x", &[]);
    conversation.push(&user(&text));
    let call = Call {
        cache_key: &text,
        share: &share,
        by: Attribution::default(),
        turn: 1,
        max_output_tokens: 10,
        repeats_max: 9,
    };
    client.call(&model, &conversation, call, |_| ()).await.map(drop)
}

fn said(request: &Value) -> String {
    let content = &request["body"]["messages"][1]["content"];
    content.as_str().unwrap_or_else(|| panic!("{request:#}")).to_owned()
}

#[tokio::test]
async fn no_more_calls_run_at_once_than_are_allowed_and_all_get_through() {
    let server = Scripted::play(json!({"pace": {"first_byte_ms": 30}, "rules": [{"reply": {"text": "yes"}}]})).await;
    let mut model = server.model(Wire::Chat);
    model.rate = Rate { concurrency: Some(2), ..Rate::default() };
    let mut asking = JoinSet::new();
    for n in 0..8 {
        asking.spawn(ask_for(client(), model.clone(), "one".to_owned(), format!("call {n}")));
    }
    assert!(asking.join_all().await.into_iter().all(|outcome| outcome.is_ok()));
    let requests = server.requests().await;
    let spans: Vec<(i64, i64)> = requests
        .iter()
        .map(|r| (r["at_us"].as_i64().expect("a time"), r["ended_at_us"].as_i64().expect("an end")))
        .collect();
    assert_eq!(spans.len(), 8);
    for (at, _) in &spans {
        let running = spans.iter().filter(|(from, to)| from <= at && at < to).count();
        assert!(running <= 2, "{running} at once: {spans:?}");
    }
}

#[tokio::test]
async fn one_with_many_calls_does_not_hold_the_others_up() {
    let server = Scripted::play(json!({"pace": {"first_byte_ms": 20}, "rules": [{"reply": {"text": "yes"}}]})).await;
    let mut model = server.model(Wire::Chat);
    model.rate = Rate { concurrency: Some(1), ..Rate::default() };
    let client = client();
    let mut asking = JoinSet::new();
    for n in 0..6 {
        asking.spawn(ask_for(client.clone(), model.clone(), "many".to_owned(), format!("many {n}")));
    }
    // The first of them is with the provider, the others wait.
    server.get("/requests?after=0&wait_ms=10000").await;
    for share in ["few", "late"] {
        asking.spawn(ask_for(client.clone(), model.clone(), share.to_owned(), share.to_owned()));
    }
    assert!(asking.join_all().await.into_iter().all(|outcome| outcome.is_ok()));
    let order: Vec<String> = server.requests().await.iter().map(said).collect();
    let place = |text: &str| order.iter().position(|said| said == text).unwrap_or_else(|| panic!("{order:?}"));
    assert!(place("few") <= 3 && place("late") <= 3, "{order:?}");
    let many: Vec<&String> = order.iter().filter(|said| said.starts_with("many")).collect();
    assert!(many.is_sorted(), "within a share, first come first served: {order:?}");
}

#[tokio::test]
async fn a_wait_for_room_has_an_end_and_a_caller_that_goes_away_makes_room() {
    let server = Scripted::play(json!({"rules": [{"reply": {"text": "yes", "fault": "hang_before; times=1"}}]})).await;
    let mut model = server.model(Wire::Chat);
    model.rate = Rate { concurrency: Some(1), max_wait_ms: 80, ..Rate::default() };
    let client = client();
    let hanging = tokio::spawn(ask_for(client.clone(), model.clone(), "a".to_owned(), "same".to_owned()));
    server.get("/requests?after=0&wait_ms=10000").await;
    let error = ask_for(client.clone(), model.clone(), "b".to_owned(), "same".to_owned()).await.expect_err("no room");
    assert!(error.to_string().contains("no room at the provider"), "{error}");
    hanging.abort();
    assert!(hanging.await.is_err());
    ask_for(client, model, "b".to_owned(), "same".to_owned()).await.expect("room again");
}

fn busy() -> Canned {
    Canned::json(429, "{}")
}

fn fine() -> Canned {
    let message = json!({"role": "assistant", "content": "yes"});
    Canned::json(200, &json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).to_string())
}

/// Milliseconds that a second caller waits after the first had `answer`.
async fn wait_after(answer: Canned) -> u128 {
    let provider = Provider::answering([answer, fine()]).await;
    let model = provider.model(Wire::Chat);
    ask_for(client(), model.clone(), "a".to_owned(), "first".to_owned()).await.ok();
    let started = Instant::now();
    ask_for(client(), model, "b".to_owned(), "second".to_owned()).await.expect("a reply");
    started.elapsed().as_millis()
}

#[tokio::test]
async fn what_a_provider_says_of_its_limits_holds_for_everyone() {
    let dated = |answer: Canned, reset: &str| {
        answer
            .header("date", "Sun, 22 Nov 2026 13:00:00 GMT")
            .header("anthropic-ratelimit-input-tokens-remaining", "0")
            .header("anthropic-ratelimit-input-tokens-reset", reset)
    };
    for answer in [
        busy().header("retry-after-ms", "300"),
        busy().header("retry-after", "0.3"),
        fine().header("x-ratelimit-remaining-requests", "0").header("x-ratelimit-reset-requests", "300ms"),
        fine().header("x-ratelimit-remaining-tokens", "0").header("x-ratelimit-reset-tokens", "0m0.3s"),
        dated(fine(), "2026-11-22T13:00:00.3Z"),
    ] {
        let waited = wait_after(answer.clone()).await;
        assert!((250..5_000).contains(&waited), "{waited} ms after {answer:?}");
    }
    for answer in [
        busy(),
        fine().header("x-ratelimit-remaining-requests", "3").header("x-ratelimit-reset-requests", "20s"),
        fine().header("x-ratelimit-remaining-requests", "0").header("x-ratelimit-reset-requests", "soon"),
        dated(fine(), "yesterday"),
    ] {
        let waited = wait_after(answer.clone()).await;
        assert!(waited < 250, "{waited} ms after {answer:?}");
    }
}

#[tokio::test]
async fn requests_and_tokens_of_a_minute_are_counted() {
    let server = Scripted::play(json!({"rules": [{"reply": {"text": "yes"}}]})).await;
    for (rate, name) in [
        (Rate { requests_per_minute: Some(2), max_wait_ms: 50, ..Rate::default() }, "requests"),
        (Rate { tokens_per_minute: Some(80), max_wait_ms: 50, ..Rate::default() }, "tokens"),
    ] {
        let mut model = server.model(Wire::Chat);
        model.headers.insert("x-one".to_owned(), name.to_owned());
        model.key = Some(journeyman::llm::ApiKey::new(name));
        model.rate = rate;
        let mut outcomes = Vec::new();
        for n in 0..12 {
            outcomes.push(ask_for(client(), model.clone(), "a".to_owned(), format!("{name} {n}")).await.is_ok());
        }
        let through = outcomes.iter().filter(|ok| **ok).count();
        assert!((2..12).contains(&through) && outcomes[..2] == [true, true], "{name}: {outcomes:?}");
    }
    let mut model = server.model(Wire::Chat);
    model.key = Some(journeyman::llm::ApiKey::new("fast"));
    model.rate = Rate { requests_per_minute: Some(600), max_wait_ms: 60_000, ..Rate::default() };
    let stricter =
        model.rate.stricter(Rate { requests_per_minute: Some(300), concurrency: Some(4), ..Rate::default() });
    assert_eq!(
        stricter,
        Rate { requests_per_minute: Some(300), concurrency: Some(4), tokens_per_minute: None, max_wait_ms: 60_000 }
    );
    let started = Instant::now();
    ask_for(client(), model, "a".to_owned(), "fast".to_owned()).await.expect("a reply");
    assert!(started.elapsed() < Duration::from_secs(5));
}
