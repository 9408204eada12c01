//! Live pieces for who watches now: coalesced, best effort, never stored.

use crate::{
    domain::{CallId, TaskId},
    events::Hub,
    secrets::{Redactor, Streamed},
};
use serde_json::json;
use std::time::{Duration, Instant};

/// Pieces closer together than this go out as one.
const EVERY: Duration = Duration::from_millis(100);
/// A piece is sent at once when it has grown to this.
const PIECE_BYTES_MAX: usize = 8 << 10;

/// Gathers pieces of one text. What is left is sent when it is dropped.
pub(super) struct Pieces {
    hub: Hub,
    task: TaskId,
    call: Option<CallId>,
    text: Streamed,
    sent: Option<Instant>,
}

impl Pieces {
    /// Of a model's reply.
    pub(super) fn of_message(hub: &Hub, redactor: &Redactor, task: TaskId) -> Self {
        Self { hub: hub.clone(), task, call: None, text: Streamed::new(redactor), sent: None }
    }

    /// Of a call's output.
    pub(super) fn of_call(hub: &Hub, redactor: &Redactor, task: TaskId, call: CallId) -> Self {
        let mut pieces = Self::of_message(hub, redactor, task);
        pieces.call = Some(call);
        pieces
    }

    pub(super) fn push(&mut self, piece: &[u8], now: Instant) {
        // Also where nobody watches yet: who comes in the midst of a secret does not see the rest of it.
        self.text.push(piece);
        let full = self.text.held_bytes() >= PIECE_BYTES_MAX;
        if full || self.sent.is_none_or(|at| now.duration_since(at) >= EVERY) {
            self.sent = Some(now);
            let text = self.text.ready();
            self.send(&text);
        }
    }

    /// What was shown of this text is void.
    pub(super) fn reset(&mut self) {
        self.text.clear();
        self.hub.live(self.task, "message.reset", &json!({}));
    }

    fn send(&self, text: &str) {
        if text.is_empty() || !self.hub.is_watched(self.task) {
            return;
        }
        match &self.call {
            Some(call) => self.hub.live(self.task, "tool.output", &json!({ "call": call, "text": text })),
            None => self.hub.live(self.task, "message.delta", &json!({ "text": text })),
        }
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        let text = self.text.rest();
        self.send(&text);
    }
}
