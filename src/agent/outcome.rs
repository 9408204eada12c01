//! The result of a run, from what the log holds: the model's words are quoted, never believed.

use super::{
    session::{Checked, Session},
    step::End,
};
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
        criteria: forbidden(session, broken).chain(criteria(session, end, checked)).collect(),
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
        let paths = one.paths.join(", ");
        let (status, evidence) = match broken {
            Some(broken) if !one.paths.is_empty() => {
                if broken.get(at).is_some_and(|it| *it) {
                    (CriterionStatus::Unmet, Some(format!("a changed path matches {paths}")))
                } else {
                    (CriterionStatus::Met, Some(format!("no changed path matches {paths}")))
                }
            }
            _ => (CriterionStatus::Unknown, None),
        };
        CriterionResult { text: one.text.clone(), status, evidence }
    })
}

/// A criterion is met by no words: it is unknown until evidence speaks of it, and unmet where the
/// checks failed. What shows it is what the checks gave, for all criteria alike.
fn criteria(session: &Session, end: &End, checked: Option<&Checked>) -> Vec<CriterionResult> {
    let Some(planning) = &session.planning else { return Vec::new() };
    let open = planning.steps.iter().any(|s| s.status == StepStatus::Pending);
    let shown = checked.filter(|checked| !checked.checks.is_empty() && Some(checked.verdict) == end.verdict);
    let evidence = shown.and_then(|checked| checked.reason.clone());
    let status = match end.verdict {
        Some(Verdict::Verified) if !open && evidence.is_some() => CriterionStatus::Met,
        Some(Verdict::Failed) => CriterionStatus::Unmet,
        _ => CriterionStatus::Unknown,
    };
    let evidence = evidence.filter(|_| status != CriterionStatus::Unknown);
    let result = |text: &String| CriterionResult { text: text.clone(), status, evidence: evidence.clone() };
    planning.criteria.iter().map(result).collect()
}
