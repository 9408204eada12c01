//! Questions that tasks ask people: which there are, and deciding them.

use super::{
    Answer, Error, Faults, Idempotency, Service, access,
    access::Right,
    audit::{self, Action, Subject},
    idempotency,
};
use crate::{
    clock,
    domain::{
        ApprovalId, EventData, Principal, Status, TaskId, WaitingFor,
        approval::{Approval, ApprovalKind, Decision, Remember},
        learning::LearningTrigger,
        plan::PlanStep,
    },
    store::{
        TeamTx,
        approvals::{self, ApprovalRow, Decided},
        jobs,
        learnings::{self, NewLearning},
        log::{self, NewEvent, TaskChange},
        publishings, task_views, tasks,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

const NOTE_CHARS_MAX: usize = 10_000;
const STEPS_MAX: usize = 100;
const STEP_CHARS_MAX: usize = 1_000;
const ANSWERS_MAX: usize = 3;

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDecision {
    pub decision: Decision,
    /// For questions, in their order.
    #[serde(default)]
    pub answers: Vec<String>,
    /// For an approved plan: its steps as they shall be done.
    #[serde(default)]
    pub plan: Vec<PlanStep>,
    pub remember: Option<Remember>,
    pub note: Option<String>,
}

/// An approval with the task that asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ApprovalView {
    pub task: TaskId,
    #[serde(flatten)]
    pub approval: Approval,
}

impl From<ApprovalRow> for ApprovalView {
    fn from(row: ApprovalRow) -> Self {
        Self { task: row.task, approval: row.approval }
    }
}

impl Service {
    /// The approvals of one task.
    pub async fn task_approvals(
        &self,
        principal: &Principal,
        task: TaskId,
        after: Option<ApprovalId>,
        limit: u32,
    ) -> Result<Vec<ApprovalView>, Error> {
        access::require(principal, Right::ReadTasks)?;
        let mut tx = self.store().person(principal).await?;
        task_views::state(&mut tx, task).await?.ok_or(Error::NotFound)?;
        let rows = approvals::list(&mut tx, Some(task), false, after, limit).await?;
        tx.commit().await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    /// The team's approvals, only those that can still be decided where `pending`.
    pub async fn team_approvals(
        &self,
        principal: &Principal,
        pending: bool,
        after: Option<ApprovalId>,
        limit: u32,
    ) -> Result<Vec<ApprovalView>, Error> {
        access::require(principal, Right::ReadTasks)?;
        let mut tx = self.store().person(principal).await?;
        let rows = approvals::list(&mut tx, None, pending, after, limit).await?;
        tx.commit().await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    /// Decides an approval and lets the task that waits for it go on.
    pub async fn decide_approval(
        &self,
        principal: &Principal,
        task: TaskId,
        id: ApprovalId,
        new: NewDecision,
        key: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        access::require(principal, Right::WriteTasks)?;
        check(&new)?;
        let mut tx = self.store().person(principal).await?;
        if let Some(done) = idempotency::begin(&mut tx, principal, key).await? {
            return Ok(done);
        }
        let locked = log::lock(&mut tx, task).await?.ok_or(Error::NotFound)?;
        let row = approvals::lock(&mut tx, task, id).await?.ok_or(Error::NotFound)?;
        check_against(&row, &new)?;
        let publishes = row.approval.kind == ApprovalKind::Publish;
        if publishes && new.decision == Decision::Approve {
            access::require(principal, Right::ApprovePublishing)?;
        }
        write_down(&mut tx, principal, id, &new).await?;
        let detail = json!({
            "task": task, "kind": row.approval.kind, "decision": new.decision, "remember": new.remember,
        });
        audit::record(&mut tx, principal, Action::ApprovalDecided, Subject::new("approval", id), detail).await?;
        let resolved = EventData::ApprovalResolved {
            approval: id,
            decision: new.decision,
            author: principal.user_name.clone(),
            plan: new.plan,
            note: new.note,
            answers: new.answers,
            remember: new.remember.filter(|remember| *remember == Remember::Task),
        };
        let mut events = vec![resolved];
        let mut change = TaskChange::default();
        if publishes {
            // Nothing of the task waits for it.
            events.extend(publishings::decided(&mut tx, principal.team, id, new.decision).await?);
        } else if locked.status == Status::Waiting && locked.waiting_for.is_some_and(WaitingFor::is_for_people) {
            events.push(EventData::TaskStatus { status: Status::Queued, waiting_for: None, error: None });
            change.status = Some((Status::Queued, None));
            jobs::put(&mut tx, &tasks::run_task(principal.team, task, locked.created_by, locked.priority)).await?;
        }
        let events: Vec<NewEvent> =
            events.into_iter().map(|data| NewEvent { run: locked.run, turn: 0, data, private: None }).collect();
        let seq = log::append_locked(&mut tx, principal.team, task, &events, &change).await?;
        if self.settings().learns && locked.status.is_end() && !publishes {
            let new = NewLearning {
                id: clock::new_id(),
                task,
                run: locked.run,
                trigger: LearningTrigger::Decision,
                subject: id.0,
                user: principal.user,
            };
            learnings::put(&mut tx, principal.team, new).await?;
        }
        let row = approvals::lock(&mut tx, task, id).await?.ok_or(Error::NotFound)?;
        let answer = Answer::new(200, &ApprovalView::from(row))?;
        let answer = idempotency::commit(tx, principal, key, answer).await?;
        self.committed(principal.team, task, seq);
        Ok(answer)
    }
}

fn check(new: &NewDecision) -> Result<(), Error> {
    let mut faults = Faults::default();
    if let Some(note) = &new.note {
        faults.long("/note", note, NOTE_CHARS_MAX);
    }
    faults.count("/plan", new.plan.len(), STEPS_MAX);
    for (index, step) in new.plan.iter().enumerate() {
        faults.text(&format!("/plan/{index}/step"), &step.step, STEP_CHARS_MAX);
    }
    faults.count("/answers", new.answers.len(), ANSWERS_MAX);
    for (index, answer) in new.answers.iter().enumerate() {
        faults.long(&format!("/answers/{index}"), answer, NOTE_CHARS_MAX);
    }
    faults.finish()
}

/// What can be decided goes by the kind, and only once, and in time.
fn check_against(row: &ApprovalRow, new: &NewDecision) -> Result<(), Error> {
    if let Some(decision) = row.approval.decision.filter(|_| row.approval.decided_by.is_some()) {
        return Err(Error::Conflict {
            code: "already_decided",
            detail: "this approval has been decided".into(),
            state: Some(approvals::word(decision).to_owned()),
        });
    }
    if row.past_deadline || row.approval.decision.is_some() {
        return Err(Error::Expired("the deadline of this approval has passed: its default holds".into()));
    }
    let question = row.approval.kind == ApprovalKind::Question;
    let mut faults = Faults::default();
    if question != (new.decision == Decision::Answer) && new.decision != Decision::Deny {
        faults.add("/decision", if question { "a question is answered" } else { "must be approve or deny" });
    }
    if !question && !new.answers.is_empty() {
        faults.add("/answers", "only a question has answers");
    }
    if new.decision == Decision::Answer {
        let asked = row.approval.subject["questions"].as_array().map_or(0, Vec::len);
        if new.answers.len() != asked {
            faults.add("/answers", format!("must have an answer to each of the {asked} questions"));
        }
        for (index, answer) in new.answers.iter().enumerate() {
            faults.text(&format!("/answers/{index}"), answer, NOTE_CHARS_MAX);
        }
    }
    if !new.plan.is_empty() && (row.approval.kind != ApprovalKind::Plan || new.decision != Decision::Approve) {
        faults.add("/plan", "only an approved plan comes back edited");
    }
    faults.finish()
}

async fn write_down(tx: &mut TeamTx, principal: &Principal, id: ApprovalId, new: &NewDecision) -> Result<(), Error> {
    let answer = json!({
        "answers": new.answers, "plan": new.plan, "remember": new.remember.unwrap_or(Remember::Once),
    })
    .to_string();
    let decided = Decided {
        id,
        decision: new.decision,
        by: Some(principal.user),
        note: new.note.as_deref(),
        answer: Some(&answer),
    };
    Ok(approvals::decide(tx, decided).await?)
}
