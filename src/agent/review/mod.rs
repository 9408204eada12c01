//! The review: after a validation that holds, a model with a fresh view reads the patch. Its serious findings go
//! back to the agent as one more refinement; what is left stands in the result. It sets no verdict.
//!
//! Start with [`due`]; [`diff`] is what the reviewer sees of the patch, [`answer`] what is believed of its reply.

mod answer;
mod diff;
mod text;

pub use answer::Answer;
pub use text::{put_to, told};

use super::{
    budget::{self, ModelFacts, Reviewer},
    session::{Checked, Session},
    step::{End, Step, finish},
};
use crate::domain::{
    Oid, Status,
    check::{Finding, FindingKind, Severity, Verdict},
    review::{ReviewFinding, ReviewedCriterion},
};

/// How often in a run findings go back; the second time only where they have become fewer.
const BACK_MAX: u32 = 2;
/// Reviews that are kept, newest last.
const KEPT_MAX: usize = 8;
/// Calls for one review: the second smaller than the first.
const TRIES: u32 = 2;
/// Of a prompt and of a reply, in tokens.
const PROMPT_TOKENS_MAX: u64 = 80_000;
const PROMPT_TOKENS_MIN: u64 = 2_000;
const OUTPUT_TOKENS_MAX: u64 = 16_000;
const OUTPUT_TOKENS_MIN: u64 = 512;
/// The prompt's part of the reviewer's window, in hundredths.
const PROMPT_PERCENT: u64 = 60;

/// What a review may take: both of its calls fit into what the run may still spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Of the first call; the second has half.
    pub prompt_tokens: u64,
    pub output_tokens: u64,
    pub tries: u32,
}

/// What became of the review of one tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Reviewed {
    pub tree: Option<Oid>,
    pub findings: Vec<ReviewFinding>,
    pub criteria: Vec<ReviewedCriterion>,
    /// Why there was none.
    pub failed: Option<String>,
}

impl Reviewed {
    /// What people are told of it.
    pub(super) fn to_findings(&self) -> Vec<Finding> {
        let failed = self.failed.as_ref().map(|why| {
            Finding::new(FindingKind::Review, Severity::Warning, format!("the patch was not reviewed: {why}"))
        });
        self.findings.iter().map(ReviewFinding::to_finding).chain(failed).collect()
    }
}

/// What the reviews of one run have sent back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SentBack {
    pub times: u32,
    /// Serious findings of the last time.
    pub serious: usize,
}

/// The review that is due before a run may end with this validation.
pub(super) fn due(session: &Session, model: &ModelFacts, checked: &Checked) -> Option<Step> {
    let reviewer = model.reviewer?;
    let holds = matches!(checked.verdict, Verdict::Verified | Verdict::Unverified | Verdict::BrokenBefore);
    (holds && session.changed() && standing(session).is_none()).then(|| Step::Review(room(session, &reviewer)))
}

/// The review of the tree that the working copy has.
pub(super) fn standing(session: &Session) -> Option<&Reviewed> {
    let here = session.checkpoint.as_ref().map(|checkpoint| &checkpoint.tree);
    session.reviews.iter().rev().find(|reviewed| reviewed.tree.as_ref() == here)
}

/// Keeps what became of a review.
pub(super) fn keep(session: &mut Session, reviewed: Reviewed, sent_back: bool) {
    if sent_back {
        let serious = serious(&reviewed.findings);
        session.used.sent_back = SentBack { times: session.used.sent_back.times + 1, serious };
        session.used.progress.hold();
    }
    session.reviews.push(reviewed);
    if session.reviews.len() > KEPT_MAX {
        session.reviews.remove(0);
    }
}

fn serious(findings: &[ReviewFinding]) -> usize {
    findings.iter().filter(|finding| finding.severity.is_serious()).count()
}

/// Whether findings go back to the model: while refinements are left, at most twice in a run, and where its next
/// call can be paid for.
pub fn sends_back(session: &Session, model: &ModelFacts, findings: &[ReviewFinding]) -> bool {
    let (serious, before) = (serious(findings), session.used.sent_back);
    serious > 0
        && session.used.refinements < session.spec.limits.refinements
        && before.times < BACK_MAX
        && (before.times == 0 || serious < before.serious)
        && budget::next_call(session, model).is_ok()
}

/// A limit that strikes while the model works on what a review has raised takes nothing away: the run ends as it
/// would have ended without the review, or better.
pub(super) fn fall_back(session: &Session, end: &End) -> Option<Step> {
    let held = session.used.progress.held()?;
    match session.used.progress.known(session.checkpoint.as_ref()) {
        // Its result as JSON can no longer be asked for.
        Some(_) if session.spec.output_schema.is_some() => None,
        Some(checked) if checked.verdict != Verdict::Failed => {
            let limit =
                end.error.as_ref().map(|error| format!("; not all that a review raised was done: {}", error.message));
            let reason = checked.reason.clone().map(|reason| reason + &limit.unwrap_or_default());
            let end = End { status: Status::Succeeded, error: None, verdict: Some(checked.verdict), reason };
            Some(finish(session, end))
        }
        _ => held.checkpoint.clone().map(Step::Restore),
    }
}

/// What the limits of the run and the reviewer's window leave for a review; absent: too little. A cap in money
/// holds nothing where the price is not known.
fn room(session: &Session, reviewer: &Reviewer) -> Option<Room> {
    let (limits, used) = (&session.spec.limits, &session.used);
    let left = limits.tokens.saturating_sub(used.tokens);
    let window = reviewer.window_tokens;
    let mut output = reviewer.max_output_tokens.min(OUTPUT_TOKENS_MAX).min(window / 4).min(left / 6);
    let mut prompt = (window * PROMPT_PERCENT / 100).min(PROMPT_TOKENS_MAX).min((left - 2 * output) * 2 / 3);
    if let Some(cap) = limits.cost_usd {
        let prices = reviewer.prices?;
        // Half of the money for what is read, half for what is written.
        let half = (cap - used.cost_usd).max(0.0) / 2.0;
        let bought = |price: f64| if price > 0.0 { (half * 1_000_000.0 / price) as u64 } else { u64::MAX };
        output = output.min(bought(prices.output) / 2);
        // Of the prompt nothing is read from a cache.
        prompt = prompt.min(bought(prices.input.max(prices.cache_write.unwrap_or(0.0))) / 3 * 2);
    }
    let tries = limits.turns.saturating_sub(used.model_calls).min(TRIES);
    let enough = prompt >= PROMPT_TOKENS_MIN && output >= OUTPUT_TOKENS_MIN && tries > 0;
    enough.then_some(Room { prompt_tokens: prompt, output_tokens: output, tries })
}
