//! What a run may still spend, decided before it is spent.

use super::{
    prompt,
    session::{Reserved, Session},
    step::End,
};
use crate::domain::{ErrorCode, EventData, Timestamp, event::LimitKind, usage::Prices};
use std::time::Duration;

/// Below this a reply is of no use, and the call is not made.
pub(super) const OUTPUT_TOKENS_MIN: u64 = 64;

/// The part of a limit at which the model and whoever watches are told of it.
const WARN_AT: f64 = 0.8;

/// What the loop has to know of the task's model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ModelFacts {
    pub window_tokens: u64,
    pub max_output_tokens: u64,
    pub prices: Option<Prices>,
    /// The model that is named for reviews; absent: there are none.
    pub reviewer: Option<Reviewer>,
}

/// What the loop has to know of the reviewer's model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reviewer {
    pub window_tokens: u64,
    pub max_output_tokens: u64,
    pub prices: Option<Prices>,
}

/// The end for a run whose time is up.
pub(super) fn wall(session: &Session, now: Timestamp) -> Option<End> {
    let limit = session.spec.limits.wall_seconds;
    (session.ran(now) >= Duration::from_secs(u64::from(limit))).then(|| {
        End::failed(
            ErrorCode::LimitWallTime,
            format!("the run took longer than limits.wall_seconds ({limit}); resume it with a higher limit"),
        )
    })
}

/// The time that is left to a run.
pub fn wall_left(session: &Session, now: Timestamp) -> Duration {
    Duration::from_secs(u64::from(session.spec.limits.wall_seconds)).saturating_sub(session.ran(now))
}

/// What is to be said of limits that come near, once each in a run; empty where there is nothing.
pub(super) fn warnings(session: &Session, now: Timestamp) -> Vec<EventData> {
    let (limits, used) = (&session.spec.limits, &session.used);
    let all = [
        (LimitKind::Turns, f64::from(used.model_calls), f64::from(limits.turns)),
        (LimitKind::WallTime, session.ran(now).as_secs_f64().floor(), f64::from(limits.wall_seconds)),
        (LimitKind::Tokens, used.tokens as f64, limits.tokens as f64),
        (LimitKind::Cost, used.cost_usd, limits.cost_usd.unwrap_or(f64::INFINITY)),
    ];
    let near: Vec<_> = all
        .into_iter()
        .filter(|(limit, used, of)| *used >= of * WARN_AT && !session.used.warned.contains(limit))
        .collect();
    let mut events: Vec<EventData> = near
        .iter()
        .map(|&(limit, used, limit_value)| EventData::LimitWarned { limit, used, limit_value, of: None })
        .collect();
    if !events.is_empty() {
        events.push(EventData::MessageDeveloper { text: prompt::limits_near(&near) });
    }
    events
}

/// How many tokens the next reply may have, or the end where the next call would pass a limit.
/// The prompt is taken to be what the last call had, in and out, and what was added since at its dearest.
pub(super) fn next_call(session: &Session, model: &ModelFacts) -> Result<u64, End> {
    let limits = &session.spec.limits;
    let used = &session.used;
    if used.model_calls >= limits.turns {
        let text = format!("the run made {} model calls (limits.turns); resume it with a higher limit", limits.turns);
        return Err(End::failed(ErrorCode::LimitTurns, text));
    }
    // A call that was begun and never answered counts with the next one's beginning.
    let lost = session.under_way();
    let left = limits.tokens.saturating_sub(used.tokens + lost.tokens).saturating_sub(session.context_at_most());
    if left < OUTPUT_TOKENS_MIN {
        let text = format!(
            "the run used {} tokens and its next call would pass limits.tokens ({}); resume it with a higher limit",
            used.tokens, limits.tokens
        );
        return Err(End::failed(ErrorCode::LimitTokens, text));
    }
    let mut output = model.max_output_tokens.min(left);
    if let (Some(cap), Some(prices)) = (limits.cost_usd, model.prices) {
        let prompt = prices.most_usd(session.context_at_most(), 0);
        let left = cap - used.cost_usd - lost.cost_usd.unwrap_or_default() - prompt;
        let affordable =
            if prices.output > 0.0 { (left.max(0.0) * 1_000_000.0 / prices.output) as u64 } else { u64::MAX };
        if left <= 0.0 || affordable < OUTPUT_TOKENS_MIN {
            let text = format!(
                "the run cost ${:.4} and its next call could pass limits.cost_usd ({cap}); resume it with a higher limit",
                used.cost_usd
            );
            return Err(End::failed(ErrorCode::LimitCost, text));
        }
        output = output.min(affordable);
    }
    Ok(output)
}

/// What the next call may cost at most: its prompt, of which nothing is read from a cache, and its longest reply.
pub fn reservation(session: &Session, model: &ModelFacts, max_output_tokens: u64) -> Reserved {
    let prompt = session.context_at_most();
    Reserved {
        tokens: prompt.saturating_add(max_output_tokens),
        cost_usd: model.prices.map(|prices| prices.most_usd(prompt, max_output_tokens)),
    }
}

/// What a call outside the loop may cost at most, whose prompt has so many tokens at most.
pub fn aside_reservation(prompt_tokens: u64, max_output_tokens: u64, prices: Option<Prices>) -> Reserved {
    Reserved {
        tokens: prompt_tokens.saturating_add(max_output_tokens),
        cost_usd: prices.map(|prices| prices.most_usd(prompt_tokens, max_output_tokens)),
    }
}

/// Whether the run can pay for a call outside the loop. A cap in money holds nothing where a price is not known.
pub fn affords(session: &Session, reserved: Reserved) -> bool {
    let (limits, used, under_way) = (&session.spec.limits, &session.used, session.under_way());
    let tokens = used.tokens.saturating_add(under_way.tokens).saturating_add(reserved.tokens);
    let paid = limits.cost_usd.is_none_or(|cap| {
        let spent = used.cost_usd + under_way.cost_usd.unwrap_or_default();
        reserved.cost_usd.is_some_and(|cost| spent + cost <= cap)
    });
    used.model_calls < limits.turns && tokens <= limits.tokens && paid
}

/// How often a call that costs so much may begin anew, after its reply broke off, before a limit is passed. To be
/// asked once the call is begun.
pub fn repeats_left(session: &Session, reserved: Reserved) -> u32 {
    let (limits, used) = (&session.spec.limits, &session.used);
    let tokens = limits.tokens.saturating_sub(used.tokens) / reserved.tokens.max(1);
    let cost = match (limits.cost_usd, reserved.cost_usd) {
        (Some(cap), Some(cost)) if cost > 0.0 => ((cap - used.cost_usd).max(0.0) / cost) as u64,
        _ => u64::MAX,
    };
    u32::try_from(tokens.min(cost).saturating_sub(1)).unwrap_or(u32::MAX)
}
