//! Anthropic Messages.

use super::{Frames, Said, SaidCall, named, pieces};
use crate::domain::usage::TokenUsage;
use serde_json::{Value, json};

/// The seal of a scripted thought.
const SIGNATURE: &str = "c2NyaXB0ZWQ=";

pub(super) fn stream(said: &Said) -> Frames {
    let mut frames = Frames::new();
    let mut event = |kind: &str, mut value: Value| {
        value["type"] = json!(kind);
        frames.push(named(kind, &value));
    };
    let mut start = envelope(said);
    start["usage"] = said.usage.map_or(json!({"input_tokens": 0, "output_tokens": 0}), |usage| {
        let mut counts = counts(usage);
        counts["output_tokens"] = json!(1);
        counts
    });
    event("message_start", json!({"message": start}));
    let mut at = 0;
    let mut block = |begun: Value, deltas: &mut dyn Iterator<Item = Value>| {
        event("content_block_start", json!({"index": at, "content_block": begun}));
        for delta in deltas {
            event("content_block_delta", json!({"index": at, "delta": delta}));
        }
        event("content_block_stop", json!({"index": at}));
        at += 1;
    };
    let chars = said.piece_chars;
    if !said.reasoning.is_empty() {
        let thought = pieces(&said.reasoning, chars).map(|p| json!({"type": "thinking_delta", "thinking": p}));
        let sealed = std::iter::once(json!({"type": "signature_delta", "signature": SIGNATURE}));
        block(json!({"type": "thinking", "thinking": "", "signature": ""}), &mut thought.chain(sealed));
    }
    if !said.text.is_empty() {
        let mut deltas = pieces(&said.text, chars).map(|piece| json!({"type": "text_delta", "text": piece}));
        block(json!({"type": "text", "text": ""}), &mut deltas);
    }
    for SaidCall { id, tool, arguments } in &said.calls {
        let mut deltas = pieces(arguments, chars).map(|p| json!({"type": "input_json_delta", "partial_json": p}));
        block(json!({"type": "tool_use", "id": id, "name": tool, "input": {}}), &mut deltas);
    }
    let usage = said.usage.map_or(json!({}), |usage| json!({"output_tokens": usage.output_tokens}));
    let delta = json!({"stop_reason": stop_reason(said), "stop_sequence": null});
    event("message_delta", json!({"delta": delta, "usage": usage}));
    event("message_stop", json!({}));
    frames
}

pub(super) fn whole(said: &Said) -> Value {
    let mut content = Vec::new();
    if !said.reasoning.is_empty() {
        content.push(json!({"type": "thinking", "thinking": said.reasoning, "signature": SIGNATURE}));
    }
    if !said.text.is_empty() {
        content.push(json!({"type": "text", "text": said.text}));
    }
    for SaidCall { id, tool, arguments } in &said.calls {
        let input: Value = serde_json::from_str(arguments).unwrap_or_else(|_| json!({}));
        content.push(json!({"type": "tool_use", "id": id, "name": tool, "input": input}));
    }
    let mut message = envelope(said);
    message["content"] = json!(content);
    message["stop_reason"] = json!(stop_reason(said));
    message["usage"] = said.usage.map_or(json!({}), counts);
    message
}

fn envelope(said: &Said) -> Value {
    json!({
        "id": format!("msg_{}", said.id),
        "type": "message",
        "role": "assistant",
        "model": said.model,
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
    })
}

fn stop_reason(said: &Said) -> &'static str {
    match (said.cut, said.calls.is_empty()) {
        (true, _) => "max_tokens",
        (false, false) => "tool_use",
        (false, true) => "end_turn",
    }
}

/// Here `input_tokens` are those that were not read from the cache.
fn counts(usage: TokenUsage) -> Value {
    json!({
        "input_tokens": usage.input_tokens.saturating_sub(usage.cached_input_tokens),
        "cache_read_input_tokens": usage.cached_input_tokens,
        "cache_creation_input_tokens": 0,
        "output_tokens": usage.output_tokens,
    })
}
