//! Words about a task for people elsewhere: its verdict, its checks, texts in one line or cut. Each is Markdown.

use crate::domain::{
    check::{CheckOutcome, CheckResult, CheckRun, Verdict},
    task::TaskResult,
    usage::Usage,
};
use regex::Regex;
use std::{fmt::Write, sync::LazyLock};

/// Checks that are told of, at most.
pub(super) const CHECKS_MAX: usize = 40;

/// `Verdict: verified (why)`.
pub(super) fn verdict_line(result: &TaskResult) -> String {
    let verdict = match result.verdict {
        Some(Verdict::Verified) => "verified",
        Some(Verdict::Unverified) => "unverified",
        Some(Verdict::NoChange) => "no change",
        Some(Verdict::BrokenBefore) => "broken before",
        Some(Verdict::Failed) => "failed",
        None => "none yet",
    };
    let reason = result.reason.as_deref().map(|reason| format!(" ({})", one_line(reason, 500))).unwrap_or_default();
    format!("Verdict: {verdict}{reason}")
}

/// Checks before and after, in a table; empty for none.
pub(super) fn table(checks: &[CheckResult]) -> String {
    if checks.is_empty() {
        return String::new();
    }
    let mut text = "| check | before | after | seconds |\n|---|---|---|---|\n".to_owned();
    for check in checks.iter().take(CHECKS_MAX) {
        let name = one_line(&check.name, 100).replace('|', "\\|");
        let seconds =
            check.final_run.as_ref().map_or_else(String::new, |run| format!("{:.1}", run.duration_ms as f64 / 1_000.0));
        let (before, after) = (outcome(check.baseline.as_ref()), outcome(check.final_run.as_ref()));
        let _ = writeln!(text, "| {name} | {before} | {after} | {seconds} |");
    }
    if checks.len() > CHECKS_MAX {
        let _ = writeln!(text, "\nand {} more", checks.len() - CHECKS_MAX);
    }
    text.push('\n');
    text
}

/// What a run of a check came to.
pub(super) fn outcome(run: Option<&CheckRun>) -> String {
    let Some(run) = run else { return "not run".to_owned() };
    let failing = if run.failing.is_empty() { String::new() } else { format!(" ({} tests)", run.failing.len()) };
    match run.outcome {
        CheckOutcome::Pass => "pass".to_owned(),
        CheckOutcome::Fail => format!("fail{failing}"),
        CheckOutcome::CouldNotRun => "could not run".to_owned(),
    }
}

/// Its first line that is not blank.
pub(super) fn one_line(text: &str, chars_max: usize) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    shortened(&clean(line), chars_max)
}

/// A line without control characters.
pub(super) fn clean(line: &str) -> String {
    line.chars().filter(|c| !c.is_control()).collect()
}

/// At most so many characters, an ellipsis included.
pub(super) fn shortened(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(chars_max.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// `12 turns, 34567 tokens, $0.12`.
pub(super) fn spent(usage: Usage) -> String {
    let cost = usage.cost_usd.map(|cost| format!(", ${cost:.2}")).unwrap_or_default();
    format!("{} turns, {} tokens{cost}", usage.turns, usage.input_tokens + usage.output_tokens)
}

/// What hosts take for an order in the message of a commit or the text of a pull request: that no check is run
/// (docs.github.com/actions/how-tos/manage-workflow-runs/skip-workflow-runs, docs.gitlab.com/ci/pipelines), and that an issue is
/// closed (docs.github.com/issues/tracking-your-work-with-issues, `docs.gitlab.com/user/project/issues/managing_issues`).
static ORDERS: LazyLock<[Option<(Regex, &str)>; 4]> = LazyLock::new(|| {
    let rule = |pattern, instead| Some((Regex::new(pattern).ok()?, instead));
    [
        rule(
            r"(?i)\[\s*((?:skip|no)[ _-]*(?:ci|cd|actions?|checks?|builds?|tests?|deploy|netlify|vercel|circle ?ci|travis|appveyor|azp|drone|render)|(?:ci|cd|actions?|checks?|builds?|tests?|deploy|netlify|vercel|circle ?ci|travis|appveyor|azp|drone|render|wip)[ _-]*skip)\s*\]",
            "($1)",
        ),
        rule(r"(?i)\*{3}(no_ci)\*{3}", "$1"),
        rule(r"(?i)\b(skip)-(checks\s*:)", "$1 $2"),
        rule(
            r"(?i)\b((?:clos|fix|resolv|implement)(?:e[sd]?|es|ed|ing|s)?\s*:?\s+)((?:issues?\s+)?(?:[\w./-]+)?(?:[#!]|GH-)\d+|https?://\S+/(?:issues|pull|pulls|merge_requests|work_items)/\d+)",
            "$1($2)",
        ),
    ]
});

/// A text in which nobody's words are an order to the host.
pub(super) fn ordering_nothing(text: &str) -> String {
    let shown: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    ORDERS.iter().flatten().fold(shown, |text, (order, instead)| order.replace_all(&text, *instead).into_owned())
}

/// A text that calls nobody by `@name`, and hides nothing in a comment: models write what they have read.
pub(super) fn quiet(text: &str) -> String {
    text.replace('@', "@\u{200b}").replace("<!--", "<\u{200b}!--")
}
