//! What a log says of the checks: that they run, and what of them goes back to the model.

use super::{
    outside::{SKEW, worlds},
    steps::Doing,
    walk::{Stop, Walk, Walked},
};
use crate::{
    agent::{self, Session, Step, next_step},
    domain::{EventData, Phase, Private, check::Verdict, event::Record},
    runner::decisions,
};

impl Walk<'_> {
    pub(super) fn run_checks(&mut self, last: bool) -> Walked {
        // Where the time may be up and may not be, either may have been.
        let here = worlds(self.records, self.at, &self.session);
        let mut lasts = vec![last];
        let may = |last| here.iter().any(|it| next_step(&self.session, &it.facts, it.now) == Step::RunChecks { last });
        lasts.extend(Some(!last).filter(|other| may(*other)));
        // What the formatters found and made.
        self.take_checkpoints(2)?;
        self.expect("the checks are run", &EventData::TaskPhase { phase: Phase::Validation })?;
        let cycle = self.session.used.cycles + 1;
        let EventData::ChecksStarted { checks, .. } = &self.next()?.event.data else {
            return Err(self.differs("the checks are run", None));
        };
        let data = EventData::ChecksStarted { cycle, checks: checks.clone() };
        self.expect("the checks are run", &data)?;
        self.doing = Doing::Checking(lasts);
        Ok(())
    }

    pub(super) fn checking(&mut self, record: &Record, lasts: &[bool]) -> Walked {
        let EventData::ChecksCompleted { verdict, reason, checks, weakened, .. } = &record.event.data else {
            return self.decide();
        };
        let forbidden = match &record.private {
            Some(Private::Patch { forbidden, .. }) => forbidden.as_slice(),
            _ => &[],
        };
        let reason = reason.as_deref().unwrap_or_default();
        let given = decisions::Given { verdict: *verdict, results: checks, reason, forbidden, weakened: *weakened };
        let sent = |session: &Session, last| decisions::sent_back(session, last, given);
        // The time may have run out under them.
        let here = record.event.at.plus(SKEW);
        let spent = agent::wall_left(&self.session, here).is_zero();
        let lasts = lasts.iter().copied().chain(spent.then_some(true));
        let all: Vec<_> = lasts.map(|last| sent(&self.session, last)).collect();
        self.take()?;
        let before = self.clone();
        let mut first = None;
        for events in all {
            let mut walk = before.clone();
            let spoken = walk.expect_all("what failed goes back to the model", &events);
            // Nothing more may come of the same validation.
            let more = events.is_empty() && walk.is_sent_back(*verdict);
            match spoken {
                Err(Stop::Differs(difference)) => {
                    first.get_or_insert(difference);
                }
                Ok(()) if more => {
                    if let Stop::Differs(difference) = walk.differs("nothing goes back to the model", None) {
                        first.get_or_insert(difference);
                    }
                }
                done => {
                    *self = walk;
                    return done;
                }
            }
        }
        first.map_or(Ok(()), |difference| Err(Stop::Differs(difference)))
    }

    /// In the same commit the failures go back.
    fn is_sent_back(&self, verdict: Verdict) -> bool {
        let next = self.records.get(self.at).map(|record| &record.event.data);
        verdict == Verdict::Failed
            && !self.is_boundary()
            && matches!(next, Some(EventData::TaskPhase { phase: Phase::Refinement }))
    }
}
