//! The client against the scripted server and against canned providers: faults, retries, ends.

use super::{Canned, Provider, ask, ask_hello, call, client, tool, user};
use crate::scripted::{Scripted, WIRES, http};
use journeyman::{
    domain::{
        CallId, Item,
        item::{Reply, Wire},
    },
    llm::{ApiKey, Attribution, Call, Conversation, Live, Model, ModelError, Retries, Timeouts},
};
use serde_json::{Value, json};
use std::time::Duration;

fn quick(attempts: u32) -> Retries {
    Retries { attempts, first_delay_ms: 1, max_delay_ms: 2, max_wait_ms: 10_000 }
}

/// Asks `server` with a fault on request.
async fn with_fault(server: &Scripted, wire: Wire, fault: &str) -> Result<Reply, ModelError> {
    let mut model = server.model(wire);
    model.headers.insert("x-scripted-fault".to_owned(), fault.to_owned());
    ask_hello(&model).await.map(|completed| completed.reply)
}

#[tokio::test]
async fn a_conversation_of_several_turns_is_taken_back_and_cached_on_every_wire() {
    let calls = json!([{"tool": "shell", "arguments": {"command": "ls {{turn}}"}}, {"tool": "edit", "arguments": {}}]);
    let line = json!({"reasoning": "Thinking about it.", "text": "Turn {{turn}}.", "calls": calls, "repeat": 5});
    let server = Scripted::play(json!({"sequence": [line, {"text": "Done."}]})).await;
    for wire in WIRES {
        let model = server.model(wire);
        let mut conversation = Conversation::new(&model, &"Be brief. ".repeat(50), &[tool("shell"), tool("edit")]);
        conversation.push(&user(&format!("go {wire:?}")));
        let mut prompt = 0;
        for turn in 1..=6 {
            let (mut shown, mut tools) = (String::new(), 0);
            let live = |piece| match piece {
                Live::Text(text) => shown.push_str(&text),
                Live::Tool(_) => tools += 1,
                _ => {}
            };
            let call_of = Call {
                cache_key: &format!("{wire:?}"),
                share: "",
                by: Attribution::default(),
                turn,
                max_output_tokens: 100,
                repeats_max: 9,
            };
            let completed = client().call(&model, &conversation, call_of, live).await.expect("a reply");
            let reply = completed.reply;
            assert_eq!(shown, reply.text);
            assert!(completed.usage_reported);
            assert_eq!(completed.usage.cached_input_tokens, prompt, "{wire:?} turn {turn}");
            prompt = completed.usage.input_tokens;
            if turn == 6 {
                assert_eq!((reply.text.as_str(), reply.calls.len(), reply.cut), ("Done.", 0, false));
                break;
            }
            assert_eq!((reply.reasoning.as_str(), tools), ("Thinking about it.", 2));
            let first = format!(r#"{{"command":"ls {}"}}"#, turn - 1);
            assert_eq!(reply.calls, [call(turn, 0, "shell", &first), call(turn, 1, "edit", "{}")]);
            conversation.push(&Item::Reply(reply));
            for index in 0..2 {
                conversation.push(&Item::Result { call: CallId::new(turn, index), output: "ok".to_owned() });
            }
        }
    }
    let requests = server.requests().await;
    assert_eq!(requests.len(), 18);
    let body = requests[5]["body"].to_string();
    assert!(body.contains("encrypted_content") && body.contains("call_1_1") && !body.contains("rs_"), "{body}");
    assert_eq!(requests[5]["body"]["prompt_cache_key"], "Responses");
}

#[tokio::test]
async fn every_fault_of_the_scripted_server_is_told_for_what_it_is() {
    let line =
        json!({"reasoning": "r", "text": "Some text.", "calls": [{"tool": "shell", "arguments": {"command": "ls"}}]});
    let server = Scripted::play(json!({"rules": [{"reply": line}]})).await;
    for wire in WIRES {
        let fault = async |fault: &str| with_fault(&server, wire, fault).await;
        for rejected in ["400", "401", "403", "404", "422", "status=429; code=insufficient_quota"] {
            let outcome = fault(rejected).await;
            let quota_is_a_code = wire != Wire::Messages || !rejected.contains("quota");
            assert!(!quota_is_a_code || matches!(outcome, Err(ModelError::Rejected { .. })), "{rejected}: {outcome:?}");
        }
        for unavailable in ["429", "500", "502", "503", "529", "error_event", "error_event; after_events=0"] {
            let outcome = fault(unavailable).await;
            let Err(error @ ModelError::Unavailable { .. }) = outcome else { panic!("{unavailable}: {outcome:?}") };
            assert!(!error.may_have_cost(), "{unavailable}");
        }
        for cut in ["cut", "cut; after_events=0", "no_mark"] {
            assert_eq!(fault(cut).await, Err(ModelError::CutOff), "{wire:?} {cut}");
        }
        for nonsense in ["html", "invalid_json"] {
            let outcome = fault(nonsense).await;
            let Err(error @ ModelError::Nonsense { .. }) = outcome else { panic!("{nonsense}: {outcome:?}") };
            assert_eq!(error.may_have_cost(), nonsense != "html", "{nonsense}");
        }
        assert_eq!(fault("context_length_exceeded").await, Err(ModelError::ContextTooLong));

        let plain = fault("no_usage").await.expect("a reply");
        let ids: Vec<_> = plain.calls.iter().map(|call| call.call.as_str()).collect();
        assert_eq!((plain.text.as_str(), ids.as_slice()), ("Some text.", &["call_3_0"][..]));
        for harmless in ["slow; drip_ms=0", "wrong_content_type", "duplicate_call_ids"] {
            assert_eq!(fault(harmless).await.expect("a reply"), plain, "{wire:?} {harmless}");
        }
        let unknown = fault("unknown_tool").await.expect("a reply");
        assert_eq!(unknown.calls[1], call(3, 1, "no_such_tool", "{}"));
        let empty = fault("empty").await.expect("a reply");
        assert!(empty.text.is_empty() && empty.calls.is_empty() && empty.raw.is_empty() && !empty.cut, "{empty:?}");
        let length = fault("length").await.expect("a reply");
        assert!(length.cut && length.calls[0].arguments.len() < plain.calls[0].arguments.len(), "{length:?}");
    }
}

#[tokio::test]
async fn an_answer_that_stands_still_is_given_up() {
    let server = Scripted::play(json!({"rules": [{"reply": {"text": "Some text."}}]})).await;
    for wire in WIRES {
        for (fault, words) in [("hang_before", "no reply within"), ("hang_midstream", "stood still")] {
            let mut model = server.model(wire);
            model.headers.insert("x-scripted-fault".to_owned(), fault.to_owned());
            model.timeouts = Timeouts { connect_ms: 200, first_byte_ms: 100, idle_ms: 100, ..Timeouts::default() };
            let error = ask_hello(&model).await.expect_err("an end");
            assert!(error.may_have_cost(), "{wire:?} {fault}");
            assert!(error.to_string().contains(words), "{wire:?} {fault}: {error}");
        }
        let mut model = server.model(wire);
        model.headers.insert("x-scripted-fault".to_owned(), "slow; drip_ms=20".to_owned());
        model.timeouts.total_ms = 100;
        let error = ask_hello(&model).await.expect_err("an end").to_string();
        assert!(error.contains("no whole reply"), "{error}");
    }
}

#[tokio::test]
async fn a_delay_that_the_server_asks_for_goes_before_our_own() {
    let rules = json!([{"fault": "status=429; retry_after_seconds=0.3; times=1"}, {"reply": {"text": "yes"}}]);
    let server = Scripted::play(json!({"rules": rules})).await;
    for wire in WIRES {
        let mut model = server.model(wire);
        model.retries = Retries { attempts: 1, first_delay_ms: 9_000, ..Retries::default() };
        let mut conversation = Conversation::new(&model, "x", &[]);
        conversation.push(&user(&format!("{wire:?}")));
        let call_of = Call {
            cache_key: &format!("{wire:?}"),
            share: "",
            by: Attribution::default(),
            turn: 1,
            max_output_tokens: 9,
            repeats_max: 9,
        };
        let mut live = Vec::new();
        let completed = client().call(&model, &conversation, call_of, |piece| live.push(piece)).await;
        assert_eq!(completed.expect("a reply").reply.text, "yes");
        let delay = Duration::from_millis(300);
        assert!(matches!(&live[0], Live::Retry { attempt: 1, delay: d, .. } if *d == delay), "{live:?}");
    }
    let requests = server.requests().await;
    for pair in requests.chunks(2) {
        let waited = pair[1]["at_us"].as_i64().expect("a time") - pair[0]["at_us"].as_i64().expect("a time");
        assert!((300_000..2_000_000).contains(&waited), "{waited} µs");
    }
}

#[tokio::test]
async fn delays_are_read_from_seconds_dates_and_words() {
    let busy = |message: &str| Canned::json(429, &json!({"error": {"message": message}}).to_string());
    let dated = busy("x")
        .header("date", "Sun, 22 Nov 2026 13:00:00 GMT")
        .header("retry-after", "Sun, 22 Nov 2026 13:00:42 GMT");
    let table = [
        (busy("x").header("retry-after", "17"), Some(17_000)),
        (busy("x").header("retry-after", "1.5"), Some(1_500)),
        (busy("x").header("retry-after", "9").header("retry-after-ms", "250"), Some(250)),
        (dated, Some(42_000)),
        (busy("Rate limit reached. Please try again in 1.3s."), Some(1_300)),
        (busy("Please try again in 450ms."), Some(450)),
        (busy("x").header("retry-after", "soon"), None),
    ];
    for (answer, expected_ms) in table {
        let provider = Provider::answering([answer.clone()]).await;
        let Err(ModelError::Unavailable { retry_after, .. }) = ask_hello(&provider.model(Wire::Chat)).await else {
            panic!("{answer:?} is an overload");
        };
        assert_eq!(retry_after.map(|delay| delay.as_millis()), expected_ms, "{answer:?}");
    }
}

#[tokio::test]
async fn a_server_that_asks_for_more_than_may_be_waited_is_not_waited_for() {
    let busy = Canned::json(429, "{}").header("retry-after", "3600");
    let provider = Provider::answering([busy]).await;
    let mut model = provider.model(Wire::Messages);
    model.retries = quick(5);
    let Err(ModelError::Unavailable { retry_after, .. }) = ask_hello(&model).await else { panic!("an overload") };
    assert_eq!(retry_after, Some(Duration::from_secs(3_600)));
    assert_eq!(provider.seen().len(), 1);
}

#[tokio::test]
async fn tries_are_bounded_and_what_a_broken_stream_showed_is_taken_back() {
    let server = Scripted::play(json!({"rules": [{"reply": {"text": "Some text.", "fault": "cut; times=2"}}]})).await;
    for wire in WIRES {
        let mut model = server.model(wire);
        model.retries = quick(2);
        let mut conversation = Conversation::new(&model, "x", &[]);
        conversation.push(&user(&format!("{wire:?}")));
        let (outcome, live) = {
            let mut live = Vec::new();
            let call_of = Call {
                cache_key: &format!("{wire:?}"),
                share: "",
                by: Attribution::default(),
                turn: 1,
                max_output_tokens: 9,
                repeats_max: 9,
            };
            (client().call(&model, &conversation, call_of, |piece| live.push(piece)).await, live)
        };
        assert_eq!(outcome.expect("a reply").reply.text, "Some text.");
        let kept = live.iter().fold(String::new(), |kept, piece| match piece {
            Live::Text(text) => kept + text,
            Live::Reset => String::new(),
            _ => kept,
        });
        assert_eq!(kept, "Some text.", "{live:?}");
        assert_eq!(live.iter().filter(|piece| matches!(piece, Live::Retry { .. })).count(), 2);
    }
    let broken = Provider::answering([Canned::json(500, "{}")]).await;
    let mut model = broken.model(Wire::Chat);
    model.retries = quick(3);
    assert!(matches!(ask_hello(&model).await, Err(ModelError::Unavailable { .. })));
    assert_eq!(broken.seen().len(), 4);
    let rejecting = Provider::answering([Canned::json(400, "{}")]).await;
    let mut model = rejecting.model(Wire::Chat);
    model.retries = quick(3);
    assert!(matches!(ask_hello(&model).await, Err(ModelError::Rejected { .. })));
    assert_eq!(rejecting.seen().len(), 1);
}

#[tokio::test]
async fn dropping_a_call_closes_its_connection() {
    let server = Scripted::play(json!({"rules": [{"reply": {"text": "Some text."}}]})).await;
    for (n, fault) in [(1, "hang_before"), (2, "hang_midstream")] {
        let mut model = server.model(Wire::Responses);
        model.headers.insert("x-scripted-fault".to_owned(), fault.to_owned());
        let asking = tokio::spawn(async move { ask_hello(&model).await });
        assert_eq!(
            server.get(&format!("/requests?after={}&wait_ms=10000", n - 1)).await["data"][0]["state"],
            "replying"
        );
        asking.abort();
        assert_eq!(server.get(&format!("/requests/{n}?until=dropped")).await["state"], "dropped", "{fault}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    drop(listener);
    let mut model = Model::new("m", Wire::Chat, url.parse().expect("a URL"), None);
    model.retries = quick(1);
    let error = ask_hello(&model).await.expect_err("nobody there").to_string();
    assert!(error.starts_with("the model is not available: cannot connect: Connection refused"), "{error}");
}

#[tokio::test]
async fn keys_and_headers_never_show_in_errors_or_debug_texts() {
    let key = "sk-very-secret-key";
    let echo = json!({"error": {"message": format!("no such key {key}, nor Bearer {key}, nor tenant-secret")}});
    for wire in WIRES {
        for status in [401, 500] {
            let provider = Provider::answering([Canned::json(status, &echo.to_string())]).await;
            let mut model = provider.model(wire);
            model.key = Some(ApiKey::new(&format!(" {key}\n")));
            model.headers.insert("x-tenant".to_owned(), "tenant-secret".to_owned());
            let mut conversation = Conversation::new(&model, "x", &[]);
            conversation.push(&user("hello"));
            model.retries = quick(1);
            let (outcome, live) = ask(&model, &conversation).await;
            let error = outcome.expect_err("an error");
            let shown = format!("{error} {error:?} {live:?} {model:?} {conversation:?}");
            assert!(!shown.contains("secret") && shown.contains("no such key ***"), "{shown}");
            let (headers, _) = &provider.seen()[0];
            let expected = if wire == Wire::Messages {
                ("x-api-key", key.to_owned())
            } else {
                ("authorization", format!("Bearer {key}"))
            };
            assert_eq!(headers[expected.0], expected.1);
            assert_eq!(headers["x-tenant"], "tenant-secret");
            assert_eq!(headers.contains_key("anthropic-version"), wire == Wire::Messages);
        }
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_the_key() {
    let thief = Provider::answering([Canned::json(200, "{}")]).await;
    let provider = Provider::answering([Canned::json(307, "").header("location", thief.url.as_str())]).await;
    let error = ask_hello(&provider.model(Wire::Responses)).await.expect_err("an error").to_string();
    assert!(error.contains("redirects") && thief.seen().is_empty(), "{error}");
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = Scripted::play(json!({"rules": [{"reply": {"text": "yes"}}]})).await;
    let client = client();
    for wire in WIRES {
        let model = server.model(wire);
        let mut conversation = Conversation::new(&model, "x", &[]);
        conversation.push(&user("hello"));
        for turn in 1..5 {
            let call_of = Call {
                cache_key: "k",
                share: "",
                by: Attribution::default(),
                turn,
                max_output_tokens: 9,
                repeats_max: 9,
            };
            client.call(&model, &conversation, call_of, |_| ()).await.expect("a reply");
        }
    }
    let health: Value = http()
        .get(server.url.join("/connections").expect("a path"))
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert_eq!(health["accepted"], 2, "one for the client, one for this look");
}

#[tokio::test]
async fn a_reply_never_asks_for_more_than_the_model_gives_and_holds_no_nul() {
    let script = json!({"rules": [{"reply": {"text": "a\u{0}b", "calls": [{"tool": "x", "arguments": "\u{0}"}]}}]});
    let server = Scripted::play(script).await;
    for wire in WIRES {
        let mut model = server.model(wire);
        model.max_output_tokens = 77;
        let reply = ask_hello(&model).await.expect("a reply").reply;
        assert_eq!((reply.text.as_str(), reply.calls[0].arguments.as_str()), ("a\u{fffd}b", "\u{fffd}"));
        assert!(reply.raw.concat().contains("\\u0000"), "{reply:?}");
    }
    let limits: Vec<_> = server.requests().await.iter().map(|request| request["body"].clone()).collect();
    let fields = ["max_output_tokens", "max_tokens", "max_tokens"];
    assert!(limits.iter().zip(fields).all(|(body, field)| body[field] == 77), "{limits:?}");
}

#[tokio::test]
async fn a_conversation_for_another_wire_is_refused() {
    let server = Scripted::play(json!({"rules": [{"reply": {"text": "yes"}}]})).await;
    let conversation = Conversation::new(&server.model(Wire::Chat), "x", &[]);
    let outcome = ask(&server.model(Wire::Messages), &conversation).await.0;
    assert!(matches!(outcome, Err(ModelError::Rejected { .. })));
}
