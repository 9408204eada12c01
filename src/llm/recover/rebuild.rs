//! A reply whose calls were text, as if its wire had brought them: the results that follow are
//! then accepted, and the model's template writes its calls in the form that it was taught.

use super::Offered;
use crate::{
    domain::{
        CallId,
        item::{Reply, Wire},
        tool::ToolCall,
    },
    llm::{encode, fields::Fields},
};

/// Takes the calls out of the text of `reply`, the answer to model call number `turn`. Answers
/// whether there were any. A reply with calls of its own, or one that was cut, stays as it is.
pub(in crate::llm) fn apply(reply: &mut Reply, offered: &Offered, turn: u32) -> bool {
    if !reply.calls.is_empty() || reply.cut {
        return false;
    }
    // Some servers take all for a thought that stands before a mark which the model forgot.
    let said_nothing = reply.text.trim().is_empty();
    let source = if said_nothing { &reply.reasoning } else { &reply.text };
    let Some(found) = super::calls(source, offered) else { return false };
    let said = if said_nothing { String::new() } else { reply.text[..found.at].trim_end().to_owned() };
    let calls: Vec<ToolCall> = found
        .calls
        .into_iter()
        .enumerate()
        .map(|(index, (tool, arguments))| ToolCall { call: CallId::new(turn, index), tool, arguments })
        .collect();
    reply.raw = match reply.wire {
        Wire::Chat => chat(reply, &said, &calls),
        Wire::Messages => messages(reply, &said, &calls),
        Wire::Responses => responses(reply, &said, &calls),
    };
    reply.text = said;
    reply.calls = calls;
    true
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The message with its vendor's own fields, such as its reasoning.
fn chat(reply: &Reply, said: &str, calls: &[ToolCall]) -> Vec<String> {
    let mut extras: Fields = reply.raw.first().and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_default();
    for made_here in ["role", "content", "tool_calls"] {
        extras.remove(made_here);
    }
    vec![text(&encode::chat::assistant(said, calls, &extras, &[]))]
}

/// Thoughts and other blocks first, as they were; then what was said, then the calls.
fn messages(reply: &Reply, said: &str, calls: &[ToolCall]) -> Vec<String> {
    let message: Option<Fields> = reply.raw.first().and_then(|raw| serde_json::from_str(raw).ok());
    let content: Vec<Fields> = message.and_then(|message| message.get("content")).unwrap_or_default();
    let mut blocks = Vec::new();
    for block in content.iter().filter(|block| block.text("type").as_deref() != Some("text")) {
        let mut out = Vec::new();
        encode::json(&mut out, block);
        blocks.push(out);
    }
    if !said.trim().is_empty() {
        let mut out = Vec::new();
        encode::messages::text(&mut out, "", said);
        blocks.push(out);
    }
    for call in calls {
        let mut out = Vec::new();
        encode::messages::call(&mut out, call);
        blocks.push(out);
    }
    encode::messages::assistant(&blocks).map(|message| text(&message)).into_iter().collect()
}

/// All items but messages as they were; then what was said, then the calls.
fn responses(reply: &Reply, said: &str, calls: &[ToolCall]) -> Vec<String> {
    let is_message = |raw: &String| {
        serde_json::from_str::<Fields>(raw).is_ok_and(|item| item.text("type").as_deref() == Some("message"))
    };
    let mut raw: Vec<String> = reply.raw.iter().filter(|raw| !is_message(raw)).cloned().collect();
    if !said.is_empty() {
        let spoken = Reply { text: said.to_owned(), calls: Vec::new(), raw: Vec::new(), ..reply.clone() };
        let mut out = Vec::new();
        encode::responses::reply(&mut out, &spoken);
        raw.push(text(&out));
    }
    for call in calls {
        let mut out = Vec::new();
        encode::responses::call(&mut out, call);
        raw.push(text(&out));
    }
    raw
}
