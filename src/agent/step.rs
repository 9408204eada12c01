//! The next step of a task, from its session and the time: a table read from top to bottom.
//!
//! What it answers is an intent: events to be appended and then one thing to do. The driver
//! appends, does it, appends what came of it, and asks again.

use super::{
    budget::{self, ModelFacts},
    circles::Circle,
    compact, cut,
    gate::{self, Gate},
    intent::{announces_more, ends_in_call},
    prompt,
    review::{self, Room},
    revision,
    rules::Found,
    session::{Asked, CheckpointRef, LastWords, PendingCall, Session},
    structured::succeed,
    weakening,
};
use crate::domain::{
    ErrorCode, EventData, Phase, Status, TaskError, Timestamp, WaitingFor,
    check::{CheckResult, Verdict},
    event::LimitKind,
    plan::{PlanOrigin, Planning, StepStatus},
    task::Mode,
    tool::{REQUEST_NETWORK, ToolCall, ToolEffect, ToolOutcome, effect},
};

/// Replies in a row without words or calls that are answered with a nudge.
const NUDGES_MAX: u32 = 3;
/// Replies in a row that change nothing after checks that failed, the first of them answered with the checks.
const IDLE_WORDS_MAX: u32 = 3;
/// Announcements in a row that are answered with a nudge, where nothing was done yet.
const ANNOUNCED_MAX: u32 = 2;
/// Circles of which a run's model is told; and the calls for which it is to remember.
const CIRCLES_MAX: u32 = 3;
const CIRCLE_MEMORY: u32 = 20;

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing but the events: append them (with the next commit) and ask again.
    Record(Vec<EventData>),
    /// Open the repository, pin the prompt's head, make the brief.
    Analyse,
    /// Recall the caller's memories.
    Recall,
    /// Call the model. The events stand in the log before the call goes out.
    Call { intent: Vec<EventData>, max_output_tokens: u64 },
    /// Run these calls: all at once where there are several, for then they only read.
    RunTools { intent: Vec<EventData>, calls: Vec<ToolCall> },
    /// Read a plan from this call's arguments and record it.
    Plan(ToolCall),
    /// Put the plan to people and wait; the call is answered when they have decided.
    AskApproval(ToolCall),
    /// Put this call's questions to people and wait; the call is answered when they have.
    AskPeople(ToolCall),
    /// People have decided about the hosts that this call asked for: record it and answer the call.
    AllowNetwork(ToolCall),
    /// Put this call, which rules ask about, to people and wait; it runs or is refused when they have decided.
    AskAbout { call: ToolCall, asks: Vec<Found> },
    /// Put this plan, which no call brought, to people and wait.
    AskApprovalOf(Planning),
    /// Ask people whether the patch may weaken the tests that it does, and wait.
    AskAboutTests,
    /// Begin the conversation anew with a summary of so many tokens at most.
    Compact { max_output_tokens: u64 },
    /// Look at the working copy and record its tree.
    Checkpoint,
    /// Validate on a clean copy. The `last` validation of a run that a limit ends: failures do not go back.
    RunChecks { last: bool },
    /// Have the patch reviewed by the model that is named for it; without room the limits leave none.
    Review(Option<Room>),
    /// Put the working copy back to the best tree that was validated.
    Restore(CheckpointRef),
    /// The run ends so. The closing events go before the status.
    Finish { closing: Vec<EventData>, end: End },
    /// The task waits for people; what runs in its workspace ends.
    Wait(WaitingFor),
}

/// How a run ends.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    pub status: Status,
    pub error: Option<TaskError>,
    pub verdict: Option<Verdict>,
    pub reason: Option<String>,
}

impl End {
    pub fn failed(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { status: Status::Failed, error: Some(TaskError::new(code, message)), verdict: None, reason: None }
    }
}

/// Decides the next step. Total: every session that is running has one.
pub fn next_step(session: &Session, model: &ModelFacts, now: Timestamp) -> Step {
    if session.cancel {
        return finish(session, End { status: Status::Cancelled, error: None, verdict: None, reason: None });
    }
    if session.pause {
        return Step::Wait(WaitingFor::Paused);
    }
    if session.briefed.is_none() {
        return Step::Analyse;
    }
    if session.memory.is_none() {
        return Step::Recall;
    }
    if let Some(end) = budget::wall(session, now) {
        return conclude(session, end);
    }
    if session.interrupted() && session.calls.iter().any(|c| !c.completed) {
        return Step::Record(give_up_calls(session));
    }
    let works = matches!(session.spec.mode, Mode::Auto | Mode::Change);
    if works && session.phase == Phase::Planning && session.changed_in_run() {
        return Step::Record(vec![EventData::TaskPhase { phase: Phase::Generation }]);
    }
    if let Some(step) = next_call(session) {
        return step;
    }
    match &session.last_words {
        Some(words) if !session.has_words() && !session.calling => rest(session, words, model),
        _ => call_model(session, model, now),
    }
}

/// The first call of the last reply that is not answered yet.
fn next_call(session: &Session) -> Option<Step> {
    let first = session.calls.iter().position(|c| !c.completed)?;
    let pending = &session.calls[first];
    if let Some(text) = cut::refusal(pending) {
        let begun = (!pending.started).then(|| started(&pending.call));
        return Some(Step::Record(
            begun.into_iter().chain([answered(&pending.call, ToolOutcome::Error, &text)]).collect(),
        ));
    }
    match gate::gate(session, &pending.call) {
        Gate::Denied(text) => return Some(Step::Record(refused(&pending.call, pending.started, &text))),
        Gate::PlanFor(planning) => return Some(Step::Record(planned(planning))),
        Gate::AskFor(planning) => return Some(Step::AskApprovalOf(planning)),
        // The wait may be long: what earlier calls changed is kept first.
        Gate::AskAbout(_) if session.dirty => return Some(Step::Checkpoint),
        Gate::AskAbout(asks) => return Some(Step::AskAbout { call: pending.call.clone(), asks }),
        Gate::Wait => return Some(Step::Wait(WaitingFor::Approval)),
        Gate::Open => {}
    }
    if effect(&pending.call.tool) == ToolEffect::Plans {
        return Some(plan(session, &pending.call));
    }
    if effect(&pending.call.tool) == ToolEffect::Asks {
        return Some(ask(session, &pending.call));
    }
    let mut batch = vec![pending];
    if session.effect(&pending.call.tool) == ToolEffect::Reads {
        let others = session.calls[first + 1..].iter();
        let reads = |c: &&PendingCall| session.effect(&c.call.tool) == ToolEffect::Reads && !c.completed;
        batch.extend(others.take_while(|c| reads(c) && cut::refusal(c).is_none()));
    }
    let mut intent = Vec::new();
    // A command is a look around; one that changed files is seen at the next look at the copy.
    if matches!(session.effect(&pending.call.tool), ToolEffect::Edits | ToolEffect::Acts)
        && matches!(session.phase, Phase::Analysis | Phase::Planning)
    {
        intent.push(EventData::TaskPhase { phase: Phase::Generation });
    }
    intent.extend(batch.iter().filter(|c| !c.started).map(|c| started(&c.call)));
    Some(Step::RunTools { intent, calls: batch.into_iter().map(|c| c.call.clone()).collect() })
}

/// A plan that no call brought; the model is told of one that people changed.
fn planned(planning: Planning) -> Vec<EventData> {
    let told = (planning.origin == PlanOrigin::Person)
        .then(|| EventData::MessageDeveloper { text: prompt::plan_changed(&planning.steps) });
    [EventData::PlanUpdated { planning }].into_iter().chain(told).collect()
}

fn plan(session: &Session, call: &ToolCall) -> Step {
    let asks = session.spec.approval.asks_for_plans();
    let asked_for_this = session.plan_call.as_ref() == Some(&call.call);
    // Tasks of earlier builds may write any other plan once one is approved.
    let keeps = |approved: &Planning| session.loop_version() == 0 || revision::call_keeps_to(approved, call);
    match &session.plan_approval {
        // The plan of this call waits for its decision.
        Some(approval) if asked_for_this && approval.decision.is_none() => Step::Wait(WaitingFor::Approval),
        Some(_) if asked_for_this => Step::Plan(call.clone()),
        // One plan was approved: later revisions tick its steps off.
        _ if session.approved.as_ref().is_some_and(keeps) => Step::Plan(call.clone()),
        _ if asks => Step::AskApproval(call.clone()),
        _ => Step::Plan(call.clone()),
    }
}

fn ask(session: &Session, call: &ToolCall) -> Step {
    let for_network = call.tool == REQUEST_NETWORK;
    if for_network && !session.spec.asks_for_network() {
        return Step::Record(vec![started(call), answered(call, ToolOutcome::Error, prompt::NO_NETWORK_ASKED)]);
    }
    match session.asked.iter().find(|asked| asked.call == call.call) {
        None => Step::AskPeople(call.clone()),
        Some(Asked { decided: None, .. }) if for_network => Step::Wait(WaitingFor::Approval),
        Some(Asked { decided: None, .. }) => Step::Wait(WaitingFor::Input),
        Some(_) if for_network => Step::AllowNetwork(call.clone()),
        Some(Asked { decided: Some(decided), .. }) => {
            Step::Record(vec![answered(call, ToolOutcome::Ok, &prompt::answers(decided))])
        }
    }
}

/// The event that says a call begins.
pub fn started(call: &ToolCall) -> EventData {
    let arguments =
        serde_json::from_str(&call.arguments).unwrap_or_else(|_| serde_json::Value::String(call.arguments.clone()));
    EventData::ToolStarted { call: call.call.clone(), tool: call.tool.clone(), arguments }
}

fn answered(call: &ToolCall, outcome: ToolOutcome, output: &str) -> EventData {
    EventData::ToolCompleted {
        call: call.call.clone(),
        tool: call.tool.clone(),
        outcome,
        output: output.to_owned(),
        exit_code: None,
        duration_ms: 0,
    }
}

fn refused(call: &ToolCall, was_started: bool, text: &str) -> Vec<EventData> {
    let mut events = Vec::with_capacity(2);
    if !was_started {
        events.push(started(call));
    }
    events.push(answered(call, ToolOutcome::Denied, text));
    events
}

/// Answers every open call, so that none stays without a result.
pub fn give_up_calls(session: &Session) -> Vec<EventData> {
    let mut events = Vec::new();
    for pending in session.calls.iter().filter(|c| !c.completed) {
        let text = if pending.started { prompt::INTERRUPTED } else { prompt::NOT_RUN };
        if !pending.started {
            events.push(started(&pending.call));
        }
        events.push(answered(&pending.call, ToolOutcome::Interrupted, text));
    }
    events
}

fn call_model(session: &Session, model: &ModelFacts, now: Timestamp) -> Step {
    if let Some(budget) = &session.used.over_budget {
        return conclude(session, End::failed(ErrorCode::LimitCost, budget.clone()));
    }
    if let Some(circle) = session.used.moves.circle() {
        return circling(session, circle);
    }
    match budget::next_call(session, model) {
        Err(end) => conclude(session, end),
        Ok(max_output_tokens) if compact::is_due(session, model) => {
            if compact::is_hopeless(session) {
                let text =
                    format!("the conversation does not fit into the model's window of {} tokens", model.window_tokens);
                return conclude(session, End::failed(ErrorCode::Stuck, text));
            }
            Step::Compact { max_output_tokens: max_output_tokens.min(compact::summary_tokens(model)) }
        }
        Ok(max_output_tokens) => {
            let warnings = budget::warnings(session, now);
            if !warnings.is_empty() {
                return Step::Record(warnings);
            }
            let absorbed =
                session.inputs.iter().filter(|(_, i)| i.queued_in_run.is_none()).map(|(seq, _)| *seq).collect();
            let mut intent = Vec::new();
            let again = session.used.model_calls == 0 && session.has_words();
            if session.phase == Phase::Analysis || (again && session.phase != Phase::Planning) {
                intent.push(EventData::TaskPhase { phase: Phase::Planning });
            }
            intent.push(EventData::ModelStarted { model: session.model.clone(), absorbed });
            // What is left of the window; compaction comes before that is little.
            let room = model.window_tokens.saturating_sub(session.context_estimate()).max(budget::OUTPUT_TOKENS_MIN);
            Step::Call { intent, max_output_tokens: max_output_tokens.min(room) }
        }
    }
}

/// The model has said its last words for now.
fn rest(session: &Session, words: &LastWords, model: &ModelFacts) -> Step {
    if (words.cut || words.text.trim().is_empty()) && session.used.output.asked == 0 {
        return if session.used.nudges > NUDGES_MAX {
            let what = if words.cut { "cut off at their maximal length" } else { "empty" };
            conclude(
                session,
                End::failed(ErrorCode::Stuck, format!("{} replies in a row were {what}", session.used.nudges)),
            )
        } else {
            let text = if words.cut { prompt::CUT_OFF } else { prompt::EMPTY };
            Step::Record(vec![EventData::MessageDeveloper { text: text.to_owned() }])
        };
    }
    // Where files are to be changed such a reply ends nothing; elsewhere it may show what a call looks like.
    if session.used.output.asked == 0 && ends_in_call(&words.text) {
        if session.used.idle_words <= NUDGES_MAX {
            return Step::Record(vec![EventData::MessageDeveloper { text: prompt::UNREAD_CALL.to_owned() }]);
        }
        if matches!(session.spec.mode, Mode::Auto | Mode::Change) {
            let text = "replies in a row ended with a call as text that cannot be read";
            return conclude(session, End::failed(ErrorCode::Stuck, text));
        }
    }
    if leaves_work_open(session) && announces_more(&words.text) {
        // What was changed is judged by the checks; where nothing was, an announcement is no work.
        let works = matches!(session.spec.mode, Mode::Auto | Mode::Change);
        let nothing_done = works && !session.changed_in_run() && !session.dirty && session.loop_version() >= 2;
        if session.used.idle_words <= if nothing_done { ANNOUNCED_MAX } else { 1 } {
            return Step::Record(vec![EventData::MessageDeveloper { text: prompt::ANNOUNCED.to_owned() }]);
        }
        if nothing_done {
            let text = "the model announced its work again and again and did none of it";
            return conclude(session, End::failed(ErrorCode::Stuck, text));
        }
    }
    let done = End { status: Status::Succeeded, error: None, verdict: None, reason: None };
    match session.spec.mode {
        Mode::Plan if session.loop_version() < 2 => return succeed(session, words, done),
        Mode::Plan => {
            let reason = Some("a plan: nothing was to be changed".to_owned());
            return succeed(session, words, End { verdict: Some(Verdict::NoChange), reason, ..done });
        }
        Mode::Answer => {
            let reason = Some("a question: nothing was to be changed".to_owned());
            return succeed(session, words, End { verdict: Some(Verdict::NoChange), reason, ..done });
        }
        Mode::Auto | Mode::Change => {}
    }
    if let Some(step) = put_back(session) {
        return step;
    }
    if !session.keeps_changes() {
        let reason = Some("no plan was approved: nothing is changed".to_owned());
        return succeed(session, words, End { verdict: Some(Verdict::NoChange), reason, ..done });
    }
    if session.dirty {
        return Step::Checkpoint;
    }
    // What was validated and holds stands for as long as nothing changes.
    let known = || session.used.progress.known(session.checkpoint.as_ref());
    if let Some(checked) = session.checked.as_ref().or_else(|| known().filter(|it| it.verdict != Verdict::Failed)) {
        if let Some(step) = weakening::due(session, checked) {
            return step;
        }
        if let Some(best) = worth_restoring(session) {
            return Step::Restore(best);
        }
        if let Some(step) = review::due(session, model, checked) {
            return step;
        }
        let (status, error) = if checked.verdict == Verdict::Failed {
            let why = checked.reason.clone().unwrap_or_else(|| "the checks fail".to_owned());
            (Status::Failed, Some(TaskError::new(ErrorCode::ChecksFailed, why)))
        } else {
            (Status::Succeeded, None)
        };
        let (verdict, reason) = (Some(checked.verdict), checked.reason.clone());
        return succeed(session, words, End { status, error, verdict, reason });
    }
    if !session.changed() && session.spec.checks.is_empty() {
        let reason = Some("no file was changed and the task names no checks".to_owned());
        return succeed(session, words, End { verdict: Some(Verdict::NoChange), reason, ..done });
    }
    if known().is_some() {
        return idle(session);
    }
    Step::RunChecks { last: false }
}

/// What was changed without the plan that people have to approve is put back to where the run began; the base is laid
/// anew by the next run.
fn put_back(session: &Session) -> Option<Step> {
    session.run_start.checkpoint.clone().filter(|_| session.unapproved()).map(Step::Restore)
}

/// Steps of the run's plan are open, or nothing was planned in it and nothing changed yet.
fn leaves_work_open(session: &Session) -> bool {
    let of_run = |plan: &&Planning| session.loop_version() < 2 || Some(*plan) != session.run_start.planning.as_ref();
    match session.planning.as_ref().filter(of_run) {
        Some(planning) => planning.steps.iter().any(|step| step.status != StepStatus::Completed),
        None => !session.changed_in_run(),
    }
}

/// Words after checks that failed, and nothing was changed: said so once, and then taken at their word.
fn idle(session: &Session) -> Step {
    if session.used.idle_words < IDLE_WORDS_MAX {
        return Step::Record(vec![EventData::MessageDeveloper { text: prompt::NOTHING_CHANGED.to_owned() }]);
    }
    if let Some(best) = worth_restoring(session) {
        return Step::Restore(best);
    }
    let text = "the checks fail, and the last replies changed nothing";
    finish(session, End { verdict: Some(Verdict::Failed), ..End::failed(ErrorCode::ChecksFailed, text) })
}

/// The model is told once that it goes in circles; if it goes on, the run ends.
fn circling(session: &Session, circle: Circle) -> Step {
    let calls = circle.calls();
    let told_lately = session.used.circles > 0 && session.used.calls_since_circle < CIRCLE_MEMORY;
    if told_lately || session.used.circles >= CIRCLES_MAX {
        let text = format!("{}, and went on after the model was told so", circle.words());
        return conclude(session, End::failed(ErrorCode::Stuck, text));
    }
    let (used, limit_value) = (calls as f64, calls as f64);
    Step::Record(vec![
        EventData::LimitWarned { limit: LimitKind::Repetition, used, limit_value, of: None },
        EventData::MessageDeveloper { text: prompt::in_circles(&circle.words()) },
    ])
}

/// A run that a limit ends keeps its patch, and the checks and scans say what it is worth: a last validation, in its
/// own time. One that was cut off is not begun again.
fn conclude(session: &Session, end: End) -> Step {
    let open = give_up_calls(session);
    if !open.is_empty() {
        return Step::Record(open);
    }
    if let Some(step) = put_back(session) {
        return step;
    }
    if session.keeps_changes() {
        if session.dirty {
            return Step::Checkpoint;
        }
        let progress = &session.used.progress;
        let known = progress.known(session.checkpoint.as_ref()).is_some();
        // Without checks the patch is scanned all the same, but for tasks of earlier builds.
        let looks = session.loop_version() > 0 || !session.checks().is_empty();
        if session.changed() && !known && !progress.running && looks {
            return Step::RunChecks { last: true };
        }
        if let Some(step) = review::fall_back(session, &end) {
            return step;
        }
        if let Some(best) = worth_restoring(session) {
            return Step::Restore(best);
        }
    }
    finish(session, end)
}

/// An earlier tree of the run that fails less than the working copy does.
fn worth_restoring(session: &Session) -> Option<CheckpointRef> {
    let best = session.used.progress.better()?.checkpoint.as_ref()?;
    let here = session.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.tree == best.tree);
    (!here).then(|| best.clone())
}

/// Whether failed checks go back to the model once more: while refinements are left, and failures become fewer.
pub fn refines(session: &Session, verdict: Verdict, checks: &[CheckResult]) -> bool {
    verdict == Verdict::Failed
        && session.used.refinements < session.spec.limits.refinements
        && !session.used.progress.stands_still(verdict, checks, session.loop_version())
}

/// Whether paths that the request forbids to change go back to the model: once a run, while refinements are left.
pub fn puts_back(session: &Session, forbidden: &[String]) -> bool {
    !forbidden.is_empty() && !session.used.forbidden && session.used.refinements < session.spec.limits.refinements
}

pub(super) fn finish(session: &Session, end: End) -> Step {
    Step::Finish { closing: give_up_calls(session), end }
}
