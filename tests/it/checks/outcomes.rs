//! From output to outcome, and from outcomes to what the model is told.

use super::{fixture, output, test_check};
use journeyman::{
    checks::{LOG_TAIL_BYTES, Output, failure_report, judge},
    domain::check::{CheckKind, CheckOutcome, CheckResult, CheckRun, CheckSource, Obstacle},
    workspace::RunOutcome,
};

fn ended(log: &str, exit: i32) -> CheckRun {
    judge(&test_check("make test"), &output(log.as_bytes(), exit, None))
}

fn killed(log: &str, outcome: RunOutcome) -> CheckRun {
    judge(&test_check("make test"), &Output { outcome, ..output(log.as_bytes(), 0, None) })
}

/// Log, exit code, and what was in the way with words of the reason.
type Row<'a> = (&'a str, i32, Option<(Obstacle, &'a str)>);

#[test]
fn what_is_missing_is_told_from_what_fails() {
    use Obstacle::{CommandMissing, DependencyMissing, DiskLimit, MemoryLimit, NetworkBlocked, ProcessLimit};
    let table: &[Row<'_>] = &[
        ("bash: line 1: pytest: command not found\n", 127, Some((CommandMissing, "`pytest`"))),
        ("sh: 1: jest: not found\n", 127, Some((CommandMissing, "`jest`"))),
        ("./run.sh: line 3: gmake: command not found\n", 127, Some((CommandMissing, "`gmake`"))),
        ("bash: line 1: ./check.sh: No such file or directory\n", 127, Some((CommandMissing, "`./check.sh`"))),
        ("bash: line 1: ./check.sh: Permission denied\n", 126, Some((CommandMissing, "make it executable"))),
        (
            "make: pytest: No such file or directory\nmake: *** [Makefile:2: test] Error 127\n",
            2,
            Some((CommandMissing, "`pytest`")),
        ),
        ("make: *** No rule to make target 'test'.  Stop.\n", 2, Some((CommandMissing, "`test`"))),
        ("npm error Missing script: \"test\"\n", 1, Some((CommandMissing, "`test`"))),
        ("/usr/bin/python3: No module named pytest\n", 1, Some((DependencyMissing, "`pytest`"))),
        ("Error: Cannot find module 'express'\n", 1, Some((DependencyMissing, "`express`"))),
        (
            "x.go:3:2: no required module provides package github.com/a/b; to add it:\n",
            1,
            Some((DependencyMissing, "`github.com/a/b`")),
        ),
        ("error: no matching package named `serde` found\n", 101, Some((DependencyMissing, "`serde`"))),
        (
            "  Could not resolve host: index.invalid\nerror: no matching package named `serde` found\n",
            101,
            Some((NetworkBlocked, "network")),
        ),
        ("npm error getaddrinfo EAI_AGAIN registry\n", 1, Some((NetworkBlocked, "network"))),
        (
            "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n",
            134,
            Some((MemoryLimit, "memory limit")),
        ),
        ("Killed\n", 137, Some((MemoryLimit, "memory limit"))),
        ("bash: fork: retry: Resource temporarily unavailable\n", 1, Some((ProcessLimit, "processes"))),
        ("cc1: error: x.o: No space left on device\n", 1, Some((DiskLimit, "disk"))),
        // These are the code's own faults.
        ("Error: Cannot find module './helpers'\n", 1, None),
        ("error: could not compile `sample`\n", 101, None),
        ("Segmentation fault\n", 139, None),
        ("", 1, None),
        ("it said: pytest: command not found, and failed for another reason\n", 1, None),
    ];
    for (log, exit, expected) in table {
        let run = ended(log, *exit);
        assert_eq!(run.obstacle, expected.map(|(obstacle, _)| obstacle), "{log}");
        let outcome = if expected.is_some() { CheckOutcome::CouldNotRun } else { CheckOutcome::Fail };
        assert_eq!((run.outcome, run.exit_code), (outcome, Some(*exit)), "{log}");
        if let Some((_, words)) = expected {
            assert!(run.reason.as_ref().unwrap().contains(words), "{log}: {:?}", run.reason);
        }
    }
}

#[test]
fn where_tests_ran_a_missing_thing_is_a_failure() {
    let log = String::from_utf8(fixture("unittest-mixed-v.txt")).unwrap();
    let run = ended(&format!("ModuleNotFoundError: No module named 'x'\nCould not resolve host\n{log}"), 1);
    assert_eq!((run.outcome, run.failing.len()), (CheckOutcome::Fail, 3));
    let only_loading = ended(&String::from_utf8(fixture("unittest-import-v.txt")).unwrap(), 1);
    assert_eq!(
        (only_loading.outcome, only_loading.obstacle),
        (CheckOutcome::CouldNotRun, Some(Obstacle::DependencyMissing))
    );
    let collecting = ended(&String::from_utf8(fixture("pytest-bad.txt")).unwrap(), 2);
    assert_eq!(collecting.obstacle, Some(Obstacle::DependencyMissing));
    let go = ended(&format!("dial tcp: lookup proxy\n{}", String::from_utf8(fixture("go-mixed.txt")).unwrap()), 1);
    assert_eq!(go.outcome, CheckOutcome::Fail);
}

#[test]
fn limits_and_signals_say_which() {
    for (outcome, obstacle) in [
        (RunOutcome::TimedOut, Some(Obstacle::TimeLimit)),
        (RunOutcome::OutputLimit, Some(Obstacle::OutputLimit)),
        (RunOutcome::DiskLimit, Some(Obstacle::DiskLimit)),
        (RunOutcome::Signalled(9), Some(Obstacle::MemoryLimit)),
        (RunOutcome::Signalled(15), Some(Obstacle::Killed)),
        (RunOutcome::Signalled(11), None),
        (RunOutcome::Signalled(6), None),
    ] {
        let run = killed("test a ... ok\n", outcome);
        assert_eq!((run.obstacle, run.exit_code), (obstacle, None), "{outcome:?}");
        assert!(run.reason.is_some(), "{outcome:?}");
    }
    let stopped = killed(&String::from_utf8(fixture("unittest-ok-v.txt")).unwrap(), RunOutcome::TimedOut);
    assert_eq!((stopped.tests, stopped.counts), (None, None), "what a stopped run said proves nothing");
}

#[test]
fn exit_code_zero_does_not_hide_failing_tests() {
    let run = judge(&test_check("pytest | tee log"), &output(&fixture("pytest-mixed.txt"), 0, None));
    assert_eq!((run.outcome, run.failing.len()), (CheckOutcome::Fail, 3));
    let passed = judge(&test_check("pytest"), &output(&fixture("pytest-ok.txt"), 0, None));
    assert_eq!((passed.outcome, passed.reason), (CheckOutcome::Pass, None));
}

#[test]
fn a_measure_s_log_is_not_read_for_tests() {
    let mut check = test_check("make bench");
    check.kind = CheckKind::Measure;
    let run = judge(&check, &output(&fixture("pytest-mixed.txt"), 0, None));
    assert_eq!((run.outcome, run.tests), (CheckOutcome::Pass, None));
}

#[test]
fn the_tail_of_the_log_is_text_and_of_limited_size() {
    let log = format!("\x1b[31mé\0{}\nlast\n", "ü".repeat(40_000));
    let run = ended(&log, 1);
    assert!(run.log.len() <= LOG_TAIL_BYTES && run.log.ends_with("ü\nlast\n"));
    assert!(!ended("\x1b[31mred\x1b[0m\0", 1).log.contains(['\x1b', '\0']));
}

fn result(base: Option<CheckRun>, last: CheckRun) -> CheckResult {
    CheckResult {
        name: "suite".to_owned(),
        command: "make test".to_owned(),
        source: CheckSource::Detected,
        required: true,
        log: last.log.clone(),
        baseline: base,
        final_run: Some(last),
        measured: None,
    }
}

fn of(file: &str) -> CheckRun {
    judge(&test_check("make test"), &output(&fixture(file), 1, None))
}

#[test]
fn the_report_names_new_failures_with_what_they_said() {
    for (file, name, words) in [
        ("unittest-mixed.txt", "- tests.test_calc.DivTest.test_by_zero", "ZeroDivisionError"),
        ("pytest-mixed.txt", "- test_calc.py::test_divides", "assert div(3, 2) == 1.5"),
        ("cargo-mixed.txt", "- it::whole", "whole broke"),
        ("go-mixed-v.txt", "- example.com/sample.TestTable/three", "got three"),
        ("jest-mixed.txt", "- jest/calc.test.js › add › breaks", "Expected: 4"),
        ("vitest-mixed.txt", "- vit/calc.test.js > add > breaks", "expected 3 to be 4"),
        ("node-mixed-tap.txt", "- breaks", "3 == 4"),
        ("rspec-mixed.txt", "- Calc#add with zero raises", "ArgumentError:"),
        ("phpunit-mixed.txt", "- CalcTest::testRaises", "InvalidArgumentException: no"),
        ("exunit-mixed.txt", "- SampleTest: test breaks", "Assertion with == failed"),
        ("maven-mixed.txt", "- com.example.CalcTest.breaks", "expected: <3> but was: <2>"),
        ("dotnet-mixed.txt", "- Sample.Tests.CalcTests.Breaks", "Assert.Equal() Failure"),
        ("gradle-mixed.txt", "- CalcTest > breaks()", "AssertionFailedError at CalcTest.java:8"),
        ("ctest-mixed.txt", "- absent", "Unable to find executable"),
    ] {
        let report = failure_report(&[result(None, of(file))]);
        assert!(report.contains(name) && report.contains(words), "{file}:\n{report}");
        assert!(
            report.chars().count() <= 6_000 && report.matches("```").count().is_multiple_of(2),
            "{file}:\n{report}"
        );
    }
}

#[test]
fn failures_of_the_base_are_left_out_and_said() {
    let last = of("unittest-mixed-v.txt");
    let mut base = last.clone();
    base.failing.retain(|name| !name.ends_with("test_divides"));
    let report = failure_report(&[result(Some(base), last.clone())]);
    assert!(report.contains("1 test failing:\n- tests.test_calc.DivTest.test_divides\n"), "{report}");
    assert!(report.contains("(2 tests failed before your changes too and are left out.)"), "{report}");
    assert!(!report.contains("ZeroDivisionError"), "{report}");
    assert_eq!(failure_report(&[result(Some(last.clone()), last.clone())]), "", "nothing is new");
    let named = CheckResult { source: CheckSource::Task, ..result(Some(last.clone()), last) };
    let report = failure_report(&[named]);
    let words = "3 tests failing as before your changes, and the task asks for this check to pass:";
    assert!(report.contains(words) && report.contains("ZeroDivisionError"), "{report}");
    assert_eq!(failure_report(&[result(None, ended("fine\n", 0))]), "");
}

#[test]
fn a_log_without_tests_is_shown_from_its_first_error_to_its_end() {
    let log = format!(
        "{}error: unclosed delimiter\n --> src/lib.rs:33:14\n{}the end\n",
        (0..100).map(|at| format!("noise {at}\n")).collect::<String>(),
        (0..1_000).map(|at| format!("more {at}\n")).collect::<String>()
    );
    let report = failure_report(&[result(Some(ended("ok\n", 0)), ended(&log, 101))]);
    assert!(report.contains("unclosed delimiter") && report.contains("the end") && report.contains("[…]"), "{report}");
    assert!(report.chars().count() <= 6_000);
}

#[test]
fn frames_of_libraries_progress_and_repetition_are_folded() {
    let cargo = failure_report(&[result(None, of("cargo-mixed.txt"))]);
    assert!(cargo.contains("at ./src/lib.rs:22:9") && !cargo.contains("/rustc/"), "{cargo}");
    assert!(cargo.contains("frames of libraries]"), "{cargo}");
    let jest = failure_report(&[result(None, of("jest-mixed.txt"))]);
    assert!(jest.contains("jest/calc.test.js:4:42") && !jest.contains("node_modules/jest-resolve"), "{jest}");
    let python = "======================================================================\nERROR: test_a (t.A.test_a)\n----------------------------------------------------------------------\nTraceback (most recent call last):\n  File \"/workspace/t.py\", line 5, in test_a\n    json.loads('')\n  File \"/usr/lib/python3.11/json/__init__.py\", line 346, in loads\n    return _default_decoder.decode(s)\n           ^^^^^^^^^^^^^^^^^^^^^^^^^^\n  File \"/usr/lib/python3.11/json/decoder.py\", line 337, in decode\n    obj, end = self.raw_decode(s)\njson.decoder.JSONDecodeError: Expecting value\n\n----------------------------------------------------------------------\nRan 1 test in 0.001s\n\nFAILED (errors=1)\n";
    let report = failure_report(&[result(None, ended(python, 1))]);
    assert!(report.contains("json.loads('')\n[2 frames of libraries]\njson.decoder.JSONDecodeError"), "{report}");
    let log = format!("   Compiling a v1.0.0\nDownloading x\n{}error: it broke\n", "same again\n".repeat(50));
    let report = failure_report(&[result(None, ended(&log, 1))]);
    assert!(report.contains("same again\n[the line above 49 times more]\nerror: it broke"), "{report}");
    assert!(!report.contains("Compiling") && !report.contains("Downloading"), "{report}");
}

#[test]
fn a_failure_of_the_base_is_not_shown_for_one_whose_name_it_begins_with() {
    let one = |name: &str, words: &str| {
        format!("{}\nFAIL: {name} (t.A.{name})\n{}\nAssertionError: {words}\n\n", "=".repeat(70), "-".repeat(70))
    };
    let log = |tests: &[(&str, &str)]| {
        let all: String = tests.iter().map(|(name, words)| one(name, words)).collect();
        format!("{all}{}\nRan 5 tests in 0.001s\n\nFAILED (failures={})\n", "-".repeat(70), tests.len())
    };
    let old = ended(&log(&[("test_add_many", "old and long\n  and longer\n  still")]), 1);
    let new = ended(&log(&[("test_add_many", "old and long\n  and longer\n  still"), ("test_add", "new")]), 1);
    let report = failure_report(&[result(Some(old), new)]);
    assert!(report.contains("AssertionError: new") && !report.contains("old and long"), "{report}");
}

#[test]
fn many_checks_share_the_report() {
    let results: Vec<CheckResult> = (0..12)
        .map(|_| result(None, ended(&(0..3_000).map(|at| format!("error: ü {at}\n")).collect::<String>(), 1)))
        .collect();
    let report = failure_report(&results);
    assert!(report.chars().count() <= 6_000 && report.matches("## `make test`").count() == 12, "{report}");
}

#[test]
fn what_the_patch_stopped_is_reported() {
    let report = failure_report(&[result(Some(ended("ok\n", 0)), ended("sh: 1: jest: not found\n", 127))]);
    assert!(report.contains("could not run: the command `jest` is missing"), "{report}");
    let both = ended("sh: 1: jest: not found\n", 127);
    assert_eq!(failure_report(&[result(Some(both.clone()), both)]), "", "the model cannot mend the workspace");
}

#[test]
fn a_client_that_was_told_to_be_silent_says_by_its_status_that_the_network_is_blocked() {
    let ended = |command: &str, log: &str, exit: i32| judge(&test_check(command), &output(log.as_bytes(), exit, None));
    for (command, exit) in [("curl -sf https://example.org/", 6), ("make up && wget -q http://a.test", 4)] {
        assert_eq!(ended(command, "", exit).obstacle, Some(Obstacle::NetworkBlocked), "{command}");
    }
    for (command, log, exit) in [("curl -sf http://a.test", "", 22), ("./curls", "", 6), ("curl -s x", "no", 6)] {
        assert_eq!(ended(command, log, exit).outcome, CheckOutcome::Fail, "{command}");
    }
}
