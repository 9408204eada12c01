//! The plan gate: work is shaped by a plan first, and nothing is blocked by the want of one.

use super::{prompt, session::Session};
use crate::domain::{
    plan::{PlanOrigin, PlanStep, Planning, StepStatus},
    task::Mode,
    tool::{ToolCall, ToolEffect, effect},
};

/// Refusals after which the server records the model's own words as the plan.
const REFUSALS_MAX: u32 = 2;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Gate {
    Open,
    Denied(&'static str),
    /// This plan is recorded, and the gate is asked again.
    PlanFor(Planning),
}

/// Whether a call may run. Reading and planning always may; edits need a plan, and so does a
/// command once commands have changed files without one.
pub(super) fn gate(session: &Session, call: &ToolCall) -> Gate {
    let effect = effect(&call.tool);
    match (effect, session.spec.mode) {
        (ToolEffect::Edits, Mode::Answer) => return Gate::Denied(prompt::NO_EDITS_ANSWER),
        (ToolEffect::Edits, Mode::Plan) => return Gate::Denied(prompt::NO_EDITS_PLAN),
        _ => {}
    }
    let needs_plan = match effect {
        ToolEffect::Edits => true,
        ToolEffect::Runs => session.changed() && session.spec.mode != Mode::Answer,
        ToolEffect::Reads | ToolEffect::Plans => false,
    };
    if !needs_plan || session.planning.is_some() {
        return Gate::Open;
    }
    if session.used.refusals < REFUSALS_MAX {
        return Gate::Denied(prompt::PLAN_FIRST);
    }
    Gate::PlanFor(Planning {
        revision: 1,
        origin: PlanOrigin::Server,
        approaches: Vec::new(),
        steps: vec![PlanStep { step: prompt::own_words(session), status: StepStatus::InProgress }],
        criteria: Vec::new(),
    })
}
