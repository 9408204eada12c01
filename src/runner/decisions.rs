//! What the driver writes of its own accord, as pure functions of the session: the driver records it, and
//! [`replay`](super::replay) asks what it would have recorded.

use crate::{
    agent::{self, Session},
    checks,
    domain::{
        EventData, Phase, Status,
        approval::Decision,
        check::{CheckResult, Verdict},
        event::RecoveredAfter,
        plan::{PlanOrigin, Planning},
        tool::{ToolCall, ToolOutcome},
    },
    tools::{self, Parsed},
};

/// The status that starts or parks a run, or lets it wait for nobody.
pub(super) fn status(status: Status) -> EventData {
    EventData::TaskStatus { status, waiting_for: None, error: None }
}

/// What a worker writes that takes a queued task up, after a drain or without the working copy that there was.
pub(super) fn begun(session: &Session, after: Option<RecoveredAfter>) -> Vec<EventData> {
    let after = after.or_else(|| session.drained.then_some(RecoveredAfter::Drain));
    let recovered = after.map(|after| {
        let interrupted = if after == RecoveredAfter::Drain { session.cut_off() } else { Vec::new() };
        EventData::Recovered { after, interrupted }
    });
    [status(Status::Running)].into_iter().chain(recovered).chain(processes_lost(session)).collect()
}

/// What a worker writes that takes up a task whose worker is gone: calls in doubt are answered so.
pub(super) fn recovered(session: &Session, after: RecoveredAfter) -> Vec<EventData> {
    let in_doubt = session.in_doubt();
    let interrupted = in_doubt.iter().map(|call| call.call.clone()).collect();
    let answer = |call| answered(call, ToolOutcome::Interrupted, agent::prompt::crash_text(after));
    let recovered = [EventData::Recovered { after, interrupted }].into_iter();
    recovered.chain(in_doubt.iter().map(answer)).chain(processes_lost(session)).collect()
}

/// What the model is told of processes that ran in the background and ended with their workspace.
pub(super) fn processes_lost(session: &Session) -> Option<EventData> {
    agent::prompt::processes_lost(&session.background).map(|text| EventData::MessageDeveloper { text })
}

/// An answer of the server's own.
pub(super) fn answered(call: &ToolCall, outcome: ToolOutcome, output: impl Into<String>) -> EventData {
    EventData::ToolCompleted {
        call: call.call.clone(),
        tool: call.tool.clone(),
        outcome,
        output: output.into(),
        exit_code: None,
        duration_ms: 0,
    }
}

/// The event of a call's beginning, unless it stands in the log.
pub(super) fn beginning(session: &Session, call: &ToolCall) -> Option<EventData> {
    let open = session.calls.iter().any(|pending| pending.call.call == call.call && !pending.started);
    open.then(|| agent::started(call))
}

/// A plan from a call's arguments, as the next revision of the task's; or what is wrong with them.
pub(super) fn read_plan(session: &Session, call: &ToolCall) -> Result<Planning, String> {
    match tools::parse(&call.tool, &call.arguments) {
        Err(answer) => Err(String::from_utf8_lossy(&answer.output).into_owned()),
        Ok(Parsed::UpdatePlan { steps, approaches, criteria, .. }) => {
            let before = session.planning.as_ref();
            Ok(Planning {
                revision: before.map_or(1, |p| p.revision + 1),
                origin: PlanOrigin::Model,
                // A revision that only ticks steps off keeps what was weighed before.
                approaches: if approaches.is_empty() {
                    before.map(|p| p.approaches.clone()).unwrap_or_default()
                } else {
                    approaches
                },
                criteria: if criteria.is_empty() {
                    before.map(|p| p.criteria.clone()).unwrap_or_default()
                } else {
                    criteria
                },
                steps,
            })
        }
        Ok(_) => Err("not a plan".to_owned()),
    }
}

/// A plan that a call brings: begun, recorded, answered.
pub(super) fn planned(session: &Session, call: &ToolCall) -> Vec<EventData> {
    let mut events: Vec<EventData> = beginning(session, call).into_iter().collect();
    let planned = match read_plan(session, call) {
        Ok(planning) => planning,
        Err(text) => {
            events.push(answered(call, ToolOutcome::Error, text));
            return events;
        }
    };
    let decided = session
        .plan_approval
        .as_ref()
        .filter(|_| session.plan_call.as_ref() == Some(&call.call))
        .and_then(|approval| approval.decision.clone());
    match decided {
        Some((Decision::Deny, _, note)) => {
            let note = note.map_or_else(String::new, |note| format!(" It is said: {note}."));
            let text = match session.approved.clone() {
                Some(approved) => {
                    events
                        .push(EventData::PlanUpdated { planning: Planning { revision: planned.revision, ..approved } });
                    format!(
                        "denied: this plan was not approved.{note} The one that was approved before holds: keep to it, or make a better one with update_plan."
                    )
                }
                None => format!(
                    "denied: this plan was not approved.{note} Make a better one with update_plan, or finish by saying what keeps you from it."
                ),
            };
            events.push(answered(call, ToolOutcome::Denied, text));
        }
        Some((_, edited, note)) => {
            let note = note.map_or_else(String::new, |note| format!(" They say: {note}"));
            let text = if edited.is_empty() {
                format!("The plan was approved.{note}")
            } else {
                let text = agent::prompt::plan_changed(&edited);
                let planning =
                    Planning { revision: planned.revision, origin: PlanOrigin::Person, steps: edited, ..planned };
                events.push(EventData::PlanUpdated { planning });
                format!("{text}{note}")
            };
            events.push(answered(call, ToolOutcome::Ok, text));
        }
        None => {
            let text = agent::prompt::plan_recorded(&planned);
            events.push(EventData::PlanUpdated { planning: planned });
            events.push(answered(call, ToolOutcome::Ok, text));
        }
    }
    events
}

/// What people's decision about hosts comes to: they are the task's from then on, or the call is refused.
pub(super) fn network_decided(session: &Session, call: &ToolCall) -> Vec<EventData> {
    let asked = session.asked.iter().find(|asked| asked.call == call.call);
    let Some(decided) = asked.and_then(|asked| asked.decided.as_ref()) else { return Vec::new() };
    match tools::parse(&call.tool, &call.arguments) {
        Ok(Parsed::RequestNetwork { hosts, .. }) if decided.decision == Decision::Approve => {
            let told = agent::prompt::network_allowed(&session.spec.network.with(&hosts), decided);
            let allowed = EventData::NetworkAllowed { call: call.call.clone(), hosts };
            vec![allowed, answered(call, ToolOutcome::Ok, told)]
        }
        _ => vec![answered(call, ToolOutcome::Denied, agent::prompt::not_approved(decided))],
    }
}

/// What a validation gave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given<'a> {
    pub(super) verdict: Verdict,
    pub(super) results: &'a [CheckResult],
    pub(super) reason: &'a str,
    pub(super) forbidden: &'a [String],
    pub(super) weakened: bool,
}

/// What goes back to the model after a validation, if anything does. The session is the one before it ended. Where
/// people are asked first whether its tests may be weakened, nothing does.
pub(super) fn sent_back(session: &Session, last: bool, given: Given<'_>) -> Vec<EventData> {
    let Given { verdict, results, reason, forbidden, weakened } = given;
    if !last && weakened && !agent::puts_back(session, forbidden) && agent::asks_about_tests(session) {
        return Vec::new();
    }
    let refines = !last && agent::refines(session, verdict, results);
    // Checks that pass, and yet failed by the verdict (weakened tests), have no failures to show.
    let report = refines
        .then(|| checks::failure_report(results))
        .map(|report| if report.trim().is_empty() { reason.to_owned() } else { report });
    let put_back = (!last && agent::puts_back(session, forbidden)).then(|| agent::prompt::put_back(forbidden));
    let told: Vec<String> = [report, put_back].into_iter().flatten().collect();
    if told.is_empty() {
        return Vec::new();
    }
    let text = told.join("\n\n");
    vec![EventData::TaskPhase { phase: Phase::Refinement }, EventData::MessageDeveloper { text }]
}
