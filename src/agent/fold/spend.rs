//! What a session has spent: at once where usage is reported, at what was reserved where it never comes.

use crate::{
    agent::session::{Reserved, Session},
    domain::{
        Private,
        event::{AsideOutcome, CacheUse},
        memory::{EmbeddingOutcome, EmbeddingUse},
        usage::TokenUsage,
    },
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
    lose_aside(session);
    session.reserved = Reserved { tokens: *tokens, cost_usd: *cost_usd };
}

/// No usage will come any more of the call that is under way.
pub(super) fn lose_call(session: &mut Session) {
    if std::mem::take(&mut session.calling) {
        unreported(session, session.reserved);
    }
}

/// A call outside the loop begins.
pub(super) fn aside_started(session: &mut Session, private: Option<&Private>) {
    lose_aside(session);
    session.tells_asides = true;
    session.used.model_calls += 1;
    session.usage.model_calls += 1;
    if let Some(Private::Reserved { tokens, cost_usd, .. }) = private {
        session.aside = Some(Reserved { tokens: *tokens, cost_usd: *cost_usd });
    }
}

/// It has ended: nothing more of it is under way.
pub(super) fn aside_completed(session: &mut Session, outcome: AsideOutcome, usage: TokenUsage, cost_usd: Option<f64>) {
    match outcome {
        AsideOutcome::Answered => {
            session.aside = None;
            spend(session, usage, cost_usd);
        }
        AsideOutcome::Refused => session.aside = None,
        AsideOutcome::Uncounted | AsideOutcome::Lost => lose_aside(session),
    }
}

/// No usage will come any more of the call outside the loop that is under way.
pub(super) fn lose_aside(session: &mut Session) {
    if let Some(reserved) = session.aside.take() {
        unreported(session, reserved);
    }
}

/// What came of a call outside the loop in a log of an earlier build, which tells of it with nothing else.
pub(super) fn told_with_outcome(session: &mut Session, calls: u32, usage: TokenUsage, cost_usd: Option<f64>) {
    if calls > 0 && !session.tells_asides {
        session.used.model_calls += calls;
        session.usage.model_calls += calls;
        spend(session, usage, cost_usd);
    }
}

pub(super) fn unreported(session: &mut Session, reserved: Reserved) {
    let Reserved { tokens, cost_usd } = reserved;
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

/// The vector of a recall's request: spent, though no model was called for it.
pub(super) fn embedded(session: &mut Session, embeddings: Option<&EmbeddingUse>) {
    if let Some(of) = embeddings.filter(|of| of.outcome == EmbeddingOutcome::Used) {
        spend(session, of.usage, of.cost_usd);
    }
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
    // A cap holds for what has a price, whatever was used beside it; what is shown is the whole cost or none.
    if !session.unpriced || session.loop_version() >= 2 {
        session.used.cost_usd += cost_usd.unwrap_or_default();
    }
    match cost_usd {
        Some(cost) if !session.unpriced => {
            session.usage.cost_usd = Some(session.usage.cost_usd.unwrap_or(0.0) + cost);
        }
        _ => {
            session.unpriced = true;
            session.usage.cost_usd = None;
        }
    }
}
