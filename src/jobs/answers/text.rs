//! What the comment at the tracker says of a task, as it is now.

use crate::{
    domain::{
        Phase, Status, WaitingFor,
        plan::{Planning, StepStatus},
        publish::PublishState,
        task::TaskDetail,
    },
    jobs::words::{one_line, quiet, shortened, spent, table, verdict_line},
    trackers::{template, voice::SessionEnd},
};
use std::fmt::Write;

const STEPS_MAX: usize = 30;
const QUESTIONS_MAX: usize = 5;
const SUMMARY_CHARS_MAX: usize = 4_000;
/// What every tracker takes (Jira: 32,767 characters), with room for its own markup.
const TEXT_CHARS_MAX: usize = 24_000;

/// A task as its comment tells of it.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) status: Status,
    pub(super) waiting_for: Option<WaitingFor>,
    pub(super) phase: Phase,
    pub(super) run: u32,
    pub(super) detail: TaskDetail,
    /// What people are asked.
    pub(super) questions: Vec<String>,
    /// How far the last publishing has come, and why no further.
    pub(super) published: Option<(PublishState, Option<String>)>,
    /// Where people see the task.
    pub(super) link: String,
}

impl Shown {
    /// The comment's text by a template, or by the usual one.
    pub(super) fn text(&self, template: Option<&str>) -> String {
        let filled = template::filled(template.unwrap_or(template::USUAL), |name| match name {
            "status" => self.status(),
            "plan" => self.detail.planning.as_ref().map(plan).unwrap_or_default(),
            "summary" => self.summary(),
            "checks" => self.checks(),
            "cost" => self.cost(),
            "links" => self.links(),
            _ => String::new(),
        });
        shortened(&filled, TEXT_CHARS_MAX)
    }

    /// What an agent session that waits for it is told; none while it works.
    pub(super) fn session_end(&self) -> Option<SessionEnd> {
        match (self.status, self.waiting_for) {
            (Status::Waiting, Some(WaitingFor::Input)) => Some(SessionEnd::Asks),
            (Status::Succeeded | Status::Cancelled, _) => Some(SessionEnd::Done),
            (Status::Failed, _) => Some(SessionEnd::Failed),
            _ => None,
        }
    }

    fn status(&self) -> String {
        let line = match (self.status, self.waiting_for) {
            (Status::Queued, _) => "**Queued.** Work begins as soon as there is room.".to_owned(),
            (Status::Running, _) => format!("**Working on it**: {}.", doing(self.phase)),
            (Status::Waiting, Some(WaitingFor::Approval)) => {
                format!("**Waiting for an approval** by a member of the team: {}", self.link)
            }
            (Status::Waiting, Some(WaitingFor::Input)) => "**Waiting for an answer.** Reply here.".to_owned(),
            (Status::Waiting, Some(WaitingFor::Paused)) => "**Paused.**".to_owned(),
            (Status::Waiting, _) => "**Waiting for room.**".to_owned(),
            (Status::Succeeded, _) => "**Done.**".to_owned(),
            (Status::Failed, _) => {
                let why = self.detail.error.as_ref().map(|error| format!(" {}", one_line(&error.message, 500)));
                format!("**Not done.**{}", quiet(&why.unwrap_or_default()))
            }
            (Status::Cancelled, _) => "**Cancelled.**".to_owned(),
        };
        let asked = self.questions.iter().take(QUESTIONS_MAX);
        asked.fold(line, |text, question| format!("{text}\n\n> {}", quiet(&one_line(question, 1_000))))
    }

    /// The model's last words; while it works those of the run before say nothing.
    fn summary(&self) -> String {
        let result = self.detail.result.as_ref().filter(|_| self.status.is_rest());
        let said = result.and_then(|result| result.answer.as_deref().or(result.summary.as_deref())).unwrap_or_default();
        quiet(&shortened(said.trim(), SUMMARY_CHARS_MAX))
    }

    fn checks(&self) -> String {
        let Some(result) =
            self.detail.result.as_ref().filter(|result| self.status.is_rest() && result.verdict.is_some())
        else {
            return String::new();
        };
        let mut text = format!("{}\n\n{}", quiet(&verdict_line(result)), quiet(&table(&result.checks)));
        if let Some(patch) = result.patch.filter(|patch| patch.files > 0) {
            let _ = write!(text, "{} files changed, +{} −{}", patch.files, patch.additions, patch.deletions);
        }
        text
    }

    fn cost(&self) -> String {
        if self.detail.usage.turns == 0 {
            return String::new();
        }
        let runs = if self.run > 1 { format!("{} runs, ", self.run) } else { String::new() };
        format!("{runs}{}", spent(self.detail.usage))
    }

    fn links(&self) -> String {
        let result = self.detail.result.as_ref();
        let pull_request = result.and_then(|result| result.pull_request_url.as_deref());
        let branch = result.and_then(|result| result.branch.as_deref());
        let mut text = format!("[Task]({})", self.link);
        match (pull_request, branch) {
            (Some(url), _) => {
                let _ = write!(text, " · [Pull request]({url})");
            }
            (None, Some(branch)) => {
                let _ = write!(text, " · branch `{branch}`");
            }
            (None, None) => {}
        }
        let why = |reason: &Option<String>| {
            reason.as_deref().map(|reason| format!(": {}", quiet(&one_line(reason, 500)))).unwrap_or_default()
        };
        let _ = match &self.published {
            Some((PublishState::WaitingApproval, reason)) => {
                write!(text, "\n\nA member of the team has to approve before it is published{}", why(reason))
            }
            Some((PublishState::Conflict | PublishState::Failed | PublishState::Denied, reason)) => {
                write!(text, "\n\nNot published{}", why(reason))
            }
            Some((PublishState::Done, Some(reason))) => {
                write!(text, "\n\nThere is no pull request: {}", quiet(&one_line(reason, 500)))
            }
            Some((PublishState::Requested | PublishState::Done, _)) | None => Ok(()),
        };
        text
    }
}

fn doing(phase: Phase) -> &'static str {
    match phase {
        Phase::Analysis => "reading the code",
        Phase::Planning => "planning",
        Phase::Generation => "changing the code",
        Phase::Validation => "running the checks",
        Phase::Refinement => "mending what the checks found",
    }
}

fn plan(planning: &Planning) -> String {
    let mut text = String::new();
    for step in planning.steps.iter().take(STEPS_MAX) {
        let mark = if step.status == StepStatus::Completed { 'x' } else { ' ' };
        let words = quiet(&one_line(&step.step, 200));
        let _ = match step.status {
            StepStatus::InProgress => writeln!(text, "- [{mark}] **{words}**"),
            StepStatus::Pending | StepStatus::Completed => writeln!(text, "- [{mark}] {words}"),
        };
    }
    if planning.steps.len() > STEPS_MAX {
        let _ = writeln!(text, "- and {} more", planning.steps.len() - STEPS_MAX);
    }
    text
}
