//! OpenAI Responses.

use super::{Frames, Said, SaidCall, named, pieces};
use crate::scripted::request::Request;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

pub(super) fn stream(said: &Said, request: &Request) -> Frames {
    let mut frames = Frames::new();
    let mut number = 0;
    let mut event = |kind: &str, mut value: Value| {
        value["type"] = json!(kind);
        value["sequence_number"] = json!(number);
        number += 1;
        frames.push(named(kind, &value));
    };
    event("response.created", json!({"response": response(said, "in_progress", &[])}));
    let items = items(said, request);
    for (at, item) in items.iter().enumerate() {
        let mut begun = item.clone();
        begun["status"] = json!("in_progress");
        match item["type"].as_str() {
            Some("reasoning") => {
                begun["summary"] = json!([]);
                event("response.output_item.added", json!({"output_index": at, "item": begun}));
                for piece in pieces(&said.reasoning, said.piece_chars) {
                    let delta = json!({"item_id": item["id"], "output_index": at, "summary_index": 0, "delta": piece});
                    event("response.reasoning_summary_text.delta", delta);
                }
            }
            Some("message") => {
                begun["content"] = json!([]);
                event("response.output_item.added", json!({"output_index": at, "item": begun}));
                for piece in pieces(&said.text, said.piece_chars) {
                    let delta = json!({"item_id": item["id"], "output_index": at, "content_index": 0, "delta": piece});
                    event("response.output_text.delta", delta);
                }
            }
            _ => {
                begun["arguments"] = json!("");
                event("response.output_item.added", json!({"output_index": at, "item": begun}));
                for piece in pieces(item["arguments"].as_str().unwrap_or_default(), said.piece_chars) {
                    let delta = json!({"item_id": item["id"], "output_index": at, "delta": piece});
                    event("response.function_call_arguments.delta", delta);
                }
            }
        }
        event("response.output_item.done", json!({"output_index": at, "item": item}));
    }
    let kind = if said.cut { "response.incomplete" } else { "response.completed" };
    event(kind, json!({"response": response(said, status(said), &items)}));
    frames
}

pub(super) fn whole(said: &Said, request: &Request) -> Value {
    response(said, status(said), &items(said, request))
}

fn status(said: &Said) -> &'static str {
    if said.cut { "incomplete" } else { "completed" }
}

fn response(said: &Said, status: &str, items: &[Value]) -> Value {
    let usage = said.usage.filter(|_| status != "in_progress").map(|usage| {
        json!({
            "input_tokens": usage.input_tokens,
            "input_tokens_details": {"cached_tokens": usage.cached_input_tokens},
            "output_tokens": usage.output_tokens,
            "output_tokens_details": {"reasoning_tokens": said.reasoning.len() / 4},
            "total_tokens": usage.total(),
        })
    });
    json!({
        "id": format!("resp_{}", said.id),
        "object": "response",
        "created_at": 0,
        "status": status,
        "error": null,
        "incomplete_details": if status == "incomplete" { json!({"reason": "max_output_tokens"}) } else { Value::Null },
        "model": said.model,
        "output": items,
        "parallel_tool_calls": true,
        "store": false,
        "usage": usage,
    })
}

fn items(said: &Said, request: &Request) -> Vec<Value> {
    let mut items = Vec::new();
    if !said.reasoning.is_empty() {
        let mut item = json!({
            "id": format!("rs_{}", said.id),
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": said.reasoning}],
        });
        if request.include_sealed {
            item["encrypted_content"] = json!(BASE64_STANDARD.encode(format!("scripted {}", said.reasoning)));
        }
        items.push(item);
    }
    if !said.text.is_empty() {
        items.push(json!({
            "id": format!("msg_{}", said.id),
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "annotations": [], "text": said.text}],
        }));
    }
    for (at, SaidCall { id, tool, arguments }) in said.calls.iter().enumerate() {
        items.push(json!({
            "id": format!("fc_{}_{at}", said.id),
            "type": "function_call",
            "status": "completed",
            "call_id": id,
            "name": tool,
            "arguments": arguments,
        }));
    }
    items
}
