//! Checks: each with what it gave on the base and on the final tree.

use super::words;
use crate::{
    cli::screen::{Line, Tone, clean, clean_block},
    domain::{
        check::{CheckOutcome, CheckResult, CheckRun, Finding, TestStatus, Verdict},
        review::ReviewFinding,
    },
};
use std::time::Duration;

const FAILING_TESTS_MAX: usize = 6;
const LOG_LINES_MAX: usize = 6;

/// What one validation found.
pub(super) fn completed(
    verdict: Verdict,
    reason: Option<&str>,
    checks: &[CheckResult],
    findings: &[Finding],
    indent: usize,
) -> Vec<Line> {
    let mut lines: Vec<Line> = checks.iter().flat_map(|check| result(check, true, indent)).collect();
    lines.extend(findings.iter().map(|each| finding(each, indent)));
    if verdict != Verdict::Verified {
        let words = reason.map_or_else(|| verdict_word(verdict).to_owned(), clean);
        let tone = if verdict == Verdict::Failed { Tone::Bad } else { Tone::Warn };
        lines.push(Line::at(indent).with("→ ", tone).plain(words).hang(2));
    }
    lines
}

/// One check: its command, baseline → final, and with `detail` what fails.
pub(super) fn result(check: &CheckResult, detail: bool, indent: usize) -> Vec<Line> {
    let outcome = check.final_run.as_ref().map(|run| run.outcome);
    let (mark, tone) = match outcome {
        Some(CheckOutcome::Pass) => ("✔ ", Tone::Good),
        Some(CheckOutcome::Fail) => ("✘ ", Tone::Bad),
        Some(CheckOutcome::CouldNotRun) | None => ("! ", Tone::Warn),
    };
    let mut line = Line::at(indent).with(mark, tone).with(clean(&check.command), Tone::Strong);
    if let Some(baseline) = &check.baseline {
        line = line.right(format!("{} → ", brief(baseline)), Tone::Dim);
    }
    line = match &check.final_run {
        Some(run) => {
            let took = words::duration(Duration::from_millis(run.duration_ms));
            line.right(brief(run), tone).right(format!("  {took}"), Tone::Dim)
        }
        None => line.right("did not run", tone),
    };
    let mut lines = vec![line.cut()];
    let Some(run) = check.final_run.as_ref().filter(|run| run.outcome != CheckOutcome::Pass && detail) else {
        return lines;
    };
    lines.extend(run.reason.iter().map(|reason| Line::at(indent + 2).with(clean(reason), Tone::Warn)));
    if run.failing.is_empty() {
        lines.extend(log_tail(&run.log, indent + 2));
    }
    let known = |name: &String| check.baseline.as_ref().is_some_and(|base| base.failing.contains(name));
    for name in run.failing.iter().take(FAILING_TESTS_MAX) {
        let since = if known(name) { "  (also on the base)" } else { "  (new)" };
        let since = if check.baseline.is_some() { since } else { "" };
        lines.push(Line::at(indent + 2).dim("│ ").with(clean(name), Tone::Removed).dim(since).cut());
    }
    if run.failing.len() > FAILING_TESTS_MAX {
        lines.push(Line::at(indent + 2).dim(format!("│ … {} more", run.failing.len() - FAILING_TESTS_MAX)));
    }
    lines
}

/// A run in few words: `24 pass`, `2 of 24 fail`, `exit 1`, `could not run`.
fn brief(run: &CheckRun) -> String {
    let tests = run.tests.as_ref().filter(|tests| !tests.is_empty());
    let counted =
        |status: TestStatus| tests.map_or(0, |tests| tests.iter().filter(|test| test.status == status).count());
    let (passed, failed) = (counted(TestStatus::Passed), counted(TestStatus::Failed).max(run.failing.len()));
    match run.outcome {
        CheckOutcome::CouldNotRun => "could not run".into(),
        CheckOutcome::Pass if tests.is_some() => format!("{} pass", words::count(passed as u64, "test", "tests")),
        CheckOutcome::Pass => "passes".into(),
        CheckOutcome::Fail if failed > 0 && tests.is_some() => format!("{failed} of {} fail", passed + failed),
        CheckOutcome::Fail if failed > 0 => format!("{failed} failing"),
        CheckOutcome::Fail => run.exit_code.map_or_else(|| "fails".into(), |code| format!("exit {code}")),
    }
}

fn log_tail(log: &str, indent: usize) -> Vec<Line> {
    let mut lines = clean_block(log);
    lines.retain(|line| !line.trim().is_empty());
    let from = lines.len().saturating_sub(LOG_LINES_MAX);
    lines[from..].iter().map(|line| Line::at(indent).dim("│ ").dim(words::shorten(line, 300)).cut()).collect()
}

pub(super) fn finding(finding: &Finding, indent: usize) -> Line {
    let place = match (&finding.path, finding.line) {
        (Some(path), Some(line)) => format!("{}:{line}: ", clean(path)),
        (Some(path), None) => format!("{}: ", clean(path)),
        _ => String::new(),
    };
    Line::at(indent).with("! ", Tone::Warn).with(format!("{place}{}", clean(&finding.message)), Tone::Warn).hang(2)
}

/// What a reviewer found, or that there was no review.
pub(super) fn reviewed(
    model: &str,
    findings: &[ReviewFinding],
    sent_back: bool,
    failed: Option<&str>,
    indent: usize,
) -> Vec<Line> {
    let what = match (failed, findings.len()) {
        (Some(why), _) => format!("the patch was not reviewed: {}", clean(why)),
        (None, 0) => format!("reviewed by {}: nothing found", clean(model)),
        (None, found) => {
            let back = if sent_back { ", the serious go back" } else { "" };
            format!("reviewed by {}: {}{back}", clean(model), words::count(found as u64, "finding", "findings"))
        }
    };
    let tone = if failed.is_some() { Tone::Warn } else { Tone::Plain };
    let mut lines = vec![Line::at(indent).with("◇ ", tone).with(what, tone).hang(2)];
    lines.extend(findings.iter().map(|each| finding(&each.to_finding(), indent)));
    lines
}

fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Verified => "every check passes",
        Verdict::Unverified => "nothing could be verified",
        Verdict::NoChange => "nothing was changed",
        Verdict::BrokenBefore => "what fails failed on the base too",
        Verdict::Failed => "the checks fail",
    }
}
