//! The rules of the verdict, in their order; the first that matches wins.

use super::{
    ComparedCheck, Decided, Decision, VerdictInput,
    compare::{Lost, Standing, fails_in_part, lost, proves_nothing, regression, standing},
    reach::missed,
    steer::{Steered, steered},
    words,
};
use crate::domain::check::{CheckOutcome, CheckRun, CheckSource, Finding, FindingKind, Severity, TestChange, Verdict};
use std::collections::BTreeSet;

/// Decides the verdict, or asks for the rerun that it needs first.
///
/// 0. An empty patch where the task named no checks → `no_change`, whatever detected checks say:
///    they speak of the base alone.
/// 1. What passed on the base fails → `failed`. A check that passed on the base as a whole and
///    fails now has regressed even if only new tests fail: the patch made it red.
/// 2. All pass, but tests that ran on the base were removed, emptied or skipped → the base's test
///    files are put back and the checks run again; not passing → `failed` with the finding
///    `tests_weakened`, unless a person approved. Tests that cannot be put back, because they
///    stand in the code's own files, count as not passing. The same without files of the patch that steer how
///    tests run, and with the base's own files that checks run or take their commands from: what ran on the base must
///    pass so too; where that cannot be told → `unverified`.
/// 3. All pass → `verified`.
/// 4. Nothing to check with, nothing could run, no test but the patch's own ran, or a check that
///    was asked for could not run → `unverified`.
/// 5. Each failing check's failing tests are a proper subset of its baseline's → `broken_before`.
/// 6. A check named by the task fails → `failed`.
/// 7. Else `broken_before`.
///
/// Only required checks decide. A detected check that could run neither on the base nor on the
/// final tree is set aside if another check ran that speaks of all that it would have spoken of.
pub fn decide(input: VerdictInput<'_>) -> Decision {
    let mut decision = by_rules(input);
    if let Decision::Decided(decided) = &mut decision {
        if !input.left_out.is_empty() && decided.verdict != Verdict::NoChange {
            decided.reason.push_str(&words::left_out(input.left_out));
        }
        decided.findings.extend(super::flaky::findings(input.checks));
        decided.findings.extend(super::measure::findings(input.checks));
    }
    decision
}

fn by_rules(input: VerdictInput<'_>) -> Decision {
    let VerdictInput { checks, change, weakening_approved, .. } = input;
    if change.empty_patch && checks.iter().all(|check| check.check.source != CheckSource::Task) {
        return decided(Verdict::NoChange, "the patch is empty: nothing was changed", Vec::new());
    }
    let required = Required::of(checks, change);

    let regressions: Vec<_> = required.failing.iter().filter_map(|check| Some((*check, regression(check)?))).collect();
    if !regressions.is_empty() {
        return decided(Verdict::Failed, words::regressed(&regressions), weakening_findings(&input));
    }
    if required.all_pass() {
        let mut reason = words::verified(&required.passing, &required.set_aside);
        let weakens = !weakening_approved && weakens(&required.passing, &input);
        // Without tests on the base only what the checks run can be held against it.
        let steering = if weakening_approved {
            &[][..]
        } else if change.base_has_tests {
            &change.steering[..]
        } else {
            &change.commands[..]
        };
        let base_tests = if weakens { &change.touched[..] } else { &[][..] };
        let put_back: BTreeSet<&String> = base_tests.iter().chain(steering).collect();
        let is_put_back = !put_back.is_empty();
        if !input.reran && is_put_back {
            return Decision::NeedsRerun { put_back: put_back.into_iter().cloned().collect() };
        }
        if weakens {
            if let Some(why) = rerun_fails(&required.passing, input.reran) {
                return Decision::Decided(Decided {
                    verdict: Verdict::Failed,
                    reason: words::weakened(&why, is_put_back),
                    findings: vec![weakening_finding(&input, &why)],
                    weakened: true,
                });
            }
            if !base_tests.is_empty() {
                reason.push_str(words::ALSO_WITH_BASE_TESTS);
            }
        } else if !steering.is_empty()
            && let Some(decided) = by_steering(&required.passing, steering)
        {
            return Decision::Decided(decided);
        }
        if !steering.is_empty() {
            reason.push_str(words::ALSO_WITHOUT_STEERING);
        }
        let own = |check: &&ComparedCheck| proves_nothing(check, change.base_has_tests, !change.added.is_empty());
        // Tests of the base that were put back and pass prove enough.
        if base_tests.is_empty() && required.passing.iter().all(own) {
            return decided(Verdict::Unverified, words::own_tests_only(&required.passing), Vec::new());
        }
        return decided(Verdict::Verified, reason, Vec::new());
    }
    if required.failing.is_empty() {
        return decided(Verdict::Unverified, words::could_not_run(checks, &required), Vec::new());
    }
    if required.failing.iter().all(|check| fails_in_part(check)) {
        return decided(Verdict::BrokenBefore, words::fewer_fail(&required.failing), weakening_findings(&input));
    }
    let named: Vec<_> =
        required.failing.iter().copied().filter(|check| check.check.source == CheckSource::Task).collect();
    if !named.is_empty() {
        return decided(Verdict::Failed, words::named_fails(&named), weakening_findings(&input));
    }
    decided(Verdict::BrokenBefore, words::broken_before(&required.failing), weakening_findings(&input))
}

/// The verdict where checks pass only with files of the patch that steer how tests run: tests of the base that
/// need them fail; where that cannot be told of tests, the checks prove nothing.
fn by_steering(passing: &[&ComparedCheck], steering: &[String]) -> Option<Decided> {
    let of = |check: &&ComparedCheck| Some((check.check.name.clone(), steered(check)?));
    let all: Vec<(String, Steered)> = passing.iter().filter_map(of).collect();
    let fallen = all.iter().find_map(|(name, steered)| match steered {
        Steered::Tests(tests) => Some((name, tests)),
        Steered::Unknown => None,
    });
    let (verdict, severity, reason) = match (fallen, all.first()) {
        (Some((name, tests)), _) => (Verdict::Failed, Severity::Serious, words::steered(name, tests, steering)),
        (None, Some((name, _))) => (Verdict::Unverified, Severity::Warning, words::perhaps_steered(name, steering)),
        (None, None) => return None,
    };
    let finding = Finding::new(FindingKind::TestsWeakened, severity, reason.clone());
    let finding = Finding { path: steering.first().cloned(), ..finding };
    Some(Decided { verdict, reason, findings: vec![finding], weakened: verdict == Verdict::Failed })
}

/// The checks that decide, by their standing, each in the order given.
#[derive(Debug, Default)]
pub(super) struct Required<'a> {
    pub(super) passing: Vec<&'a ComparedCheck>,
    pub(super) failing: Vec<&'a ComparedCheck>,
    pub(super) could_not_run: Vec<&'a ComparedCheck>,
    pub(super) set_aside: Vec<&'a ComparedCheck>,
    /// As set aside, but for a changed file of which no other check speaks.
    pub(super) missed: Vec<(&'a ComparedCheck, &'a str)>,
}

impl<'a> Required<'a> {
    fn of(checks: &'a [ComparedCheck], change: &'a TestChange) -> Self {
        let mut required = Self::default();
        for check in checks.iter().filter(|check| check.check.required) {
            match standing(check, change.empty_patch) {
                Standing::Passes => required.passing.push(check),
                Standing::Fails => required.failing.push(check),
                Standing::CouldNotRun => required.could_not_run.push(check),
                Standing::SetAside => required.set_aside.push(check),
            }
        }
        for check in std::mem::take(&mut required.set_aside) {
            match missed(check, &required.passing, &change.paths) {
                Some(path) => required.missed.push((check, path)),
                None => required.set_aside.push(check),
            }
        }
        required
    }

    fn all_pass(&self) -> bool {
        !self.passing.is_empty() && self.failing.is_empty() && self.could_not_run.is_empty() && self.missed.is_empty()
    }
}

/// The patch's text shows weakened tests, or the runs show that fewer run.
fn weakens(passing: &[&ComparedCheck], input: &VerdictInput<'_>) -> bool {
    !input.change.weakened.is_empty() || passing.iter().any(|check| final_lost(check).is_some())
}

fn final_lost(check: &ComparedCheck) -> Option<Lost> {
    lost(check, check.final_run.as_ref()?, false)
}

/// The first check that does not pass with the base's tests, and how.
fn rerun_fails(passing: &[&ComparedCheck], reran: bool) -> Option<NotPassing> {
    passing.iter().find_map(|check| {
        let name = check.check.name.clone();
        let run = if reran { check.rerun.as_ref() } else { check.final_run.as_ref() };
        let Some(run) = run else {
            return Some(NotPassing { check: name, how: How::NotRun });
        };
        let how = match run.outcome {
            CheckOutcome::Pass => How::Lost(lost(check, run, true)?),
            CheckOutcome::Fail => How::Fails(run.clone()),
            CheckOutcome::CouldNotRun => How::CouldNotRun(run.clone()),
        };
        Some(NotPassing { check: name, how })
    })
}

/// Why the base's tests do not pass on the patch.
#[derive(Debug)]
pub(super) struct NotPassing {
    pub(super) check: String,
    pub(super) how: How,
}

#[derive(Debug)]
pub(super) enum How {
    NotRun,
    Fails(CheckRun),
    CouldNotRun(CheckRun),
    Lost(Lost),
}

fn weakening_finding(input: &VerdictInput<'_>, why: &NotPassing) -> Finding {
    let path = input.change.weakened.first().map(|test| test.path.clone()).or(input.change.touched.first().cloned());
    let message = words::weakening(&input.change.weakened).unwrap_or_else(|| words::not_passing(why));
    let finding = Finding::new(FindingKind::TestsWeakened, Severity::Serious, message);
    Finding { path, ..finding }
}

/// Said beside a verdict that other rules gave: a person should look at it too.
fn weakening_findings(input: &VerdictInput<'_>) -> Vec<Finding> {
    let weakened = &input.change.weakened;
    words::weakening(weakened)
        .filter(|_| !input.weakening_approved)
        .map(|message| Finding {
            path: weakened.first().map(|test| test.path.clone()),
            ..Finding::new(FindingKind::TestsWeakened, Severity::Serious, message)
        })
        .into_iter()
        .collect()
}

fn decided(verdict: Verdict, reason: impl Into<String>, findings: Vec<Finding>) -> Decision {
    Decision::Decided(Decided { verdict, reason: reason.into(), findings, weakened: false })
}
