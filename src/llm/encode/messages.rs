//! Anthropic Messages: <https://docs.anthropic.com/en/api/messages>.

use super::json;
use crate::domain::{tool::ToolCall, tool::ToolSpec};

/// What makes everything up to and including a block a cached prefix. Its place moves from
/// request to request and does not count as part of the prompt:
/// <https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching>.
pub(in crate::llm) const MARKER: &[u8] = br#","cache_control":{"type":"ephemeral"}"#;

pub(in crate::llm) fn tool(out: &mut Vec<u8>, spec: &ToolSpec) {
    out.extend_from_slice(br#"{"name":"#);
    json(out, &spec.name);
    out.extend_from_slice(br#","description":"#);
    json(out, &spec.description);
    out.extend_from_slice(br#","input_schema":"#);
    out.extend_from_slice(super::schema(&spec.parameters).as_bytes());
    out.push(b'}');
}

/// A text block. Blocks without a visible character are refused, so those say that they are empty.
pub(in crate::llm) fn text(out: &mut Vec<u8>, mark: &str, text: &str) {
    out.extend_from_slice(br#"{"type":"text","text":""#);
    super::json_inside(out, mark);
    super::json_inside(out, visible(text));
    out.extend_from_slice(br#""}"#);
}

pub(in crate::llm) fn result(out: &mut Vec<u8>, call: &str, output: &str) {
    out.extend_from_slice(br#"{"type":"tool_result","tool_use_id":"#);
    json(out, call);
    out.extend_from_slice(br#","content":"#);
    json(out, visible(output));
    out.push(b'}');
}

/// A call.
pub(in crate::llm) fn call(out: &mut Vec<u8>, call: &ToolCall) {
    out.extend_from_slice(br#"{"type":"tool_use","id":"#);
    json(out, call.call.as_str());
    out.extend_from_slice(br#","name":"#);
    json(out, &call.tool);
    out.extend_from_slice(br#","input":"#);
    out.extend_from_slice(super::arguments(&call.arguments).trim().as_bytes());
    out.push(b'}');
}

/// One assistant message of blocks that are JSON already; `None` where there are none, because a
/// message without content is refused.
pub(in crate::llm) fn assistant(blocks: &[Vec<u8>]) -> Option<Vec<u8>> {
    if blocks.is_empty() {
        return None;
    }
    let mut out = br#"{"role":"assistant","content":["#.to_vec();
    out.extend_from_slice(&blocks.join(&b','));
    out.extend_from_slice(b"]}");
    Some(out)
}

fn visible(text: &str) -> &str {
    if text.trim().is_empty() { "(empty)" } else { text }
}
