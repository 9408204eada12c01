//! Runs of checks, as the verdict's tests write them.

use journeyman::{
    agent::verdict::ComparedCheck,
    domain::check::{Check, CheckOutcome, CheckRun, CheckSource, Obstacle, TestCounts, TestResult, TestStatus},
};

pub(super) fn run(outcome: CheckOutcome) -> CheckRun {
    CheckRun {
        outcome,
        exit_code: Some(i32::from(outcome != CheckOutcome::Pass)),
        duration_ms: 1_000,
        failing: Vec::new(),
        tests: None,
        counts: None,
        obstacle: None,
        reason: None,
        flaky: None,
        log: String::new(),
        log_blob: None,
    }
}

pub(super) fn pass() -> CheckRun {
    run(CheckOutcome::Pass)
}

pub(super) fn fail() -> CheckRun {
    run(CheckOutcome::Fail)
}

pub(super) fn stopped(obstacle: Obstacle) -> CheckRun {
    CheckRun { obstacle: Some(obstacle), reason: Some(format!("{obstacle:?}")), ..run(CheckOutcome::CouldNotRun) }
}

/// `+a -b oc`: passed, failed, skipped, all named. A leading `~ 3` is a quiet run that passed 3.
pub(super) fn tests(text: &str) -> CheckRun {
    let mut words = text.split_whitespace().peekable();
    let quiet = words.next_if_eq(&"~").map(|_| words.next().unwrap().parse::<u32>().ok());
    let mut tests: Vec<TestResult> = words
        .map(|word| {
            let status = match &word[..1] {
                "+" => TestStatus::Passed,
                "-" => TestStatus::Failed,
                _ => TestStatus::Skipped,
            };
            TestResult { name: word[1..].to_owned(), status, duration_ms: None }
        })
        .collect();
    tests.sort();
    let count = |status| tests.iter().filter(|test| test.status == status).count() as u32;
    let failed = count(TestStatus::Failed);
    let counts = TestCounts {
        passed: quiet.unwrap_or(Some(count(TestStatus::Passed))),
        failed,
        skipped: count(TestStatus::Skipped),
        all_named: quiet.is_none(),
    };
    let failing = tests.iter().filter(|test| test.status == TestStatus::Failed).map(|test| test.name.clone()).collect();
    let outcome = if failed > 0 { CheckOutcome::Fail } else { CheckOutcome::Pass };
    CheckRun { failing, tests: Some(tests), counts: Some(counts), ..run(outcome) }
}

pub(super) fn check(source: CheckSource, base: Option<CheckRun>, last: Option<CheckRun>) -> ComparedCheck {
    ComparedCheck::new(Check::command("suite", source), base, last)
}

pub(super) fn detected(base: CheckRun, last: CheckRun) -> ComparedCheck {
    check(CheckSource::Detected, Some(base), Some(last))
}

pub(super) fn named(base: CheckRun, last: CheckRun) -> ComparedCheck {
    check(CheckSource::Task, Some(base), Some(last))
}

/// The same with these tests' times, in milliseconds.
pub(super) fn timed(mut run: CheckRun, times: &[(&str, u64)]) -> CheckRun {
    for test in run.tests.iter_mut().flatten() {
        test.duration_ms = times.iter().find(|(name, _)| *name == test.name).map(|(_, ms)| *ms);
    }
    run
}
