//! What a task holds that can be learnt from: people's corrections, what was denied, what failed and how it was mended.
//!
//! Whose words each is follows from the kind of its event and from who was known to write it, never from what it says.

use crate::domain::{
    ApprovalId, EventData, Private, Seq, UserId,
    approval::{ApprovalKind, Decision, WITHDRAWN},
    check::{CheckOutcome, CheckResult, Verdict},
    event::Record,
    learning::Provenance,
    memory::MemoryOrigin,
    plan::Planning,
    task::OnBusy,
};
use serde_json::Value;
use std::{collections::BTreeMap, fmt::Write};
use uuid::Uuid;

/// Things that are looked at, at most, and characters of each and of all of them.
pub const SOURCES_MAX: usize = 40;
pub const SOURCE_CHARS_MAX: usize = 4_000;
pub const SOURCES_CHARS_MAX: usize = 60_000;
/// Of what the agent said or did before.
const BEFORE_CHARS_MAX: usize = 400;
const LOG_CHARS_MAX: usize = 1_200;
const FAILING_MAX: usize = 20;
const PATHS_MAX: usize = 20;

/// What a source is, the weightiest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceKind {
    Feedback,
    /// A person's words that cut the work off.
    Interruption,
    Message,
    Answer,
    PlanEdit,
    Denial,
    /// What was merged in place of the agent's work.
    Merge,
    ReviewComment,
    Checks,
    /// What a model found that reviewed the patch.
    Review,
    Remember,
}

impl SourceKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Feedback => "feedback",
            Self::Interruption => "interruption",
            Self::Message => "message",
            Self::Answer => "answer",
            Self::PlanEdit => "plan_edit",
            Self::Denial => "denial",
            Self::Merge => "merged_change",
            Self::ReviewComment => "review_comment",
            Self::Checks => "checks_failed_then_passed",
            Self::Review => "model_review",
            Self::Remember => "agent_note",
        }
    }

    pub fn origin(self) -> MemoryOrigin {
        match self {
            Self::Feedback => MemoryOrigin::Feedback,
            Self::Interruption | Self::Message | Self::Answer | Self::PlanEdit | Self::Denial => {
                MemoryOrigin::Correction
            }
            Self::Merge | Self::ReviewComment => MemoryOrigin::Review,
            Self::Checks | Self::Review => MemoryOrigin::Checks,
            Self::Remember => MemoryOrigin::Agent,
        }
    }
}

/// One thing that can be learnt from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What an answer names it by: the seq of its first event, or a letter and a number.
    pub name: String,
    pub kind: SourceKind,
    pub provenance: Provenance,
    pub user: Option<UserId>,
    pub events: Vec<Seq>,
    pub feedback: Option<Uuid>,
    pub text: String,
    /// Of the text what a person said in his own words: nothing quoted, nothing that the agent had written. Empty for
    /// all that is not a person's.
    pub own: String,
    /// What the agent had said or done just before.
    pub before: String,
}

/// What was decided, from the rows of approvals.
#[derive(Clone, Debug, PartialEq)]
pub struct DecidedBy {
    /// Absent: a deadline or a model.
    pub user: Option<UserId>,
    pub kind: ApprovalKind,
    pub subject: Value,
}

/// Those that fit, the weightiest first; of one weight in their order.
pub fn bounded(mut sources: Vec<Source>) -> Vec<Source> {
    sources.sort_by_key(|source| source.kind);
    sources.truncate(SOURCES_MAX);
    let mut left = SOURCES_CHARS_MAX;
    for source in &mut sources {
        source.text = cut(&source.text, SOURCE_CHARS_MAX);
        source.own = cut(&source.own, SOURCE_CHARS_MAX);
        source.before = cut(&source.before, BEFORE_CHARS_MAX);
    }
    sources.retain(|source| {
        let size = source.text.chars().count() + source.before.chars().count();
        let fits = size <= left;
        left -= if fits { size } else { 0 };
        fits
    });
    sources
}

/// What a person thought of the work.
pub fn of_feedback(id: Uuid, user: UserId, rating: &str, comment: Option<&str>, before: &str) -> Source {
    let said = comment.unwrap_or_default();
    Source {
        name: "f1".to_owned(),
        kind: SourceKind::Feedback,
        provenance: Provenance::Person,
        user: Some(user),
        events: Vec::new(),
        feedback: Some(id),
        text: if said.is_empty() { format!("rated {rating}") } else { format!("rated {rating}: {said}") },
        own: own_words(said),
        before: before.to_owned(),
    }
}

/// What was merged in a file in place of the agent's work, as a diff from this to that.
pub fn of_merge(number: usize, id: Uuid, diff: String) -> Source {
    Source {
        name: format!("d{number}"),
        kind: SourceKind::Merge,
        provenance: Provenance::Reviewer,
        user: None,
        events: Vec::new(),
        feedback: Some(id),
        text: diff,
        own: String::new(),
        before: String::new(),
    }
}

/// What a reviewer wrote.
pub fn of_comment(number: usize, id: Uuid, text: String) -> Source {
    Source { name: format!("r{number}"), kind: SourceKind::ReviewComment, ..of_merge(number, id, text) }
}

/// A person's own words: without lines that quote somebody and without blocks of code or output.
pub fn own_words(text: &str) -> String {
    let (mut own, mut fenced) = (Vec::new(), false);
    for line in text.lines() {
        let start = line.trim_start();
        if start.starts_with("```") || start.starts_with("~~~") {
            fenced = !fenced;
        } else if !fenced && !start.starts_with('>') && !line.starts_with("    ") && !line.starts_with('\t') {
            own.push(line);
        }
    }
    own.join("\n").trim().to_owned()
}

/// Cut at a number of characters, said so.
pub fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((at, _)) => format!("{} […]", &text[..at]),
        None => text.to_owned(),
    }
}

/// Reads a log for what one run of it holds, event by event: of the log itself nothing is kept.
#[derive(Debug)]
pub struct Reader<'a> {
    run: u32,
    /// Events up to here are another task's, of which this one is a fork.
    after: Seq,
    decided: &'a BTreeMap<ApprovalId, DecidedBy>,
    found: Vec<Source>,
    /// What the agent said or did last.
    before: String,
    plan: Option<Planning>,
    /// The first validation that failed and was not mended yet.
    failed: Option<(Seq, String)>,
}

impl<'a> Reader<'a> {
    pub fn new(run: u32, after: Seq, decided: &'a BTreeMap<ApprovalId, DecidedBy>) -> Self {
        Self { run, after, decided, found: Vec::new(), before: String::new(), plan: None, failed: None }
    }

    /// The run's own sources, the weightiest first, within the limits.
    pub fn finish(self) -> Vec<Source> {
        bounded(self.found)
    }

    pub fn read(&mut self, record: &Record) {
        let event = &record.event;
        let counts = event.run == self.run && event.seq > self.after;
        match &event.data {
            EventData::MessageAssistant { text, .. } => self.before = cut(&format!("said: {text}"), BEFORE_CHARS_MAX),
            EventData::PlanUpdated { planning } => self.plan = Some(planning.clone()),
            EventData::ToolStarted { tool, arguments, .. } => {
                if counts && tool == "remember" {
                    self.remember(event.seq, arguments);
                }
                self.before = cut(&format!("called {tool} with {arguments}"), BEFORE_CHARS_MAX);
            }
            EventData::MessageUser { text, user, on_busy, .. } if counts => {
                let kind = if *on_busy == OnBusy::Interrupt { SourceKind::Interruption } else { SourceKind::Message };
                self.said(event.seq, kind, *user, text.clone(), text);
            }
            EventData::ApprovalResolved { approval, decision, plan, note, answers, .. } if counts => {
                let given = Given { decision: *decision, plan, note: note.as_deref(), answers };
                self.decided(event.seq, *approval, &given);
            }
            EventData::ChecksCompleted { verdict, reason, checks, .. } if counts => {
                self.checked(event.seq, *verdict, reason.as_deref(), checks, record.private.as_ref());
            }
            EventData::ReviewCompleted { findings, sent_back: true, .. } if counts => {
                let lines: Vec<String> = findings.iter().map(|finding| finding.text.clone()).collect();
                self.push(SourceKind::Review, Provenance::Agent, vec![event.seq], lines.join("\n"));
            }
            _ => {}
        }
    }

    fn push(&mut self, kind: SourceKind, provenance: Provenance, events: Vec<Seq>, text: String) {
        let name = events.first().map(Seq::to_string).unwrap_or_default();
        let (own, before) = (String::new(), self.before.clone());
        self.found.push(Source { name, kind, provenance, user: None, events, feedback: None, text, own, before });
    }

    /// Words of whom the log knows: a member's are his own; of others nothing is known.
    fn said(&mut self, seq: Seq, kind: SourceKind, user: Option<UserId>, text: String, words: &str) {
        let provenance = if user.is_some() { Provenance::Person } else { Provenance::Outsider };
        self.push(kind, provenance, vec![seq], text);
        if let Some(source) = self.found.last_mut().filter(|_| user.is_some()) {
            source.own = own_words(words);
            source.user = user;
        }
    }

    fn remember(&mut self, seq: Seq, arguments: &Value) {
        let text = arguments["text"].as_str().unwrap_or_default();
        if !text.trim().is_empty() {
            self.push(SourceKind::Remember, Provenance::Agent, vec![seq], text.to_owned());
        }
    }

    fn decided(&mut self, seq: Seq, approval: ApprovalId, given: &Given<'_>) {
        let Some(row) = self.decided.get(&approval) else { return };
        let Some(user) = row.user else { return };
        // Nobody has decided what was withdrawn because he did something else.
        let note = given.note.filter(|note| !note.starts_with(WITHDRAWN)).unwrap_or_default();
        if given.note.is_some() && note.is_empty() {
            return;
        }
        let (kind, text, words) = match given.decision {
            Decision::Deny => (SourceKind::Denial, format!("denied {}: {note}", asked(row)), note.to_owned()),
            Decision::Answer => {
                let answers = given.answers.join("\n");
                (SourceKind::Answer, format!("asked {}, answered: {answers}", asked(row)), format!("{answers}\n{note}"))
            }
            Decision::Approve if !given.plan.is_empty() => {
                let proposed: Vec<&str> = steps(self.plan.as_ref());
                let new: Vec<&str> =
                    given.plan.iter().map(|step| step.step.as_str()).filter(|step| !proposed.contains(step)).collect();
                let gone: Vec<&&str> =
                    proposed.iter().filter(|step| given.plan.iter().all(|kept| kept.step != **step)).collect();
                let mut text = format!("changed the plan. Put in: {}. Took out: {}.", list(&new), list(&gone));
                if !note.is_empty() {
                    let _ = write!(text, " Said: {note}");
                }
                (SourceKind::PlanEdit, text, format!("{}\n{note}", new.join("\n")))
            }
            Decision::Approve if !note.is_empty() => {
                (SourceKind::Message, format!("approved {}: {note}", asked(row)), note.to_owned())
            }
            Decision::Approve => return,
        };
        self.said(seq, kind, Some(user), text, &words);
    }

    fn checked(
        &mut self,
        seq: Seq,
        verdict: Verdict,
        reason: Option<&str>,
        checks: &[CheckResult],
        private: Option<&Private>,
    ) {
        if verdict == Verdict::Failed {
            if self.failed.is_none() {
                self.failed = Some((seq, failures(reason, checks)));
            }
            return;
        }
        let Some((failed, mut text)) = self.failed.take() else { return };
        let paths: Vec<&String> = match private {
            Some(Private::Patch { paths: Some(paths), .. }) => paths.all().take(PATHS_MAX).collect(),
            _ => Vec::new(),
        };
        let _ = write!(text, "\nThey passed later, with changes to: {}.", list(&paths));
        self.push(SourceKind::Checks, Provenance::Tool, vec![failed, seq], text);
    }
}

struct Given<'a> {
    decision: Decision,
    plan: &'a [crate::domain::plan::PlanStep],
    note: Option<&'a str>,
    answers: &'a [String],
}

fn steps(plan: Option<&Planning>) -> Vec<&str> {
    plan.map(|plan| plan.steps.iter().map(|step| step.step.as_str()).collect()).unwrap_or_default()
}

fn list<T: AsRef<str>>(items: &[T]) -> String {
    let quoted: Vec<String> = items.iter().map(|item| format!("\"{}\"", item.as_ref())).collect();
    if quoted.is_empty() { "nothing".to_owned() } else { quoted.join(", ") }
}

/// What was asked about, shortly.
fn asked(row: &DecidedBy) -> String {
    let what = match row.kind {
        ApprovalKind::Plan => "the plan",
        ApprovalKind::Command => "the call",
        ApprovalKind::Network => "reaching hosts",
        ApprovalKind::Publish => "publishing",
        ApprovalKind::Question => "the questions",
        ApprovalKind::WeakenedTests => "weaker tests",
    };
    format!("{what} {}", cut(&row.subject.to_string(), LOG_CHARS_MAX))
}

fn failures(reason: Option<&str>, checks: &[CheckResult]) -> String {
    let mut text = format!("The checks failed: {}", reason.unwrap_or("they did not pass"));
    let failed = |check: &&CheckResult| check.final_run.as_ref().is_some_and(|run| run.outcome == CheckOutcome::Fail);
    for check in checks.iter().filter(failed) {
        let failing: Vec<&String> = check.final_run.iter().flat_map(|run| &run.failing).take(FAILING_MAX).collect();
        let log = check.log.char_indices().rev().nth(LOG_CHARS_MAX).map_or(&*check.log, |(at, _)| &check.log[at..]);
        let _ = write!(text, "\n`{}` failed: {}. The end of its output:\n{log}", check.command, list(&failing));
    }
    text
}
