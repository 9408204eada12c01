//! Calls that rules ask about: a reviewer may decide within its limits, else they are put to people.

use super::{
    caller::Caller,
    drive::Driver,
    journal::{Flow, Halt},
    model::DRAIN_WAITS,
};
use crate::{
    agent::{
        self,
        approver::{self, Opinion},
        rules::{self, Found},
    },
    clock,
    domain::{
        ApprovalId, EventData, Item, approval::ApprovalKind, event::ToolSpecs, tool::ToolCall, usage::TokenUsage,
    },
    llm,
};
use std::time::Duration;

/// How long a reviewer may take; then people are asked.
const REVIEW_TIMEOUT: Duration = Duration::from_secs(60);

/// What asking the reviewer came to.
enum Reviewed {
    Said(Opinion, TokenUsage),
    /// Somebody's words, a limit or a drain cut it off.
    CutShort,
    Fenced,
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
                return self.decided_by_model(&model, &request, call).await;
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
    async fn decided_by_model(&mut self, model: &llm::Model, request: &str, call: &ToolCall) -> Result<Flow, Halt> {
        let (opinion, usage) = match self.ask_approver(model, request).await {
            Reviewed::Said(opinion, usage) => (opinion, usage),
            Reviewed::CutShort => return Ok(Flow::On),
            Reviewed::Fenced => return Err(Halt::Fenced),
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
        if let Some(decision) = opinion.decision {
            let approval: ApprovalId = clock::new_id();
            let kind = ApprovalKind::Command;
            let (deadline, call) = (clock::now(), Some(call.call.clone()));
            self.journal.record(EventData::ApprovalRequested { approval, kind, deadline, call }, None);
            let resolved = EventData::ApprovalResolved {
                approval,
                decision,
                author: format!("model:{}", model.name),
                plan: Vec::new(),
                note: Some(reason),
                answers: Vec::new(),
                remember: None,
            };
            self.journal.record(resolved, None);
        }
        self.journal.commit().await.map(|()| Flow::On)
    }

    /// A call outside the loop, without tools and with a prompt of its own. A fault is no opinion.
    async fn ask_approver(&self, model: &llm::Model, request: &str) -> Reviewed {
        let mut conversation = llm::Conversation::new(model, approver::INSTRUCTIONS, &ToolSpecs::new());
        conversation.push(&Item::User { text: request.to_owned() });
        let (cache_key, caller) = (format!("{}:approval", self.claimed.task), Caller::of(&self.claimed));
        let call = llm::Call {
            cache_key: &cache_key,
            share: &caller.user,
            by: caller.attribution(),
            turn: self.journal.session.turn + 1,
            max_output_tokens: approver::OUTPUT_TOKENS_MAX.min(model.max_output_tokens),
            repeats_max: 0,
        };
        let wall = agent::wall_left(&self.journal.session, clock::now());
        let drained = async {
            self.deps.draining.cancelled().await;
            tokio::time::sleep(DRAIN_WAITS).await;
        };
        let answer = tokio::select! {
            answer = self.deps.client.call(model, &conversation, call, |_| {}) => answer,
            () = tokio::time::sleep(REVIEW_TIMEOUT.min(wall)) => {
                return Reviewed::Said(Opinion::none("the reviewer took too long"), TokenUsage::default());
            }
            () = self.journal.cut_short() => return Reviewed::CutShort,
            () = self.lost.cancelled() => return Reviewed::Fenced,
            () = drained => return Reviewed::CutShort,
            () = self.deps.cut.cancelled() => return Reviewed::CutShort,
        };
        match answer {
            Ok(completed) => {
                let reply = &completed.reply;
                let opinion = if reply.cut {
                    Opinion::none("the reviewer's answer was cut off")
                } else {
                    approver::opinion(&reply.text, !reply.calls.is_empty())
                };
                Reviewed::Said(opinion, completed.usage)
            }
            Err(error) => {
                tracing::warn!(task.id = %self.claimed.task, model.name = model.name, "a review was not had: {error}");
                Reviewed::Said(Opinion::none("the reviewer could not be asked"), TokenUsage::default())
            }
        }
    }
}
