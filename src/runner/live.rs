//! Live pieces for who watches now: coalesced, best effort, never stored.

use crate::{
    domain::{CallId, TaskId},
    events::Hub,
    secrets::Redactor,
};
use serde_json::json;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Pieces closer together than this go out as one.
const EVERY: Duration = Duration::from_millis(100);
/// A piece is sent at once when it has grown to this.
const PIECE_BYTES_MAX: usize = 8 << 10;

/// Gathers pieces of one text. What is left is sent when it is dropped.
pub(super) struct Pieces {
    hub: Hub,
    redactor: Arc<Redactor>,
    task: TaskId,
    call: Option<CallId>,
    text: String,
    sent: Option<Instant>,
}

impl Pieces {
    /// Of a model's reply.
    pub(super) fn of_message(hub: &Hub, redactor: &Arc<Redactor>, task: TaskId) -> Self {
        Self { hub: hub.clone(), redactor: Arc::clone(redactor), task, call: None, text: String::new(), sent: None }
    }

    /// Of a call's output.
    pub(super) fn of_call(hub: &Hub, redactor: &Arc<Redactor>, task: TaskId, call: CallId) -> Self {
        let mut pieces = Self::of_message(hub, redactor, task);
        pieces.call = Some(call);
        pieces
    }

    pub(super) fn push(&mut self, piece: &str, now: Instant) {
        if !self.hub.is_watched(self.task) {
            return;
        }
        self.text.push_str(piece);
        if self.text.len() >= PIECE_BYTES_MAX || self.sent.is_none_or(|at| now.duration_since(at) >= EVERY) {
            self.sent = Some(now);
            self.flush();
        }
    }

    /// What was shown of this text is void.
    pub(super) fn reset(&mut self) {
        self.text.clear();
        self.hub.live(self.task, "message.reset", &json!({}));
    }

    pub(super) fn flush(&mut self) {
        if self.text.is_empty() {
            return;
        }
        let text = self.redactor.redact(&std::mem::take(&mut self.text)).into_owned();
        match &self.call {
            Some(call) => self.hub.live(self.task, "tool.output", &json!({ "call": call, "text": text })),
            None => self.hub.live(self.task, "message.delta", &json!({ "text": text })),
        }
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.flush();
    }
}
