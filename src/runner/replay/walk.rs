//! The walk along a log: who wrote which row, and what its writer knew by then.
//!
//! A worker writes what it decided in commits, and decides between them what it has seen: rows that people wrote
//! while it was at work may stand before events that were decided without them. So where others have written, a
//! commit may follow from any of the rows before it that a worker can have seen.

use super::{Blank, Difference, Recorded, Replayed, same::same, steps::Doing};
use crate::{
    agent::Session,
    domain::{
        Event, EventData, Seq, Status, WaitingFor,
        approval::ApprovalKind,
        event::{Record, RecoveredAfter},
        task::Control,
    },
};

/// Steps in a row that leave nothing in a log, at most.
const SILENT_MAX: u32 = 8;

/// Why a walk stops.
pub(super) enum Stop {
    /// There are no more rows.
    End,
    /// A fork was made here, in the midst of what was one commit of the other task.
    Forked,
    Differs(Box<Difference>),
}

pub(super) type Walked = Result<(), Stop>;

#[derive(Clone)]
pub(super) struct Walk<'a> {
    pub(super) records: &'a [Record],
    pub(super) blank: Option<&'a Blank<'a>>,
    /// The next row.
    pub(super) at: usize,
    /// What the worker knows.
    pub(super) session: Session,
    /// So many rows before the next one are not known to it: it counts its own from where it thinks the log ends.
    unseen: Seq,
    pub(super) doing: Doing,
    pub(super) decided: u64,
    pub(super) by_settings: u64,
    pub(super) without_words: u64,
}

pub(super) fn walk(recorded: &Recorded<'_>) -> Replayed {
    let records = recorded.records;
    let events = records.len() as u64;
    let Some(session) = records.first().and_then(|first| Session::start(&first.event)) else {
        return Replayed { events, ..Replayed::default() };
    };
    let mut walk = Walk {
        records,
        blank: recorded.blank,
        at: 1,
        session,
        unseen: 0,
        doing: Doing::Nothing,
        decided: 0,
        by_settings: 0,
        without_words: 0,
    };
    let difference = loop {
        match walk.stretch() {
            Ok(()) => {}
            Err(Stop::End | Stop::Forked) => break None,
            Err(Stop::Differs(difference)) => break Some(*difference),
        }
    };
    let last = records.last().map_or(1, |record| record.event.run);
    let answered = |record: &&Record| matches!(record.event.data, EventData::ModelCompleted { .. });
    Replayed {
        events,
        runs: last,
        turns: records.iter().filter(answered).count() as u32,
        decided: walk.decided,
        outside: (walk.at as u64).saturating_sub(walk.decided),
        by_settings: walk.by_settings,
        without_words: walk.without_words,
        difference,
        ..Replayed::default()
    }
}

impl<'a> Walk<'a> {
    /// Rows of others, and then one commit of a worker.
    fn stretch(&mut self) -> Walked {
        let others = self.others();
        if others == 0 {
            return self.commit();
        }
        let before = self.clone();
        self.see(others);
        let first = match self.commit() {
            Err(Stop::Differs(difference)) => difference,
            done => return done,
        };
        if before.session.status == Status::Running {
            for seen in 0..others {
                let mut walk = before.clone();
                walk.see(seen);
                walk.at += others - seen;
                walk.unseen = (others - seen) as Seq;
                match walk.commit() {
                    Err(Stop::Differs(_)) => {}
                    done => {
                        *self = walk;
                        return done;
                    }
                }
            }
        }
        Err(Stop::Differs(first))
    }

    /// Steps until a commit has ended.
    fn commit(&mut self) -> Walked {
        let (start, mut silent) = (self.at, 0);
        loop {
            let before = self.at;
            match self.step() {
                Err(Stop::Forked) if self.at > start => return Ok(()),
                done => done?,
            }
            silent = if self.at == before { silent + 1 } else { 0 };
            if silent > SILENT_MAX {
                return Err(self.differs("a step that leaves nothing in the log", None));
            }
            if self.at > start && self.is_boundary() {
                return Ok(());
            }
        }
    }

    /// How many of the next rows others than a worker have written.
    fn others(&self) -> usize {
        let mut status = self.session.status;
        let mut count = 0;
        for (at, record) in self.records.iter().enumerate().skip(self.at) {
            if !self.is_others(at, status) {
                break;
            }
            match &record.event.data {
                EventData::TaskStatus { status: new, .. } => status = *new,
                // What ran in the other task rests in this one.
                EventData::TaskForked { .. } => status = Status::Waiting,
                _ => {}
            }
            count += 1;
        }
        count
    }

    /// Whether a use case of the service wrote this row, where the task's status is this.
    fn is_others(&self, at: usize, status: Status) -> bool {
        let Some(record) = self.records.get(at) else { return false };
        match &record.event.data {
            EventData::TaskCreated { .. }
            | EventData::MessageUser { .. }
            | EventData::TaskControl { .. }
            | EventData::TaskUpdated { .. }
            | EventData::TaskForked { .. }
            | EventData::Publish { .. }
            | EventData::ApprovalRequested { kind: ApprovalKind::Publish, .. } => true,
            // What a model decided, its worker wrote.
            EventData::ApprovalResolved { author, .. } => !author.starts_with("model:"),
            EventData::TaskStatus { status: new, waiting_for, .. } if *new != Status::Running => {
                status != Status::Running || self.is_import(at, *waiting_for)
            }
            // A cancel of a task that no worker holds.
            EventData::ToolStarted { .. } | EventData::ToolCompleted { .. } | EventData::TaskResult { .. } => {
                status != Status::Running
            }
            // A fork takes the look at the working copy along that its log has only later.
            EventData::Checkpoint { .. } => {
                let next = self.records.get(at + 1).map(|record| &record.event.data);
                matches!(next, Some(EventData::TaskForked { .. }))
            }
            _ => false,
        }
    }

    /// What was exported in the midst of a run comes to rest when it is imported.
    fn is_import(&self, at: usize, waiting_for: Option<WaitingFor>) -> bool {
        let here = self.records[at].event.at;
        let commit = self.records[..at].iter().rev().take_while(|record| record.event.at == here);
        let lost =
            |record: &Record| matches!(record.event.data, EventData::Recovered { after: RecoveredAfter::HostLoss, .. });
        waiting_for == Some(WaitingFor::Paused) && !self.session.pause && { commit }.any(lost)
    }

    /// Folds rows of others.
    fn see(&mut self, count: usize) {
        for record in &self.records[self.at..self.at + count] {
            let moves = matches!(
                record.event.data,
                EventData::TaskForked { .. } | EventData::TaskControl { action: Control::Retry, .. }
            );
            if moves {
                self.doing = Doing::Nothing;
            }
            self.session.apply(&record.event, record.private.as_ref());
        }
        self.at += count;
    }

    /// Another transaction wrote the next row.
    pub(super) fn is_boundary(&self) -> bool {
        let (Some(next), Some(last)) = (self.records.get(self.at), self.records.get(self.at - 1)) else { return true };
        next.event.at != last.event.at || self.is_others(self.at, self.session.status)
    }

    /// The next row; none of others, which no step can have written.
    pub(super) fn next(&self) -> Result<&'a Record, Stop> {
        self.records.get(self.at).ok_or(Stop::End)
    }

    /// What follows the next row.
    pub(super) fn after_next(&self) -> Option<&'a EventData> {
        self.records.get(self.at + 1).map(|record| &record.event.data)
    }

    /// Takes the next row as it stands: it came from outside.
    pub(super) fn take(&mut self) -> Walked {
        let record = self.next()?;
        let Event { run, turn, data, .. } = &record.event;
        if (*run, *turn) != (self.session.run, self.session.turn_of(data)) {
            let numbers = (self.session.run, self.session.turn_of(data), data);
            return Err(self.differs("an event carries the run and turn in which it was written", Some(numbers)));
        }
        self.advance(record);
        Ok(())
    }

    /// The next row is this one.
    pub(super) fn expect(&mut self, step: &str, data: &EventData) -> Walked {
        self.expect_in(self.session.run, step, data)
    }

    pub(super) fn expect_in(&mut self, run: u32, step: &str, data: &EventData) -> Walked {
        let record = self.next()?;
        let turn = self.session.turn_of(data);
        let same = (record.event.run, record.event.turn) == (run, turn)
            && !self.is_others(self.at, self.session.status)
            && same(data, &record.event.data, self.blank);
        if !same {
            return Err(self.differs(step, Some((run, turn, data))));
        }
        self.decided += 1;
        self.advance(record);
        Ok(())
    }

    pub(super) fn expect_all(&mut self, step: &str, events: &[EventData]) -> Walked {
        events.iter().try_for_each(|data| self.expect(step, data))
    }

    fn advance(&mut self, record: &Record) {
        if self.unseen == 0 {
            self.session.apply(&record.event, record.private.as_ref());
        } else {
            let event = Event { seq: record.event.seq - self.unseen, ..record.event.clone() };
            self.session.apply(&event, record.private.as_ref());
        }
        self.at += 1;
        // The prompts are made apart from this.
        self.session.take_items();
        if self.unseen > 0 && self.is_boundary() {
            self.fold_anew();
        }
    }

    /// A worker that finds others' rows reads the log whole.
    pub(super) fn fold_anew(&mut self) {
        self.unseen = 0;
        let Some(mut session) = Session::start(&self.records[0].event) else { return };
        for record in &self.records[1..self.at] {
            session.apply(&record.event, record.private.as_ref());
        }
        session.take_items();
        self.session = session;
    }

    pub(super) fn differs(&self, step: &str, expected: Option<(u32, u32, &EventData)>) -> Stop {
        let next = self.records[self.at.min(self.records.len())..].iter().map(|record| &record.event.data);
        let mut next = next.skip_while(|data| matches!(data, EventData::Checkpoint { .. })).take(1);
        if next.any(|data| matches!(data, EventData::TaskForked { .. })) {
            return Stop::Forked;
        }
        let at = self.at.min(self.records.len() - 1);
        Stop::Differs(Box::new(Difference::new(&self.records[at].event, step, expected)))
    }
}
