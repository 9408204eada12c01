//! Which failures are run again before the verdict, and what the second run makes of them.
//!
//! What fails and then passes on the same tree, unchanged, is flaky: it counts as passing and is
//! named. Tests that pass alone may fail for what runs before them: the whole check has the last word. Only failures
//! that decide something are run again, and only few: where many tests fail at once that is no flake.

use super::{
    ComparedCheck,
    compare::{Standing, Tests, fails_in_part, ran, regression, standing},
    order::is_static,
};
use crate::domain::check::{
    CheckKind, CheckOutcome, CheckRun, CheckSource, Finding, FindingKind, Flaky, Severity, TestStatus,
};
use std::collections::BTreeSet;

/// Where more tests than these fail, none is run again.
const TESTS_MAX: usize = 20;

/// Which of a check's runs is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunOf {
    Baseline,
    Final,
    PutBack,
}

/// How far one run has been doubted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Doubted {
    #[default]
    Never,
    /// The tests that failed were asked for alone, and the second log does not name them: the whole
    /// check may be run once more.
    Inconclusive,
    /// They were, and passed as this run shows: in the whole check they are to pass too.
    Alone(Box<CheckRun>),
    Done,
}

/// A failure to run again on the same tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Which check, by its place.
    pub check: usize,
    pub of: RunOf,
    /// The tests to run again, sorted; empty: the whole check.
    pub tests: Vec<String>,
}

/// The next failure to run again before the verdict; none where nothing more would decide anything.
/// Failures on the final tree come first, those on the base only where no check has regressed.
pub fn doubt(checks: &[ComparedCheck], reran: bool) -> Option<Doubt> {
    let deciding = || checks.iter().enumerate().filter(|(_, check)| may_be_doubted(check));
    for (at, check) in deciding() {
        if let Some(doubt) = next(at, RunOf::Final, &check.doubted.last, of_final(check)) {
            return Some(doubt);
        }
        let rerun = check.rerun.as_ref().filter(|_| reran).and_then(whole_or_tests);
        if let Some(doubt) = next(at, RunOf::PutBack, &check.doubted.rerun, rerun) {
            return Some(doubt);
        }
    }
    let fails = |check: &ComparedCheck| check.check.required && standing(check, false) == Standing::Fails;
    if checks.iter().any(|check| fails(check) && regression(check).is_some()) {
        return None;
    }
    deciding().find_map(|(at, check)| next(at, RunOf::Baseline, &check.doubted.baseline, of_base(check)))
}

fn may_be_doubted(check: &ComparedCheck) -> bool {
    check.check.required && check.check.kind == CheckKind::Test && !is_static(&check.check.command)
}

fn next(check: usize, of: RunOf, doubted: &Doubted, tests: Option<Vec<String>>) -> Option<Doubt> {
    let tests = tests?;
    match doubted {
        Doubted::Never => Some(Doubt { check, of, tests }),
        Doubted::Inconclusive | Doubted::Alone(_) => Some(Doubt { check, of, tests: Vec::new() }),
        Doubted::Done => None,
    }
}

fn failed(run: Option<&CheckRun>) -> Option<&CheckRun> {
    run.filter(|run| run.outcome == CheckOutcome::Fail)
}

/// All failing tests, or none for the whole check; absent where there are too many.
fn whole_or_tests(run: &CheckRun) -> Option<Vec<String>> {
    failed(Some(run)).filter(|run| run.failing.len() <= TESTS_MAX).map(|run| run.failing.clone())
}

/// What the base fails too is doubted only where the task wants it to pass.
fn of_final(check: &ComparedCheck) -> Option<Vec<String>> {
    let run = failed(check.final_run.as_ref())?;
    let base = failed(check.baseline.as_ref());
    if check.check.source == CheckSource::Task || base.is_none() {
        return whole_or_tests(run);
    }
    let before = &base?.failing;
    let new: Vec<String> = run.failing.iter().filter(|name| !before.contains(name)).cloned().collect();
    (!new.is_empty() && new.len() <= TESTS_MAX).then_some(new)
}

/// A failure of the base decides where the final tree fails too: it says whether that is the
/// patch's. For a check that the task names it decides only whether fewer fail than before.
fn of_base(check: &ComparedCheck) -> Option<Vec<String>> {
    let base = failed(check.baseline.as_ref())?;
    let run = failed(check.final_run.as_ref())?;
    let fewer = fails_in_part(check);
    if check.check.source == CheckSource::Task && !fewer {
        return None;
    }
    if base.failing.is_empty() || run.failing.is_empty() {
        return whole_or_tests(base);
    }
    let tests: Vec<String> = base.failing.iter().filter(|name| fewer || run.failing.contains(name)).cloned().collect();
    (!tests.is_empty() && tests.len() <= TESTS_MAX).then_some(tests)
}

impl ComparedCheck {
    /// Takes in what the second run of a doubted failure gave; none where the time did not reach it.
    /// `selected`: only `doubt.tests` were run, not the whole check.
    pub fn settle(&mut self, doubt: &Doubt, again: Option<&CheckRun>, selected: bool) {
        let (run, doubted) = match doubt.of {
            RunOf::Baseline => (&mut self.baseline, &mut self.doubted.baseline),
            RunOf::Final => (&mut self.final_run, &mut self.doubted.last),
            RunOf::PutBack => (&mut self.rerun, &mut self.doubted.rerun),
        };
        let before = std::mem::replace(doubted, Doubted::Done);
        let (Some(first), Some(again)) = (run.as_mut(), ran(again)) else { return };
        if !selected {
            return whole(first, again);
        }
        match (before, passing_of(&doubt.tests, again)) {
            // Each fails by itself.
            (Doubted::Never, Some(passing)) if passing.is_empty() => {}
            (Doubted::Never, Some(_)) => *doubted = Doubted::Alone(Box::new(again.clone())),
            (Doubted::Never, None) => *doubted = Doubted::Inconclusive,
            (Doubted::Inconclusive | Doubted::Alone(_) | Doubted::Done, _) => {}
        }
    }

    /// The run that a doubt is about, with the logs of all that was run of it so far.
    pub fn doubted_run(&self, of: RunOf) -> Option<CheckRun> {
        let (run, doubted) = match of {
            RunOf::Baseline => (&self.baseline, &self.doubted.baseline),
            RunOf::Final => (&self.final_run, &self.doubted.last),
            RunOf::PutBack => (&self.rerun, &self.doubted.rerun),
        };
        let run = run.clone()?;
        Some(match doubted {
            Doubted::Alone(alone) => CheckRun { log: alone.log.clone(), log_blob: alone.log_blob.clone(), ..run },
            _ => run,
        })
    }
}

/// Which of these tests a log shows passing; absent where it names none of them.
fn passing_of(tests: &[String], again: &CheckRun) -> Option<BTreeSet<String>> {
    let shown = Tests::of(again, CheckKind::Test)?;
    let seen: Vec<(&String, TestStatus)> = tests.iter().filter_map(|name| Some((name, shown.status(name)?))).collect();
    let seen = Some(seen).filter(|seen| !seen.is_empty())?;
    Some(seen.into_iter().filter(|(_, status)| *status == TestStatus::Passed).map(|(name, _)| name.clone()).collect())
}

fn whole(first: &mut CheckRun, again: &CheckRun) {
    if again.outcome == CheckOutcome::Pass {
        let tests = first.failing.clone();
        *first = CheckRun { flaky: Some(Flaky { tests }), ..again.clone() };
        return;
    }
    // Both runs failed. Where they agree on some test, those on which they do not are flaky; where
    // they agree on none, nothing says what else made the command fail.
    let now: BTreeSet<&String> = again.failing.iter().collect();
    let still = first.failing.iter().any(|name| now.contains(name));
    let passing = passing_of(&first.failing, again).filter(|passing| still && !passing.is_empty());
    if let Some(passing) = passing {
        forgive(first, passing, again);
    }
}

/// Turns failures into passes.
fn forgive(run: &mut CheckRun, passing: BTreeSet<String>, again: &CheckRun) {
    if passing.is_empty() {
        return;
    }
    run.failing.retain(|name| !passing.contains(name));
    for test in run.tests.iter_mut().flatten().filter(|test| passing.contains(&test.name)) {
        test.status = TestStatus::Passed;
    }
    if let Some(counts) = &mut run.counts {
        let count = u32::try_from(passing.len()).unwrap_or(u32::MAX);
        counts.failed = counts.failed.saturating_sub(count);
        counts.passed = counts.passed.map(|passed| passed.saturating_add(count));
    }
    if run.failing.is_empty() {
        run.outcome = CheckOutcome::Pass;
        run.exit_code = again.exit_code;
        run.reason = None;
    }
    // Both runs are in it.
    run.log.clone_from(&again.log);
    run.log_blob.clone_from(&again.log_blob);
    run.flaky = Some(Flaky { tests: passing.into_iter().collect() });
}

/// What was flaky, for people.
pub(super) fn findings(checks: &[ComparedCheck]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for check in checks {
        for (run, tree) in [
            (&check.final_run, "on the patch"),
            (&check.rerun, "with the base's test files"),
            (&check.baseline, "on the base"),
        ] {
            let Some(flaky) = run.as_ref().and_then(|run| run.flaky.as_ref()) else { continue };
            let what = super::words::flaky(&check.check.name, &flaky.tests);
            let message = format!("{what} failed {tree} and then passed there, unchanged");
            findings.push(Finding::new(FindingKind::Flaky, Severity::Warning, message));
        }
    }
    findings
}
