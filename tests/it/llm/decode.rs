//! Replies of providers, as their documents and their servers' logs have them.

use super::{Canned, Provider, ask_hello, call};
use crate::scripted::WIRES;
use journeyman::{
    domain::{
        item::{Reply, Wire},
        tool::ToolCall,
        usage::TokenUsage,
    },
    llm::{Completed, ModelError, ReplyLimits},
};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use serde_json::{Value, json};

async fn hear(wire: Wire, answer: Canned) -> Result<Completed, ModelError> {
    let provider = Provider::answering([answer]).await;
    ask_hello(&provider.model(wire)).await
}

async fn hear_reply(wire: Wire, stream: &str) -> Reply {
    hear(wire, Canned::stream(stream)).await.unwrap_or_else(|e| panic!("{e}: {stream}")).reply
}

/// A stream of events whose data is JSON.
fn events(events: &[Value]) -> String {
    let frame = |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or("x"));
    events.iter().map(frame).collect::<Vec<_>>().concat()
}

fn chunks(deltas: &[Value], finish: &str) -> String {
    let mut chunks: Vec<Value> = deltas.iter().map(|d| json!({"choices": [{"index": 0, "delta": d}]})).collect();
    chunks.push(json!({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}));
    let frames: Vec<String> = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    frames.concat() + "data: [DONE]\n\n"
}

fn responses_stream() -> String {
    events(&[
        json!({"type": "response.created", "response": {"status": "in_progress", "output": []}}),
        json!({"type": "response.output_text.delta", "output_index": 1, "delta": "Hel"}),
        json!({"type": "response.output_item.done", "output_index": 0, "item":
            {"id": "rs_1", "type": "reasoning", "encrypted_content": "zz==", "summary": [{"type": "summary_text", "text": "Think ü."}], "status": null}}),
        json!({"type": "response.output_item.done", "output_index": 2, "item":
            {"id": "fc_1", "type": "function_call", "status": "completed", "arguments": "{\"command\":\"ls\"}", "call_id": "theirs", "name": "shell"}}),
        json!({"type": "response.output_item.done", "output_index": 1, "item":
            {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "phase": "commentary",
             "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": "Hello ü€😀"}]}}),
        json!({"type": "response.output_item.done", "output_index": 3, "item":
            {"id": "fc_2", "type": "function_call", "status": "completed", "arguments": "", "call_id": "theirs", "name": "shell"}}),
        json!({"type": "response.completed", "response": {"status": "completed", "output": [], "usage":
            {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 80}, "output_tokens": 9}}}),
    ])
}

fn messages_stream() -> String {
    let start =
        |index: u32, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let delta = |index: u32, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let stop = |index: u32| json!({"type": "content_block_stop", "index": index});
    events(&[
        json!({"type": "message_start", "message": {"usage":
            {"input_tokens": 10, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 70, "output_tokens": 1}}}),
        start(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        json!({"type": "ping"}),
        delta(0, json!({"type": "thinking_delta", "thinking": "Think"})),
        delta(0, json!({"type": "thinking_delta", "thinking": " ü."})),
        delta(0, json!({"type": "signature_delta", "signature": "c2ln"})),
        stop(0),
        start(1, json!({"type": "redacted_thinking", "data": "sealed"})),
        stop(1),
        start(2, json!({"type": "text", "text": ""})),
        delta(2, json!({"type": "text_delta", "text": "Hello ü€😀"})),
        stop(2),
        start(3, json!({"type": "tool_use", "id": "toolu_1", "name": "shell", "input": {}})),
        delta(3, json!({"type": "input_json_delta", "partial_json": ""})),
        delta(3, json!({"type": "input_json_delta", "partial_json": "{\"command\":"})),
        delta(3, json!({"type": "input_json_delta", "partial_json": " \"ls\"}"})),
        stop(3),
        start(4, json!({"type": "tool_use", "id": "toolu_2", "name": "shell", "input": {}})),
        stop(4),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}}),
        json!({"type": "message_stop"}),
    ])
}

fn chat_stream() -> String {
    let begun = |index: u32, id: &str| json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": {"name": "shell", "arguments": ""}}]});
    let piece = |index: u32, text: &str| json!({"tool_calls": [{"index": index, "function": {"arguments": text}}]});
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 80}}});
    let deltas = [
        json!({"role": "assistant", "content": ""}),
        json!({"reasoning_content": "Think"}),
        json!({"reasoning_content": " ü."}),
        json!({"content": "Hello"}),
        json!({"content": " ü€😀"}),
        begun(0, "a"),
        piece(0, "{\"comm"),
        begun(1, "a"),
        piece(0, "and\":\"ls\"}"),
    ];
    chunks(&deltas, "tool_calls").replace("data: [DONE]", &format!(": keep-alive\n\ndata: {usage}\n\ndata: [DONE]"))
}

fn stream_of(wire: Wire) -> String {
    match wire {
        Wire::Responses => responses_stream(),
        Wire::Chat => chat_stream(),
        Wire::Messages => messages_stream(),
    }
}

fn expected(wire: Wire) -> Reply {
    let raw: &[&str] = match wire {
        Wire::Responses => &[
            r#"{"encrypted_content":"zz==","summary":[{"text":"Think ü.","type":"summary_text"}],"type":"reasoning"}"#,
            r#"{"content":[{"annotations":[],"logprobs":[],"text":"Hello ü€😀","type":"output_text"}],"phase":"commentary","role":"assistant","type":"message"}"#,
            r#"{"arguments":"{\"command\":\"ls\"}","call_id":"call_3_0","name":"shell","type":"function_call"}"#,
            r#"{"arguments":"{}","call_id":"call_3_1","name":"shell","type":"function_call"}"#,
        ],
        Wire::Chat => &[concat!(
            r#"{"role":"assistant","content":"Hello ü€😀","reasoning_content":"Think ü.","tool_calls":["#,
            r#"{"id":"call_3_0","type":"function","function":{"name":"shell","arguments":"{\"command\":\"ls\"}"}},"#,
            r#"{"id":"call_3_1","type":"function","function":{"name":"shell","arguments":"{}"}}]}"#,
        )],
        Wire::Messages => &[concat!(
            r#"{"role":"assistant","content":[{"signature":"c2ln","thinking":"Think ü.","type":"thinking"},"#,
            r#"{"data":"sealed","type":"redacted_thinking"},{"type":"text","text":"Hello ü€😀"},"#,
            r#"{"type":"tool_use","id":"call_3_0","name":"shell","input":{"command": "ls"}},"#,
            r#"{"type":"tool_use","id":"call_3_1","name":"shell","input":{}}]}"#,
        )],
    };
    let (first, second) = match wire {
        Wire::Messages => (r#"{"command": "ls"}"#, "{}"),
        _ => (r#"{"command":"ls"}"#, ""),
    };
    Reply {
        wire,
        raw: raw.iter().map(|&item| item.to_owned()).collect(),
        text: "Hello ü€😀".to_owned(),
        reasoning: "Think ü.".to_owned(),
        calls: vec![call(3, 0, "shell", first), call(3, 1, "shell", second)],
        cut: false,
        model: String::new(),
        model_id: String::new(),
    }
}

#[tokio::test]
async fn each_wires_stream_becomes_the_reply_and_its_counts() {
    for wire in WIRES {
        let completed = hear(wire, Canned::stream(&stream_of(wire))).await.expect("a reply");
        assert_eq!(completed.reply, expected(wire));
        let usage = TokenUsage {
            input_tokens: 100,
            cached_input_tokens: if wire == Wire::Messages { 70 } else { 80 },
            output_tokens: 9,
            cache_write_tokens: if wire == Wire::Messages { 20 } else { 0 },
        };
        assert_eq!((completed.usage, completed.usage_reported), (usage, true), "{wire:?}");
    }
}

#[tokio::test]
async fn the_same_bytes_split_anyhow_are_the_same_reply() {
    let mut runner = TestRunner::deterministic();
    let borders = proptest::collection::vec(0_usize..10_000, 0..30);
    for wire in WIRES {
        let provider = Provider::answering([]).await;
        for line_end in ["\n", "\r\n", "\r"] {
            let stream = Canned::stream(&stream_of(wire).replace('\n', line_end));
            let bytes: Vec<usize> = (0..10_000).collect();
            provider.then(stream.clone().split(&bytes));
            assert_eq!(ask_hello(&provider.model(wire)).await.expect("a reply").reply, expected(wire), "byte by byte");
            for _ in 0..20 {
                let borders = borders.new_tree(&mut runner).expect("borders").current();
                provider.then(stream.clone().split(&borders));
                let reply = ask_hello(&provider.model(wire)).await.expect("a reply").reply;
                assert_eq!(reply, expected(wire), "{borders:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_stream_that_ends_anywhere_before_its_mark_is_cut_off() {
    for wire in WIRES {
        let provider = Provider::answering([]).await;
        let stream = stream_of(wire);
        let mark = match wire {
            Wire::Responses => stream.rfind("event: response.completed"),
            Wire::Chat => stream.find("\"finish_reason\""),
            Wire::Messages => stream.rfind("event: message_stop"),
        };
        let mark = mark.expect("a mark");
        for at in (0..mark).step_by(37).chain([mark]) {
            let part = &stream[..stream.floor_char_boundary(at)];
            provider.then(Canned::stream(part));
            assert_eq!(ask_hello(&provider.model(wire)).await, Err(ModelError::CutOff), "{wire:?} {part}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_not_streamed_is_a_reply_too() {
    let output = |stream: &str| -> Vec<Value> {
        let items = stream.lines().filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok());
        let mut items: Vec<Value> = items.filter(|event| event["type"] == "response.output_item.done").collect();
        items.sort_by_key(|event| event["output_index"].as_u64());
        items.into_iter().map(|event| event["item"].clone()).collect()
    };
    let usage = json!({"input_tokens": 5, "output_tokens": 2});
    let tool_call = |id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "shell", "arguments": arguments}});
    let bodies = [
        json!({"status": "completed", "output": output(&responses_stream()), "usage": usage}),
        json!({"choices": [{"index": 0, "finish_reason": "tool_calls", "message": {
            "role": "assistant", "content": "Hello ü€😀", "reasoning_content": "Think ü.",
            "tool_calls": [tool_call("x", "{\"command\":\"ls\"}"), tool_call("x", "")]}}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2}}),
        json!({"type": "message", "role": "assistant", "stop_reason": "tool_use", "usage": usage, "content": [
            {"type": "thinking", "thinking": "Think ü.", "signature": "c2ln"}, {"type": "redacted_thinking", "data": "sealed"},
            {"type": "text", "text": "Hello ü€😀"},
            {"type": "tool_use", "id": "x", "name": "shell", "input": {"command": "ls"}},
            {"type": "tool_use", "id": "y", "name": "shell", "input": {}}]}),
    ];
    for (wire, body) in WIRES.into_iter().zip(bodies) {
        let completed = hear(wire, Canned::json(200, &body.to_string())).await.expect("a reply");
        let mut expected = expected(wire);
        if wire == Wire::Messages {
            expected.raw[0] = expected.raw[0].replace("{\"command\": \"ls\"}", "{\"command\":\"ls\"}");
            expected.calls[0].arguments = "{\"command\":\"ls\"}".to_owned();
        }
        assert_eq!(completed.reply, expected);
        assert_eq!(
            completed.usage,
            TokenUsage { input_tokens: 5, cached_input_tokens: 0, output_tokens: 2, ..TokenUsage::default() }
        );
        let half = &body.to_string()[..body.to_string().len() / 2];
        let half = half.trim_end_matches(|c: char| !c.is_ascii());
        assert_eq!(hear(wire, Canned::json(200, half)).await, Err(ModelError::CutOff), "{half}");
    }
}

#[tokio::test]
async fn chat_calls_are_put_together_from_what_servers_really_send() {
    let full = |index: Value, id: &str, name: &str, arguments: Value| json!({"tool_calls": [{"index": index, "id": id, "function": {"name": name, "arguments": arguments}}]});
    let table: [(&str, Vec<Value>, Vec<ToolCall>); 7] = [
        (
            "all have index 0",
            vec![full(json!(0), "a", "x", json!("{}")), full(json!(0), "b", "y", json!("[]"))],
            vec![call(3, 0, "x", "{}"), call(3, 1, "y", "[]")],
        ),
        (
            "no index",
            vec![
                json!({"tool_calls": [{"id": "a", "function": {"name": "x", "arguments": "{"}}]}),
                json!({"tool_calls": [{"function": {"arguments": "}"}}]}),
                json!({"tool_calls": [{"id": "b", "function": {"name": "y", "arguments": ""}}]}),
            ],
            vec![call(3, 0, "x", "{}"), call(3, 1, "y", "")],
        ),
        (
            "the id repeated in each piece",
            vec![full(json!(0), "a", "x", json!("{")), full(json!(0), "a", "", json!("}"))],
            vec![call(3, 0, "x", "{}")],
        ),
        (
            "another id in each piece",
            vec![full(json!(0), "a", "x", json!("{")), full(json!(0), "b", "", json!("}"))],
            vec![call(3, 0, "x", "{}")],
        ),
        (
            "arguments as an object",
            vec![full(json!(0), "a", "x", json!({"b": 1}))],
            vec![call(3, 0, "x", r#"{"b":1}"#)],
        ),
        ("null fields", vec![full(json!(null), "a", "x", json!(null))], vec![call(3, 0, "x", "")]),
        (
            "a name that no provider takes back",
            vec![full(json!(0), "a", "shell<|x|>", json!(""))],
            vec![call(3, 0, "shell__x__", "")],
        ),
    ];
    for (what, deltas, calls) in table {
        assert_eq!(hear_reply(Wire::Chat, &chunks(&deltas, "tool_calls")).await.calls, calls, "{what}");
    }
    let nameless = chunks(&[full(json!(0), "a", "", json!("{}"))], "tool_calls");
    let outcome = hear(Wire::Chat, Canned::stream(&nameless)).await;
    assert!(matches!(outcome, Err(ModelError::Nonsense { .. })), "{outcome:?}");
}

#[tokio::test]
async fn vendors_own_fields_go_back_as_they_came() {
    let deltas = [
        json!({"reasoning": "a", "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}),
        json!({"reasoning": "b", "reasoning_details": [{"type": "reasoning.text", "text": "b"}], "refusal": null}),
        json!({"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "x", "arguments": "{}"},
            "extra_content": {"google": {"thought_signature": "sig"}}}]}),
    ];
    let reply = hear_reply(Wire::Chat, &chunks(&deltas, "tool_calls")).await;
    let raw = concat!(
        r#"{"role":"assistant","content":null,"reasoning":"ab","#,
        r#""reasoning_details":[{"data":"x","type":"reasoning.encrypted"},{"text":"b","type":"reasoning.text"}],"#,
        r#""tool_calls":[{"id":"call_3_0","type":"function","function":{"name":"x","arguments":"{}"},"#,
        r#""extra_content":{"google":{"thought_signature":"sig"}}}]}"#,
    );
    assert_eq!((reply.raw, reply.reasoning), (vec![raw.to_owned()], "ab".to_owned()));
    let parts = [
        json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "so"}]}),
    ];
    let reply = hear_reply(Wire::Chat, &chunks(&parts, "stop")).await;
    assert_eq!((reply.reasoning.as_str(), reply.text.as_str()), ("hm", "so"));
}

#[tokio::test]
async fn cached_tokens_are_read_in_all_spellings() {
    let table = [
        (
            Wire::Chat,
            json!({"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 60}}),
            (100, 60),
        ),
        (Wire::Chat, json!({"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": null}), (100, 0)),
        (
            Wire::Chat,
            json!({"prompt_tokens": 100, "completion_tokens": 5, "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36}),
            (100, 64),
        ),
        (Wire::Chat, json!({"prompt_tokens": 100, "completion_tokens": 5, "cached_tokens": 7}), (100, 7)),
        (Wire::Chat, json!({"prompt_tokens": 100, "completion_tokens": 5, "cache_read_input_tokens": 8}), (100, 8)),
        (
            Wire::Responses,
            json!({"input_tokens": 100, "output_tokens": 5, "input_tokens_details": {"cached_tokens": 60}}),
            (100, 60),
        ),
        (
            Wire::Messages,
            json!({"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 30}),
            (100, 60),
        ),
        (Wire::Messages, json!({"input_tokens": 100, "output_tokens": 5}), (100, 0)),
    ];
    for (wire, usage, (input_tokens, cached_input_tokens)) in table {
        let cache_write_tokens = usage["cache_creation_input_tokens"].as_u64().unwrap_or_default();
        let body = match wire {
            Wire::Responses => json!({"status": "completed", "output": [], "usage": usage}),
            Wire::Chat => json!({"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "usage": usage}),
            Wire::Messages => {
                json!({"content": [{"type": "text", "text": "x"}], "stop_reason": "end_turn", "usage": usage})
            }
        };
        let completed = hear(wire, Canned::json(200, &body.to_string())).await.expect("a reply");
        assert_eq!(
            completed.usage,
            TokenUsage { input_tokens, cached_input_tokens, output_tokens: 5, cache_write_tokens },
            "{usage}"
        );
    }
}

#[tokio::test]
async fn a_reply_cut_by_length_says_so() {
    let incomplete = events(&[
        json!({"type": "response.output_item.done", "output_index": 0, "item": {"type": "reasoning", "encrypted_content": "x"}}),
        json!({"type": "response.incomplete", "response": {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}}),
    ]);
    let cut = hear_reply(Wire::Responses, &incomplete).await;
    assert!(cut.cut && cut.raw.is_empty(), "a lone thought does not go back: {cut:?}");
    assert!(hear_reply(Wire::Chat, &chunks(&[json!({"content": "x"})], "length")).await.cut);
    let full = json!({"status": "completed", "output": [], "usage": {"input_tokens": 1, "output_tokens": 1_000}});
    let completed = hear(Wire::Responses, Canned::json(200, &full.to_string())).await.expect("a reply");
    assert!(completed.reply.cut, "a reply of all the tokens that it may have is cut, whatever it says");
    let max = events(&[
        json!({"type": "message_start", "message": {}}),
        json!({"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {}}),
        json!({"type": "message_stop"}),
    ]);
    assert!(hear_reply(Wire::Messages, &max).await.cut);
}

/// The kind of an error, as one word.
fn kind(outcome: &Result<Completed, ModelError>) -> &'static str {
    match outcome {
        Ok(_) => "ok",
        Err(ModelError::Rejected { .. }) => "rejected",
        Err(ModelError::Unavailable { .. }) => "unavailable",
        Err(ModelError::ContextTooLong) => "too long",
        Err(ModelError::CutOff) => "cut off",
        Err(ModelError::SpentUp) => "spent up",
        Err(ModelError::Nonsense { .. }) => "nonsense",
    }
}

#[tokio::test]
async fn answers_with_an_error_status_are_told_apart() {
    let said = |message: &str| {
        json!({"error": {"message": message, "type": "invalid_request_error", "code": null}}).to_string()
    };
    let coded = |code: &str| json!({"error": {"message": "no", "code": code}}).to_string();
    let table = [
        (400, said("bad schema"), "rejected"),
        (401, said("bad key"), "rejected"),
        (403, "<html><b>Forbidden</b></html>".to_owned(), "rejected"),
        (404, json!({"detail": "Not Found"}).to_string(), "rejected"),
        (422, json!({"detail": [{"loc": ["body"], "msg": "field required"}]}).to_string(), "rejected"),
        (301, String::new(), "rejected"),
        (408, String::new(), "unavailable"),
        (429, said("slow down"), "unavailable"),
        (429, coded("insufficient_quota"), "rejected"),
        (500, "oops".to_owned(), "unavailable"),
        (503, json!({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}).to_string(), "unavailable"),
        (529, json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}).to_string(), "unavailable"),
        (400, coded("context_length_exceeded"), "too long"),
        (400, said("prompt is too long: 211413 tokens > 200000 maximum"), "too long"),
        (400, said("This model's maximum context length is 131072 tokens. However, you requested"), "too long"),
        (400, said("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"), "too long"),
        (400, json!({"error": {"code": 400, "type": "exceed_context_size_error", "message": "request (9000 tokens) exceeds the available context size"}}).to_string(), "too long"),
        (400, json!([{"error": {"code": 400, "message": "The input token count (1200000) exceeds the maximum number of tokens allowed"}}]).to_string(), "too long"),
        (413, json!({"type": "error", "error": {"type": "request_too_large"}}).to_string(), "too long"),
        (400, said("Prompt contains 40000 tokens, too large for model with 32768 maximum context length"), "too long"),
    ];
    for wire in WIRES {
        let provider = Provider::answering([]).await;
        for (status, body, expected) in &table {
            provider.then(Canned::json(*status, body));
            let outcome = ask_hello(&provider.model(wire)).await;
            assert_eq!(kind(&outcome), *expected, "{status} {body}: {outcome:?}");
        }
    }
    let outcome = hear(Wire::Chat, Canned::json(502, "<html><h1>Bad\n gateway</h1></html>")).await;
    let error = outcome.expect_err("an error").to_string();
    assert_eq!(error, "the model is not available: HTTP 502: Bad gateway");
}

#[tokio::test]
async fn errors_within_a_reply_are_told_apart_by_what_they_say() {
    let table = [
        (json!({"message": "x", "code": "server_error"}), "unavailable"),
        (json!({"message": "x", "code": "rate_limit_exceeded"}), "unavailable"),
        (json!({"message": "x", "type": "overloaded_error"}), "unavailable"),
        (json!({"message": "x", "code": 502}), "unavailable"),
        (json!({"message": "x", "code": 400}), "rejected"),
        (json!({"message": "x", "type": "invalid_request_error"}), "rejected"),
        (json!({"message": "x", "code": "insufficient_quota"}), "rejected"),
        (json!({"message": "x", "code": "context_length_exceeded"}), "too long"),
        (json!({"message": "the prompt is too long: 5 tokens"}), "too long"),
    ];
    for (error, expected) in table {
        let streams = [
            (
                Wire::Responses,
                events(&[json!({"type": "response.failed", "response": {"status": "failed", "error": error}})]),
            ),
            (Wire::Responses, events(&[json!({"type": "error", "error": error})])),
            (Wire::Chat, format!("data: {}\n\n", json!({"error": error}))),
            (Wire::Messages, events(&[json!({"type": "error", "error": error})])),
            (Wire::Chat, json!({"error": error}).to_string()),
            (Wire::Messages, json!({"type": "error", "error": error}).to_string()),
            (Wire::Responses, json!({"error": error}).to_string()),
        ];
        for (wire, stream) in streams {
            let outcome = hear(wire, Canned::stream(&stream)).await;
            assert_eq!(kind(&outcome), expected, "{stream}: {outcome:?}");
        }
    }
    let mut flat = json!({"type": "error", "code": "context_length_exceeded", "message": "x"});
    assert_eq!(kind(&hear(Wire::Responses, Canned::stream(&events(&[flat.clone()]))).await), "too long");
    flat["code"] = json!("server_error");
    assert_eq!(kind(&hear(Wire::Responses, Canned::stream(&events(&[flat]))).await), "unavailable");
    assert_eq!(kind(&hear(Wire::Chat, Canned::stream(&chunks(&[], "content_filter"))).await), "rejected");
}

#[tokio::test]
async fn what_is_no_reply_is_nonsense() {
    for wire in WIRES {
        let provider = Provider::answering([]).await;
        for answer in [
            "<!doctype html><html></html>",
            "hello",
            "data: hello\n\n",
            "data: {\"type\": nope}\n\n",
            "{\"this\" is no JSON}",
            "{}",
            "[1, 2]",
            "{\"choices\": 3, \"output\": 3, \"content\": 3}",
        ] {
            provider.then(Canned::stream(answer));
            let outcome = ask_hello(&provider.model(wire)).await;
            assert_eq!(kind(&outcome), "nonsense", "{wire:?} {answer}: {outcome:?}");
        }
        provider.then(Canned::stream(""));
        assert_eq!(kind(&ask_hello(&provider.model(wire)).await), "cut off");
    }
}

#[tokio::test]
async fn replies_beyond_a_limit_are_nonsense() {
    for wire in WIRES {
        let provider = Provider::answering([Canned::stream(&stream_of(wire))]).await;
        let mut model = provider.model(wire);
        let plain = ReplyLimits::default();
        let limits = [
            ReplyLimits { bytes: 500, ..plain },
            ReplyLimits { text_bytes: 10, ..plain },
            ReplyLimits { calls: 1, ..plain },
            ReplyLimits { argument_bytes: 8, ..plain },
        ];
        for limits in limits {
            model.limits = limits;
            let outcome = ask_hello(&model).await;
            assert_eq!(kind(&outcome), "nonsense", "{wire:?} {limits:?}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_chat_reply_needs_only_one_of_the_two_marks() {
    let whole = chunks(&[json!({"content": "x"})], "stop");
    let without_done = whole.replace("data: [DONE]\n\n", "");
    let without_reason = whole.replace(r#""finish_reason":"stop""#, r#""finish_reason":null"#);
    for stream in [whole, without_done, without_reason] {
        let completed = hear(Wire::Chat, Canned::stream(&stream)).await.expect("a reply");
        assert_eq!((completed.reply.text.as_str(), completed.usage_reported), ("x", false));
        assert!(completed.usage.input_tokens > 0 && completed.usage.output_tokens > 0);
    }
}
