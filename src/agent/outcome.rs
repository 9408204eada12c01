//! The result of a run, from what the log holds: the model's words are quoted, never believed.

use super::{session::Session, step::End};
use crate::domain::{
    Status,
    check::Verdict,
    plan::StepStatus,
    task::{CriterionResult, CriterionStatus, PatchStat, TaskResult},
};

/// Composes the result. `patch` is absent where nothing was changed; `broken` says of each prohibition of the
/// brief whether the patch has a path that it forbids (no more of them: it has none), and is absent where the
/// working copy could not be looked at.
pub fn task_result(session: &Session, end: &End, patch: Option<PatchStat>, broken: Option<&[bool]>) -> TaskResult {
    let known = || session.used.progress.known(session.checkpoint.as_ref());
    let checked = session.checked.as_ref().or_else(known);
    let said = session.last_words.as_ref().map(|w| w.text.clone()).filter(|t| !t.trim().is_empty());
    let is_answer = end.status == Status::Succeeded && end.verdict == Some(Verdict::NoChange) && patch.is_none();
    TaskResult {
        answer: said.clone().filter(|_| is_answer),
        summary: said,
        verdict: end.verdict.or_else(|| checked.map(|c| c.verdict)),
        reason: end.reason.clone().or_else(|| checked.and_then(|c| c.reason.clone())),
        criteria: forbidden(session, broken).chain(criteria(session, end)).collect(),
        checks: checked.map(|c| c.checks.clone()).unwrap_or_default(),
        patch,
        findings: checked.map(|c| c.findings.clone()).unwrap_or_default(),
        memories: session.recalled.clone(),
        branch: None,
        pull_request_url: None,
        structured: None,
    }
}

/// What the request forbids is kept or not by the patch's paths; what has none is not known.
fn forbidden(session: &Session, broken: Option<&[bool]>) -> impl Iterator<Item = CriterionResult> {
    let prohibitions = session.briefed.as_ref().map_or(&[][..], |briefed| &briefed.prohibitions);
    prohibitions.iter().enumerate().map(move |(at, one)| {
        let status = match broken {
            Some(broken) if !one.paths.is_empty() => {
                if broken.get(at).is_some_and(|it| *it) {
                    CriterionStatus::Unmet
                } else {
                    CriterionStatus::Met
                }
            }
            _ => CriterionStatus::Unknown,
        };
        CriterionResult { text: one.text.clone(), status }
    })
}

/// A criterion is met by no words: it is unknown until evidence speaks of it, and unmet where the
/// checks failed or the plan was left open.
fn criteria(session: &Session, end: &End) -> Vec<CriterionResult> {
    let Some(planning) = &session.planning else { return Vec::new() };
    let open = planning.steps.iter().any(|s| s.status == StepStatus::Pending);
    let status = match end.verdict {
        Some(Verdict::Verified) if !open => CriterionStatus::Met,
        Some(Verdict::Failed) => CriterionStatus::Unmet,
        _ => CriterionStatus::Unknown,
    };
    planning.criteria.iter().map(|text| CriterionResult { text: text.clone(), status }).collect()
}
