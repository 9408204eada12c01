//! Figures of `measure` checks, and tests that have become slow.
//!
//! Neither changes a verdict, which is of exit codes and tests: a figure is a finding, for people.

use super::{ComparedCheck, compare::ran};
use crate::domain::check::{CheckKind, CheckRun, Finding, FindingKind, Measured, Severity};
use std::collections::BTreeMap;

/// Runs of a measure on each tree.
pub const RUNS: usize = 3;
/// For a measure that names no `max_regression`.
const MAX_REGRESSION: f64 = 0.1;
/// A test is slow where it takes this many times as long as on the base, and a second more.
const SLOWER_TIMES: u64 = 3;
const SLOWER_MS: u64 = 1_000;
/// Tests of one check that are named.
const NAMES_MAX: usize = 5;

/// Compares the figures by their medians; absent where either tree gave none. The smaller figure is the
/// better one.
pub fn measured(base: Vec<f64>, last: Vec<f64>) -> Option<Measured> {
    let (base_median, final_median) = (median(&base)?, median(&last)?);
    let change = (base_median > 0.0).then(|| final_median / base_median - 1.0);
    Some(Measured { base, last, base_median, final_median, change })
}

fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted: Vec<f64> = figures.iter().copied().filter(|figure| figure.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len().checked_sub(1)? / 2;
    let upper = sorted.len() / 2;
    Some(f64::midpoint(sorted[middle], sorted[upper]))
}

/// What is slower than on the base.
pub(super) fn findings(checks: &[ComparedCheck]) -> Vec<Finding> {
    checks
        .iter()
        .filter_map(|check| if check.check.kind == CheckKind::Measure { regressed(check) } else { slow_tests(check) })
        .collect()
}

fn regressed(check: &ComparedCheck) -> Option<Finding> {
    let name = &check.check.name;
    let Some(measured) = &check.measured else {
        let gave = check.final_run.as_ref().and_then(|run| ran(Some(run))).is_some();
        let message = format!("`{name}` gave no figure that `metric` finds: nothing was measured");
        return (gave && check.check.metric.is_some())
            .then(|| Finding::new(FindingKind::Performance, Severity::Info, message));
    };
    let allowed = check.check.max_regression.unwrap_or(MAX_REGRESSION);
    let Measured { base_median, final_median, .. } = measured;
    if *final_median <= base_median * (1.0 + allowed) {
        return None;
    }
    let worse = measured.change.map(|change| format!(", {:.0} % worse", change * 100.0)).unwrap_or_default();
    let message = format!(
        "`{name}`: {base_median} on the base, {final_median} on the patch (medians of {} and {}){worse}; {:.0} % is allowed",
        measured.base.len(),
        measured.last.len(),
        allowed * 100.0
    );
    let severity = if check.check.required { Severity::Serious } else { Severity::Warning };
    Some(Finding::new(FindingKind::Performance, severity, message))
}

fn slow_tests(check: &ComparedCheck) -> Option<Finding> {
    let before = durations(check.baseline.as_ref()?);
    let mut slow: Vec<(u64, String)> = durations(check.final_run.as_ref()?)
        .into_iter()
        .filter_map(|(name, now)| {
            let then = *before.get(name)?;
            let slower = now >= then.saturating_mul(SLOWER_TIMES) && now - then >= SLOWER_MS;
            slower.then(|| (now - then, format!("{name} ({then} ms, now {now} ms)")))
        })
        .collect();
    if slow.is_empty() {
        return None;
    }
    slow.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
    let shown = slow.iter().take(NAMES_MAX).map(|(_, words)| words.as_str()).collect::<Vec<_>>().join(", ");
    let more = slow.len().saturating_sub(NAMES_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let message = format!("`{}`: tests are three times slower than on the base: {shown}{more}", check.check.name);
    Some(Finding::new(FindingKind::Performance, Severity::Warning, message))
}

fn durations(run: &CheckRun) -> BTreeMap<&str, u64> {
    let tests = run.tests.iter().flatten();
    tests.filter_map(|test| Some((test.name.as_str(), test.duration_ms?))).collect()
}
