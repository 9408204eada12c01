//! What a commit and a pull request say, from what the task's log gave: what was asked, what the checks show, what it cost.
//! Made once for a publishing and kept with it, so that each try makes the same commit.

use crate::{
    domain::{TaskId, Timestamp, check::Verdict, task::TaskResult, usage::Usage},
    jobs::words::{
        CHECKS_MAX, clean, one_line, ordering_nothing, outcome, quiet, shortened, spent, table, verdict_line,
    },
    trackers::forge::PullRequestEdit,
};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

const SUBJECT_CHARS_MAX: usize = 100;
const REQUEST_CHARS_MAX: usize = 2_000;
const FINDINGS_MAX: usize = 20;
const TEMPLATE_CHARS_MAX: usize = 20_000;
/// What every host takes (GitHub: 65,536 characters).
const BODY_CHARS_MAX: usize = 60_000;

/// Around what a pull request's body has of the service, and what state it was left in.
const DRAFT_MARK: &str = "<!-- journeyman pull request: draft -->";
const READY_MARK: &str = "<!-- journeyman pull request: ready -->";
const END_MARK: &str = "<!-- journeyman pull request: end -->";

/// What a publishing says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Text {
    /// Of the pull request.
    pub(super) title: String,
    /// The whole message of the commit.
    pub(super) message: String,
    /// Of the pull request, without the repository's template.
    pub(super) body: String,
    /// The checks have not verified it.
    pub(super) draft: bool,
    /// Of the commit, in seconds since 1970.
    pub(super) at: i64,
}

/// What a text is made of.
pub(super) struct About<'a> {
    pub(super) task: TaskId,
    pub(super) title: &'a str,
    pub(super) request: &'a str,
    /// What people gave instead of the title, and before the rest of the body.
    pub(super) given: (Option<&'a str>, Option<&'a str>),
    pub(super) result: Option<&'a TaskResult>,
    pub(super) usage: Usage,
    pub(super) model: &'a str,
    /// `Name <address>`.
    pub(super) creator: Option<String>,
    pub(super) sign_off: Option<String>,
    /// Where people see the task.
    pub(super) link: Option<String>,
    pub(super) at: Timestamp,
}

impl Text {
    pub(super) fn of(about: &About<'_>) -> Self {
        let own = ordering_nothing(about.title);
        let title = one_line(about.given.0.unwrap_or(&own), SUBJECT_CHARS_MAX);
        let title = if title.is_empty() { format!("Task {}", about.task) } else { title };
        let draft = about.result.and_then(|result| result.verdict) != Some(Verdict::Verified);
        Self {
            message: message(&title, about),
            body: body(about, draft),
            title,
            draft,
            at: about.at.0.unix_timestamp(),
        }
    }

    /// The body with the repository's own template below it.
    pub(super) fn body_with(&self, template: Option<&str>) -> String {
        let template = template.map(|text| shortened(text.trim(), TEMPLATE_CHARS_MAX)).filter(|text| !text.is_empty());
        let room = BODY_CHARS_MAX - template.as_ref().map_or(0, |text| text.chars().count() + 10);
        let own = self.own_part(room);
        template.map_or(own.clone(), |template| format!("{own}\n\n---\n\n{template}"))
    }

    /// What an open pull request that says `there` is to say now; none where that is the same, or where nobody can tell what of it
    /// is the service's. What people wrote around that stays, and so does what they decided of a draft.
    pub(super) fn renewed(&self, there: &str) -> Option<PullRequestEdit> {
        let there = there.replace("\r\n", "\n");
        let marks = [(there.find(DRAFT_MARK), true), (there.find(READY_MARK), false)];
        let (begin, was_draft) = marks.into_iter().filter_map(|(at, draft)| Some((at?, draft))).min()?;
        let end = begin + there[begin..].find(END_MARK)? + END_MARK.len();
        let around = there[..begin].chars().count() + there[end..].chars().count();
        let own = self.own_part(BODY_CHARS_MAX.saturating_sub(around));
        let body = format!("{}{own}{}", &there[..begin], &there[end..]);
        let draft = (was_draft != self.draft).then_some(self.draft);
        (body != there || draft.is_some()).then_some(PullRequestEdit { body, draft })
    }

    /// Whether a pull request that says this was made by the service.
    pub(super) fn is_own(body: &str) -> bool {
        body.contains(DRAFT_MARK) || body.contains(READY_MARK)
    }

    /// Between marks that a reader does not see.
    fn own_part(&self, chars_max: usize) -> String {
        let mark = if self.draft { DRAFT_MARK } else { READY_MARK };
        let room = chars_max.saturating_sub(mark.len() + END_MARK.len() + 4);
        format!("{mark}\n\n{}\n\n{END_MARK}", shortened(self.body.trim_end(), room))
    }
}

/// `Name <address>` as git takes it in a trailer.
pub(super) fn person(name: &str, address: &str) -> Option<String> {
    let clean = |text: &str| {
        let kept: String = text.chars().filter(|c| !c.is_control() && !matches!(c, '<' | '>')).collect();
        kept.trim().to_owned()
    };
    let (name, address) = (clean(name), clean(address));
    (!name.is_empty() && !address.is_empty()).then(|| format!("{name} <{address}>"))
}

fn message(title: &str, about: &About<'_>) -> String {
    let mut text = format!("{title}\n");
    let request = shortened(ordering_nothing(about.request).trim(), REQUEST_CHARS_MAX);
    if request != ordering_nothing(about.title).trim() {
        // Indented: nobody's words stand as a trailer, nor as git's own comments.
        let _ = write!(text, "\nRequest:\n");
        for line in request.lines() {
            let line = clean(line);
            let _ = if line.trim().is_empty() { writeln!(text) } else { writeln!(text, "    {}", line.trim_end()) };
        }
    }
    if let Some(result) = about.result {
        let _ = writeln!(text, "\n{}", ordering_nothing(&verdict_line(result)));
        for check in result.checks.iter().take(CHECKS_MAX) {
            let _ = writeln!(
                text,
                "- {}: {}",
                one_line(&ordering_nothing(&check.name), 100),
                outcome(check.final_run.as_ref())
            );
        }
    }
    let _ = writeln!(text, "\nTask: {}", about.link.clone().unwrap_or_else(|| about.task.to_string()));
    if let Some(creator) = &about.creator {
        let _ = writeln!(text, "Co-authored-by: {creator}");
    }
    if let Some(by) = &about.sign_off {
        let _ = writeln!(text, "Signed-off-by: {by}");
    }
    text
}

fn body(about: &About<'_>, draft: bool) -> String {
    let mut text = String::new();
    if let Some(given) = about.given.1.map(str::trim).filter(|given| !given.is_empty()) {
        let _ = writeln!(text, "{given}\n");
    }
    if draft {
        let _ = writeln!(text, "> **Not verified.** {}\n", harmless(&unverified(about.result)));
    }
    if let Some(summary) = about.result.and_then(|result| result.summary.as_deref().or(result.answer.as_deref())) {
        let _ = writeln!(text, "## What\n\n{}\n", harmless(&shortened(summary.trim(), 10_000)));
    }
    let _ = writeln!(text, "## Why\n");
    for line in shortened(ordering_nothing(about.request).trim(), REQUEST_CHARS_MAX * 4).lines() {
        let _ = writeln!(text, "> {}", quiet(clean(line).trim_end()));
    }
    if let Some(result) = about.result {
        let _ = writeln!(text, "\n## Evidence\n\n{}\n", harmless(&verdict_line(result)));
        text.push_str(&harmless(&table(&result.checks)));
        if let Some(patch) = result.patch {
            let _ = writeln!(text, "{} files changed, +{} −{}\n", patch.files, patch.additions, patch.deletions);
        }
        for finding in result.findings.iter().take(FINDINGS_MAX) {
            let _ = writeln!(text, "- {}", harmless(&one_line(&finding.message, 300)));
        }
    }
    let task = about.link.clone().unwrap_or_else(|| about.task.to_string());
    let _ = writeln!(text, "\n---\n\nTask {task} · {} · {}", one_line(about.model, 100), spent(about.usage));
    text
}

/// What a model, a reviewer or a file has said: it calls nobody, and closes nothing.
fn harmless(text: &str) -> String {
    quiet(&ordering_nothing(text))
}

fn unverified(result: Option<&TaskResult>) -> String {
    let verdict = result.and_then(|result| result.verdict);
    let why = result.and_then(|result| result.reason.as_deref()).map(|why| format!(": {}", one_line(why, 500)));
    let why = why.unwrap_or_default();
    match verdict {
        Some(Verdict::Failed) => format!("Checks fail{why}"),
        Some(Verdict::BrokenBefore) => format!("Checks failed before it and fail still{why}"),
        Some(_) => format!("No check shows that it works{why}"),
        None => "It was published before its checks had run.".to_owned(),
    }
}
