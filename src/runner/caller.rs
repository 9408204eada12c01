//! Whose model calls a task's are.

use crate::{llm::Attribution, store::jobs::Claimed};

/// The ids of a claimed task as texts.
#[derive(Debug)]
pub(super) struct Caller {
    task: String,
    team: String,
    pub(super) user: String,
}

impl Caller {
    pub(super) fn of(claimed: &Claimed) -> Self {
        Self { task: claimed.task.to_string(), team: claimed.team.to_string(), user: claimed.user.to_string() }
    }

    pub(super) fn attribution(&self) -> Attribution<'_> {
        Attribution { task: &self.task, team: &self.team, user: &self.user }
    }
}
