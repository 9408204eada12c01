//! Tests that a patch weakens: people are asked once for a tree, where they are asked about anything at all.
//!
//! What they approve holds for that tree alone. Once they have denied it, the run does not ask again.

use super::{
    prompt,
    session::{Checked, Session, Weakening},
    step::Step,
};
use crate::domain::{
    EventData, Phase, WaitingFor,
    approval::Decision,
    check::{FindingKind, Verdict},
    task::ApprovalPolicy,
};

/// Questions in one run.
const ASKED_MAX: u32 = 3;
/// Findings that are put to people.
const FINDINGS_MAX: usize = 20;

/// Whether people are to be asked about the tests that the present tree weakens.
pub fn asks_about_tests(session: &Session) -> bool {
    let asked = &session.used.weakening;
    let refused = asked.last.as_ref().is_some_and(|last| last.is_denied() || last.is_of(session));
    session.spec.approval != ApprovalPolicy::Never && session.loop_version() > 0 && !refused && asked.times < ASKED_MAX
}

/// What follows from a validation that failed for nothing but weakened tests; nothing where people are not asked.
pub(super) fn due(session: &Session, checked: &Checked) -> Option<Step> {
    if !checked.weakened || checked.verdict != Verdict::Failed {
        return None;
    }
    match session.used.weakening.last.as_ref().filter(|last| last.is_of(session)) {
        None => asks_about_tests(session).then_some(Step::AskAboutTests),
        Some(Weakening { decided: None, .. }) => Some(Step::Wait(WaitingFor::Approval)),
        Some(Weakening { decided: Some((Decision::Approve, _)), .. }) => Some(Step::RunChecks { last: false }),
        Some(Weakening { decided: Some((_, note)), .. }) => {
            let refines =
                session.used.refinements < session.spec.limits.refinements && !session.used.progress.has_stood_still();
            let reason = checked.reason.as_deref().unwrap_or_default();
            let text = prompt::tests_not_approved(reason, note.as_deref());
            let told = vec![EventData::TaskPhase { phase: Phase::Refinement }, EventData::MessageDeveloper { text }];
            refines.then_some(Step::Record(told))
        }
    }
}

/// What people are shown: why the checks failed, and what was found.
pub fn tests_subject(session: &Session) -> serde_json::Value {
    let findings = session.checked.iter().flat_map(|checked| &checked.findings);
    let weakened = findings.filter(|finding| finding.kind == FindingKind::TestsWeakened).take(FINDINGS_MAX);
    serde_json::json!({
        "reason": session.checked.as_ref().and_then(|checked| checked.reason.clone()),
        "weakened": weakened.collect::<Vec<_>>(),
        "tree": session.checkpoint.as_ref().map(|checkpoint| &checkpoint.tree),
    })
}
