//! Steering a task: messages, cancel, pause, resume, retry.
//!
//! A task that no worker holds is changed here, in the transaction; one that runs gets an event
//! that its worker reads before its next step. What was accepted is committed.

use super::{
    Answer, Error, Faults, Idempotency, Service, access,
    access::Right,
    audit::{self, Action, Subject},
    edit::read_spec,
    fork::{apply, fold, read_log},
    given::limits,
    idempotency,
    input::optional_object,
};
use crate::{
    agent::{self, End},
    clock,
    domain::{
        EventData, Principal, Seq, Status, TaskId, TeamId, UserId, WaitingFor,
        approval::{Decision, WITHDRAWN},
        limits::LimitsPatch,
        task::{Control, OnBusy, TaskDetail},
    },
    store::{
        Store, TeamTx,
        approvals::{self, Decided},
        jobs,
        log::{self, Locked, NewEvent, NewLearning, TaskChange},
        switches::OPERATOR,
        task_edits::{self, TaskEdit},
        task_views, tasks,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

const MESSAGE_CHARS_MAX: usize = 200_000;

/// A message to a task.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMessage {
    #[schema(max_length = 200_000)]
    pub text: String,
    /// What becomes of a run that is under way. Default `steer`.
    pub on_busy: Option<OnBusy>,
}

/// What resume and retry may raise.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionLimits {
    #[serde(default, deserialize_with = "optional_object")]
    pub limits: Option<LimitsPatch>,
}

/// What was accepted stands in the task's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Accepted {
    /// The seq of the event that holds it: of a message the message's own.
    pub seq: Seq,
    /// The task's status after it.
    pub status: Status,
}

/// What somebody at a tracker has written.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) author: String,
    /// The member whose account it is.
    pub(super) user: Option<UserId>,
}

/// What a use case appends and changes.
struct Step {
    events: Vec<EventData>,
    status: Option<(Status, Option<WaitingFor>)>,
    next_run: bool,
    cancel_requested: Option<bool>,
    queue: Queue,
}

enum Queue {
    Keep,
    /// Due at once.
    Put,
    /// No worker may go on with it.
    Fence,
}

impl Step {
    fn note(event: EventData) -> Self {
        Self { events: vec![event], status: None, next_run: false, cancel_requested: None, queue: Queue::Keep }
    }

    /// Whether it ends the task, or asks its worker to.
    fn cancels(&self) -> bool {
        self.cancel_requested == Some(true) || matches!(self.status, Some((Status::Cancelled, _)))
    }

    /// The task's next run, from the queue.
    fn wake(event: EventData) -> Self {
        let queued = EventData::TaskStatus { status: Status::Queued, waiting_for: None, error: None };
        Self {
            events: vec![event, queued],
            status: Some((Status::Queued, None)),
            next_run: true,
            cancel_requested: Some(false),
            queue: Queue::Put,
        }
    }

    /// The task rests or ends here and now.
    fn stop(event: EventData, status: Status, waiting_for: Option<WaitingFor>) -> Self {
        Self {
            events: vec![event, EventData::TaskStatus { status, waiting_for, error: None }],
            status: Some((status, waiting_for)),
            next_run: false,
            cancel_requested: None,
            queue: Queue::Fence,
        }
    }
}

impl Service {
    /// Gives a task a message. One that rests or has ended wakes as its next run.
    pub async fn send_message(
        &self,
        principal: &Principal,
        id: TaskId,
        new: NewMessage,
        key: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        access::require(principal, Right::WriteTasks)?;
        let mut faults = Faults::default();
        faults.text("/text", &new.text, MESSAGE_CHARS_MAX);
        faults.finish()?;
        let message = EventData::MessageUser {
            text: new.text,
            author: principal.user_name.clone(),
            user: Some(principal.user),
            on_busy: new.on_busy.unwrap_or(OnBusy::Steer),
        };
        self.act(principal, id, key, None, async |_: &mut TeamTx, locked: &Locked| {
            Ok(if locked.status.is_rest() { Step::wake(message) } else { Step::note(message) })
        })
        .await
    }

    /// Cancels, pauses, resumes or retries a task.
    pub async fn control_task(
        &self,
        principal: &Principal,
        id: TaskId,
        action: Control,
        raised: ActionLimits,
        key: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        access::require(principal, Right::WriteTasks)?;
        let mut faults = Faults::default();
        if let Some(patch) = &raised.limits {
            limits(patch, &mut faults);
        }
        faults.finish()?;
        let event = EventData::TaskControl { action, author: principal.user_name.clone() };
        self.act(principal, id, key, raised.limits, async |tx: &mut TeamTx, locked: &Locked| {
            // A pause that the running task has not come to yet can be taken back.
            if action == Control::Resume && locked.status == Status::Running && pausing(tx, id).await? {
                return Ok(Step::note(event));
            }
            control(action, event, locked)
        })
        .await
    }

    /// Tells a task what somebody at a tracker has written, and ends the transaction in which that was noted.
    pub(super) async fn tell_in(&self, tx: TeamTx, principal: &Principal, id: TaskId, said: Said) -> Result<(), Error> {
        let Said { text, author, user } = said;
        let message = EventData::MessageUser { text, author, user, on_busy: OnBusy::Steer };
        let done = self.act_in(tx, principal, id, None, None, async |_: &mut TeamTx, locked: &Locked| {
            Ok(if locked.status.is_rest() { Step::wake(message) } else { Step::note(message) })
        });
        done.await.map(drop)
    }

    /// Cancels a task because of what has happened at a tracker; one that has ended stays as it is.
    pub(super) async fn cancel_in(
        &self,
        tx: TeamTx,
        principal: &Principal,
        id: TaskId,
        author: String,
    ) -> Result<(), Error> {
        let event = EventData::TaskControl { action: Control::Cancel, author };
        let done = self.act_in(tx, principal, id, None, None, async |_: &mut TeamTx, locked: &Locked| {
            control(Control::Cancel, event, locked)
        });
        done.await.map(drop)
    }

    /// Cancels the task of somebody who may no longer have any, in the principal's name.
    pub(super) async fn cancel_for_leaving(&self, principal: &Principal, id: TaskId) -> Result<(), Error> {
        let event = EventData::TaskControl { action: Control::Cancel, author: principal.user_name.clone() };
        let done = self.act(principal, id, None, None, async |_: &mut TeamTx, locked: &Locked| {
            control(Control::Cancel, event, locked)
        });
        done.await.map(drop)
    }

    /// One transaction: takes the idempotency key, locks the task, decides, appends, commits.
    async fn act(
        &self,
        principal: &Principal,
        id: TaskId,
        key: Option<&Idempotency>,
        raised: Option<LimitsPatch>,
        decide: impl AsyncFnOnce(&mut TeamTx, &Locked) -> Result<Step, Error>,
    ) -> Result<Answer, Error> {
        let mut tx = self.store().person(principal).await?;
        if let Some(done) = idempotency::begin(&mut tx, principal, key).await? {
            return Ok(done);
        }
        self.act_in(tx, principal, id, key, raised, decide).await
    }

    /// The same in a transaction that has begun, and that this ends.
    async fn act_in(
        &self,
        mut tx: TeamTx,
        principal: &Principal,
        id: TaskId,
        key: Option<&Idempotency>,
        raised: Option<LimitsPatch>,
        decide: impl AsyncFnOnce(&mut TeamTx, &Locked) -> Result<Step, Error>,
    ) -> Result<Answer, Error> {
        let locked = log::lock(&mut tx, id).await?.ok_or(Error::NotFound)?;
        let mut step = decide(&mut tx, &locked).await?;
        if matches!(step.queue, Queue::Put) {
            self.room_in_queue(&mut tx, locked.created_by).await?;
        }
        let mut detail = None;
        if matches!(step.status, Some((Status::Cancelled, _))) {
            detail = close_log(&mut tx, id, &mut step).await?;
        }
        if let Some(raised) = raised {
            self.raise(&mut tx, id, &locked, raised).await?;
            let author = principal.user_name.clone();
            // After the control event, which begins the run that the limits are for.
            step.events.insert(1, EventData::TaskUpdated { title: None, limits: Some(raised), author });
        }
        if locked.waiting_for.is_some_and(WaitingFor::is_for_people) {
            withdraw(&mut tx, principal.into(), id, &mut step).await?;
        }
        if step.next_run && locked.edits > 0 {
            // What was edited since the end is said once there is a run to say it in.
            let limits = Some(read_spec(id, &locked)?.limits.as_patch());
            let author = principal.user_name.clone();
            step.events.insert(1, EventData::TaskUpdated { title: None, limits, author });
        }
        let ends = self.settings().learns && step.status.is_some_and(|(status, _)| status.is_end());
        let learn = ends.then(|| NewLearning { id: clock::new_id(), run: locked.run, user: locked.created_by });
        let last = perform(&mut tx, principal.team, id, &locked, &step, (detail.as_ref(), learn)).await?;
        if locked.created_by != principal.user && step.cancels() {
            let detail = json!({ "created_by": locked.created_by, "status": locked.status });
            audit::record(&mut tx, principal, Action::TaskCancelled, Subject::new("task", id), detail).await?;
        }
        let seq = last - step.events.len() as Seq + 1;
        let status = step.status.map_or(locked.status, |(status, _)| status);
        let answer = Answer::new(202, &Accepted { seq, status })?;
        let answer = idempotency::commit(tx, principal, key, answer).await?;
        self.committed(principal.team, id, last);
        Ok(answer)
    }

    /// Writes raised limits into the task's spec.
    async fn raise(&self, tx: &mut TeamTx, id: TaskId, locked: &Locked, raised: LimitsPatch) -> Result<(), Error> {
        let mut spec = read_spec(id, locked)?;
        spec.limits = spec.limits.patched(raised);
        self.can_be_capped(&spec.model, &spec.limits)?;
        let spec = serde_json::to_string(&spec).map_err(Error::internal)?;
        Ok(task_edits::amend(tx, id, &TaskEdit { spec: Some(&spec), ..TaskEdit::default() }).await?)
    }
}

/// Who steers: a member, or an operator.
#[derive(Clone, Copy)]
struct By<'a> {
    user: Option<UserId>,
    name: &'a str,
}

impl<'a> From<&'a Principal> for By<'a> {
    fn from(principal: &'a Principal) -> Self {
        Self { user: Some(principal.user), name: &principal.user_name }
    }
}

/// Cancels a task for an operator, whoever made it; false where it had ended. `filter` goes into the audit log.
pub async fn cancel_for_operator(store: &Store, team: TeamId, id: TaskId, filter: Value) -> Result<bool, Error> {
    let mut tx = store.team(team).await?;
    let Some(locked) = log::lock(&mut tx, id).await? else { return Ok(false) };
    let event = EventData::TaskControl { action: Control::Cancel, author: OPERATOR.to_owned() };
    let Ok(mut step) = control(Control::Cancel, event, &locked) else { return Ok(false) };
    let mut detail = None;
    if matches!(step.status, Some((Status::Cancelled, _))) {
        detail = close_log(&mut tx, id, &mut step).await?;
    }
    if locked.waiting_for.is_some_and(WaitingFor::is_for_people) {
        withdraw(&mut tx, By { user: None, name: OPERATOR }, id, &mut step).await?;
    }
    perform(&mut tx, team, id, &locked, &step, (detail.as_ref(), None)).await?;
    let told = json!({ "created_by": locked.created_by, "status": locked.status, "filter": filter });
    audit::by_operator_of(&mut tx, team, Action::TaskCancelled, Subject::new("task", id), told).await?;
    tx.commit().await?;
    Ok(true)
}

/// Whether the last thing that people asked of a running task is to pause.
async fn pausing(tx: &mut TeamTx, id: TaskId) -> Result<bool, Error> {
    let last = task_views::events_of_turn(tx, id, "task.control", None, None, 1).await?;
    let action = last.first().and_then(|(data, _)| serde_json::from_str::<ControlData>(data).ok());
    Ok(action.is_some_and(|data| data.action == Control::Pause))
}

/// The data of `task.control`, as far as it matters here.
#[derive(Deserialize)]
struct ControlData {
    action: Control,
}

fn control(action: Control, event: EventData, locked: &Locked) -> Result<Step, Error> {
    use Status::{Cancelled, Failed, Queued, Running, Succeeded, Waiting};
    let waiting = locked.waiting_for;
    Ok(match (action, locked.status) {
        (Control::Cancel, Queued | Waiting) => Step::stop(event, Cancelled, None),
        (Control::Cancel, Running) => Step { cancel_requested: Some(true), ..Step::note(event) },
        (Control::Pause, Queued) => Step::stop(event, Waiting, Some(WaitingFor::Paused)),
        (Control::Pause, Running) => Step::note(event),
        (Control::Resume, Waiting) if matches!(waiting, Some(WaitingFor::Paused | WaitingFor::Capacity)) => {
            Step::wake(event)
        }
        (Control::Resume, Failed | Cancelled) | (Control::Retry, Succeeded | Failed | Cancelled) => Step::wake(event),
        (_, status) => {
            let what = waiting.map_or_else(String::new, |what| format!(" for {}", what.as_str()));
            return Err(Error::Conflict {
                code: "wrong_state",
                detail: format!("the task is {}{what}: it cannot be {}", status.as_str(), done(action)),
                state: Some(status.as_str().to_owned()),
            });
        }
    })
}

fn done(action: Control) -> &'static str {
    match action {
        Control::Cancel => "cancelled",
        Control::Pause => "paused",
        Control::Resume => "resumed",
        Control::Retry => "retried",
    }
}

/// A task that was cancelled or told something else no longer waits for what it asked.
async fn withdraw(tx: &mut TeamTx, by: By<'_>, id: TaskId, step: &mut Step) -> Result<(), Error> {
    let why = match step.status {
        Some((Status::Cancelled, _)) => "the task was cancelled",
        _ => "a message came instead of a decision",
    };
    let note = &format!("{WITHDRAWN}{why}");
    for approval in approvals::undecided(tx, id).await? {
        let decided = Decided { id: approval, decision: Decision::Deny, by: by.user, note: Some(note), answer: None };
        approvals::decide(tx, decided).await?;
        let resolved = EventData::ApprovalResolved {
            approval,
            decision: Decision::Deny,
            author: by.name.to_owned(),
            plan: Vec::new(),
            note: Some(note.clone()),
            answers: Vec::new(),
            remember: None,
        };
        // After the event that begins the run.
        step.events.insert(1, resolved);
    }
    Ok(())
}

/// What a worker would write at the end of a task that none holds: its open calls are answered, and its result stands
/// in the log, with the patch as the worker left it. Nothing is written of a task that has not begun.
async fn close_log(tx: &mut TeamTx, id: TaskId, step: &mut Step) -> Result<Option<TaskDetail>, Error> {
    // A log that is too long to be read here is cancelled without.
    let Ok(records) = read_log(tx, id).await else { return Ok(None) };
    let last = records.last().map_or(0, |record| record.event.seq);
    let mut session = fold(id, &records, last)?;
    if session.briefed.is_none() {
        return Ok(None);
    }
    let (run, turn) = (session.run, session.turn);
    let event = |data| NewEvent { run, turn, data, private: None };
    let mut closing = agent::give_up_calls(&session);
    apply(&mut session, &closing.iter().cloned().map(event).collect::<Vec<_>>());
    let end = End { status: Status::Cancelled, error: None, verdict: None, reason: None };
    let result = EventData::TaskResult { result: Box::new(agent::result_at_rest(&session, &end)) };
    closing.push(result);
    let status = step.events.len() - 1;
    apply(&mut session, &closing[closing.len() - 1..].iter().cloned().map(event).collect::<Vec<_>>());
    step.events.splice(status..status, closing);
    Ok(Some(session.detail()))
}

async fn perform(
    tx: &mut TeamTx,
    team: TeamId,
    id: TaskId,
    locked: &Locked,
    step: &Step,
    (detail, learn): (Option<&TaskDetail>, Option<NewLearning>),
) -> Result<Seq, Error> {
    let run = if step.next_run { locked.run + 1 } else { locked.run };
    match step.queue {
        Queue::Keep => {}
        Queue::Fence => task_edits::fence(tx, id).await?,
        Queue::Put => {
            jobs::put(tx, &tasks::run_task(team, id, locked.created_by, locked.priority)).await?;
        }
    }
    let events: Vec<NewEvent> =
        step.events.iter().map(|data| NewEvent { run, turn: 0, data: data.clone(), private: None }).collect();
    let change = TaskChange {
        status: step.status,
        run: step.next_run.then_some(run),
        cancel_requested: step.cancel_requested,
        detail,
        learn,
        ..TaskChange::default()
    };
    Ok(log::append_locked(tx, team, id, &events, &change).await?)
}
