//! Replies in the form of each wire: as the events of a stream, or as one JSON text.

mod chat;
mod messages;
mod responses;

use super::request::Request;
use crate::domain::{item::Wire, usage::TokenUsage};
use serde_json::{Value, json};

/// A reply with all that its form needs.
#[derive(Clone, Debug)]
pub(super) struct Said {
    /// Made from the request, so that the same request gets the same answer.
    pub(super) id: String,
    pub(super) model: String,
    pub(super) text: String,
    pub(super) reasoning: String,
    pub(super) calls: Vec<SaidCall>,
    pub(super) cut: bool,
    /// Absent: not reported.
    pub(super) usage: Option<TokenUsage>,
    /// Characters in one event.
    pub(super) piece_chars: usize,
}

#[derive(Clone, Debug)]
pub(super) struct SaidCall {
    pub(super) id: String,
    pub(super) tool: String,
    pub(super) arguments: String,
}

/// One event of a stream, as its bytes.
pub(super) type Frames = Vec<String>;

/// The events of a stream. The completion mark is the last, or on Chat the last two and counts.
pub(super) fn stream(said: &Said, request: &Request) -> Frames {
    match request.wire {
        Wire::Responses => responses::stream(said, request),
        Wire::Chat => chat::stream(said, request),
        Wire::Messages => messages::stream(said),
    }
}

/// How many events at the end of a stream are its completion mark or mean it.
pub(super) fn mark_events(said: &Said, request: &Request) -> usize {
    match request.wire {
        Wire::Responses | Wire::Messages => 1,
        Wire::Chat => 2 + usize::from(request.include_usage && said.usage.is_some()),
    }
}

/// The whole reply as one JSON text.
pub(super) fn whole(said: &Said, request: &Request) -> String {
    match request.wire {
        Wire::Responses => responses::whole(said, request),
        Wire::Chat => chat::whole(said),
        Wire::Messages => messages::whole(said),
    }
    .to_string()
}

/// An error's body.
pub(super) fn error(wire: Wire, kind: &str, code: &str, message: &str) -> Value {
    match wire {
        Wire::Messages => json!({"type": "error", "error": {"type": kind, "message": message}}),
        _ => json!({"error": {"message": message, "type": kind, "param": null, "code": code}}),
    }
}

/// An error as an event of a stream.
pub(super) fn error_event(wire: Wire, kind: &str, code: &str, message: &str) -> String {
    match wire {
        Wire::Responses => named(
            "error",
            &json!({"type": "error", "code": code, "message": message, "param": null, "sequence_number": 0}),
        ),
        Wire::Chat => data(&error(wire, kind, code, message)),
        Wire::Messages => named("error", &error(wire, kind, code, message)),
    }
}

fn data(value: &Value) -> String {
    format!("data: {value}\n\n")
}

fn named(event: &str, value: &Value) -> String {
    format!("event: {event}\ndata: {value}\n\n")
}

/// `text` in pieces of `chars` characters.
fn pieces(text: &str, chars: usize) -> impl Iterator<Item = &str> {
    let chars = chars.max(1);
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.char_indices().nth(chars).map_or(rest.len(), |(at, _)| at);
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}
