//! The reasons in words for people: short, naming the check and at most a few tests.

use super::{
    ComparedCheck,
    compare::{Lost, Regression, Tests, ran},
    decide::{How, NotPassing, Required},
};
use crate::domain::check::{CheckRun, WeakenedTest, Weakening};

/// Names shown before "and n more".
const NAMES_MAX: usize = 5;

pub(super) const ALSO_WITH_BASE_TESTS: &str = ", also with the base's own test files put back";

pub(super) const ALSO_WITHOUT_STEERING: &str = ", also without the patch's files that steer how tests run";

pub(super) fn steered(check: &str, tests: &[String], steering: &[String]) -> String {
    let count = counted(tests.len() as u32, "test");
    format!(
        "`{check}`: {count} of the base pass only with what the patch adds to steer how tests run ({}): {}",
        names(steering),
        names(tests)
    )
}

pub(super) fn perhaps_steered(check: &str, steering: &[String]) -> String {
    format!(
        "`{check}` passes only with what the patch adds to steer how tests run ({}), and whether the base's tests pass \
         without it cannot be told",
        names(steering)
    )
}

pub(super) fn verified(passing: &[&ComparedCheck], set_aside: &[&ComparedCheck]) -> String {
    let passes = match passing {
        [one] => format!("`{}` passes{}", one.check.name, tests_passed(one)),
        many => {
            let each = many.iter().map(|check| format!("`{}`{}", check.check.name, tests_passed(check)));
            format!("all {} checks pass: {}", many.len(), each.collect::<Vec<_>>().join(", "))
        }
    };
    if set_aside.is_empty() {
        return passes;
    }
    let names = set_aside.iter().map(|check| format!("`{}`", check.check.name)).collect::<Vec<_>>().join(", ");
    format!("{passes}; set aside, as it can run neither on the base nor on the patch: {names}")
}

fn tests_passed(check: &ComparedCheck) -> String {
    let tests = check.final_run.as_ref().and_then(|run| Tests::of(run, check.check.kind));
    let count = tests.and_then(|tests| tests.ran_count()).map(|count| counted(count, "test"));
    let flaky = check.final_run.as_ref().and_then(|run| run.flaky.as_ref());
    let flaky = flaky.map(|flaky| match flaky.tests.len() {
        0 => "flaky: it passed when run again".to_owned(),
        tests => format!("{} flaky", counted(tests as u32, "test")),
    });
    let all: Vec<String> = count.into_iter().chain(flaky).collect();
    if all.is_empty() { String::new() } else { format!(" ({})", all.join("; ")) }
}

pub(super) fn regressed(regressions: &[(&ComparedCheck, Regression)]) -> String {
    let each = regressions.iter().map(|(check, regression)| {
        let name = &check.check.name;
        match regression {
            Regression::Command => match check.final_run.as_ref().and_then(|run| run.reason.as_deref()) {
                Some(reason) => format!("`{name}` passed on the base and fails now: {reason}"),
                None => format!("`{name}` passed on the base and fails now{}", exit(check)),
            },
            Regression::Tests(tests) => format!(
                "`{name}`: {} that did not fail on the base {} now: {}",
                counted(tests.len() as u32, "test"),
                if tests.len() == 1 { "fails" } else { "fail" },
                names(tests)
            ),
            Regression::Unreadable => {
                format!("`{name}`: tests passed on the base, and now it fails without naming any{}", exit(check))
            }
        }
    });
    each.collect::<Vec<_>>().join("; ")
}

fn exit(check: &ComparedCheck) -> String {
    match check.final_run.as_ref().and_then(|run| run.exit_code) {
        Some(code) => format!(" (exit code {code})"),
        None => String::new(),
    }
}

pub(super) fn left_out(checks: &[String]) -> String {
    let were =
        if checks.len() == 1 { "1 check of an untouched package was" } else { "checks of untouched packages were" };
    let count = if checks.len() == 1 { String::new() } else { format!("{} ", checks.len()) };
    format!("; {count}{were} not run: {}", names(checks))
}

pub(super) fn edited(check: &str, tests: &[String]) -> String {
    if tests.is_empty() {
        return format!("`{check}` fails with the base's own test files: it passes only as the patch has edited them");
    }
    let count = counted(tests.len() as u32, "test");
    let pass = if tests.len() == 1 { "passes" } else { "pass" };
    format!("`{check}`: {count} of the base {pass} only as edited by the patch: {}", names(tests))
}

/// `suite`: 2 tests (a, b).
pub(super) fn flaky(check: &str, tests: &[String]) -> String {
    if tests.is_empty() {
        return format!("`{check}`");
    }
    format!("`{check}`: {} ({})", counted(tests.len() as u32, "test"), names(tests))
}

/// The patch's text weakens tests; absent where it does not.
pub(super) fn weakening(weakened: &[WeakenedTest]) -> Option<String> {
    if weakened.is_empty() {
        return None;
    }
    let each: Vec<String> = weakened
        .iter()
        .map(|test| {
            let how = match test.how {
                Weakening::Removed => "removed",
                Weakening::Emptied => "emptied",
                Weakening::Skipped => "skipped",
            };
            format!("{} ({how})", test.name)
        })
        .collect();
    Some(format!("the patch weakens tests of the base: {}", names(&each)))
}

pub(super) fn weakened(why: &NotPassing, put_back: bool) -> String {
    let tail = if put_back {
        "with the base's test files put back"
    } else {
        "and the base's tests cannot be put back, as they stand in files of code"
    };
    format!("the patch removed, emptied or skipped tests that ran on the base; {tail}: {}", not_passing(why))
}

pub(super) fn not_passing(why: &NotPassing) -> String {
    let name = &why.check;
    match &why.how {
        How::NotRun => format!("`{name}` was not run again"),
        How::Fails(run) if run.failing.is_empty() => format!("`{name}` fails"),
        How::Fails(run) => format!("`{name}` fails: {}", names(&run.failing)),
        How::CouldNotRun(run) => format!("`{name}` could not run{}", because(Some(run))),
        How::Lost(Lost::Tests(tests)) => {
            format!("`{name}` no longer runs {}: {}", counted(tests.len() as u32, "test"), names(tests))
        }
        How::Lost(Lost::Fewer { before, now }) => {
            format!("`{name}` runs {}, {before} on the base", counted(*now, "test"))
        }
        How::Lost(Lost::All) => format!("`{name}` names no tests any more"),
    }
}

pub(super) fn own_tests_only(passing: &[&ComparedCheck]) -> String {
    let no_test_ran = passing.iter().all(|check| {
        let tests = check.final_run.as_ref().and_then(|run| Tests::of(run, check.check.kind));
        tests.is_some_and(|tests| tests.ran_count() == Some(0))
    });
    if no_test_ran {
        "no test ran: the checks pass without showing anything".to_owned()
    } else {
        "only tests that the patch itself adds ran: nothing that was there before checks it".to_owned()
    }
}

pub(super) fn could_not_run(checks: &[ComparedCheck], required: &Required<'_>) -> String {
    if checks.is_empty() {
        return "nothing to check with: the task names no checks and none were found".to_owned();
    }
    let stopped: Vec<String> = required
        .missed
        .iter()
        .map(|(check, path)| (*check, format!(", the one check of {path},")))
        .chain(required.could_not_run.iter().chain(&required.set_aside).map(|check| (*check, String::new())))
        .map(|(check, of)| format!("`{}`{of} could not run{}", check.check.name, because(check.final_run.as_ref())))
        .collect();
    if stopped.is_empty() {
        return "nothing to check with: no check is required".to_owned();
    }
    stopped.join("; ")
}

fn because(run: Option<&CheckRun>) -> String {
    match run {
        None => ": the time for validation was used up".to_owned(),
        Some(run) => run.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default(),
    }
}

pub(super) fn fewer_fail(failing: &[&ComparedCheck]) -> String {
    let each = failing.iter().map(|check| {
        let before = check.baseline.as_ref().map_or(0, |run| run.failing.len());
        let now = check.final_run.as_ref().map(|run| run.failing.clone()).unwrap_or_default();
        format!(
            "`{}`: {} of the {before} that failed on the base still fail: {}",
            check.check.name,
            now.len(),
            names(&now)
        )
    });
    each.collect::<Vec<_>>().join("; ")
}

pub(super) fn named_fails(named: &[&ComparedCheck]) -> String {
    let each = named.iter().map(|check| {
        let failing = check.final_run.as_ref().map(|run| run.failing.clone()).unwrap_or_default();
        let base = match ran(check.baseline.as_ref()) {
            Some(_) => "as it did on the base",
            None => "and could not be run on the base",
        };
        let what = if failing.is_empty() { exit(check) } else { format!(": {}", names(&failing)) };
        format!("`{}`, named by the task, fails, {base}{what}", check.check.name)
    });
    each.collect::<Vec<_>>().join("; ")
}

pub(super) fn broken_before(failing: &[&ComparedCheck]) -> String {
    let each = failing.iter().map(|check| match ran(check.baseline.as_ref()) {
        Some(_) => format!("`{}` fails, and failed on the base; no test that passed there fails now", check.check.name),
        None => format!("`{}` fails, and could not be run on the base to compare", check.check.name),
    });
    each.collect::<Vec<_>>().join("; ")
}

fn counted(count: u32, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn names(all: &[String]) -> String {
    let shown = all.iter().take(NAMES_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match all.len().checked_sub(NAMES_MAX) {
        Some(more) if more > 0 => format!("{shown} and {more} more"),
        _ => shown,
    }
}
