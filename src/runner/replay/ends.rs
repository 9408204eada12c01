//! How a run ends in a log, and what a log without words leaves to be taken as it stands.

use super::{
    outside::worlds,
    walk::{Stop, Walk, Walked},
};
use crate::{
    agent::{self, End, Moves, Session},
    domain::{
        ErrorCode, EventData, Status,
        event::LimitKind,
        task::{CriterionStatus, TaskResult},
    },
    runner::decisions,
};

impl Walk<'_> {
    /// The closing events, the result and the status that ends the run.
    pub(super) fn finish(&mut self, closing: &[EventData], end: &End) -> Walked {
        self.expect_all("the run ends", closing)?;
        let EventData::TaskResult { result: recorded } = &self.next()?.event.data else {
            return Err(self.differs("the run ends with its result", None));
        };
        let mut result = result(&self.session, end, recorded);
        if self.blank.is_some() {
            // They are judged by their words, which are not here.
            result.criteria.clone_from(&recorded.criteria);
        }
        self.expect("the run ends with its result", &EventData::TaskResult { result: Box::new(result) })?;
        let kept = self.session.keeps_words();
        let status = EventData::TaskStatus { status: end.status, waiting_for: None, error: end.error.clone() };
        self.expect("the run ends", &status)?;
        let again = kept && end.status != Status::Cancelled;
        let next = self.records.get(self.at).map(|record| &record.event);
        let here = self.records[self.at - 1].event.at;
        let queued = next.is_some_and(|next| next.at == here && next.run == self.session.run + 1);
        match (again, queued) {
            (true, _) => self.queued_again(),
            (false, true) => Err(self.differs("nothing was kept for another run", None)),
            (false, false) => Ok(()),
        }
    }

    /// The status that starts the next run stands in the log as a service's would.
    fn queued_again(&mut self) -> Walked {
        let record = self.next()?;
        let (run, turn, status) = (self.session.run + 1, self.session.turn, decisions::status(Status::Queued));
        if (record.event.run, record.event.turn, &record.event.data) != (run, turn, &status) {
            return Err(self.differs("words that were kept start the next run", Some((run, turn, &status))));
        }
        self.decided += 1;
        self.session.apply(&record.event, record.private.as_ref());
        self.at += 1;
        Ok(())
    }

    /// The workspace, the repository, the model or the workers themselves could not be had: the log says how
    /// the run ended, and the rest follows from it.
    pub(super) fn ends_from_outside(&mut self) -> bool {
        let mut walk = self.clone();
        let Ok(_) = walk.take_checkpoints(1) else { return false };
        let rest = &walk.records[walk.at..];
        let error = rest.iter().find_map(|record| match &record.event.data {
            EventData::TaskStatus { status: Status::Failed, error: Some(error), .. } => Some(Some(error.clone())),
            EventData::TaskResult { .. } | EventData::ToolStarted { .. } | EventData::ToolCompleted { .. } => None,
            _ => Some(None),
        });
        let Some(Some(error)) = error else { return false };
        let outside = match error.code {
            ErrorCode::ModelUnavailable
            | ErrorCode::ModelRejected
            | ErrorCode::WorkspaceFailed
            | ErrorCode::RepositoryUnreachable
            | ErrorCode::Internal => true,
            // Circles are seen in words.
            ErrorCode::Stuck => walk.blank.is_some(),
            _ => false,
        };
        let end = End { status: Status::Failed, error: Some(error), verdict: None, reason: None };
        let closing = agent::give_up_calls(&walk.session);
        let ended = outside && matches!(walk.finish(&closing, &end), Ok(()) | Err(Stop::End));
        if ended {
            *self = walk;
        }
        ended
    }

    /// Of a log without its words: whether the next row was decided by words, and is taken as it stands.
    pub(super) fn goes_by_words(&mut self) -> Result<bool, Stop> {
        if self.blank.is_none() {
            return Ok(false);
        }
        let by_words = match &self.next()?.event.data {
            EventData::LimitWarned { limit, .. } => *limit == LimitKind::Repetition,
            EventData::MessageDeveloper { .. } | EventData::PlanUpdated { .. } => true,
            _ => false,
        };
        if by_words {
            self.take_wordless()?;
            return Ok(true);
        }
        // Texts of one length are one text here: what looks like a circle is none.
        let mut walk = self.clone();
        walk.session.used.moves = Moves::default();
        let now = self.next()?.event.at;
        let world = worlds(self.records, self.at, &self.session).into_iter().find(|world| world.now == now);
        if let Some(world) = world
            && walk.session.used.moves != self.session.used.moves
            && matches!(walk.perform(world), Ok(()) | Err(Stop::End))
        {
            walk.without_words += 1;
            *self = walk;
            return Ok(true);
        }
        Ok(false)
    }

    pub(super) fn take_wordless(&mut self) -> Walked {
        self.without_words += 1;
        self.take()
    }
}

/// The result as the session has it. What only the working copy can tell is taken from the log: the patch's size,
/// and which prohibitions it breaks.
fn result(session: &Session, end: &End, recorded: &TaskResult) -> TaskResult {
    let prohibitions = session.briefed.as_ref().map_or(&[][..], |briefed| &briefed.prohibitions);
    let told = prohibitions.iter().zip(&recorded.criteria);
    let known = told.clone().any(|(one, told)| !one.paths.is_empty() && told.status != CriterionStatus::Unknown);
    let broken: Vec<bool> = told.map(|(_, told)| told.status == CriterionStatus::Unmet).collect();
    agent::task_result(session, end, recorded.patch, known.then_some(&broken))
}
