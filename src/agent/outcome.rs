//! The result of a run, from what the log holds: the model's words are quoted, never believed.

use super::{
    cited, criteria,
    review::{self, Reviewed},
    session::{Checked, Session},
    step::End,
    structured,
};
use crate::domain::{
    Status,
    check::{Finding, Verdict},
    plan::{Planning, StepStatus},
    review::ReviewedCriterion,
    task::{CriterionResult, CriterionStatus, Mode, PatchStat, TaskResult},
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
    let nothing_changed = end.verdict == Some(Verdict::NoChange) && patch.is_none();
    let is_answer = end.status == Status::Succeeded && nothing_changed && session.spec.mode != Mode::Plan;
    TaskResult {
        answer: said.clone().filter(|_| is_answer),
        summary: said,
        verdict: end.verdict.or_else(|| checked.map(|c| c.verdict)),
        reason: end.reason.clone().or_else(|| checked.and_then(|c| c.reason.clone())),
        criteria: forbidden(session, broken, checked).chain(planned(session, end, checked)).collect(),
        checks: checked.map(|c| c.checks.clone()).unwrap_or_default(),
        patch,
        findings: findings(session, checked),
        memories: cited::memories(session),
        earlier_tasks: cited::tasks(session),
        branch: session.published.as_ref().map(|published| published.branch.clone()),
        pull_request_url: session.published.as_ref().and_then(|published| published.pull_request_url.clone()),
        structured: structured::value(session, end),
    }
}

/// The result of a task that is ended while it rests, when no worker has its working copy.
pub fn result_at_rest(session: &Session, end: &End) -> TaskResult {
    let kept = session.at_rest();
    let untouched = (!session.changed() && !session.dirty).then_some(&[][..]);
    task_result(session, end, kept.map(|kept| kept.stat), kept.map(|kept| &kept.broken[..]).or(untouched))
}

/// What the request forbids is kept or not by the patch's paths; what has none is not known, but for new dependencies.
fn forbidden(
    session: &Session,
    broken: Option<&[bool]>,
    checked: Option<&Checked>,
) -> impl Iterator<Item = CriterionResult> {
    let prohibitions = session.briefed.as_ref().map_or(&[][..], |briefed| &briefed.prohibitions);
    let scanned = checked.filter(|_| session.loop_version() > 0);
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
            _ => match scanned.and_then(|checked| criteria::no_dependencies(&one.text, checked)) {
                Some((status, evidence)) => (status, Some(evidence)),
                None => (CriterionStatus::Unknown, None),
            },
        };
        let text = one.text.clone();
        let result = CriterionResult { text, status, evidence };
        // What paths tell no reviewer's words change.
        if status == CriterionStatus::Unknown { reviewed(session, result) } else { result }
    })
}

/// A reviewer's word with evidence settles what nothing else does; of what is met it can take away. What it calls
/// unmet without any evidence is not known.
fn reviewed(session: &Session, result: CriterionResult) -> CriterionResult {
    let of_it = |of: &&ReviewedCriterion| of.text == result.text;
    let Some(of) = review::standing(session).and_then(|review| review.criteria.iter().find(of_it)) else {
        return result;
    };
    let says = || Some(format!("a reviewer says: {}", of.evidence));
    match (result.status, of.status) {
        (CriterionStatus::Unmet, _) => result,
        (_, CriterionStatus::Unmet) if of.evidence.is_empty() => {
            CriterionResult { status: CriterionStatus::Unknown, evidence: None, ..result }
        }
        (_, CriterionStatus::Unmet) => CriterionResult { status: CriterionStatus::Unmet, evidence: says(), ..result },
        (CriterionStatus::Unknown, CriterionStatus::Met) if !of.evidence.is_empty() && session.loop_version() > 0 => {
            CriterionResult { status: CriterionStatus::Met, evidence: says(), ..result }
        }
        _ => result,
    }
}

/// Those of the checks' validation, then those of the review of the same tree.
fn findings(session: &Session, checked: Option<&Checked>) -> Vec<Finding> {
    let found = checked.map(|checked| checked.findings.clone()).unwrap_or_default();
    let reviewed = checked.and(review::standing(session)).map(Reviewed::to_findings).unwrap_or_default();
    found.into_iter().chain(reviewed).collect()
}

/// A criterion is met by no words of the model's: it is unknown until evidence speaks of it, which is a check, a test
/// or a path that it names, or a reviewer.
fn planned(session: &Session, end: &End, checked: Option<&Checked>) -> Vec<CriterionResult> {
    let Some(planning) = &session.planning else { return Vec::new() };
    if session.loop_version() == 0 {
        return all_alike(session, planning, end, checked);
    }
    let shown = |text: &str| {
        let checked = checked?;
        criteria::shown(text, end.verdict.unwrap_or(checked.verdict), checked)
    };
    let result = |text: &String| {
        let (status, evidence) = match shown(text) {
            Some((status, evidence)) => (status, Some(evidence)),
            None => (CriterionStatus::Unknown, None),
        };
        CriterionResult { text: text.clone(), status, evidence }
    };
    planning.criteria.iter().map(|text| reviewed(session, result(text))).collect()
}

/// Tasks of earlier builds: what the checks gave, for all criteria alike.
fn all_alike(session: &Session, planning: &Planning, end: &End, checked: Option<&Checked>) -> Vec<CriterionResult> {
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
