//! Bodies of requests as they grow.

use super::{any_reply, any_text, any_wire, call, tool, user};
use crate::scripted::{Scripted, WIRES};
use journeyman::{
    domain::{
        CallId, Item,
        item::{DeveloperRole, Reply, Wire},
    },
    llm::{Conversation, Model},
};
use proptest::{prelude::*, strategy::ValueTree};
use serde_json::{Value, json};

fn model(wire: Wire) -> Model {
    Model::new("m", wire, "http://localhost/v1".parse().expect("a URL"), None)
}

fn developer(text: &str) -> Item {
    Item::Developer { text: text.to_owned() }
}

fn result(call: &CallId, output: &str) -> Item {
    Item::Result { call: call.clone(), output: output.to_owned() }
}

fn reply(text: &str, calls: Vec<journeyman::domain::tool::ToolCall>) -> Item {
    let reasoning = String::new();
    // No wire in these tests is the reply's own: it is made anew from its parts.
    Item::Reply(Reply {
        wire: Wire::Chat,
        raw: Vec::new(),
        text: text.to_owned(),
        reasoning,
        calls,
        cut: false,
        model: String::new(),
        model_id: String::new(),
    })
}

/// A conversation with everything in it; the reply is of the wire `of`.
fn whole(model: &Model, of: Wire) -> Conversation {
    let mut conversation = Conversation::new(model, "Be brief.", &[tool("shell")]);
    conversation.push(&developer("brief"));
    conversation.push(&user("do it"));
    let calls = vec![call(1, 0, "shell", r#"{"command":"ls"}"#), call(1, 1, "shell", "no json")];
    let Item::Reply(mut reply) = reply("Looking.", calls) else { return conversation };
    reply.wire = of;
    conversation.push(&Item::Reply(reply));
    conversation.push(&result(&CallId::new(1, 0), "a.txt"));
    conversation.push(&result(&CallId::new(1, 1), ""));
    conversation.push(&developer("hurry"));
    conversation
}

fn body(conversation: &Conversation) -> Value {
    serde_json::from_slice(&conversation.body("task-1", 500)).expect("a JSON body")
}

#[test]
fn responses_has_its_items() {
    let mut model = model(Wire::Responses);
    model.reasoning_effort = Some("high".to_owned());
    let message = |role: &str, text: &str| json!({"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]});
    let call = |id: &str, arguments: &str| json!({"type": "function_call", "call_id": id, "name": "shell", "arguments": arguments});
    let output = |id: &str, output: &str| json!({"type": "function_call_output", "call_id": id, "output": output});
    let parameters: Value = serde_json::from_str(&tool("shell").parameters).expect("a schema");
    let expected = json!({
        "model": "m", "stream": true, "store": false, "include": ["reasoning.encrypted_content"],
        "reasoning": {"effort": "high", "summary": "auto"}, "parallel_tool_calls": true,
        "instructions": "Be brief.",
        "tools": [{"type": "function", "name": "shell", "description": "Runs shell.", "parameters": parameters, "strict": false}],
        "input": [
            message("developer", "brief"), message("user", "do it"),
            json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Looking."}]}),
            call("call_1_0", r#"{"command":"ls"}"#), call("call_1_1", r#"{"invalid_json":"no json"}"#),
            output("call_1_0", "a.txt"), output("call_1_1", ""), message("developer", "hurry"),
        ],
        "max_output_tokens": 500, "prompt_cache_key": "task-1",
    });
    assert_eq!(body(&whole(&model, Wire::Chat)), expected);
}

#[test]
fn chat_has_one_message_where_users_messages_meet() {
    let model = model(Wire::Chat);
    let parameters: Value = serde_json::from_str(&tool("shell").parameters).expect("a schema");
    let call = |id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "shell", "arguments": arguments}});
    let expected = json!({
        "model": "m", "stream": true, "stream_options": {"include_usage": true}, "parallel_tool_calls": true,
        "tools": [{"type": "function", "function": {"name": "shell", "description": "Runs shell.", "parameters": parameters}}],
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "[server] brief\n\ndo it"},
            {"role": "assistant", "content": "Looking.",
             "tool_calls": [call("call_1_0", r#"{"command":"ls"}"#), call("call_1_1", r#"{"invalid_json":"no json"}"#)]},
            {"role": "tool", "tool_call_id": "call_1_0", "content": "a.txt"},
            {"role": "tool", "tool_call_id": "call_1_1", "content": ""},
            {"role": "user", "content": "[server] hurry"},
        ],
        "max_tokens": 500,
    });
    assert_eq!(body(&whole(&model, Wire::Messages)), expected);
}

#[test]
fn messages_groups_results_and_marks_what_is_to_be_cached() {
    let model = model(Wire::Messages);
    let schema: Value = serde_json::from_str(&tool("shell").parameters).expect("a schema");
    let marker = json!({"type": "ephemeral"});
    let expected = json!({
        "model": "m", "stream": true,
        "tools": [{"name": "shell", "description": "Runs shell.", "input_schema": schema, "cache_control": marker}],
        "system": [{"type": "text", "text": "Be brief.", "cache_control": marker}],
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "[server] brief"},
                {"type": "text", "text": "do it", "cache_control": marker},
            ]},
            {"role": "assistant", "content": [
                {"type": "text", "text": "Looking."},
                {"type": "tool_use", "id": "call_1_0", "name": "shell", "input": {"command": "ls"}},
                {"type": "tool_use", "id": "call_1_1", "name": "shell", "input": {"invalid_json": "no json"}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "call_1_0", "content": "a.txt"},
                {"type": "tool_result", "tool_use_id": "call_1_1", "content": "(empty)"},
                {"type": "text", "text": "[server] hurry", "cache_control": marker},
            ]},
        ],
        "max_tokens": 500,
    });
    assert_eq!(body(&whole(&model, Wire::Chat)), expected);
}

#[test]
fn settings_decide_roles_fields_and_options() {
    let mut chat = model(Wire::Chat);
    chat.developer_role = Some(DeveloperRole::System);
    chat.prompt_cache_key = Some(true);
    chat.max_tokens_field = Some("max_completion_tokens".to_owned());
    chat.body = [("temperature".to_owned(), json!(0.5)), ("messages".to_owned(), json!([]))].into();
    chat.without = vec!["stream_options".to_owned(), "parallel_tool_calls".to_owned()];
    let mut conversation = Conversation::new(&chat, "", &[]);
    conversation.push(&user("a"));
    conversation.push(&developer("b"));
    conversation.push(&user("c"));
    let expected = json!({
        "model": "m", "stream": true, "temperature": 0.5,
        "messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}, {"role": "user", "content": "c"}],
        "max_completion_tokens": 500, "prompt_cache_key": "task-1",
    });
    assert_eq!(body(&conversation), expected);

    let mut thinking = model(Wire::Messages);
    thinking.reasoning_effort = Some("low".to_owned());
    let body = body(&Conversation::new(&thinking, "x", &[]));
    assert_eq!((&body["thinking"], &body["output_config"]), (&json!({"type": "adaptive"}), &json!({"effort": "low"})));
}

#[test]
fn a_reply_of_the_same_wire_goes_back_byte_for_byte() {
    for (wire, raw) in [
        (Wire::Responses, r#"{"type":"reasoning","summary":[],"encrypted_content":"x=="}"#),
        (Wire::Chat, r#"{"role":"assistant","content":null,"zeta":1,"alpha":1.0e3}"#),
        (Wire::Messages, r#"{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s"}]}"#),
    ] {
        let mut conversation = Conversation::new(&model(wire), "x", &[]);
        conversation.push(&user("a"));
        let (text, reasoning) = ("ignored".to_owned(), String::new());
        let raw_items = vec![raw.to_owned()];
        conversation.push(&Item::Reply(Reply {
            wire,
            raw: raw_items,
            text,
            reasoning,
            calls: vec![],
            cut: false,
            model: String::new(),
            model_id: String::new(),
        }));
        conversation.push(&user("b"));
        let body = String::from_utf8(conversation.body("", 1)).expect("text");
        assert!(body.contains(raw) && !body.contains("ignored"), "{body}");
    }
}

/// Takes Anthropic's markers out of a body, wherever they stand outside of texts.
fn without_markers(body: &[u8]) -> String {
    String::from_utf8(body.to_vec()).expect("text").replace(r#","cache_control":{"type":"ephemeral"}"#, "")
}

/// Turns of user texts, replies with calls, and all of their results.
fn any_items() -> impl Strategy<Value = Vec<Item>> {
    let turn = (any_text(), any::<bool>(), any_reply(0), proptest::collection::vec(any_text(), 3), any::<bool>());
    proptest::collection::vec(turn, 1..6).prop_map(|turns| {
        let mut items = Vec::new();
        for (at, (text, server, mut reply, outputs, more)) in turns.into_iter().enumerate() {
            items.push(if server { developer(&text) } else { user(&text) });
            if more {
                items.push(user("more"));
            }
            for (index, call) in reply.calls.iter_mut().enumerate() {
                call.call = CallId::new(at as u32 + 1, index);
            }
            let calls = reply.calls.clone();
            items.push(Item::Reply(reply));
            items.extend(calls.iter().zip(&outputs).map(|(call, output)| result(&call.call, output)));
        }
        items.push(user("last"));
        items
    })
}

proptest! {
    #[test]
    fn each_request_is_a_prefix_of_the_next(wire in any_wire(), items in any_items(), system: bool) {
        let mut model = model(wire);
        model.developer_role = system.then_some(DeveloperRole::System);
        let mut conversation = Conversation::new(&model, "Be \"brief\".", &[tool("shell"), tool("edit")]);
        let mut earlier = conversation.prefix();
        for (at, item) in items.iter().enumerate() {
            conversation.push(item);
            let prefix = conversation.prefix();
            prop_assert!(prefix.starts_with(&earlier), "item {} rewrote the prefix", at);
            let body = conversation.body("k", 7);
            prop_assert!(serde_json::from_slice::<Value>(&body).is_ok());
            let (sent, promised) = (without_markers(&body), without_markers(&prefix));
            prop_assert!(sent.starts_with(&promised), "{} is not a prefix of {}", promised, sent);
            prop_assert!(sent.len() - promised.len() < 100);
            earlier = prefix;
        }
        let mut again = Conversation::new(&model, "Be \"brief\".", &[tool("shell"), tool("edit")]);
        for item in &items {
            again.push(item);
        }
        prop_assert_eq!(again.body("k", 7), conversation.body("k", 7));
        prop_assert_eq!(again.len(), items.len());
    }
}

#[tokio::test]
async fn whatever_the_items_a_strict_server_takes_the_request() {
    let server = Scripted::play(json!({"rules": [{"reply": {"text": "yes"}}]})).await;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..60 {
        let items: Vec<Item> = any_items().new_tree(&mut runner).expect("items").current();
        for wire in WIRES {
            let model = server.model(wire);
            let mut conversation = Conversation::new(&model, "Be brief.", &[tool("shell")]);
            for item in &items {
                match item {
                    Item::Reply(reply) => conversation.push_neutral(reply),
                    other => conversation.push(other),
                }
            }
            let outcome = super::ask(&model, &conversation).await.0;
            assert!(outcome.is_ok(), "{outcome:?} for {}", String::from_utf8_lossy(&conversation.body("k", 7)));
        }
    }
}
