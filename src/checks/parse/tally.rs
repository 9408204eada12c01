//! Named tests against the summary's counts.

use crate::domain::check::{TestCounts, TestReport, TestResult, TestStatus};
use std::collections::{BTreeMap, BTreeSet};

/// What one parser makes of a log.
#[derive(Debug)]
pub(super) enum Parsed {
    /// Another runner's log, or none's.
    NotMine,
    /// This runner's, but cut or contradicting itself.
    Broken,
    Tests(Tally),
}

/// What a runner's summary counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Summary {
    /// Absent where the runner does not say.
    pub(super) passed: Option<u32>,
    /// As often as the runner names a failure: a test with two failing parts counts twice.
    pub(super) failed: u32,
    pub(super) skipped: u32,
    /// Something was left out that may have run or would have run: absent names say nothing.
    pub(super) partial: bool,
}

/// Tests of one or more runs in one log.
#[derive(Debug, Default)]
pub(super) struct Tally {
    tests: BTreeMap<String, TestStatus>,
    counts: Option<TestCounts>,
}

/// Puts names against the summary. `named` holds each mention of a test with what it gave there.
///
/// Failures must be named as often as they are counted. Passes may be named in part (a quiet
/// runner), never more often than counted: then a line was misread.
pub(super) fn settle(named: Vec<(String, TestStatus)>, summary: Summary) -> Parsed {
    let mentions = |status| named.iter().filter(|(_, seen)| *seen == status).count();
    let (passed, failed) = (mentions(TestStatus::Passed), mentions(TestStatus::Failed));
    if failed != summary.failed as usize || summary.passed.is_some_and(|count| passed > count as usize) {
        return Parsed::Broken;
    }
    let distinct: BTreeSet<&str> =
        named.iter().filter(|(_, status)| *status == TestStatus::Passed).map(|(name, _)| name.as_str()).collect();
    let all_named = !summary.partial && distinct.len() == passed && summary.passed == Some(passed as u32);
    let mut tally = Tally::default();
    for (name, status) in named {
        tally.note(name, status);
    }
    let failed = tally.failing();
    tally.counts = Some(TestCounts { passed: summary.passed, failed, skipped: summary.skipped, all_named });
    Parsed::Tests(tally)
}

impl Tally {
    /// Of mentions of one name the worst stands.
    fn note(&mut self, name: String, status: TestStatus) {
        let worst = |status: TestStatus| match status {
            TestStatus::Failed => 2,
            TestStatus::Passed => 1,
            TestStatus::Skipped => 0,
        };
        self.tests
            .entry(name)
            .and_modify(|seen| {
                if worst(status) > worst(*seen) {
                    *seen = status;
                }
            })
            .or_insert(status);
    }

    fn failing(&self) -> u32 {
        self.tests.values().filter(|status| **status == TestStatus::Failed).count() as u32
    }

    pub(super) fn add(&mut self, other: Self) {
        let clash = other.tests.keys().any(|name| self.tests.contains_key(name));
        for (name, status) in other.tests {
            self.note(name, status);
        }
        self.counts = match (self.counts, other.counts) {
            (Some(one), Some(two)) => Some(TestCounts {
                passed: one.passed.zip(two.passed).map(|(one, two)| one + two),
                failed: self.failing(),
                skipped: one.skipped + two.skipped,
                all_named: one.all_named && two.all_named && !clash,
            }),
            (one, two) => one.or(two),
        };
    }

    pub(super) fn report(self) -> TestReport {
        let tests =
            self.tests.into_iter().map(|(name, status)| TestResult { name, status, duration_ms: None }).collect();
        let counts = self.counts.unwrap_or(TestCounts { passed: Some(0), failed: 0, skipped: 0, all_named: true });
        TestReport { tests, counts }
    }
}

/// Adds up the runs of one runner in one log.
pub(super) fn sum(runs: impl IntoIterator<Item = Parsed>) -> Parsed {
    let mut whole: Option<Tally> = None;
    for run in runs {
        match run {
            Parsed::NotMine => {}
            Parsed::Broken => return Parsed::Broken,
            Parsed::Tests(tally) => match &mut whole {
                Some(whole) => whole.add(tally),
                None => whole = Some(tally),
            },
        }
    }
    whole.map_or(Parsed::NotMine, Parsed::Tests)
}

/// The number of `word` in a summary like `1 failed, 3 passed`; 0 where it is not named.
pub(super) fn count_of(summary: &str, word: &str) -> u32 {
    summary
        .split([',', '|'])
        .filter_map(|part| {
            let mut words = part.split_whitespace();
            let count = words.next()?.parse::<u32>().ok()?;
            (words.next()? == word).then_some(count)
        })
        .sum()
}
