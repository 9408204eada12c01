//! Calls that rules ask about: put to people, with what the call would do.

use super::{
    drive::Driver,
    journal::{Flow, Halt},
};
use crate::{
    agent::rules::{self, Found},
    domain::{approval::ApprovalKind, tool::ToolCall},
};

impl Driver {
    /// Puts a call to people; the task rests until they decide, or until the deadline. The call has not begun.
    pub(super) async fn ask_about(&mut self, call: &ToolCall, asks: &[Found]) -> Result<Flow, Halt> {
        self.journal.commit().await?;
        let subject = rules::subject(call, asks).to_string();
        let subject = self.deps.redactor.redact(&subject).into_owned();
        self.ask(ApprovalKind::Command, Some(call.call.clone()), &subject).await
    }
}
