//! The driver: one claimed task from where its log stands to where it rests.

use super::{
    Deps, Runner,
    beside::Beside,
    copy::Copy,
    decisions, forgotten,
    journal::{Flow, Halt, Journal},
    scrub,
    secret::{self, Hidden},
};
use crate::{
    agent::{self, End, ModelFacts, Reviewer, Step},
    clock,
    domain::{
        ApprovalId, CallId, ErrorCode, EventData, Private, Status, WaitingFor,
        approval::{ApprovalKind, Decision},
        plan::Planning,
        tool::{ToolCall, ToolOutcome},
    },
    llm, mcp,
    secrets::Redactor,
    store::{
        jobs::Claimed,
        log::{JobChange, NewApproval},
    },
    tools::{self, Parsed},
};
use std::{collections::BTreeSet, ops::ControlFlow, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// Claims without a rest in between after which a task is given up: something in it breaks its
/// workers.
const ATTEMPTS_MAX: u32 = 25;
/// How long people have to decide or to answer, where the task says nothing.
const APPROVAL_DEADLINE: Duration = Duration::from_secs(24 * 3600);

pub(super) struct Driver {
    pub(super) deps: Arc<Deps>,
    pub(super) claimed: Claimed,
    pub(super) journal: Journal,
    /// Hides the process's secrets and the task's own.
    pub(super) redactor: Arc<Redactor>,
    /// A secret of the task does not open: why.
    sealed: Option<String>,
    pub(super) copy: Copy,
    pub(super) beside: Beside,
    pub(super) mcp: mcp::Connections,
    pub(super) conversation: Option<llm::Conversation>,
    pub(super) lost: CancellationToken,
    /// Files that edit tools changed since the last look: their syntax is checked.
    pub(super) edited: BTreeSet<String>,
    boundaries: u32,
    /// Workspaces that died.
    pub(super) deaths: u32,
    /// The call that was begun last was not sent: other words came with its commit.
    pub(super) unsent: bool,
    /// The pause that the task comes to is an operator's.
    pub(super) held: bool,
}

/// How driving a task ended here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driven {
    /// It rests or was given back, in the log's own transaction; or it is another worker's.
    Settled,
    /// It was left as it is, as a crash would leave it.
    Left,
    /// It cannot go on here now.
    Stuck,
}

impl Runner {
    /// Drives a claimed task until it rests, is given back, or cannot go on here. `lost` is
    /// cancelled when the lease is lost.
    pub async fn drive(&self, claimed: Claimed, lost: CancellationToken) -> Driven {
        match Box::pin(self.try_drive(claimed, lost)).await {
            Ok(()) | Err(Halt::Fenced) => Driven::Settled,
            Err(Halt::Cut) => Driven::Left,
            Err(error) => {
                tracing::error!(task.id = %claimed.task, attempt = claimed.attempts, error = %error, "a task cannot go on here");
                Driven::Stuck
            }
        }
    }

    async fn try_drive(&self, claimed: Claimed, lost: CancellationToken) -> Result<(), Halt> {
        let deps = Arc::clone(&self.deps);
        let _driving = deps.hub.driving(claimed.task);
        let mut journal = Journal::open(&deps, &claimed).await?;
        let hidden = secret::of_task(&deps, claimed.team, &journal.session.spec).await?;
        let (hidden, sealed) = match hidden {
            Ok(hidden) => (hidden, None),
            Err(error) => (Hidden::none(&deps), Some(error.to_string())),
        };
        let redactor = Arc::clone(&hidden.redactor);
        journal.scrub_with(Arc::clone(&redactor));
        let copy = Copy::new(Arc::clone(&deps), &claimed, &journal.session, hidden);
        let mcp = deps.mcp.connections();
        let mut driver = Driver {
            deps,
            claimed,
            journal,
            redactor,
            sealed,
            copy,
            beside: Beside::default(),
            mcp,
            conversation: None,
            lost,
            edited: BTreeSet::new(),
            boundaries: 0,
            deaths: 0,
            unsent: false,
            held: false,
        };
        let result = driver.run().await;
        driver.still().await;
        result
    }
}

impl Driver {
    async fn run(&mut self) -> Result<(), Halt> {
        if matches!(self.journal.session.status, Status::Queued | Status::Running) {
            self.take_up().await?;
        } else {
            // A job without work: the task rests already.
            self.journal.close(JobChange::Remove, None).await?;
            return Ok(());
        }
        if self.claimed.attempts > ATTEMPTS_MAX {
            let text = format!("{ATTEMPTS_MAX} workers in a row could not go on with this task");
            return self.fail(ErrorCode::Internal, text).await.map(drop);
        }
        if let Some(error) = self.sealed.take() {
            return self.fail(ErrorCode::WorkspaceFailed, error).await.map(drop);
        }
        while self.step().await? == Flow::On {}
        Ok(())
    }

    async fn step(&mut self) -> Result<Flow, Halt> {
        self.boundary()?;
        if self.deps.draining().is_cancelled() {
            return self.park().await;
        }
        self.journal.refresh().await?;
        self.record_network();
        if let Some(flow) = self.goes_on_elsewhere(false).await? {
            return Ok(flow);
        }
        self.heed_pause().await?;
        self.start_beside();
        let step = agent::next_step(&self.journal.session, &self.facts(), clock::now());
        if matches!(step, Step::Call { .. } | Step::Compact { .. }) && self.is_model_off().await {
            return self.without_model().await;
        }
        match step {
            Step::Record(events) => self.journal.record_all(events),
            Step::Plan(call) => self.plan(&call),
            Step::Analyse => return self.analyse().await,
            Step::Recall => self.recall().await?,
            Step::Call { intent, max_output_tokens } => return self.call_model(intent, max_output_tokens).await,
            Step::RunTools { intent, calls } => return self.run_tools(intent, calls).await,
            Step::AskApproval(call) => return self.ask_approval(&call).await,
            Step::AskPeople(call) => return self.ask_people(&call).await,
            Step::AllowNetwork(call) => {
                let events = decisions::network_decided(&self.journal.session, &call);
                self.journal.record_all(events);
            }
            Step::AskAbout { call, asks } => return self.ask_about(&call, &asks).await,
            Step::AskApprovalOf(planning) => return self.ask_approval_of(planning).await,
            Step::AskAboutTests => return self.ask_about_tests().await,
            Step::Compact { max_output_tokens } => return self.compact(max_output_tokens).await,
            Step::Checkpoint => return self.checkpoint().await,
            Step::RunChecks { last } => return self.validate(last).await,
            Step::Review(room) => return self.review(room).await,
            Step::Restore(best) => self.restore(best).await?,
            Step::Wait(waiting_for) => return self.wait(waiting_for, None).await,
            Step::Finish { closing, end } => return self.finish(closing, end).await,
        }
        Ok(Flow::On)
    }

    /// A step boundary: where a lost lease, a cut or a failpoint stops the driver.
    pub(super) fn boundary(&mut self) -> Result<(), Halt> {
        self.boundaries += 1;
        if self.lost.is_cancelled() {
            return Err(Halt::Fenced);
        }
        if self.deps.cut.is_cancelled() {
            return Err(Halt::Cut);
        }
        match &self.deps.failpoint {
            Some(failpoint) if failpoint(self.claimed.task, self.boundaries) == ControlFlow::Break(()) => {
                Err(Halt::Cut)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn answer(&mut self, call: &ToolCall, outcome: ToolOutcome, output: impl Into<String>) {
        self.journal.record(decisions::answered(call, outcome, output), None);
    }

    /// Ends whatever runs for the task; nothing does when this returns.
    async fn still(&mut self) {
        self.beside.close().await;
        self.mcp.close().await;
        self.copy.close().await;
        // One that was being opened for something that was cut short.
        self.deps.sandboxes.until_none(self.claimed.task).await;
    }

    /// Gives the task back at a step boundary.
    async fn park(&mut self) -> Result<Flow, Halt> {
        self.keep_changes().await?;
        self.record_network();
        self.journal.commit().await?;
        self.settle_budget().await?;
        self.still().await;
        self.journal.record(EventData::TaskStatus { status: Status::Queued, waiting_for: None, error: None }, None);
        self.journal.close(JobChange::Release, None).await
    }

    /// Rests until somebody acts; what runs in the workspace ends.
    pub(super) async fn wait(
        &mut self,
        waiting_for: WaitingFor,
        approval: Option<NewApproval<'_>>,
    ) -> Result<Flow, Halt> {
        if approval.is_none() {
            self.keep_changes().await?;
            if !self.journal.commit_alone().await? {
                return Ok(Flow::On);
            }
        }
        let patch = self.patch_at_rest().await?;
        self.settle_budget().await?;
        self.still().await;
        let status = EventData::TaskStatus { status: Status::Waiting, waiting_for: Some(waiting_for), error: None };
        self.journal.record(status, patch);
        self.rest(JobChange::Remove, approval).await
    }

    /// Writes that the task rests, now that its workspace is closed. Where somebody wrote in the last moment it goes on
    /// instead, in a new workspace, and the model is told what ended with the old one.
    async fn rest(&mut self, job: JobChange, approval: Option<NewApproval<'_>>) -> Result<Flow, Halt> {
        let flow = self.journal.close(job, approval).await?;
        if flow == Flow::On {
            self.was_closed().await?;
        }
        Ok(flow)
    }

    async fn ask_approval(&mut self, call: &ToolCall) -> Result<Flow, Halt> {
        let planning = match self.read_plan(call) {
            Ok(planning) => planning,
            Err(text) => {
                self.begin(call);
                self.answer(call, ToolOutcome::Error, text);
                return Ok(Flow::On);
            }
        };
        self.begin(call);
        self.ask_approval_of(planning).await
    }

    async fn ask_approval_of(&mut self, planning: Planning) -> Result<Flow, Halt> {
        self.journal.record(EventData::PlanUpdated { planning: planning.clone() }, None);
        self.keep_changes().await?;
        if !self.journal.commit_alone().await? {
            return Ok(Flow::On);
        }
        let subject = serde_json::json!({ "planning": planning }).to_string();
        self.ask(ApprovalKind::Plan, None, &subject).await
    }

    /// Puts a call's questions to people; the task rests until they answer, or until the deadline.
    async fn ask_people(&mut self, call: &ToolCall) -> Result<Flow, Halt> {
        self.begin(call);
        let questions = match tools::parse(&call.tool, &call.arguments) {
            Ok(Parsed::AskUser { questions }) => questions,
            Ok(Parsed::RequestNetwork { hosts, reason }) => return self.ask_for_hosts(call, &hosts, &reason).await,
            Ok(_) => return Ok(Flow::On),
            Err(answer) => {
                self.answer(call, ToolOutcome::Error, String::from_utf8_lossy(&answer.output));
                return Ok(Flow::On);
            }
        };
        self.keep_changes().await?;
        if !self.journal.commit_alone().await? {
            return Ok(Flow::On);
        }
        let subject = serde_json::json!({ "questions": questions }).to_string();
        self.ask(ApprovalKind::Question, Some(call.call.clone()), &subject).await
    }

    /// Asks people whether the patch may weaken the tests that it does; the task rests until they decide, or until the
    /// deadline, which denies.
    async fn ask_about_tests(&mut self) -> Result<Flow, Halt> {
        if !self.journal.commit_alone().await? {
            return Ok(Flow::On);
        }
        let subject = agent::tests_subject(&self.journal.session).to_string();
        self.ask(ApprovalKind::WeakenedTests, None, &subject).await
    }

    /// Asks people by a row of their pending list and lets the task rest.
    pub(super) async fn ask(&mut self, kind: ApprovalKind, call: Option<CallId>, subject: &str) -> Result<Flow, Halt> {
        let id: ApprovalId = clock::new_id();
        let spec = &self.journal.session.spec;
        let span = spec.approval_deadline_seconds.map_or(APPROVAL_DEADLINE, |span| Duration::from_secs(span.into()));
        let deadline = clock::now().plus(span);
        // Nobody's silence answers a question, lets a patch weaken tests, or opens a way out.
        let by_silence = !matches!(kind, ApprovalKind::Question | ApprovalKind::WeakenedTests | ApprovalKind::Network);
        let approves = by_silence && spec.approval_default == Some(Decision::Approve);
        let default_decision = if approves { "approve" } else { "deny" };
        let (word, waiting_for) = match kind {
            ApprovalKind::Question => ("question", WaitingFor::Input),
            ApprovalKind::Plan => ("plan", WaitingFor::Approval),
            ApprovalKind::Command => ("command", WaitingFor::Approval),
            ApprovalKind::Network => ("network", WaitingFor::Approval),
            ApprovalKind::Publish => ("publish", WaitingFor::Approval),
            ApprovalKind::WeakenedTests => ("weakened_tests", WaitingFor::Approval),
        };
        self.journal.record(EventData::ApprovalRequested { approval: id, kind, deadline, call }, None);
        let subject = &scrub::subject(&self.redactor, subject);
        let approval = NewApproval { id, kind: word, subject, deadline, default_decision, decided: None };
        self.wait(waiting_for, Some(approval)).await
    }

    /// The event of a call's beginning, unless it stands in the log.
    pub(super) fn begin(&mut self, call: &ToolCall) {
        if let Some(event) = decisions::beginning(&self.journal.session, call) {
            self.journal.record(event, None);
        }
    }

    /// Before the workspace ends: what calls have changed since the last look is looked at, for the copy may be
    /// laid anew on another machine from what the log knows.
    pub(super) async fn keep_changes(&mut self) -> Result<(), Halt> {
        if !self.journal.session.dirty || self.journal.session.briefed.is_none() {
            return Ok(());
        }
        self.prepare_copy().await?;
        match self.copy.look().await {
            Ok(found) => self.record_checkpoint(found).await,
            Err(Halt::Workspace(error)) => {
                tracing::warn!(task.id = %self.claimed.task, error = %error, "the working copy could not be looked at before a rest");
                Ok(())
            }
            Err(other) => Err(other),
        }
    }

    /// Ends the run as failed, with its open calls answered.
    pub(super) async fn fail(&mut self, code: ErrorCode, message: impl Into<String>) -> Result<Flow, Halt> {
        self.end(End::failed(code, message)).await
    }

    /// Ends the run, with its open calls answered.
    pub(super) async fn end(&mut self, end: End) -> Result<Flow, Halt> {
        let closing = agent::give_up_calls(&self.journal.session);
        self.finish(closing, end).await
    }

    /// Ends the run: working copy looked at a last time, patch kept, result and status in one commit. Nothing ends
    /// where somebody wrote meanwhile: the loop decides again.
    async fn finish(&mut self, closing: Vec<EventData>, end: End) -> Result<Flow, Halt> {
        if !self.journal.commit_alone().await? {
            return Ok(Flow::On);
        }
        let looked = self.look_last().await?;
        let patch = match self.last_patch().await {
            Ok(patch) => patch.filter(|_| self.journal.session.keeps_changes()),
            // A full disk is waited for as long as the task is tried at all; then it ends without.
            Err(error @ (Halt::Repository(_) | Halt::Disk(_))) if self.claimed.attempts > ATTEMPTS_MAX => {
                tracing::warn!(task.id = %self.claimed.task, error = %error, "the patch could not be made at the end");
                None
            }
            Err(other) => return Err(other),
        };
        if !self.journal.commit_alone().await? {
            return Ok(Flow::On);
        }
        self.settle_budget().await?;
        self.still().await;
        self.journal.record_all(closing);
        let gone = self.forget_deleted().await?;
        let broken = patch.as_ref().map_or(&[][..], |(.., broken)| broken);
        let stat = patch.as_ref().map(|(stat, ..)| *stat);
        let result = agent::task_result(&self.journal.session, &end, stat, looked.then_some(broken));
        let result = Box::new(forgotten::without(&gone, result));
        let private = patch.map(|(_, blob, _)| Private::Patch { blob, forbidden: Vec::new(), paths: None });
        self.journal.record(EventData::TaskResult { result }, private);
        let kept = self.journal.session.keeps_words();
        self.journal.record(EventData::TaskStatus { status: end.status, waiting_for: None, error: end.error }, None);
        let again = kept && end.status != Status::Cancelled;
        if again {
            self.journal.record_next_run();
        }
        self.rest(if again { JobChange::Release } else { JobChange::Remove }, None).await
    }

    pub(super) fn facts(&self) -> ModelFacts {
        let reviewer = self.reviewer().map(|model| Reviewer {
            window_tokens: model.window_tokens,
            max_output_tokens: u64::from(model.max_output_tokens),
            prices: model.prices,
        });
        match self.deps.models.get(&self.journal.session.model) {
            Some(model) => ModelFacts {
                window_tokens: model.window_tokens,
                max_output_tokens: u64::from(model.max_output_tokens),
                prices: model.prices,
                reviewer,
            },
            None => ModelFacts { window_tokens: 128_000, max_output_tokens: 16_384, prices: None, reviewer },
        }
    }

    /// Reads and records a plan.
    fn plan(&mut self, call: &ToolCall) {
        let events = decisions::planned(&self.journal.session, call);
        self.journal.record_all(events);
    }
}
