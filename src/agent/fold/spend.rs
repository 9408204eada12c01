//! What a session has spent: at once where usage is reported, at what was reserved where it never comes.

use crate::{
    agent::session::{Reserved, Session},
    domain::{Private, event::CacheUse, usage::TokenUsage},
};

/// A call begins; one that was begun before and never answered counts at what was reserved for it, unless it was
/// never sent.
pub(super) fn reserve(session: &mut Session, private: Option<&Private>) {
    let Some(Private::Reserved { tokens, cost_usd, instead }) = private else {
        session.reserved = Reserved::default();
        return;
    };
    if *instead && session.calling {
        session.calling = false;
        session.used.model_calls = session.used.model_calls.saturating_sub(1);
        session.usage.model_calls = session.usage.model_calls.saturating_sub(1);
    }
    lose_call(session);
    session.reserved = Reserved { tokens: *tokens, cost_usd: *cost_usd };
}

/// No usage will come any more of the call that is under way.
pub(super) fn lose_call(session: &mut Session) {
    if std::mem::take(&mut session.calling) {
        unreported(session);
    }
}

pub(super) fn unreported(session: &mut Session) {
    let Reserved { tokens, cost_usd } = session.reserved;
    if tokens == 0 {
        return;
    }
    session.used.tokens += tokens;
    session.used.cost_usd += cost_usd.unwrap_or_default();
    session.spent_usd += cost_usd.unwrap_or_default();
    let sums = &mut session.usage.unreported;
    sums.calls += 1;
    sums.tokens += tokens;
    sums.cost_usd += cost_usd.unwrap_or_default();
}

pub(super) fn cached(session: &mut Session, cache: &CacheUse) {
    let sums = &mut session.usage.cache;
    sums.expected_tokens += cache.expected_tokens;
    sums.read_tokens += cache.read_tokens;
    sums.wasted_usd = session.usage.cost_usd.map(|_| sums.wasted_usd.unwrap_or(0.0) + cache.wasted_usd.unwrap_or(0.0));
}

pub(super) fn spend(session: &mut Session, usage: TokenUsage, cost_usd: Option<f64>) {
    session.usage.input_tokens += usage.input_tokens;
    session.usage.cached_input_tokens += usage.cached_input_tokens;
    session.usage.output_tokens += usage.output_tokens;
    session.used.tokens += usage.total();
    session.spent_usd += cost_usd.unwrap_or_default();
    match cost_usd {
        Some(cost) if !session.unpriced => {
            session.used.cost_usd += cost;
            session.usage.cost_usd = Some(session.usage.cost_usd.unwrap_or(0.0) + cost);
        }
        _ => {
            session.unpriced = true;
            session.usage.cost_usd = None;
        }
    }
}
