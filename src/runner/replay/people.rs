//! What a log says of plans, questions and approvals: whoever drives a task puts them and rests, and goes on by what was
//! decided.

use super::walk::{Walk, Walked};
use crate::{
    domain::{
        CallId, EventData, Status, WaitingFor,
        approval::ApprovalKind,
        event::{Aside, LimitKind, Record},
        plan::Planning,
        tool::{ToolCall, ToolOutcome},
    },
    runner::decisions,
    tools::{self, Parsed},
};

impl Walk<'_> {
    pub(super) fn plan(&mut self, call: &ToolCall) -> Walked {
        let events = decisions::planned(&self.session, call);
        if self.blank.is_none() {
            return self.expect_all("a plan is recorded", &events);
        }
        // Its words are not here to be read: what was made of them is taken as it stands.
        let begun = decisions::beginning(&self.session, call);
        self.expect_all("a plan is recorded", begun.as_slice())?;
        // Words of one length are one text here: another plan looks like the approved one.
        let asks = |record: &Record| {
            matches!(record.event.data, EventData::ApprovalRequested { kind: ApprovalKind::Plan, .. })
        };
        // A look at the working copy may stand between.
        if self.records.iter().skip(self.at + 1).take(2).any(asks) {
            let start = self.at;
            self.take_wordless()?;
            return self.ask(ApprovalKind::Plan, None, WaitingFor::Approval, start);
        }
        if matches!(self.next()?.event.data, EventData::PlanUpdated { .. }) {
            self.take_wordless()?;
        }
        match &self.next()?.event.data {
            EventData::ToolCompleted { call: of, .. } if *of == call.call => self.take_wordless(),
            _ => Err(self.differs("a plan is answered", None)),
        }
    }

    pub(super) fn ask_of_plan(&mut self, planning: Planning, start: usize) -> Walked {
        if self.blank.is_some() && matches!(self.next()?.event.data, EventData::PlanUpdated { .. }) {
            self.take_wordless()?;
        } else {
            self.expect("a plan is put to people", &EventData::PlanUpdated { planning })?;
        }
        self.ask(ApprovalKind::Plan, None, WaitingFor::Approval, start)
    }

    pub(super) fn ask_people(&mut self, call: &ToolCall, start: usize) -> Walked {
        let begun = decisions::beginning(&self.session, call);
        self.expect_all("people are asked", begun.as_slice())?;
        match tools::parse(&call.tool, &call.arguments) {
            Ok(Parsed::AskUser { .. }) => self.ask(ApprovalKind::Question, Some(&call.call), WaitingFor::Input, start),
            // The operator's settings spoke against it.
            Ok(Parsed::RequestNetwork { .. }) if self.is_answer_to(std::slice::from_ref(call)) => self.take(),
            Ok(Parsed::RequestNetwork { .. }) => {
                self.ask(ApprovalKind::Network, Some(&call.call), WaitingFor::Approval, start)
            }
            Ok(_) => Ok(()),
            Err(answer) => {
                let refused =
                    decisions::answered(call, ToolOutcome::Error, String::from_utf8_lossy(&answer.output).into_owned());
                self.expect("questions that cannot be read are refused", &refused)
            }
        }
    }

    pub(super) fn allow_network(&mut self, call: &ToolCall) -> Walked {
        if self.blank.is_none() {
            let events = decisions::network_decided(&self.session, call);
            return self.expect_all("people's decision about hosts is recorded", &events);
        }
        // Which hosts they were is not here to be read.
        if matches!(self.next()?.event.data, EventData::NetworkAllowed { .. }) {
            self.take_wordless()?;
        }
        match &self.next()?.event.data {
            EventData::ToolCompleted { call: of, .. } if *of == call.call => self.take_wordless(),
            _ => Err(self.differs("people's decision about hosts is recorded", None)),
        }
    }

    /// What a reviewer thinks of a call, with its decision where it gave one; else people are asked.
    pub(super) fn ask_about(&mut self, call: &ToolCall, start: usize) -> Walked {
        if self.begins_aside(Aside::Approval)? {
            return Ok(());
        }
        match &self.next()?.event.data {
            // A shared budget has no room for the reviewer.
            EventData::LimitWarned { limit: LimitKind::Budget, .. } => self.take(),
            EventData::ApprovalReviewed { .. } => self.reviewed(&call.call),
            _ => self.ask(ApprovalKind::Command, Some(&call.call), WaitingFor::Approval, start),
        }
    }

    /// What a reviewer said of a call.
    pub(super) fn reviewed(&mut self, call: &CallId) -> Walked {
        let EventData::ApprovalReviewed { call: of, decision, .. } = &self.next()?.event.data else {
            return Err(self.differs("a reviewer is asked about a call", None));
        };
        let decides = decision.is_some();
        if of != call {
            return Err(self.differs("a reviewer is asked about the next call", None));
        }
        self.take()?;
        if !decides {
            return Ok(());
        }
        for _ in 0..2 {
            let mine = match &self.next()?.event.data {
                EventData::ApprovalRequested { kind, call: of, .. } => {
                    *kind == ApprovalKind::Command && of.as_ref() == Some(call)
                }
                EventData::ApprovalResolved { author, .. } => author.starts_with("model:"),
                _ => false,
            };
            if !mine {
                return Err(self.differs("a reviewer decides about a call", None));
            }
            self.take()?;
        }
        Ok(())
    }

    /// The question with its deadline, and the rest; where somebody wrote meanwhile, it was not put.
    pub(super) fn ask(
        &mut self,
        wanted: ApprovalKind,
        of: Option<&CallId>,
        waiting_for: WaitingFor,
        start: usize,
    ) -> Walked {
        let here = self.records[self.at.saturating_sub(1)].event.at;
        self.take_checkpoints(1)?;
        match &self.next()?.event.data {
            EventData::ApprovalRequested { kind, call, .. } if (*kind, call.as_ref()) == (wanted, of) => {
                self.take()?;
                self.wait(waiting_for)
            }
            // The run ended before the call began: beginning and end are one commit of another step.
            EventData::ToolCompleted { .. } if self.next()?.event.at == here => {
                Err(self.differs("people are asked", None))
            }
            _ if self.at > start => Ok(()),
            _ => Err(self.differs("people are asked", None)),
        }
    }

    pub(super) fn wait(&mut self, waiting_for: WaitingFor) -> Walked {
        let waiting_for = Some(waiting_for);
        self.expect("the task waits", &EventData::TaskStatus { status: Status::Waiting, waiting_for, error: None })
    }
}
