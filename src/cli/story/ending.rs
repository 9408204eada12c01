//! The last words: verdict, evidence, patch, cost.

use super::{checks, diff, words};
use crate::{
    cli::{
        screen::{Line, Tone, clean, clean_block},
        view::{ResultView, TaskView},
    },
    domain::{task::CriterionStatus, usage::Usage},
};
use std::time::Duration;

/// What the ending is made from.
#[derive(Debug)]
pub struct Ending<'a> {
    pub task: &'a TaskView,
    /// The whole patch; empty where nothing was changed.
    pub patch: &'a str,
    /// The story was told before: the model's last words are not repeated.
    pub told: bool,
}

/// Verdict with its evidence, what the model says of its work, the patch, and what it took.
pub fn ending(ending: &Ending<'_>) -> Vec<Line> {
    let task = ending.task;
    let mut lines = vec![Line::empty(), headline(task)];
    if let Some(error) = &task.error {
        lines.push(Line::at(2).plain(clean(&error.message)).dim(format!("  ({})", clean(&error.code))).hang(2));
    }
    if let Some(result) = &task.result {
        lines.extend(evidence(result, task.error.is_some()));
        let words = [&result.answer, &result.summary].into_iter().flatten().next();
        if let Some(text) = words.filter(|_| !ending.told) {
            lines.push(Line::empty());
            lines.extend(clean_block(text.trim()).into_iter().map(|line| Line::at(2).plain(line)));
        }
        if let Some(value) = &result.structured {
            lines.push(Line::empty());
            lines.extend(clean_block(&format!("{value:#}")).into_iter().map(|line| Line::at(2).plain(line).keep()));
        }
    }
    if !ending.patch.trim().is_empty() {
        lines.push(Line::empty());
        lines.push(stat(task.result.as_ref(), ending.patch));
        lines.extend(diff::patch(ending.patch, 0));
    }
    lines.push(Line::empty());
    lines.push(spent(task));
    lines.push(Line::at(0).dim(format!("task {}", clean(&task.id))));
    lines
}

fn headline(task: &TaskView) -> Line {
    let (mark, word, tone, why) = match (task.status.as_str(), task.verdict()) {
        ("succeeded", Some("verified")) => {
            ("✔ ", "Verified", Tone::Good, "the server ran every check on a clean copy of base + patch, and all pass")
        }
        ("succeeded", Some("unverified")) => ("✔ ", "Done, unverified", Tone::Warn, "no check says whether it holds"),
        ("succeeded", Some("no_change")) => ("✔ ", "Done, nothing changed", Tone::Warn, ""),
        ("succeeded", Some("broken_before")) => {
            ("✔ ", "Done; broken before", Tone::Warn, "the checks that fail failed on the base too")
        }
        ("succeeded", _) => ("✔ ", "Done", Tone::Good, ""),
        ("failed", Some("failed")) => ("✘ ", "Failed", Tone::Bad, "the checks do not pass; the patch is kept"),
        ("failed", _) => ("✘ ", "Failed", Tone::Bad, ""),
        ("cancelled", _) => ("■ ", "Cancelled", Tone::Warn, "the patch so far is kept"),
        ("waiting", _) => {
            let why = task.waiting_for.as_deref().unwrap_or_default();
            return Line::at(0).with("… Waiting", Tone::Warn).plain(format!("  {why}"));
        }
        (status, _) => return Line::at(0).with(format!("… {}", clean(status)), Tone::Accent),
    };
    let line = Line::at(0).with(format!("{mark}{word}"), tone).hang(2);
    if why.is_empty() || task.error.is_some() { line } else { line.plain(format!("  {why}")) }
}

fn evidence(result: &ResultView, failed: bool) -> Vec<Line> {
    let mut lines = Vec::new();
    for check in result.checks.iter().flatten() {
        lines.extend(checks::result(check, failed, 2));
    }
    if let Some(reason) = result.reason.as_deref().filter(|_| result.verdict.as_deref() != Some("verified")) {
        lines.push(Line::at(2).plain(clean(reason)));
    }
    for criterion in result.criteria.iter().flatten() {
        let (mark, tone) = match criterion.status {
            CriterionStatus::Met => ("✔ ", Tone::Good),
            CriterionStatus::Unmet => ("✘ ", Tone::Bad),
            CriterionStatus::Unknown => ("? ", Tone::Dim),
        };
        lines.push(Line::at(2).with(mark, tone).dim(clean(&criterion.text)).hang(2));
    }
    lines.extend(result.findings.iter().flatten().map(|finding| checks::finding(finding, 2)));
    if let Some(url) = &result.pull_request_url {
        lines.push(Line::at(2).dim("pull request  ").plain(clean(url)).keep());
    }
    lines
}

fn stat(result: Option<&ResultView>, patch: &str) -> Line {
    let stat = result.and_then(|result| result.patch).unwrap_or_else(|| {
        let count = |mark: char, head: &str| {
            patch.lines().filter(|line| line.starts_with(mark) && !line.starts_with(head)).count() as u32
        };
        let files = patch.lines().filter(|line| line.starts_with("diff --git ")).count() as u32;
        crate::domain::task::PatchStat { files, additions: count('+', "+++ "), deletions: count('-', "--- ") }
    });
    Line::at(0)
        .with("Patch", Tone::Strong)
        .plain(format!("  {}  ", words::count(stat.files.into(), "file", "files")))
        .with(format!("+{}", stat.additions), Tone::Added)
        .plain(" ")
        .with(format!("−{}", stat.deletions), Tone::Removed)
}

/// Turns, tokens with the share that came from the cache, money, time.
fn spent(task: &TaskView) -> Line {
    let mut parts = Vec::new();
    if let Some(usage) = task.usage {
        parts.extend(usage_words(usage));
    }
    if let (Some(started), Some(finished)) = (task.started_at, task.finished_at) {
        let took = finished.since(started);
        parts.push(words::duration(Duration::from_millis(took.as_millis() as u64)));
    }
    Line::at(0).dim(parts.join(" · ")).hang(2)
}

pub(super) fn usage_words(usage: Usage) -> Vec<String> {
    let mut parts = vec![words::count(usage.turns.into(), "turn", "turns")];
    let cached = match usage.input_tokens {
        0 => String::new(),
        input => format!(" ({:.0} % cached)", 100.0 * usage.cached_input_tokens as f64 / input as f64),
    };
    parts.push(format!("{} tokens in{cached}", words::tokens(usage.input_tokens)));
    parts.push(format!("{} out", words::tokens(usage.output_tokens)));
    parts.extend(usage.cost_usd.map(words::dollars));
    parts
}
