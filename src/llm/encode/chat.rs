//! OpenAI Chat Completions as its many servers take it:
//! <https://platform.openai.com/docs/api-reference/chat>.

use super::json;
use crate::{
    domain::{tool::ToolCall, tool::ToolSpec},
    llm::fields::Fields,
};

pub(in crate::llm) fn tool(out: &mut Vec<u8>, spec: &ToolSpec) {
    out.extend_from_slice(br#"{"type":"function","function":{"name":"#);
    json(out, &spec.name);
    out.extend_from_slice(br#","description":"#);
    json(out, &spec.description);
    out.extend_from_slice(br#","parameters":"#);
    out.extend_from_slice(super::schema(&spec.parameters).as_bytes());
    out.extend_from_slice(b"}}");
}

pub(in crate::llm) fn message(out: &mut Vec<u8>, role: &str, text: &str) {
    out.extend_from_slice(br#"{"role":"#);
    json(out, role);
    out.extend_from_slice(br#","content":"#);
    json(out, text);
    out.push(b'}');
}

/// One assistant message. `extras` are the vendor's own fields of the message (its reasoning),
/// `call_extras` those of each call; both go back as they came.
pub(in crate::llm) fn assistant(text: &str, calls: &[ToolCall], extras: &Fields, call_extras: &[Fields]) -> Vec<u8> {
    let mut out = br#"{"role":"assistant","content":"#.to_vec();
    if text.is_empty() {
        out.extend_from_slice(b"null");
    } else {
        json(&mut out, text);
    }
    fields(&mut out, extras);
    if !calls.is_empty() {
        out.extend_from_slice(br#","tool_calls":["#);
        for (index, call) in calls.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(br#"{"id":"#);
            json(&mut out, call.call.as_str());
            out.extend_from_slice(br#","type":"function","function":{"name":"#);
            json(&mut out, &call.tool);
            out.extend_from_slice(br#","arguments":"#);
            json(&mut out, &super::arguments(&call.arguments));
            out.push(b'}');
            if let Some(extras) = call_extras.get(index) {
                fields(&mut out, extras);
            }
            out.push(b'}');
        }
        out.push(b']');
    }
    out.push(b'}');
    out
}

fn fields(out: &mut Vec<u8>, extras: &Fields) {
    for (name, value) in extras.iter() {
        out.push(b',');
        json(out, name);
        out.push(b':');
        out.extend_from_slice(value.get().as_bytes());
    }
}

pub(in crate::llm) fn result(out: &mut Vec<u8>, call: &str, output: &str) {
    out.extend_from_slice(br#"{"role":"tool","tool_call_id":"#);
    json(out, call);
    out.extend_from_slice(br#","content":"#);
    json(out, output);
    out.push(b'}');
}
