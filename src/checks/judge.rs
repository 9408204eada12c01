//! From what a command gave to a check's outcome.
//!
//! `could_not_run` is for what the workspace lacks and for limits. Whether the patch is to blame
//! for it (it deleted the module that is now missing) is not decided here: the verdict compares
//! with the base.

use super::{
    lacks::{Seen, lacks},
    parse::{clean, parse_cut},
};
use crate::{
    domain::check::{Check, CheckKind, CheckOutcome, CheckRun, Obstacle, TestReport, TestStatus},
    workspace::RunOutcome,
};
use std::time::Duration;

/// What a check keeps of its output in the task itself.
pub const LOG_TAIL_BYTES: usize = 16 * 1024;

/// What a check's command gave.
#[derive(Clone, Debug)]
pub struct Output<'a> {
    pub outcome: RunOutcome,
    /// stdout and stderr in order; where bytes were left out, the two ends.
    pub output: &'a [u8],
    /// How many bytes were left out.
    pub omitted_bytes: u64,
    /// Where in `output` they are missing.
    pub omitted_at: usize,
    pub duration: Duration,
    /// Contents of the report files that it wrote.
    pub reports: &'a [Vec<u8>],
    /// Every path of the base, sorted: tells the repository's own modules from packages, and how its
    /// packages are installed.
    pub paths: &'a [String],
}

/// Judges one run of `check`.
///
/// Exit code 0 passes, unless the log names failing tests all the same (`pytest | tee log`).
pub fn judge(check: &Check, output: &Output<'_>) -> CheckRun {
    let gap = (output.omitted_bytes > 0).then_some(output.omitted_at);
    let report = match check.kind {
        CheckKind::Test => parse_cut(&check.command, output.output, gap, output.reports),
        CheckKind::Measure => None,
    };
    let failing: Vec<String> = report.as_ref().map(failing).unwrap_or_default();
    let text = clean(output.output);
    let mut run = CheckRun {
        outcome: CheckOutcome::Fail,
        exit_code: match output.outcome {
            RunOutcome::Exited(code) => Some(code),
            _ => None,
        },
        duration_ms: u64::try_from(output.duration.as_millis()).unwrap_or(u64::MAX),
        counts: report.as_ref().map(|report| report.counts),
        failing,
        obstacle: None,
        reason: None,
        flaky: None,
        log: tail(&text).to_owned(),
        log_blob: None,
        tests: None,
    };
    let nothing_ran = report.as_ref().is_none_or(|report| no_test_ran(report, &text));
    run.tests = report.map(|report| report.tests);
    match obstacle(&check.command, output, &text, nothing_ran) {
        Some((obstacle, reason)) => {
            run.outcome = CheckOutcome::CouldNotRun;
            run.obstacle = Some(obstacle);
            run.reason = Some(reason);
            run.failing.clear();
            run.tests = None;
            run.counts = None;
        }
        None if output.outcome == RunOutcome::Exited(0) && run.failing.is_empty() => run.outcome = CheckOutcome::Pass,
        None if output.outcome == RunOutcome::Exited(0) => {
            run.reason = Some("the command ended with exit code 0, but its log names failing tests".to_owned());
        }
        None => {
            if let RunOutcome::Signalled(signal) = output.outcome {
                run.reason = Some(format!("the command was ended by signal {signal}"));
            }
        }
    }
    run
}

fn failing(report: &TestReport) -> Vec<String> {
    let failing = report.tests.iter().filter(|test| test.status == TestStatus::Failed);
    failing.map(|test| test.name.clone()).collect()
}

/// Nothing passed, and whatever failed is a file or package that could not even be loaded.
fn no_test_ran(report: &TestReport, text: &str) -> bool {
    // Plain `go test` does not count passes, but names the packages that passed.
    let passed = report.counts.passed.unwrap_or_else(|| u32::from(text.contains("ok  \t")));
    let mut failing = report.tests.iter().filter(|test| test.status == TestStatus::Failed);
    passed == 0 && failing.all(|test| could_not_load(&test.name))
}

/// unittest, pytest and the JavaScript runners name the file, Go names the package.
fn could_not_load(name: &str) -> bool {
    let inside = name.contains("::") || name.contains(" > ") || name.contains(" › ");
    let file = [".py", ".js", ".ts", ".jsx", ".tsx", ".mjs", ".cjs"].iter().any(|end| name.ends_with(end));
    let package = name.contains('/') && ![".Test", ".Example", ".Fuzz"].iter().any(|mark| name.contains(mark));
    name.contains("_FailedTest") || (!inside && (file || package))
}

/// What kept the check from running, with the mend; absent where it ran.
fn obstacle(command: &str, output: &Output<'_>, text: &str, nothing_ran: bool) -> Option<(Obstacle, String)> {
    let seconds = output.duration.as_secs_f64();
    match output.outcome {
        RunOutcome::TimedOut => Some((
            Obstacle::TimeLimit,
            format!(
                "it had not ended after {seconds:.0} s and was stopped; raise the check's timeout_seconds or limits.validation_seconds"
            ),
        )),
        RunOutcome::OutputLimit => {
            Some((Obstacle::OutputLimit, "it wrote more than a command may write; make it quieter".to_owned()))
        }
        RunOutcome::DiskLimit => Some((
            Obstacle::DiskLimit,
            "the working copy grew beyond its disk limit; make it write less or raise the limit".to_owned(),
        )),
        RunOutcome::Signalled(9) => Some(memory()),
        RunOutcome::Exited(137) if nothing_ran => Some(memory()),
        // The code's own faults: SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGPIPE, SIGSYS.
        RunOutcome::Signalled(4..=8 | 11 | 13 | 31) => None,
        RunOutcome::Signalled(25) => Some(disk()),
        RunOutcome::Signalled(signal) => {
            Some((Obstacle::Killed, format!("it was killed by signal {signal} from outside; run it again")))
        }
        RunOutcome::Exited(code) if nothing_ran && code != 0 => {
            lacks(&Seen { code, text, command, paths: output.paths })
        }
        RunOutcome::Exited(_) => None,
    }
}

pub(super) fn memory() -> (Obstacle, String) {
    (
        Obstacle::MemoryLimit,
        "it was killed by SIGKILL, as it is at the memory limit; raise the limit or let it use less".to_owned(),
    )
}

pub(super) fn disk() -> (Obstacle, String) {
    (Obstacle::DiskLimit, "the disk limit was reached; raise the limit or let it write less".to_owned())
}

/// A check that was not started, as the time for validation was used up before it.
pub fn not_reached(allowed: Duration) -> CheckRun {
    let seconds = allowed.as_secs();
    let reason = format!(
        "the time for validation ({seconds} s) was used up before it; raise limits.validation_seconds or name fewer checks"
    );
    CheckRun {
        outcome: CheckOutcome::CouldNotRun,
        exit_code: None,
        duration_ms: 0,
        failing: Vec::new(),
        tests: None,
        counts: None,
        obstacle: Some(Obstacle::TimeLimit),
        reason: Some(reason),
        flaky: None,
        log: String::new(),
        log_blob: None,
    }
}

/// The last [`LOG_TAIL_BYTES`], from the start of a line where that loses little.
pub fn tail(text: &str) -> &str {
    let Some(mut start) = text.len().checked_sub(LOG_TAIL_BYTES).filter(|start| *start > 0) else { return text };
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let line = text[start..].find('\n').filter(|at| *at < 512).map_or(start, |at| start + at + 1);
    &text[line..]
}
