//! What an operator has stopped, heeded at a step boundary: a pause of what runs, a model that is switched off.

use super::{
    drive::Driver,
    journal::{Flow, Halt, patiently},
};
use crate::{
    domain::{EventData, WaitingFor, task::Control},
    store::switches::{self, HeldBy, OPERATOR},
};

impl Driver {
    /// An operator's pause of what runs is taken up as a person's would be; the task is woken once it is lifted.
    pub(super) async fn heed_pause(&mut self) -> Result<(), Halt> {
        if self.held || self.journal.session.pause || !self.deps.switches.rests(self.claimed.team) {
            return Ok(());
        }
        // A task that was woken as the pause was lifted does not rest again.
        self.deps.switches.look(&self.deps.store).await;
        if !self.deps.switches.rests(self.claimed.team) {
            return Ok(());
        }
        self.held = true;
        self.hold(HeldBy::Pause).await?;
        let data = EventData::TaskControl { action: Control::Pause, author: OPERATOR.to_owned() };
        self.journal.record(data, None);
        Ok(())
    }

    pub(super) async fn is_model_off(&self) -> bool {
        let (switches, model) = (&self.deps.switches, &self.journal.session.model);
        if !switches.is_off(model) {
            return false;
        }
        switches.look(&self.deps.store).await;
        switches.is_off(model)
    }

    /// The task's model is switched off: the next of its chain takes over, or the task waits until it is switched on.
    pub(super) async fn without_model(&mut self) -> Result<Flow, Halt> {
        let name = self.journal.session.model.clone();
        let Some(next) = self.next_model(&name) else {
            self.hold(HeldBy::Model(&name)).await?;
            return self.wait(WaitingFor::Capacity, None).await;
        };
        tracing::info!(task.id = %self.claimed.task, model.name = name, model.next = next, "another model takes over from one that is switched off");
        let taken_over = EventData::ModelRetried {
            attempt: 0,
            reason: "the operator has switched this model off".to_owned(),
            delay_ms: 0,
            overflowed: false,
            next_model: Some(next),
            // One that was under way was cut off.
            broke_off: self.journal.session.calling && !std::mem::take(&mut self.unsent),
        };
        self.journal.record(taken_over, None);
        self.journal.commit().await.map(|()| Flow::On)
    }

    async fn hold(&self, by: HeldBy<'_>) -> Result<(), Halt> {
        let (store, team, task) = (&self.deps.store, self.claimed.team, self.claimed.task);
        patiently(&self.deps.cut, || switches::hold(store, team, task, by)).await
    }
}
