//! How a task is taken up: what a crash, a drain or the loss of its working copy left is said in the log before the next
//! step. A copy that is lost in the midst of a run is met as another worker would meet it, from the log alone.

use super::{
    decisions,
    drive::Driver,
    journal::{Flow, Halt},
};
use crate::{
    agent,
    domain::{ErrorCode, EventData, Private, Status, event::RecoveredAfter},
};

/// How often the workspaces of one task may die under one worker.
const DEATHS_MAX: u32 = 10;

impl Driver {
    /// Begins or goes on.
    pub(super) async fn take_up(&mut self) -> Result<(), Halt> {
        let lost = self.is_without_copy().await;
        let session = &self.journal.session;
        // Who gives a task back in order looks at its copy first.
        let unseen = session.dirty && session.status != Status::Queued;
        let events = if session.status == Status::Queued {
            let after = if lost { RecoveredAfter::HostLoss } else { RecoveredAfter::Drain };
            decisions::begun(session, (session.drained || lost).then_some(after))
        } else {
            decisions::recovered(session, if lost { RecoveredAfter::HostLoss } else { RecoveredAfter::Crash })
        };
        self.record_recovery(events, unseen).await
    }

    /// Where the working copy was lost with its workspace: says so and answers the calls that were under way there; the
    /// loop then decides again. `waits`: for a connection that is being made again, to know.
    pub(super) async fn goes_on_elsewhere(&mut self, waits: bool) -> Result<Option<Flow>, Halt> {
        // A call of the model that is begun and not sent yet goes first: it is said after its answer.
        if self.journal.session.calling || !self.copy.is_lost(waits).await {
            return Ok(None);
        }
        self.say_lost().await?;
        if self.may_die_again() {
            return Ok(Some(Flow::On));
        }
        self.fail(ErrorCode::WorkspaceFailed, format!("its workspaces died {DEATHS_MAX} times")).await.map(Some)
    }

    /// Counts a workspace that died; whether another is opened.
    pub(super) fn may_die_again(&mut self) -> bool {
        self.deaths += 1;
        self.deaths < DEATHS_MAX
    }

    /// After a rest that was not written, whose workspace was ended for it.
    pub(super) async fn was_closed(&mut self) -> Result<(), Halt> {
        if self.is_without_copy().await {
            return self.say_lost().await;
        }
        let lost = decisions::processes_lost(&self.journal.session);
        self.journal.record_all(lost.into_iter().collect());
        Ok(())
    }

    async fn say_lost(&mut self) -> Result<(), Halt> {
        self.journal.commit().await?;
        // What only this worker knew of the session went with the copy.
        self.journal.refold().await?;
        self.edited.clear();
        let events = decisions::recovered(&self.journal.session, RecoveredAfter::HostLoss);
        self.record_recovery(events, self.journal.session.dirty).await?;
        self.copy.loss_is_told();
        Ok(())
    }

    /// There was a working copy, and it is not here.
    async fn is_without_copy(&self) -> bool {
        self.journal.session.had_copy && !self.copy.survives().await
    }

    /// `unseen`: calls may have changed files that no checkpoint has.
    async fn record_recovery(&mut self, events: Vec<EventData>, unseen: bool) -> Result<(), Halt> {
        for data in events {
            let told = match &data {
                EventData::Recovered { after: RecoveredAfter::HostLoss, .. } => {
                    Some(Private::Told { text: agent::prompt::laid_anew(unseen), calls: unseen })
                }
                _ => None,
            };
            self.journal.record(data, told);
        }
        self.journal.commit().await
    }
}
