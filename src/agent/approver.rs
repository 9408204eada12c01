//! The reviewer of approvals: what a model is told of a call before people are asked, and what of its answer counts.
//!
//! It can only shorten a wait. It never sees what a rule denies, is asked only where every rule that asks lets it, and
//! whatever is not a plain answer of it goes to people.

use super::{
    rules::{self, Found},
    session::Session,
    weight::tokens_at_most,
};
use crate::domain::{approval::Decision, arguments, tool::ToolCall, usage::Prices};
use serde::Deserialize;

/// The instructions of the call that reviews.
pub const INSTRUCTIONS: &str = include_str!("prompts/approval.md");

/// Reviews of one run; then people are asked.
pub const REVIEWS_MAX: u32 = 20;
/// Tokens of an answer, its reasoning included.
pub const OUTPUT_TOKENS_MAX: u32 = 2_000;
/// Longer calls are people's: what is not read is not approved.
const CALL_CHARS_MAX: usize = 8_000;
const REQUEST_CHARS_MAX: usize = 8_000;
const REASON_CHARS_MAX: usize = 500;

/// What the reviewer said, as far as it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opinion {
    /// None: people decide.
    pub decision: Option<Decision>,
    pub reason: String,
}

/// What the reviewer is given to read; none where it is not to be asked about this call.
pub fn request(session: &Session, call: &ToolCall, asks: &[Found]) -> Option<String> {
    if session.used.approver_calls >= REVIEWS_MAX || session.approver_asked.contains(&call.call) {
        return None;
    }
    // A call whose text speaks of approving may be about the reviewer itself, or about somebody else's review.
    let speaks_of_it = call.arguments.to_lowercase().contains("approv");
    if asks.iter().any(|one| !one.reviewer) || call.arguments.len() > CALL_CHARS_MAX || speaks_of_it {
        return None;
    }
    let plan: Vec<&str> =
        session.planning.iter().flat_map(|planning| &planning.steps).map(|step| step.step.as_str()).collect();
    let request: String = session.spec.request.chars().take(REQUEST_CHARS_MAX).collect();
    let given = serde_json::json!({ "request": request, "plan": plan, "call": rules::subject(call, asks) });
    Some(given.to_string())
}

/// About how many tokens the reviewer reads, rather too many.
pub fn prompt_tokens(request: &str) -> u64 {
    tokens_at_most(INSTRUCTIONS) + tokens_at_most(request)
}

/// Whether the run can pay for a review, taken at its dearest.
pub fn is_affordable(session: &Session, prices: Option<Prices>, request: &str) -> bool {
    let limits = &session.spec.limits;
    let (prompt, output) = (prompt_tokens(request), u64::from(OUTPUT_TOKENS_MAX));
    let paid = match (limits.cost_usd, prices) {
        (None, _) => true,
        // A cap in money holds nothing where a price is not known.
        (Some(_), None) => false,
        (Some(cap), Some(prices)) => session.used.cost_usd + prices.most_usd(prompt, output) <= cap,
    };
    // One call more is left to the loop itself.
    paid && session.used.model_calls + 1 < limits.turns && session.used.tokens + prompt + output < limits.tokens
}

/// Reads an answer. Only an object with a known decision and a reason counts.
pub fn opinion(text: &str, has_calls: bool) -> Opinion {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Answer {
        decision: Word,
        reason: String,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        Approve,
        Deny,
        Ask,
    }
    let read = arguments::tolerant(text).ok().filter(|value| value.is_object() && !has_calls);
    let Some(answer) = read.and_then(|value| serde_json::from_value::<Answer>(value).ok()) else {
        return Opinion::none("the reviewer gave no answer that counts");
    };
    let decision = match answer.decision {
        Word::Approve => Some(Decision::Approve),
        Word::Deny => Some(Decision::Deny),
        Word::Ask => None,
    };
    Opinion { decision, reason: answer.reason.trim().chars().take(REASON_CHARS_MAX).collect() }
}

impl Opinion {
    pub fn none(why: &str) -> Self {
        Self { decision: None, reason: why.to_owned() }
    }
}
