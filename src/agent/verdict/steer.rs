//! Checks that pass with files of the patch that steer how tests run, and not without them.

use super::{
    ComparedCheck,
    compare::{Tests, ran},
};
use crate::domain::check::{CheckOutcome, TestStatus};
use std::collections::BTreeSet;

/// Why a check that passes proves less than it seems to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Steered {
    /// These tests, which ran on the base, pass only with the patch's files; sorted.
    Tests(Vec<String>),
    /// Without them it does not pass, and whether the base's tests would cannot be told.
    Unknown,
}

/// Compares a check that passes with its run without those files.
///
/// Only tests that ran on the base count: new ones may need what the patch adds for them, such as
/// fixtures, and fail merely for want of it.
pub(super) fn steered(check: &ComparedCheck) -> Option<Steered> {
    let run = check.rerun.as_ref();
    if run.is_some_and(|run| run.outcome == CheckOutcome::Pass) {
        return None;
    }
    let tests = |of| Tests::of(ran(of)?, check.check.kind);
    let (Some(before), Some(last), Some(without)) =
        (tests(check.baseline.as_ref()), tests(check.final_run.as_ref()), tests(run))
    else {
        return Some(Steered::Unknown);
    };
    // The final run passes: what it does not name has passed where it names failures alone.
    let passes = |name: &&str| match last.status(name) {
        Some(status) => status == TestStatus::Passed,
        None => !last.counts.all_named,
    };
    let held: BTreeSet<&str> = before.ran().into_iter().filter(passes).collect();
    let failing = without.failing();
    let fallen: Vec<String> = held.intersection(&failing).map(|name| (*name).to_owned()).collect();
    if !fallen.is_empty() {
        return Some(Steered::Tests(fallen));
    }
    let all_named = before.counts.all_named && last.counts.all_named && without.counts.all_named;
    (!all_named || !held.is_subset(&without.passing())).then_some(Steered::Unknown)
}
