//! The plan gate: work is shaped by a plan first, and nothing is blocked by the want of one. Where people
//! approve plans, nothing is changed before they have. What a rule denies is not run, and what people are asked about
//! waits for them.

use super::{
    prompt,
    rules::{self, Found},
    session::{Asked, Session},
};
use crate::domain::{
    approval::Decision,
    plan::{PlanOrigin, PlanStep, Planning, StepStatus},
    task::Mode,
    tool::{ToolCall, ToolEffect},
};
use std::borrow::Cow;

/// Refusals after which the server records the model's own words as the plan.
const REFUSALS_MAX: u32 = 2;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Gate {
    Open,
    Denied(Cow<'static, str>),
    /// This plan is recorded, and the gate is asked again.
    PlanFor(Planning),
    /// This plan is put to people, and the gate is asked again when they have decided.
    AskFor(Planning),
    /// People are asked about this call first.
    AskAbout(Vec<Found>),
    /// People have not decided yet.
    Wait,
}

/// Whether a call may run: the plan's gate, and within it the rules' and people's.
pub(super) fn gate(session: &Session, call: &ToolCall) -> Gate {
    let effect = session.effect(&call.tool);
    match (effect, session.spec.mode) {
        (ToolEffect::Acts, Mode::Answer | Mode::Plan) => return Gate::Denied(prompt::NO_ACTS.into()),
        (ToolEffect::Edits, Mode::Answer) => return Gate::Denied(prompt::NO_EDITS_ANSWER.into()),
        (ToolEffect::Edits, Mode::Plan) => return Gate::Denied(prompt::NO_EDITS_PLAN.into()),
        (ToolEffect::Edits | ToolEffect::Runs | ToolEffect::Acts, _) => {}
        (ToolEffect::Reads | ToolEffect::Plans | ToolEffect::Asks, _) => return Gate::Open,
    }
    let asked = session.asked.iter().find(|asked| asked.call == call.call);
    if let Some(Asked { decided: Some(decided), .. }) = asked
        && decided.decision != Decision::Approve
    {
        return Gate::Denied(prompt::not_approved(decided).into());
    }
    let judgement = rules::judge(session, call);
    if let Some(found) = &judgement.denied {
        return Gate::Denied(prompt::denied_by_rule(found).into());
    }
    match (planned(session, effect), asked) {
        (Gate::Open, Some(Asked { decided: None, .. })) => Gate::Wait,
        (Gate::Open, None) if !judgement.asks.is_empty() => Gate::AskAbout(judgement.asks),
        (gate, _) => gate,
    }
}

/// Reading and planning always may; edits need a plan, and so does a command once commands have changed files
/// without one.
fn planned(session: &Session, effect: ToolEffect) -> Gate {
    let needs_plan = match effect {
        ToolEffect::Edits | ToolEffect::Acts => true,
        ToolEffect::Runs => session.changed_in_run() && session.spec.mode != Mode::Answer,
        ToolEffect::Reads | ToolEffect::Plans | ToolEffect::Asks => false,
    };
    if !needs_plan {
        return Gate::Open;
    }
    if session.spec.approval.asks_for_plans() {
        return approved(session);
    }
    if session.planning.is_some() {
        return Gate::Open;
    }
    if session.used.refusals < REFUSALS_MAX {
        return Gate::Denied(prompt::PLAN_FIRST.into());
    }
    Gate::PlanFor(own_plan(session))
}

/// Where people approve plans, only an approved one opens the gate.
fn approved(session: &Session) -> Gate {
    let Some(approval) = &session.plan_approval else {
        return if session.approved.is_some() {
            Gate::Open
        } else if session.used.refusals < REFUSALS_MAX {
            Gate::Denied(prompt::APPROVED_PLAN_FIRST.into())
        } else {
            Gate::AskFor(own_plan(session))
        };
    };
    match &approval.decision {
        None => Gate::Wait,
        // Another plan was denied: the approved one holds.
        Some((Decision::Deny, ..)) if session.approved.is_some() => Gate::Open,
        Some((Decision::Deny, ..)) => Gate::Denied(prompt::PLAN_NOT_APPROVED.into()),
        Some((_, edited, _)) => match &session.planning {
            // The server's own plan came back changed; a model's is taken over with its call.
            Some(planning) if planning.origin == PlanOrigin::Server && !edited.is_empty() => {
                Gate::PlanFor(Planning { origin: PlanOrigin::Person, steps: edited.clone(), ..planning.clone() })
            }
            _ => Gate::Open,
        },
    }
}

/// A plan from the model's own words, where it would not write one.
fn own_plan(session: &Session) -> Planning {
    Planning {
        revision: session.planning.as_ref().map_or(1, |planning| planning.revision + 1),
        origin: PlanOrigin::Server,
        approaches: Vec::new(),
        steps: vec![PlanStep { step: prompt::own_words(session), status: StepStatus::InProgress }],
        criteria: Vec::new(),
    }
}
