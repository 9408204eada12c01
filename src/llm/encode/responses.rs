//! OpenAI Responses: <https://platform.openai.com/docs/api-reference/responses>.

use super::json;
use crate::domain::{item::Reply, tool::ToolCall, tool::ToolSpec};

pub(in crate::llm) fn tool(out: &mut Vec<u8>, spec: &ToolSpec) {
    out.extend_from_slice(br#"{"type":"function","name":"#);
    json(out, &spec.name);
    out.extend_from_slice(br#","description":"#);
    json(out, &spec.description);
    out.extend_from_slice(br#","parameters":"#);
    out.extend_from_slice(super::schema(&spec.parameters).as_bytes());
    out.extend_from_slice(br#","strict":false}"#);
}

/// A message that the server adds; `role` is `user`, `developer` or `system`.
pub(in crate::llm) fn message(out: &mut Vec<u8>, role: &str, mark: &str, text: &str) {
    out.extend_from_slice(br#"{"type":"message","role":"#);
    json(out, role);
    out.extend_from_slice(br#","content":[{"type":"input_text","text":""#);
    super::json_inside(out, mark);
    super::json_inside(out, text);
    out.extend_from_slice(br#""}]}"#);
}

/// The items of a reply of another wire; none where it said nothing.
pub(in crate::llm) fn reply(out: &mut Vec<u8>, reply: &Reply) {
    let start = out.len();
    if !reply.text.is_empty() {
        out.extend_from_slice(br#"{"type":"message","role":"assistant","content":[{"type":"output_text","text":"#);
        json(out, &reply.text);
        out.extend_from_slice(b"}]}");
    }
    for call in &reply.calls {
        if out.len() > start {
            out.push(b',');
        }
        self::call(out, call);
    }
}

pub(in crate::llm) fn call(out: &mut Vec<u8>, call: &ToolCall) {
    out.extend_from_slice(br#"{"type":"function_call","call_id":"#);
    json(out, call.call.as_str());
    out.extend_from_slice(br#","name":"#);
    json(out, &call.tool);
    out.extend_from_slice(br#","arguments":"#);
    json(out, &super::arguments(&call.arguments));
    out.push(b'}');
}

pub(in crate::llm) fn result(out: &mut Vec<u8>, call: &str, output: &str) {
    out.extend_from_slice(br#"{"type":"function_call_output","call_id":"#);
    json(out, call);
    out.extend_from_slice(br#","output":"#);
    json(out, output);
    out.push(b'}');
}
