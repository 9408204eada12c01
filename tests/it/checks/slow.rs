//! Figures and times: what has become slow.

use super::{
    fixture, output,
    runs::{detected, named, pass, tests, timed},
    test_check,
};
use journeyman::{
    agent::verdict::{ComparedCheck, Decision, VerdictInput, decide, measured},
    checks::{figure, judge, parse},
    domain::check::{CheckKind, Finding, FindingKind, TestChange},
};

fn slower(check: ComparedCheck) -> Vec<Finding> {
    let change = TestChange { base_has_tests: true, ..TestChange::default() };
    match decide(VerdictInput {
        checks: &[check],
        change: &change,
        reran: false,
        weakening_approved: false,
        left_out: &[],
    }) {
        Decision::Decided(decided) => {
            decided.findings.into_iter().filter(|finding| finding.kind == FindingKind::Performance).collect()
        }
        needs @ Decision::NeedsRerun { .. } => panic!("{needs:?}"),
    }
}

#[test]
fn a_test_three_times_and_a_second_slower_is_told() {
    for (then, now, told) in
        [(500, 1_600, true), (500, 1_400, false), (900, 1_800, false), (10, 900, false), (0, 1_000, true)]
    {
        let (base, last) =
            (timed(tests("+a +b"), &[("a", then), ("b", 5)]), timed(tests("+a +b"), &[("a", now), ("b", 5)]));
        let found = slower(detected(base, last));
        assert_eq!(found.len(), usize::from(told), "{then} {now}");
        if told {
            assert!(found[0].message.ends_with(&format!("a ({then} ms, now {now} ms)")), "{found:?}");
        }
    }
    assert_eq!(slower(detected(tests("+a"), timed(tests("+a"), &[("a", 90_000)]))), [], "the base's time is not known");
}

#[test]
fn logs_tell_how_long_their_tests_took() {
    for (file, name, ms) in [
        ("go-mixed-v.txt", "example.com/sample.TestAdd", 0),
        ("go-mixed-json.txt", "example.com/sample.TestAdd", 0),
        ("jest-mixed-verbose.txt", "jest/calc.test.js › add › adds numbers", 2),
        ("vitest-mixed-verbose.txt", "vit/calc.test.js > add > breaks", 4),
        ("node-ok-spec.txt", "top", 0),
    ] {
        let report = parse("", &fixture(file), &[]).unwrap();
        let test = report.tests.iter().find(|test| test.name == name).unwrap_or_else(|| panic!("{file}: {report:?}"));
        assert_eq!(test.duration_ms, Some(ms), "{file}");
    }
    let log = String::from_utf8(fixture("pytest-ok-v.txt")).unwrap();
    let (head, end) = log.trim_end().rsplit_once('\n').unwrap();
    let name = parse("pytest", log.as_bytes(), &[]).unwrap().tests[0].name.clone();
    let section = "============================= slowest 25 durations =============================";
    let timed = format!(
        "{head}\n{section}\n2.51s call     {name}\n0.01s setup    {name}\n\n(1 durations < 0.005s hidden.  Use -vv to show these durations.)\n{end}\n"
    );
    assert_eq!(parse("pytest", timed.as_bytes(), &[]).unwrap().tests[0].duration_ms, Some(2_510));
}

#[test]
fn two_tests_of_one_name_are_given_no_time() {
    let log = "=== RUN   TestA\n--- PASS: TestA (1.00s)\nok  \texample.com/a\t1.0s\n=== RUN   TestA\n--- PASS: TestA (3.00s)\nok  \texample.com/b\t3.0s\n";
    let report = parse("go test -v ./...", log.as_bytes(), &[]).unwrap();
    assert!(report.tests.len() == 2 && report.tests.iter().all(|test| test.duration_ms.is_none()), "{report:?}");
}

#[test]
fn medians_are_compared_and_the_smaller_figure_is_the_better_one() {
    let of = |base: &[f64], last: &[f64], allowed: Option<f64>| {
        let mut check = named(pass(), pass());
        (check.check.kind, check.check.max_regression) = (CheckKind::Measure, allowed);
        check.measured = measured(base.to_vec(), last.to_vec());
        slower(check).len()
    };
    assert_eq!(of(&[100.0, 900.0, 101.0], &[100.0, 101.0, 900.0], None), 0, "one slow run says nothing");
    assert_eq!((of(&[100.0; 3], &[111.0; 3], None), of(&[100.0; 3], &[110.0; 3], None)), (1, 0), "a tenth is allowed");
    assert_eq!((of(&[100.0; 3], &[149.0; 3], Some(0.5)), of(&[100.0; 3], &[151.0; 3], Some(0.5))), (0, 1));
    assert_eq!((of(&[100.0; 3], &[50.0; 3], Some(0.0)), of(&[0.0], &[0.0], Some(0.0))), (0, 0));
    assert_eq!(measured(vec![], vec![1.0]), None);
    assert_eq!(measured(vec![1.0, 3.0], vec![8.0]).map(|m| (m.base_median, m.change)), Some((2.0, Some(3.0))));
}

#[test]
fn a_figure_is_the_metric_s_first_group_or_the_duration() {
    let mut check = test_check("make bench");
    check.kind = CheckKind::Measure;
    let mut figure_of = |metric: Option<&str>, log: &str, exit: i32| {
        check.metric = metric.map(str::to_owned);
        figure(&check, &judge(&check, &output(log.as_bytes(), exit, None)), log.as_bytes())
    };
    assert_eq!(figure_of(None, "", 0), Some(1_200.0));
    assert_eq!(figure_of(Some(r"time: ([\d.,]+) ns"), "time: 5 ns\ntime: 1,234.5 ns\n", 0), Some(1_234.5));
    assert_eq!(figure_of(Some(r"^\d+$"), "a\n42\nb\n", 0), Some(42.0));
    assert_eq!(
        (figure_of(Some("x(.)"), "xy", 0), figure_of(Some("x"), "y", 0), figure_of(None, "", 1)),
        (None, None, None)
    );
}
