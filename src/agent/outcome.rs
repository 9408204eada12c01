//! The result of a run, from what the log holds: the model's words are quoted, never believed.

use super::{
    review::{self, Reviewed},
    session::{Checked, Session},
    step::End,
    structured,
};
use crate::domain::{
    Status,
    check::{Finding, Verdict},
    plan::StepStatus,
    review::ReviewedCriterion,
    task::{CriterionResult, CriterionStatus, PatchStat, TaskResult},
};

/// Composes the result. `patch` is absent where nothing was changed; `broken` says of each prohibition of the
/// brief whether the patch has a path that it forbids (no more of them: it has none), and is absent where the
/// working copy could not be looked at.
pub fn task_result(session: &Session, end: &End, patch: Option<PatchStat>, broken: Option<&[bool]>) -> TaskResult {
    let known = || session.used.progress.known(session.checkpoint.as_ref());
    let checked = session.checked.as_ref().or_else(known);
    let last_words = session.last_words.as_ref().map(|words| words.text.clone());
    // JSON that was asked for is the result's, and the words before it are the summary.
    let said = session.used.output.words_before.clone().or(last_words).filter(|text| !text.trim().is_empty());
    let is_answer = end.status == Status::Succeeded && end.verdict == Some(Verdict::NoChange) && patch.is_none();
    TaskResult {
        answer: said.clone().filter(|_| is_answer),
        summary: said,
        verdict: end.verdict.or_else(|| checked.map(|c| c.verdict)),
        reason: end.reason.clone().or_else(|| checked.and_then(|c| c.reason.clone())),
        criteria: forbidden(session, broken).chain(criteria(session, end, checked)).collect(),
        checks: checked.map(|c| c.checks.clone()).unwrap_or_default(),
        patch,
        findings: findings(session, checked),
        memories: session.recalled.clone(),
        branch: None,
        pull_request_url: None,
        structured: structured::value(session, end),
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
        let text = one.text.clone();
        let result = CriterionResult { text, status, evidence };
        // What paths tell no reviewer's words change.
        if status == CriterionStatus::Unknown { reviewed(session, result) } else { result }
    })
}

/// A reviewer's word can only take away: what it calls unmet, with its evidence, is unmet, and without any is not
/// known. What it calls met stays as the checks have it.
fn reviewed(session: &Session, result: CriterionResult) -> CriterionResult {
    let unmet = |of: &&ReviewedCriterion| of.status == CriterionStatus::Unmet && of.text == result.text;
    match review::standing(session).and_then(|review| review.criteria.iter().find(unmet)) {
        None => result,
        Some(_) if result.status == CriterionStatus::Unmet => result,
        Some(of) if of.evidence.is_empty() => {
            CriterionResult { status: CriterionStatus::Unknown, evidence: None, ..result }
        }
        Some(of) => {
            let evidence = Some(format!("a reviewer says: {}", of.evidence));
            CriterionResult { status: CriterionStatus::Unmet, evidence, ..result }
        }
    }
}

/// Those of the checks' validation, then those of the review of the same tree.
fn findings(session: &Session, checked: Option<&Checked>) -> Vec<Finding> {
    let found = checked.map(|checked| checked.findings.clone()).unwrap_or_default();
    let reviewed = checked.and(review::standing(session)).map(Reviewed::to_findings).unwrap_or_default();
    found.into_iter().chain(reviewed).collect()
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
    planning.criteria.iter().map(|text| reviewed(session, result(text))).collect()
}
