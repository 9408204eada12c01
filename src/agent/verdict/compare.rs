//! How one check's runs on two trees compare: by test where both logs were parsed, else by command.

use crate::domain::check::{CheckKind, CheckOutcome, CheckRun, CheckSource, Obstacle, TestCounts, TestStatus};
use std::collections::{BTreeMap, BTreeSet};

use super::ComparedCheck;

/// How a check stands on the final tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Passes,
    Fails,
    /// It could not run, and on the base it could not either: an analysis' guess that does not
    /// fit the workspace. Says nothing about the patch; whether it is [`missed`](super::reach::missed) is another thing.
    SetAside,
    CouldNotRun,
}

/// The standing of a check.
///
/// What ran on the base and could not run afterwards was stopped by the patch and so *fails* (a
/// module that the patch deleted, memory that it now eats). Two exceptions: the service's own
/// failures, and a time limit that may have struck early because little of the time for
/// validation was left: it counts only if the run got at least twice as long as the base took.
pub(super) fn standing(check: &ComparedCheck, empty_patch: bool) -> Standing {
    let base = ran(check.baseline.as_ref());
    match check.final_run.as_ref().map(|run| (run, run.outcome)) {
        Some((_, CheckOutcome::Pass)) => Standing::Passes,
        Some((_, CheckOutcome::Fail)) => Standing::Fails,
        Some((run, CheckOutcome::CouldNotRun)) => match base {
            Some(base) if !empty_patch && patch_stopped(base, run) => Standing::Fails,
            None if check.check.source == CheckSource::Detected => Standing::SetAside,
            _ => Standing::CouldNotRun,
        },
        None => Standing::CouldNotRun,
    }
}

fn patch_stopped(base: &CheckRun, run: &CheckRun) -> bool {
    match run.obstacle {
        Some(Obstacle::Workspace) | None => false,
        // A run that never began says nothing.
        Some(Obstacle::TimeLimit) => run.duration_ms > 0 && run.duration_ms >= base.duration_ms.saturating_mul(2),
        Some(
            Obstacle::CommandMissing
            | Obstacle::DependencyMissing
            | Obstacle::ToolVersion
            | Obstacle::NetworkBlocked
            | Obstacle::MemoryLimit
            | Obstacle::ProcessLimit
            | Obstacle::DiskLimit
            | Obstacle::OutputLimit
            | Obstacle::Killed,
        ) => true,
    }
}

/// The run, if the command ran to its end.
pub(super) fn ran(run: Option<&CheckRun>) -> Option<&CheckRun> {
    run.filter(|run| run.outcome != CheckOutcome::CouldNotRun)
}

/// A parsed run: its tests by name.
pub(super) struct Tests<'a> {
    by_name: BTreeMap<&'a str, TestStatus>,
    pub(super) counts: TestCounts,
}

impl<'a> Tests<'a> {
    /// Absent where the log could not be parsed, and for measures, which compare by command.
    pub(super) fn of(run: &'a CheckRun, kind: CheckKind) -> Option<Self> {
        match (kind, &run.tests, run.counts) {
            (CheckKind::Test, Some(tests), Some(counts)) => {
                Some(Self { by_name: tests.iter().map(|test| (test.name.as_str(), test.status)).collect(), counts })
            }
            _ => None,
        }
    }

    pub(super) fn status(&self, name: &str) -> Option<TestStatus> {
        self.by_name.get(name).copied()
    }

    pub(super) fn failing(&self) -> BTreeSet<&'a str> {
        self.with(|status| status == TestStatus::Failed)
    }

    pub(super) fn passing(&self) -> BTreeSet<&'a str> {
        self.with(|status| status == TestStatus::Passed)
    }

    pub(super) fn ran(&self) -> BTreeSet<&'a str> {
        self.with(|status| status != TestStatus::Skipped)
    }

    fn with(&self, keep: impl Fn(TestStatus) -> bool) -> BTreeSet<&'a str> {
        self.by_name.iter().filter(|(_, status)| keep(**status)).map(|(name, _)| *name).collect()
    }

    /// How many tests ran; absent where the runner does not say.
    pub(super) fn ran_count(&self) -> Option<u32> {
        self.counts.passed.map(|passed| passed + self.counts.failed)
    }

    fn may_have_passed(&self) -> bool {
        self.counts.passed != Some(0)
    }
}

/// What passed on the base and fails now; absent: nothing is known to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Regression {
    /// The whole command.
    Command,
    /// These tests, sorted.
    Tests(Vec<String>),
    /// Tests passed on the base, and the failing final run names none at all.
    Unreadable,
}

/// Compares a check that [`Standing::Fails`] with its baseline.
///
/// By test, a test that fails now has regressed if it passed on the base, and also if the base's
/// quiet runner named failures alone and this was not among them: it may have passed, and the
/// safe side is to say so. A test that is new or was skipped has not. If unknown names or none fail
/// while tests that passed are gone, the gone ones have: a file that no longer loads reads like that.
pub(super) fn regression(check: &ComparedCheck) -> Option<Regression> {
    let base = ran(check.baseline.as_ref())?;
    let run = check.final_run.as_ref()?;
    if base.outcome == CheckOutcome::Pass {
        let tests = Tests::of(run, check.check.kind).map(|now| owned(now.failing())).unwrap_or_default();
        return Some(if tests.is_empty() { Regression::Command } else { Regression::Tests(tests) });
    }
    let before = Tests::of(base, check.check.kind)?;
    let Some(now) = Tests::of(run, check.check.kind) else {
        return before.may_have_passed().then_some(Regression::Unreadable);
    };
    let mut regressed = BTreeSet::new();
    let mut unknown = false;
    for name in now.failing() {
        match before.by_name.get(name) {
            Some(TestStatus::Passed) => _ = regressed.insert(name),
            Some(TestStatus::Failed | TestStatus::Skipped) => {}
            None if !before.counts.all_named && before.may_have_passed() => _ = regressed.insert(name),
            None => unknown = true,
        }
    }
    if (unknown || now.failing().is_empty()) && now.counts.all_named {
        regressed.extend(before.passing().iter().filter(|name| !now.by_name.contains_key(*name)));
    }
    (!regressed.is_empty()).then(|| Regression::Tests(owned(regressed)))
}

/// The failing tests are fewer than the base's and all among them.
pub(super) fn fails_in_part(check: &ComparedCheck) -> bool {
    let sets = || {
        let base = ran(check.baseline.as_ref())?;
        let run = ran(check.final_run.as_ref())?;
        Some((Tests::of(base, check.check.kind)?, Tests::of(run, check.check.kind)?))
    };
    sets().is_some_and(|(before, now)| {
        let (before, now) = (before.failing(), now.failing());
        !now.is_empty() && now.len() < before.len() && now.is_subset(&before)
    })
}

/// Tests that ran on the base and do not in a passing run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// By name, sorted.
    Tests(Vec<String>),
    /// By number: the runner is quiet.
    Fewer { before: u32, now: u32 },
    /// The run names no tests at all, where the base's did.
    All,
}

/// What `run` lost against the baseline. With `moved_is_fine`, a test that passed on the base and
/// whose last name passes under a path that the base does not have has moved, not gone: for tests
/// that stand in the code's own files and cannot be put back.
pub(super) fn lost(check: &ComparedCheck, run: &CheckRun, moved_is_fine: bool) -> Option<Lost> {
    let before = Tests::of(ran(check.baseline.as_ref())?, check.check.kind)?;
    if before.ran_count() == Some(0) {
        return None;
    }
    let Some(now) = Tests::of(run, check.check.kind) else {
        return Some(Lost::All);
    };
    if !(before.counts.all_named && now.counts.all_named) {
        let (before, now) = (before.ran_count()?, now.ran_count()?);
        return (now < before).then_some(Lost::Fewer { before, now });
    }
    let (ran_before, ran_now, passed_before) = (before.ran(), now.ran(), before.passing());
    let mut moved: BTreeMap<&str, usize> = BTreeMap::new();
    if moved_is_fine {
        for name in now.passing().iter().filter(|name| !before.by_name.contains_key(*name)) {
            *moved.entry(leaf(name)).or_default() += 1;
        }
    }
    let gone: BTreeSet<&str> = ran_before
        .difference(&ran_now)
        .copied()
        .filter(|name| {
            let place = moved.get_mut(leaf(name)).filter(|places| passed_before.contains(name) && **places > 0);
            place.map(|places| *places -= 1).is_none()
        })
        .collect();
    (!gone.is_empty()).then(|| Lost::Tests(owned(gone)))
}

/// A passing check that shows nothing of the patch's worth: no test ran, or only tests that the
/// patch itself brought.
pub(super) fn proves_nothing(check: &ComparedCheck, base_has_tests: bool, adds_tests: bool) -> bool {
    let Some(run) = check.final_run.as_ref() else { return true };
    let base = ran(check.baseline.as_ref());
    let Some(now) = Tests::of(run, check.check.kind) else {
        // Not parsed: what a person named counts; a guess does not where all tests are new.
        let unknown = base.is_none_or(|base| Tests::of(base, check.check.kind).is_none());
        return unknown && check.check.source != CheckSource::Task && !base_has_tests && adds_tests;
    };
    if now.ran_count() == Some(0) {
        return true;
    }
    match base.and_then(|base| Tests::of(base, check.check.kind)) {
        Some(before) if before.ran_count() == Some(0) => true,
        Some(before) if before.counts.all_named && now.counts.all_named => {
            // By last names, so that a test whose module was renamed still counts as the base's.
            let leaves =
                |names: BTreeSet<&'_ str>| names.into_iter().map(|name| leaf(name).to_owned()).collect::<BTreeSet<_>>();
            leaves(now.ran()).is_disjoint(&leaves(before.ran()))
        }
        Some(_) => false,
        None => !base_has_tests && adds_tests,
    }
}

fn owned(names: BTreeSet<&str>) -> Vec<String> {
    names.into_iter().map(str::to_owned).collect()
}

/// The last part of a test's name, without its module, file or class.
fn leaf(name: &str) -> &str {
    let name = name.rsplit("::").next().unwrap_or(name);
    let name = name.rsplit(" > ").next().unwrap_or(name);
    if name.contains(' ') { name } else { name.rsplit('.').next().unwrap_or(name) }
}
