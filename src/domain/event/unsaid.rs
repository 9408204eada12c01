//! Events without what their author wrote: for one who is gone.

use super::EventData;

/// Stands in place of the name of one who is gone.
pub const GONE: &str = "(deleted user)";
/// Stands in place of what he wrote.
pub const ERASED: &str = "(erased)";

impl EventData {
    /// What its author wrote in it.
    pub fn words(&self) -> Vec<&str> {
        match self {
            Self::TaskCreated { spec, .. } => {
                let labels = spec.labels.iter().flat_map(|(name, value)| [name.as_str(), value]);
                [spec.request.as_str(), &spec.title].into_iter().chain(labels).collect()
            }
            Self::TaskUpdated { title, .. } => title.iter().map(String::as_str).collect(),
            Self::MessageUser { text, .. } => vec![text],
            Self::ApprovalResolved { plan, note, answers, .. } => {
                let steps = plan.iter().map(|step| &step.step);
                note.iter().chain(answers).chain(steps).map(String::as_str).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The event without its author's words and name. What a task needs to be read and to go on stays: its repository,
    /// environment, model, limits, and what was decided.
    #[must_use]
    pub fn unsaid(self) -> Self {
        let author = GONE.to_owned();
        let erased = || ERASED.to_owned();
        match self {
            Self::TaskCreated { mut spec, requested_by, .. } => {
                spec.request = erased();
                spec.title = erased();
                spec.labels.clear();
                spec.checks.clear();
                spec.output_schema = None;
                spec.source.url = None;
                Self::TaskCreated { spec, author, requested_by }
            }
            Self::TaskControl { action, .. } => Self::TaskControl { action, author },
            Self::TaskForked { from, model, .. } => Self::TaskForked { from, model, author },
            Self::TaskUpdated { title, limits, .. } => {
                Self::TaskUpdated { title: title.map(|_| erased()), limits, author }
            }
            Self::MessageUser { on_busy, .. } => Self::MessageUser { text: erased(), author, user: None, on_busy },
            Self::ApprovalResolved { approval, decision, mut plan, note, answers, remember, .. } => {
                for step in &mut plan {
                    step.step = erased();
                }
                Self::ApprovalResolved {
                    approval,
                    decision,
                    author,
                    plan,
                    note: note.map(|_| erased()),
                    answers: answers.iter().map(|_| erased()).collect(),
                    remember,
                }
            }
            Self::Publish { publishing, state, branch, commit, pull_request_url, reason, author: by } => {
                Self::Publish {
                    publishing,
                    state,
                    branch,
                    commit,
                    pull_request_url,
                    reason,
                    author: by.map(|_| author),
                }
            }
            other => other,
        }
    }
}
