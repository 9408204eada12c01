//! Criteria: met by what speaks of them, unmet by what speaks against them, and else not known.

use super::play::{Play, edit};
use journeyman::domain::{
    BlobHash, EventData, Private,
    check::Verdict,
    event::PatchPaths,
    task::{CriterionStatus, TaskResult},
    tool::ToolOutcome,
};
use serde_json::{Value, json};

/// What a validation gave.
struct Given {
    verdict: Verdict,
    /// Of `make check`: tests with their status.
    tests: Vec<(&'static str, &'static str)>,
    findings: Value,
    paths: PatchPaths,
}

fn given(verdict: Verdict) -> Given {
    let tests = vec![
        ("tests.test_flag.FlagTest.test_flag_is_read", "passed"),
        ("src/flag.test.ts > reads the flag", "passed"),
        ("flags::tests::reads_two", "passed"),
        ("tests/test_flag.py::test_each[one]", "passed"),
        ("tests/test_flag.py::test_slow", "skipped"),
    ];
    let paths = |all: &[&str]| all.iter().map(|path| (*path).to_owned()).collect();
    let paths = PatchPaths {
        added: paths(&["docs/flags.md"]),
        changed: paths(&["README.md", "src/flag.py"]),
        removed: paths(&["src/old.py"]),
        more: false,
    };
    Given { verdict, tests, findings: json!([]), paths }
}

/// The result of a task whose plan has these criteria, validated so.
fn judged(criteria: &[&str], given: Given) -> TaskResult {
    let mut play = Play::planned(json!({ "limits": { "refinements": 0 } }));
    play.session.planning.as_mut().unwrap().criteria = criteria.iter().map(|text| (*text).to_owned()).collect();
    play.tree = '1';
    play.turn(edit("a.py", "1"), ToolOutcome::Ok, "done");
    play.words("Done: every criterion is met.");
    play.step();
    let failing: Vec<&str> =
        given.tests.iter().filter(|(_, status)| *status == "failed").map(|(name, _)| *name).collect();
    let mut tests: Vec<Value> =
        given.tests.iter().map(|(name, status)| json!({ "name": name, "status": status })).collect();
    tests.sort_by_key(|test| test["name"].to_string());
    let outcome = if given.verdict == Verdict::Failed { "fail" } else { "pass" };
    let run = json!({
        "outcome": outcome, "exit_code": 0, "duration_ms": 1, "failing": failing, "tests": tests,
        "counts": { "passed": 4, "failed": failing.len(), "skipped": 1, "all_named": true }, "log": "",
    });
    let check = |name: &str, command: &str, run: &Value| {
        json!({
            "name": name, "command": command, "source": "task", "baseline": null, "final": run, "log": "",
        })
    };
    let lint = json!({ "outcome": "pass", "exit_code": 0, "duration_ms": 1, "failing": [], "log": "" });
    let checks = json!([check("suite", "make check", &run), check("lint", "ruff check .", &lint)]);
    let data = EventData::ChecksCompleted {
        verdict: given.verdict,
        reason: Some("as the checks say".into()),
        checks: serde_json::from_value(checks).unwrap(),
        findings: serde_json::from_value(given.findings).unwrap(),
        tree: None,
        weakened: false,
    };
    let private = Private::Patch { blob: BlobHash("p".into()), forbidden: Vec::new(), paths: Some(given.paths) };
    play.record(data, Some(private));
    play.step();
    play.session.result.clone().unwrap()
}

fn statuses(criteria: &[(&str, CriterionStatus)], given: Given) {
    let texts: Vec<&str> = criteria.iter().map(|(text, _)| *text).collect();
    let result = judged(&texts, given);
    for (one, (text, status)) in result.criteria.iter().zip(criteria) {
        assert_eq!((one.text.as_str(), one.status), (*text, *status), "{:?}", one.evidence);
        assert_eq!(one.evidence.is_some(), *status != CriterionStatus::Unknown, "{text}");
    }
}

#[test]
fn a_criterion_is_met_only_by_what_speaks_of_it() {
    use CriterionStatus::{Met, Unknown, Unmet};
    statuses(
        &[
            ("README documents --flag", Unknown),
            ("The flag is read", Unknown),
            ("Performance is not worse", Unknown),
            ("", Unknown),
            // The checks are the subject.
            ("All tests pass", Met),
            ("The existing test suite still passes.", Met),
            ("No test fails", Met),
            ("all checks are green", Met),
            ("Tests fail", Unknown),
            ("Tests do not pass", Unknown),
            ("New tests pass", Unknown),
            ("Tests show that the flag is read and pass", Unknown),
            // Checks by name or command.
            ("`make check` passes", Met),
            ("make check and ruff check . pass", Met),
            ("lint passes", Met),
            ("The lint of the flag passes its value on", Unknown),
            ("`make all` passes", Unknown),
            // Tests by name.
            ("test_flag_is_read shows that the flag is read", Met),
            ("The flag is read (`reads_two`)", Met),
            ("`flags::tests::reads_two` passes", Met),
            ("test_each passes", Met),
            ("test_slow passes", Unknown),
            ("test_flag passes", Unknown),
            ("is_read passes", Unknown),
            ("Without the flag test_flag_is_read fails", Unknown),
            ("README documents --flag and test_flag_is_read passes", Unknown),
            // Paths.
            ("README.md is updated", Met),
            ("The README is updated", Met),
            ("`docs/flags.md` is added", Met),
            ("flags.md exists", Met),
            ("src/old.py is removed", Met),
            ("src/old.py no longer exists", Met),
            ("src/flag.py is removed", Unmet),
            ("CHANGELOG.md is updated", Unmet),
            ("README.md is added", Unknown),
            ("setup.cfg exists", Unknown),
            ("src/lib.py is unchanged", Met),
            ("README.md is not changed", Unmet),
            ("README.md documents the flag", Unknown),
            // Clauses.
            ("README.md is updated, docs/flags.md is added and all tests pass", Met),
            ("README.md is updated and the flag is documented", Unknown),
            ("The flag is documented; src/flag.py is removed", Unmet),
            ("No new dependencies", Met),
            ("Add no third-party libraries.", Met),
            ("No new dependencies are slow", Unknown),
        ],
        given(Verdict::Verified),
    );
}

#[test]
fn without_a_verdict_that_holds_no_check_meets_a_criterion() {
    use CriterionStatus::{Met, Unknown, Unmet};
    let mut failed = given(Verdict::Failed);
    failed.tests.push(("tests.test_flag.FlagTest.test_two", "failed"));
    statuses(
        &[
            ("All tests pass", Unmet),
            ("`make check` passes", Unmet),
            ("test_two passes", Unmet),
            ("test_flag_is_read passes", Met),
            ("The flag is read", Unknown),
        ],
        failed,
    );
    let weakened = json!([{ "kind": "tests_weakened", "severity": "serious", "message": "removed" }]);
    statuses(
        &[("All tests pass", Unmet), ("test_flag_is_read passes", Unknown), ("lint passes", Unknown)],
        Given { findings: weakened, ..given(Verdict::Failed) },
    );
    statuses(
        &[("All tests pass", Unknown), ("test_flag_is_read passes", Unknown), ("README.md is updated", Met)],
        given(Verdict::Unverified),
    );
    statuses(&[("All tests pass", Unknown), ("lint passes", Met)], given(Verdict::BrokenBefore));
}

#[test]
fn new_dependencies_are_told_by_the_scan_and_only_where_it_has_read_all() {
    use CriterionStatus::{Met, Unknown, Unmet};
    let new = json!([{ "kind": "dependency", "severity": "warning", "message": "a new dependency: left-pad 1.0.0" }]);
    let criterion = |given: Given| judged(&["No new dependencies"], given).criteria.remove(0);
    let one = criterion(Given { findings: new, ..given(Verdict::Verified) });
    assert_eq!((one.status, one.evidence.as_deref()), (Unmet, Some("a new dependency: left-pad 1.0.0")));
    assert_eq!(criterion(given(Verdict::Unverified)).status, Met, "the scan needs no check");
    for unread in ["build.sbt", "app/build.gradle", "setup.py"] {
        let mut given = given(Verdict::Verified);
        given.paths.changed.push(unread.into());
        assert_eq!(criterion(given).status, Unknown, "{unread}");
    }
    let mut cut = given(Verdict::Verified);
    cut.paths.more = true;
    assert_eq!(criterion(cut).status, Unknown);
}
