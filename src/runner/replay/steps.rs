//! The driver's part of a walk: each step with the rows that it leaves in a log.
//!
//! The mirror of `runner::drive`. What the world answered is taken as it stands; what the driver makes of it is not.

use super::{
    outside::{World, worlds},
    walk::{Stop, Walk, Walked},
};
use crate::{
    agent::{self, CheckpointRef, Step, compact, next_step},
    domain::{
        EventData, Phase, Private, Status, WaitingFor,
        approval::ApprovalKind,
        event::{Aside, LimitKind, Record, RecoveredAfter},
        item::Reply,
        tool::{ToolCall, ToolOutcome},
    },
    runner::decisions,
};

/// What a worker has begun and waits for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Doing {
    Nothing,
    /// The model's answer.
    Asking,
    /// These calls' results.
    Running(Vec<ToolCall>),
    /// A call outside the loop.
    Aside(Aside),
    /// The checks; whether they may be the last of a run.
    Checking(Vec<bool>),
}

impl Walk<'_> {
    /// One step of whoever drives the task.
    pub(super) fn step(&mut self) -> Walked {
        let record = self.next()?;
        match (&record.event.data, self.session.status) {
            // It came from outside, and leaves what a worker waits for as it is.
            (EventData::NetworkUsed { .. }, Status::Running) => self.take(),
            // A rest was not written, for somebody wrote; its workspace was closed before.
            (EventData::MessageDeveloper { .. }, Status::Running)
                if Some(&record.event.data) == decisions::processes_lost(&self.session).as_ref() =>
            {
                self.take()
            }
            (EventData::TaskStatus { status: Status::Running, .. }, Status::Queued) => self.taken_up(),
            (EventData::Recovered { after, .. }, Status::Running) => {
                self.doing = Doing::Nothing;
                self.fold_anew();
                let events = decisions::recovered(&self.session, *after);
                self.expect_all("another worker takes the task up", &events)
            }
            (EventData::TaskStatus { status: Status::Queued, .. }, Status::Running) => {
                self.doing = Doing::Nothing;
                self.expect("a drain gives the task back", &decisions::status(Status::Queued))
            }
            (_, Status::Running) => match std::mem::replace(&mut self.doing, Doing::Nothing) {
                Doing::Asking => self.asking(record),
                Doing::Aside(aside) if matches!(record.event.data, EventData::AsideCompleted { .. }) => {
                    self.take()?;
                    self.after_aside(aside)
                }
                // Of a call outside the loop that a crash cut off nothing tells.
                Doing::Nothing | Doing::Aside(_) => self.decide(),
                Doing::Running(calls) => self.running(record, calls),
                Doing::Checking(lasts) => self.checking(record, &lasts),
            },
            (_, Status::Queued) => Err(self.differs("the task waits for a worker", None)),
            _ => Err(self.differs("the task rests: nothing is written until somebody acts", None)),
        }
    }

    fn taken_up(&mut self) -> Walked {
        self.doing = Doing::Nothing;
        self.fold_anew();
        let after = match self.after_next() {
            Some(EventData::Recovered { after, .. }) => Some(*after),
            _ => None,
        };
        // Without a drain only the working copy can have been lost.
        let after = after.filter(|after| self.session.drained || *after == RecoveredAfter::HostLoss);
        let events = decisions::begun(&self.session, after);
        self.expect_all("a worker takes the task up", &events)
    }

    /// What the loop decides here, in any world that may have been.
    pub(super) fn decide(&mut self) -> Walked {
        let before = self.clone();
        let mut first = None;
        for (at, world) in worlds(self.records, self.at, &self.session).into_iter().enumerate() {
            let mut walk = before.clone();
            match walk.perform(world) {
                Err(Stop::Differs(difference)) => {
                    first.get_or_insert(difference);
                }
                done => {
                    walk.by_settings += u64::from(at > 0);
                    *self = walk;
                    return done;
                }
            }
        }
        self.clone_from(&before);
        // Before a rest, calls that may have changed files are looked after.
        if self.session.dirty && self.take_checkpoints(1)? {
            return Ok(());
        }
        if self.ends_from_outside() || self.goes_by_words()? {
            return Ok(());
        }
        match first {
            Some(difference) => Err(Stop::Differs(difference)),
            None => Err(Stop::End),
        }
    }

    pub(super) fn perform(&mut self, world: World) -> Walked {
        let step = next_step(&self.session, &world.facts, world.now);
        let start = self.at;
        match step {
            Step::Record(events) => self.expect_all("the loop says so itself", &events),
            Step::Plan(call) => self.plan(&call),
            Step::Analyse => {
                // What the environment's setup came to is the world's.
                self.what_came("the repository is looked at", |data| {
                    matches!(
                        data,
                        EventData::BriefReady { .. }
                            | EventData::SetupStarted { .. }
                            | EventData::SetupCompleted { .. }
                            | EventData::NetworkUsed { .. }
                    )
                })
            }
            Step::Recall => {
                self.what_came("memories are recalled", |data| matches!(data, EventData::MemoryUsed { .. }))
            }
            Step::Call { .. } | Step::Compact { .. } if self.is_over_budget() => self.take(),
            Step::Call { .. } | Step::Compact { .. } if self.is_switched_off() => self.without_model(),
            Step::Call { intent, .. } => {
                self.expect_all("the model is called", &intent)?;
                self.doing = Doing::Asking;
                Ok(())
            }
            Step::RunTools { intent, calls } => {
                self.expect_all("calls are run", &intent)?;
                if intent.is_empty() && !self.is_answer_to(&calls) {
                    return Err(self.differs("calls are run again", None));
                }
                self.doing = Doing::Running(calls);
                Ok(())
            }
            Step::AskApproval(call) => {
                let begun = decisions::beginning(&self.session, &call);
                let plan = decisions::read_plan(&self.session, &call);
                self.expect_all("a plan is put to people", begun.as_slice())?;
                match plan {
                    Ok(planning) => self.ask_of_plan(planning, start),
                    Err(text) => {
                        let refused = decisions::answered(&call, ToolOutcome::Error, text);
                        self.expect("a plan that cannot be read is refused", &refused)
                    }
                }
            }
            Step::AskApprovalOf(planning) => self.ask_of_plan(planning, start),
            Step::AskAboutTests => self.ask(ApprovalKind::WeakenedTests, None, WaitingFor::Approval, start),
            Step::AskPeople(call) => self.ask_people(&call, start),
            Step::AllowNetwork(call) => self.allow_network(&call),
            Step::AskAbout { call, .. } => self.ask_about(&call, start),
            Step::Compact { .. } => self.compact(),
            Step::Checkpoint => {
                if !self.take_checkpoints(1)? {
                    self.session.looked();
                }
                Ok(())
            }
            Step::RunChecks { last } => self.run_checks(last),
            Step::Review(_) => self.review(),
            Step::Restore(best) => {
                let CheckpointRef { tree, .. } = best;
                let turn = self.session.turn;
                let data = EventData::Checkpoint { turn, tree, restored: true, formatted: Vec::new() };
                self.expect("the best tree is put back", &data)
            }
            Step::Wait(waiting_for) => self.wait(waiting_for),
            Step::Finish { closing, end } => {
                let looked = self.take_checkpoints(1)?;
                let ends =
                    matches!(self.next()?.event.data, EventData::TaskResult { .. } | EventData::ToolStarted { .. })
                        || matches!(self.next()?.event.data, EventData::ToolCompleted { .. });
                // Somebody wrote while the copy was looked at.
                if looked && !ends { Ok(()) } else { self.finish(&closing, &end) }
            }
        }
    }

    /// A call outside the loop for this begins; what becomes of it is the model's.
    pub(super) fn begins_aside(&mut self, wanted: Aside) -> Result<bool, Stop> {
        if !matches!(self.next()?.event.data, EventData::AsideStarted { aside, .. } if aside == wanted) {
            return Ok(false);
        }
        self.take()?;
        self.doing = Doing::Aside(wanted);
        Ok(true)
    }

    /// Whoever asked goes on with what it asked for, whatever the loop would decide now that it is paid for; cut
    /// short, it decides anew.
    fn after_aside(&mut self, aside: Aside) -> Walked {
        if self.is_boundary() {
            return Ok(());
        }
        match (aside, &self.next()?.event.data) {
            (Aside::Summary, EventData::Compaction { .. } | EventData::ModelRetried { .. }) => self.compacted(),
            (Aside::Review, EventData::ReviewCompleted { .. }) => self.review(),
            (Aside::Approval, EventData::ApprovalReviewed { call, .. }) => self.reviewed(call),
            (_, EventData::AsideStarted { .. }) => self.begins_aside(aside).map(drop),
            _ => Ok(()),
        }
    }

    fn compact(&mut self) -> Walked {
        if self.begins_aside(Aside::Summary)? {
            return Ok(());
        }
        if matches!(self.next()?.event.data, EventData::Compaction { .. }) {
            self.fold_anew();
        }
        self.compacted()
    }

    /// What others have said while the summary was made is not known to whoever asked for it.
    fn compacted(&mut self) -> Walked {
        let record = self.next()?;
        // The model could not be had for it: another takes over.
        if matches!(record.event.data, EventData::ModelRetried { next_model: Some(_), .. }) {
            return self.take();
        }
        let (EventData::Compaction { usage, cost_usd, summarised, .. }, Some(Private::Compaction { items, opening })) =
            (&record.event.data, &record.private)
        else {
            return Err(self.differs("the conversation begins anew with a summary", None));
        };
        let data = EventData::Compaction {
            tokens_before: self.session.context_estimate(),
            tokens_after: compact::tokens_of(&self.session, opening.as_deref(), items),
            usage: *usage,
            cost_usd: *cost_usd,
            summarised: *summarised,
        };
        self.expect("the conversation begins anew with a summary", &data)
    }

    /// A shared budget is spent, which no log of one task tells but so.
    fn is_over_budget(&self) -> bool {
        let next = self.records.get(self.at).map(|record| &record.event.data);
        matches!(next, Some(EventData::LimitWarned { limit: LimitKind::Budget, .. }))
    }

    /// The operator had switched the model off, which no log of one task tells but by what came of it.
    fn is_switched_off(&self) -> bool {
        let mut next = self.records[self.at..].iter().map(|record| &record.event.data);
        match next.find(|data| !matches!(data, EventData::Checkpoint { restored: false, .. })) {
            Some(EventData::ModelRetried { next_model, .. }) => next_model.is_some(),
            Some(EventData::TaskStatus { waiting_for, .. }) => *waiting_for == Some(WaitingFor::Capacity),
            _ => false,
        }
    }

    /// Another model takes over, or the task waits.
    fn without_model(&mut self) -> Walked {
        self.take_checkpoints(1)?;
        if matches!(self.next()?.event.data, EventData::ModelRetried { .. }) {
            return self.take();
        }
        self.wait(WaitingFor::Capacity)
    }

    /// The review is the reviewer's; what goes back of it is not.
    fn review(&mut self) -> Walked {
        if self.is_over_budget() {
            self.take()?;
        }
        if self.begins_aside(Aside::Review)? {
            return Ok(());
        }
        let record = self.next()?;
        let EventData::ReviewCompleted { tree, findings, sent_back, .. } = &record.event.data else {
            return Err(self.differs("the patch is reviewed", None));
        };
        if *tree != self.session.checkpoint.as_ref().map(|checkpoint| checkpoint.tree.clone()) {
            return Err(self.differs("the newest tree is reviewed", None));
        }
        self.take()?;
        if !sent_back {
            return Ok(());
        }
        let text = agent::review::told(findings);
        let told = [EventData::TaskPhase { phase: Phase::Refinement }, EventData::MessageDeveloper { text }];
        self.expect_all("what was found goes back to the model", &told)
    }

    /// Looks at the working copy, at most so many; whether there was any.
    pub(super) fn take_checkpoints(&mut self, most: usize) -> Result<bool, Stop> {
        let start = self.at;
        while self.at < start + most && matches!(self.next()?.event.data, EventData::Checkpoint { restored: false, .. })
        {
            self.take()?;
        }
        Ok(self.at > start)
    }

    fn what_came(&mut self, step: &str, wanted: impl Fn(&EventData) -> bool) -> Walked {
        if wanted(&self.next()?.event.data) { self.take() } else { Err(self.differs(step, None)) }
    }

    fn asking(&mut self, record: &Record) -> Walked {
        match &record.event.data {
            EventData::ModelRetried { overflowed, next_model, .. } => {
                if !overflowed && next_model.is_none() {
                    self.doing = Doing::Asking;
                }
                self.take()
            }
            EventData::Checkpoint { restored: false, .. } => {
                self.doing = Doing::Asking;
                self.take()
            }
            EventData::ModelCompleted { model, .. } if *model == self.session.model => {
                self.take()?;
                match &record.private {
                    Some(Private::Reply(reply)) => self.said(reply, model),
                    _ => Ok(()),
                }
            }
            // It was cut short, or others' words came first.
            _ => self.decide(),
        }
    }

    /// The reply's words as people see them.
    fn said(&mut self, reply: &Reply, model: &str) -> Walked {
        if !reply.reasoning.trim().is_empty() {
            let summary = reply.reasoning.clone();
            self.expect("the reply's reasoning is shown", &EventData::Reasoning { summary })?;
        }
        if !reply.text.trim().is_empty() {
            let (text, author) = (reply.text.clone(), model.to_owned());
            self.expect("the reply's words are shown", &EventData::MessageAssistant { text, author })?;
        }
        Ok(())
    }

    pub(super) fn is_answer_to(&self, calls: &[ToolCall]) -> bool {
        let next = self.records.get(self.at).map(|record| &record.event.data);
        let first = calls.first().map(|call| &call.call);
        matches!(next, Some(EventData::ToolCompleted { call, .. }) if Some(call) == first)
    }

    fn running(&mut self, record: &Record, mut calls: Vec<ToolCall>) -> Walked {
        match (&record.event.data, calls.first()) {
            (EventData::ToolCompleted { call, tool, .. }, Some(first)) if *call == first.call => {
                if *tool != first.tool {
                    return Err(self.differs("the result of another tool's call", None));
                }
                calls.remove(0);
                if !calls.is_empty() {
                    self.doing = Doing::Running(calls);
                }
                self.take()
            }
            _ => self.decide(),
        }
    }
}
