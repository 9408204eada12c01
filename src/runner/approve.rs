//! Calls that rules ask about: a reviewer may decide within its limits, else they are put to people.

use super::{
    aside::{GivesWay, Question, Told},
    drive::Driver,
    journal::{Flow, Halt},
    scrub,
};
use crate::{
    agent::{
        approver::{self, Opinion},
        rules::{self, Found},
    },
    clock,
    domain::{
        ApprovalId, EventData,
        approval::{ApprovalKind, DecidedBy},
        event::Aside,
        tool::ToolCall,
        usage::TokenUsage,
    },
    llm,
    store::log::{DecidedByModel, NewApproval},
};
use std::time::Duration;

/// How long a reviewer may take; then people are asked.
const REVIEW_TIMEOUT: Duration = Duration::from_secs(60);

/// What asking the reviewer came to.
enum Reviewed {
    Said(Opinion, TokenUsage),
    /// Somebody's words, a limit or a drain cut it off.
    CutShort,
}

impl Driver {
    /// Has a call decided: by the reviewer where that is set and may, else by people, until whose decision or the
    /// deadline the task rests. The call has not begun.
    pub(super) async fn ask_about(&mut self, call: &ToolCall, asks: &[Found]) -> Result<Flow, Halt> {
        if !self.journal.commit_alone().await? {
            return Ok(Flow::On);
        }
        if let Some((model, request)) = self.approver(call, asks) {
            let (input, output) = (approver::prompt_tokens(&request), u64::from(approver::OUTPUT_TOKENS_MAX));
            // One that a shared budget has no room for is done without.
            let paid = self.try_draw(model.prices, input, output).await?;
            if paid.is_ok_and(|paid| paid.output_tokens >= output) {
                return self.decided_by_model(&model, &request, call, asks).await;
            }
        }
        let subject = rules::subject(call, asks).to_string();
        self.ask(ApprovalKind::Command, Some(call.call.clone()), &subject).await
    }

    /// The reviewer with what it is given to read; none where it is not to be asked.
    fn approver(&self, call: &ToolCall, asks: &[Found]) -> Option<(llm::Model, String)> {
        let model = self.deps.models.get(self.deps.approver.as_ref()?)?;
        let session = &self.journal.session;
        let request = approver::request(session, call, asks)?;
        approver::is_affordable(session, model.prices, &request)
            .then(|| (model.clone(), self.redactor.redact_known(&request).into_owned()))
    }

    /// Asks the reviewer and records what it said; where that decides nothing, people are asked next.
    async fn decided_by_model(
        &mut self,
        model: &llm::Model,
        request: &str,
        call: &ToolCall,
        asks: &[Found],
    ) -> Result<Flow, Halt> {
        let (opinion, usage) = match self.ask_approver(model, request).await? {
            Reviewed::Said(opinion, usage) => (opinion, usage),
            Reviewed::CutShort => return Ok(Flow::On),
        };
        let reason = self.redactor.redact(&opinion.reason).into_owned();
        let reviewed = EventData::ApprovalReviewed {
            call: call.call.clone(),
            model: model.name.clone(),
            decision: opinion.decision,
            reason: reason.clone(),
            usage,
            cost_usd: model.prices.map(|prices| prices.cost_usd(usage)),
        };
        self.journal.record(reviewed, None);
        let Some(decision) = opinion.decision else { return self.journal.commit().await.map(|()| Flow::On) };
        let id: ApprovalId = clock::new_id();
        let kind = ApprovalKind::Command;
        let (deadline, of) = (clock::now(), Some(call.call.clone()));
        self.journal.record(EventData::ApprovalRequested { approval: id, kind, deadline, call: of }, None);
        let resolved = EventData::ApprovalResolved {
            approval: id,
            decision,
            author: DecidedBy::Model(model.name.clone()).to_string(),
            plan: Vec::new(),
            note: Some(reason.clone()),
            answers: Vec::new(),
            remember: None,
        };
        self.journal.record(resolved, None);
        let subject = &scrub::subject(&self.redactor, &rules::subject(call, asks).to_string());
        let decided = Some(DecidedByModel { model: &model.name, decision, note: &reason });
        let approval = NewApproval { id, kind: "command", subject, deadline, default_decision: "deny", decided };
        self.journal.commit_decided(approval).await.map(|()| Flow::On)
    }

    /// A fault is no opinion.
    async fn ask_approver(&mut self, model: &llm::Model, request: &str) -> Result<Reviewed, Halt> {
        let question = Question {
            aside: Aside::Approval,
            model,
            instructions: approver::INSTRUCTIONS,
            text: request.to_owned(),
            max_output_tokens: u64::from(approver::OUTPUT_TOKENS_MAX.min(model.max_output_tokens)),
            timeout: Some(REVIEW_TIMEOUT),
            gives_way: GivesWay::ToInterrupts,
        };
        let none = |why| Reviewed::Said(Opinion::none(why), TokenUsage::default());
        Ok(match self.ask_aside(question).await? {
            Told::Answer(completed) => {
                let reply = &completed.reply;
                let opinion = if reply.cut {
                    Opinion::none("the reviewer's answer was cut off")
                } else {
                    approver::opinion(&reply.text, !reply.calls.is_empty())
                };
                Reviewed::Said(opinion, completed.usage)
            }
            Told::CutShort => Reviewed::CutShort,
            Told::TimedOut => none("the reviewer took too long"),
            Told::SwitchedOff => none("the operator has switched the reviewer's model off"),
            Told::Unaffordable => none("the limits of the task leave no room for the reviewer"),
            Told::Failed(error) => {
                tracing::warn!(task.id = %self.claimed.task, model.name = model.name, "a review was not had: {error}");
                none("the reviewer could not be asked")
            }
        })
    }
}
