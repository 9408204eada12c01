//! What goes back to the model when checks fail.

use super::{condense::condense, parse::pattern};
use crate::domain::check::{CheckOutcome, CheckResult, CheckRun, CheckSource};
use std::{collections::BTreeSet, fmt::Write};

/// Of the whole report, in characters.
const REPORT_MAX_CHARS: usize = 6_000;
/// Tests of one check that are named.
const NAMES_MAX: usize = 20;
/// Tests of one check that are shown with what they said.
const EXCERPTS_MAX: usize = 6;
const EXCERPT_CHARS: usize = 1_500;

/// The failures that the base does not have, cut to what matters, at most [`REPORT_MAX_CHARS`]
/// characters. A check that the task names has to pass: where it fails as on the base, those
/// failures are told. Empty where every other failing check fails just as it did on the base.
pub fn failure_report(results: &[CheckResult]) -> String {
    let failing: Vec<&CheckResult> = results.iter().filter(|result| is_news(result)).collect();
    if failing.is_empty() {
        return String::new();
    }
    let mut report =
        String::from("The checks were run on a clean copy of the repository with your changes, and fail.\n");
    let share = (REPORT_MAX_CHARS - 200) / failing.len();
    for result in &failing {
        report.push('\n');
        report.push_str(&cut(&section(result, share), share));
        report.push('\n');
    }
    cut(&report, REPORT_MAX_CHARS)
}

fn is_news(result: &CheckResult) -> bool {
    let Some(run) = result.final_run.as_ref() else { return false };
    match (run.outcome, result.baseline.as_ref()) {
        (CheckOutcome::Pass, _) => false,
        (CheckOutcome::Fail, _) if result.source == CheckSource::Task => true,
        (CheckOutcome::Fail, Some(base)) if base.outcome == CheckOutcome::Fail => {
            // Not parsed on either side: nothing tells the failures apart.
            run.tests.is_none()
                || base.tests.is_none()
                || !new_failures(result, run).is_empty()
                || run.failing.is_empty()
        }
        (CheckOutcome::Fail, _) => true,
        (CheckOutcome::CouldNotRun, base) => base.is_some_and(|base| base.outcome != CheckOutcome::CouldNotRun),
    }
}

fn new_failures<'a>(result: &CheckResult, run: &'a CheckRun) -> Vec<&'a str> {
    let old: BTreeSet<&str> = result.baseline.iter().flat_map(|base| base.failing.iter().map(String::as_str)).collect();
    run.failing.iter().map(String::as_str).filter(|name| !old.contains(name)).collect()
}

fn section(result: &CheckResult, share: usize) -> String {
    let Some(run) = result.final_run.as_ref() else { return String::new() };
    let mut text = format!("## `{}`", result.command.chars().take(300).collect::<String>());
    if let Some(code) = run.exit_code {
        let _ = write!(text, " (exit code {code})");
    }
    text.push('\n');
    if let Some(reason) = &run.reason {
        let kind = if run.outcome == CheckOutcome::CouldNotRun { "could not run" } else { "note" };
        let _ = writeln!(text, "{kind}: {reason}");
    }
    let mut told = new_failures(result, run);
    let mut old = run.failing.len() - told.len();
    let before = if told.is_empty() && old > 0 && result.source == CheckSource::Task {
        told = run.failing.iter().map(String::as_str).collect();
        old = 0;
        " as before your changes, and the task asks for this check to pass"
    } else {
        ""
    };
    if !told.is_empty() {
        let _ = writeln!(text, "{} failing{before}:", counted(told.len()));
        for name in told.iter().take(NAMES_MAX) {
            let _ = writeln!(text, "- {}", name.chars().take(200).collect::<String>());
        }
        if told.len() > NAMES_MAX {
            let _ = writeln!(text, "- and {} more", told.len() - NAMES_MAX);
        }
    }
    if old > 0 {
        let _ = writeln!(text, "({} failed before your changes too and are left out.)", counted(old));
    } else if result.baseline.as_ref().is_some_and(|base| base.outcome == CheckOutcome::Fail && base.tests.is_none()) {
        text.push_str("(It failed before your changes too; its log does not tell which failures are new.)\n");
    }
    let room = share.saturating_sub(text.chars().count() + 20);
    let excerpts = excerpts(&run.log, &told, room);
    if !excerpts.is_empty() {
        let _ = write!(text, "```\n{excerpts}\n```");
    }
    text
}

fn counted(tests: usize) -> String {
    if tests == 1 { "1 test".to_owned() } else { format!("{tests} tests") }
}

pattern!(
    HEADING,
    r"^(?:(?:FAIL|ERROR|UNEXPECTED SUCCESS): |_{3,} .+ _{3,}$|---- .+ stdout ----$|\s*--- FAIL: |  ● | FAIL  |\s*not ok |\s*✖ |  \d+\) |\s+FAIL \[|FAILED |\d+\) \S+::|\s+Failed \S+ \[| *\d+/\d+ Test +#\d+: .*\*\*\*|\S.* > .+ FAILED$|(?:\[ERROR\] )?\S+ .*<<< (?:FAILURE|ERROR)!)"
);
pattern!(
    BORDER,
    r"^(?:={10,}|-{10,}$|_{10,}|_{3,} .+ _{3,}$|failures:$|---- .+ ----$|={3,} .+ ={3,}|⎯{5,}|\s*# Subtest: |ok \d+|test result: |PASS |Ran \d+ tests)"
);
pattern!(ERROR_LINE, r"(?i)^\s*(?:error\b|fatal\b|\S*Error: |\S+:\d+(?::\d+)?: |panic: |\S+: error\b|E {2,})");

/// What the log says of each test, or of errors in general where it names none.
fn excerpts(log: &str, tests: &[&str], room: usize) -> String {
    if room < 80 {
        return String::new();
    }
    let lines = condense(log);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let each = EXCERPT_CHARS.min(room / tests.len().clamp(1, EXCERPTS_MAX));
    let mut shown = BTreeSet::new();
    let mut blocks = Vec::new();
    for test in tests.iter().take(EXCERPTS_MAX) {
        if let Some((start, end)) = block(&lines, test)
            && shown.insert(start)
        {
            blocks.push(middle_cut(lines[start..end].join("\n").trim_end(), each));
        }
    }
    if blocks.is_empty() {
        return general(&lines, room);
    }
    cut(&blocks.join("\n\n"), room)
}

/// The lines about one test: from its heading to the next.
fn block(lines: &[&str], test: &str) -> Option<(usize, usize)> {
    let leaf = test.rsplit("::").next().unwrap_or(test);
    let leaf = leaf.rsplit(" > ").next().unwrap_or(leaf);
    let leaf = leaf.rsplit(" › ").next().unwrap_or(leaf);
    let leaf = leaf.rsplit_once(": test ").map_or(leaf, |(_, own)| own);
    let leaf = if leaf.contains([' ', '/', '[']) { leaf } else { leaf.rsplit('.').next().unwrap_or(leaf) };
    let end_of = |start: usize| {
        let mut stop = lines[start + 1..].iter().enumerate().skip(1);
        let length =
            stop.find(|(_, line)| HEADING.is_match(line) || BORDER.is_match(line) && !line.chars().all(|c| c == '-'));
        length.map_or(lines.len(), |(at, _)| start + 1 + at)
    };
    let headings = (0..lines.len())
        .filter(|at| HEADING.is_match(lines[*at]) && (says(lines[*at], leaf) || says(&unspaced(lines[*at]), leaf)));
    headings.map(|start| (start, end_of(start))).max_by_key(|(start, end)| (end - start).min(60))
}

/// As names of methods stand in the names of `RSpec`.
fn unspaced(line: &str) -> String {
    line.replace(" #", "#").replace(" .", ".")
}

/// The line has the name as a whole: `test_a` is not in `FAIL: test_ab`.
fn says(line: &str, name: &str) -> bool {
    let inside = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
    line.match_indices(name)
        .any(|(at, _)| !inside(line[..at].chars().next_back()) && !inside(line[at + name.len()..].chars().next()))
}

/// The first error with what follows, and the end.
fn general(lines: &[&str], room: usize) -> String {
    let whole = lines.join("\n");
    if whole.chars().count() <= room {
        return whole;
    }
    let first = lines.iter().position(|line| ERROR_LINE.is_match(line)).unwrap_or(0);
    middle_cut(&lines[first..].join("\n"), room)
}

/// The two ends, where it is longer.
fn middle_cut(text: &str, limit: usize) -> String {
    const MARK: &str = "\n[…]\n";
    let count = text.chars().count();
    if count <= limit {
        return text.to_owned();
    }
    let half = limit.saturating_sub(MARK.chars().count()) / 2;
    let head: String = text.chars().take(half).collect();
    let tail: String = text.chars().skip(count - half).collect();
    format!("{head}{MARK}{tail}")
}

fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(limit.saturating_sub(6)).collect();
    // An open code fence would swallow what follows.
    short.push_str(if short.matches("```").count() % 2 == 1 { "…\n```" } else { "…" });
    short
}
