//! Chat Completions.

use super::{Frames, Said, SaidCall, data, pieces};
use crate::scripted::request::Request;
use serde_json::{Value, json};

pub(super) fn stream(said: &Said, request: &Request) -> Frames {
    let mut frames = Frames::new();
    let mut chunk = |delta: Value, finish: Value| {
        let mut value = envelope(said, "chat.completion.chunk");
        value["choices"] = json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
        frames.push(data(&value));
    };
    chunk(json!({"role": "assistant", "content": ""}), Value::Null);
    for piece in pieces(&said.reasoning, said.piece_chars) {
        chunk(json!({"reasoning_content": piece}), Value::Null);
    }
    for piece in pieces(&said.text, said.piece_chars) {
        chunk(json!({"content": piece}), Value::Null);
    }
    for (at, SaidCall { id, tool, arguments }) in said.calls.iter().enumerate() {
        let begun = json!({"index": at, "id": id, "type": "function", "function": {"name": tool, "arguments": ""}});
        chunk(json!({"tool_calls": [begun]}), Value::Null);
        for piece in pieces(arguments, said.piece_chars) {
            chunk(json!({"tool_calls": [{"index": at, "function": {"arguments": piece}}]}), Value::Null);
        }
    }
    chunk(json!({}), json!(finish_reason(said)));
    if let Some(usage) = usage(said).filter(|_| request.include_usage) {
        let mut value = envelope(said, "chat.completion.chunk");
        value["choices"] = json!([]);
        value["usage"] = usage;
        frames.push(data(&value));
    }
    frames.push("data: [DONE]\n\n".to_owned());
    frames
}

pub(super) fn whole(said: &Said) -> Value {
    let mut message = json!({"role": "assistant", "content": said.text});
    if !said.reasoning.is_empty() {
        message["reasoning_content"] = json!(said.reasoning);
    }
    if !said.calls.is_empty() {
        let call = |SaidCall { id, tool, arguments }: &SaidCall| json!({"id": id, "type": "function", "function": {"name": tool, "arguments": arguments}});
        message["tool_calls"] = said.calls.iter().map(call).collect();
    }
    let mut value = envelope(said, "chat.completion");
    value["choices"] = json!([{"index": 0, "message": message, "finish_reason": finish_reason(said)}]);
    if let Some(usage) = usage(said) {
        value["usage"] = usage;
    }
    value
}

fn envelope(said: &Said, object: &str) -> Value {
    json!({"id": format!("chatcmpl-{}", said.id), "object": object, "created": 0, "model": said.model})
}

fn finish_reason(said: &Said) -> &'static str {
    match (said.cut, said.calls.is_empty()) {
        (true, _) => "length",
        (false, false) => "tool_calls",
        (false, true) => "stop",
    }
}

fn usage(said: &Said) -> Option<Value> {
    said.usage.map(|usage| {
        json!({
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.total(),
            "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
        })
    })
}
