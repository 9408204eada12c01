//! Tests of the base that pass only as the patch has edited them. What is expected may rightly be another after a
//! change, so no verdict follows; a person should know.

use super::{
    ComparedCheck,
    compare::{Standing, Tests, standing},
    order::is_static,
    words,
};
use crate::domain::check::{CheckKind, CheckOutcome, Finding, FindingKind, Severity, TestStatus};

/// Whether a check is to be run with the edited files as the base has them.
pub fn is_unedited_due(check: &ComparedCheck) -> bool {
    check.check.required
        && check.check.kind == CheckKind::Test
        && !is_static(&check.check.command)
        && standing(check, false) == Standing::Passes
}

/// What the runs with the base's own files say of the patch's.
pub fn edited(checks: &[ComparedCheck], files: &[String]) -> Vec<Finding> {
    checks
        .iter()
        .filter_map(|check| Some((check, only_as_edited(check)?)))
        .map(|(check, tests)| {
            let message = words::edited(&check.check.name, &tests);
            let finding = Finding::new(FindingKind::TestsEdited, Severity::Warning, message);
            Finding { path: files.first().cloned(), ..finding }
        })
        .collect()
}

/// Tests that ran on the base, pass now, and fail as the base has them; none where the logs name none and the command
/// fails. Absent where nothing speaks against the check.
fn only_as_edited(check: &ComparedCheck) -> Option<Vec<String>> {
    let run = check.unedited.as_ref().filter(|run| run.outcome == CheckOutcome::Fail)?;
    let tests = |of| Tests::of(of, check.check.kind);
    let (Some(now), Some(without)) = (tests(check.final_run.as_ref()?), tests(run)) else { return Some(Vec::new()) };
    let before = check.baseline.as_ref().and_then(tests);
    let is_old =
        |name: &str| before.as_ref().is_none_or(|before| !before.counts.all_named || before.ran().contains(name));
    let passes = |name: &str| match now.status(name) {
        Some(status) => status == TestStatus::Passed,
        None => !now.counts.all_named,
    };
    let failing: Vec<String> =
        without.failing().into_iter().filter(|name| is_old(name) && passes(name)).map(str::to_owned).collect();
    Some(failing).filter(|failing| !failing.is_empty())
}
