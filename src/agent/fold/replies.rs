//! Model calls that begin, and replies that end them.

use super::spend::{spend, unreported};
use crate::{
    agent::{
        cited, compact,
        session::{LastWords, PendingCall, Session},
        weight::Size,
    },
    domain::{Item, item::Reply, tool::ToolCall, usage::TokenUsage},
};

pub(super) fn model_started(session: &mut Session, absorbed: &[i64]) {
    if !session.opened {
        session.opened = true;
        for item in crate::agent::prompt::opening(session) {
            session.push_item(item);
        }
    }
    for seq in absorbed {
        if let Some(input) = session.inputs.remove(seq) {
            if let Item::User { text } = &input.item {
                session.ledger.said(text);
            }
            session.push_item(input.item);
        }
    }
    session.calling = true;
    session.weight.sends(Size::of_ascii(session.head_bytes()));
    session.used.progress.running = false;
    session.checked = None;
    session.last_words = None;
    session.used.model_calls += 1;
    session.usage.model_calls += 1;
}

fn has_shrunk(session: &mut Session, tokens: u64) {
    if compact::helped(tokens, session.compacted_at) {
        session.compactions_in_row = 0;
    }
}

/// A reply with its usage and cost; without them where its provider reports none: then the call counts at what was
/// reserved for it, and nothing is learnt of how dense the prompt is.
pub(super) fn model_completed(session: &mut Session, reply: &Reply, counted: Option<(TokenUsage, Option<f64>)>) {
    session.calling = false;
    session.turn += 1;
    session.usage.turns += 1;
    let item = Item::Reply(reply.clone());
    if let Some((usage, cost_usd)) = counted {
        spend(session, usage, cost_usd);
        session.context_tokens = usage.total();
        session.added_bytes = 0;
        session.weight.counts(usage.input_tokens, usage.total());
        has_shrunk(session, usage.total());
        // Its size is in the usage.
        session.items.push(item);
    } else {
        unreported(session, session.reserved);
        session.push_item(item);
        has_shrunk(session, session.context_estimate());
    }
    // Processes that commands have left may have written meanwhile.
    session.dirty |= session.acted && session.loop_version() >= 2;
    session.ledger.replied();
    session.asked.clear();
    session.approver_asked.clear();
    let pending = |call: &ToolCall| PendingCall {
        call: call.clone(),
        started: false,
        started_at: None,
        completed: false,
        interrupted: false,
        cut: false,
    };
    session.calls = reply.calls.iter().map(pending).collect();
    let cut = reply.cut && session.loop_version() >= 2;
    if let Some(last) = session.calls.last_mut() {
        last.cut = cut;
    }
    if !reply.text.trim().is_empty() {
        session.last_said.clone_from(&reply.text);
        cited::note(session, &reply.text);
    }
    if reply.calls.is_empty() {
        let idle = reply.cut || reply.text.trim().is_empty();
        session.used.nudges = if idle { session.used.nudges + 1 } else { 0 };
        session.used.idle_words += 1;
        session.last_words = Some(LastWords { text: reply.text.clone(), cut: reply.cut });
    } else {
        session.used.nudges = 0;
        session.used.idle_words = 0;
    }
}
