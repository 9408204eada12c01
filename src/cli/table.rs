//! Tasks as rows and as pages.

use super::{
    screen::{Line, Tone, clean},
    story::{self, Ending},
    view::{ApprovalView, TaskView},
};
use crate::domain::Timestamp;
use serde_json::Value;
use std::time::Duration;

/// One line per task: id, state, age, title.
pub fn tasks(tasks: &[TaskView], now: Timestamp) -> Vec<Line> {
    if tasks.is_empty() {
        return vec![Line::at(0).dim("no tasks")];
    }
    tasks
        .iter()
        .map(|task| {
            let (mark, word, tone) = state(task);
            let age = task.created_at.map(|at| age(now.since(at))).unwrap_or_default();
            Line::at(0)
                .with(format!("{mark} {word:<13}"), tone)
                .plain(format!(" {} ", clean(&task.id)))
                .dim(format!("{age:>8}  "))
                .plain(clean(&task.title))
                .cut()
        })
        .collect()
}

/// One task: what was asked, how far it is, and what it gave.
pub fn task_page(task: &TaskView) -> Vec<Line> {
    let (mark, word, tone) = state(task);
    let mut lines = vec![
        Line::at(0).with(format!("{mark} {word}"), tone).plain("  ").with(clean(&task.title), Tone::Strong),
        field("task", &task.id),
    ];
    if let Some(repository) = &task.repository {
        let place = repository.url.as_deref().unwrap_or("(uploaded)");
        let reference = repository.reference.as_deref().map(|name| format!(" {name}")).unwrap_or_default();
        let commit = repository.commit.as_deref().and_then(|commit| commit.get(..10)).unwrap_or_default();
        lines.push(field("repository", &format!("{place}{reference} {commit}")));
    }
    lines.push(field("model", &task.model));
    if let (Some(user), Some(team)) = (&task.created_by, &task.team) {
        lines.push(field("by", &format!("{} ({})", user.name, team.name)));
    }
    if let Some(at) = task.created_at {
        lines.push(field("created", &at.to_string()));
    }
    lines.push(field("run", &format!("{} · {}", task.run, task.phase)));
    if let Some(waiting) = &task.waiting_for {
        lines.push(field("waits for", waiting));
    }
    if let Some(planning) = &task.planning {
        lines.push(Line::empty());
        lines.extend(story::plan(planning, 0));
    }
    lines.extend(story::ending(&Ending { task, patch: "", told: false }));
    lines
}

/// A text of which no line end hides a part on a terminal.
fn visible(text: &str) -> String {
    clean(&text.replace('\r', "␍").replace('\n', "⏎ "))
}

/// What people are asked before a call runs: the call and the rule.
pub fn pending(approvals: &[ApprovalView]) -> Vec<Line> {
    let mut lines = Vec::new();
    for approval in approvals {
        let text = |name: &str| approval.subject.get(name).and_then(Value::as_str).map(visible);
        let paths = approval.subject.get("paths").and_then(Value::as_array);
        let paths =
            paths.map(|paths| paths.iter().filter_map(Value::as_str).map(visible).collect::<Vec<_>>().join(", "));
        let Some(what) = text("command").or(paths) else { continue };
        lines.push(Line::empty());
        lines.push(field("asks", &what));
        let why = text("rule").map(|rule| format!("{} ({rule})", text("reason").unwrap_or_default()));
        lines.extend(why.as_deref().map(|why| field("because", why.trim_start())));
        lines.push(field("approval", &approval.id));
        lines.extend(approval.deadline.as_deref().map(|deadline| field("until", deadline)));
    }
    lines
}

fn field(name: &str, value: &str) -> Line {
    Line::at(2).dim(format!("{name:<12}")).plain(clean(value)).hang(12)
}

fn state(task: &TaskView) -> (&'static str, String, Tone) {
    let (mark, tone) = match (task.status.as_str(), task.verdict()) {
        ("succeeded", Some("verified")) => ("✔", Tone::Good),
        ("succeeded", _) => ("✔", Tone::Warn),
        ("failed", _) => ("✘", Tone::Bad),
        ("cancelled", _) => ("■", Tone::Dim),
        ("waiting", _) => ("?", Tone::Warn),
        ("running", _) => ("▸", Tone::Accent),
        _ => ("○", Tone::Dim),
    };
    let word = match (task.status.as_str(), task.verdict()) {
        ("succeeded", Some(verdict)) => verdict.replace('_', " "),
        (status, _) => status.to_owned(),
    };
    (mark, clean(&word), tone)
}

/// `12 s`, `5 min`, `3 h`, `12 days`.
fn age(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{} min", seconds / 60),
        seconds @ 3_600..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
