//! What fails and then passes unchanged.

use super::runs::{check, detected, fail, named, pass, run, stopped, tests};
use journeyman::{
    agent::verdict::{ComparedCheck, Decided, Decision, Doubt, RunOf, VerdictInput, decide, doubt},
    domain::check::{CheckKind, CheckOutcome, CheckRun, CheckSource, Flaky, Obstacle, TestChange, Verdict},
};

/// What is run again: of which run, and the tests (`*`: the whole check).
fn doubted(checks: &[ComparedCheck]) -> Option<(RunOf, String)> {
    doubt(checks, false)
        .map(|doubt| (doubt.of, if doubt.tests.is_empty() { "*".to_owned() } else { doubt.tests.join(" ") }))
}

#[test]
fn only_failures_that_decide_something_are_run_again() {
    use RunOf::{Baseline, Final};
    let many = "-a -b -c -d -e -f -g -h -i -j -k -l -m -n -o -p -q -r -s -t -u";
    type Again<'a> = Option<(RunOf, &'a str)>;
    let table: Vec<(&str, CheckRun, CheckRun, Again<'_>, Again<'_>)> = vec![
        // what, base, final; run again where detected, where the task named it
        ("all pass", tests("+a"), tests("+a"), None, None),
        ("mended: the base's failure decides nothing", tests("-a"), tests("+a"), None, None),
        ("one regressed", tests("+a +b"), tests("+a -b"), Some((Final, "b")), Some((Final, "b"))),
        ("one regressed, one failed before", tests("+a -b"), tests("-a -b"), Some((Final, "a")), Some((Final, "a b"))),
        (
            "the same fails: is it the base's?",
            tests("+a -b"),
            tests("+a -b"),
            Some((Baseline, "b")),
            Some((Final, "b")),
        ),
        ("no log, passed before", pass(), fail(), Some((Final, "*")), Some((Final, "*"))),
        ("no log, failed before", fail(), fail(), Some((Baseline, "*")), Some((Final, "*"))),
        ("where many fail that is no flake", tests("+a"), tests(many), None, None),
        ("could not run", pass(), stopped(Obstacle::TimeLimit), None, None),
        (
            "could not run on the base",
            stopped(Obstacle::CommandMissing),
            tests("-a"),
            Some((Final, "a")),
            Some((Final, "a")),
        ),
    ];
    for (what, base, last, if_detected, if_named) in table {
        let expected = |one: Option<(RunOf, &str)>| one.map(|(of, tests)| (of, tests.to_owned()));
        assert_eq!(doubted(&[detected(base.clone(), last.clone())]), expected(if_detected), "{what}: detected");
        assert_eq!(doubted(&[named(base, last)]), expected(if_named), "{what}: named");
    }
}

#[test]
fn optional_checks_measures_and_linters_are_not_run_again() {
    let mut optional = detected(tests("+a"), tests("-a"));
    optional.check.required = false;
    let mut measure = detected(pass(), fail());
    measure.check.kind = CheckKind::Measure;
    let mut lint = detected(pass(), fail());
    lint.check.command = "cargo clippy --all-targets -- -D warnings".to_owned();
    assert_eq!(doubted(&[optional, measure, lint]), None);
}

#[test]
fn the_base_s_failures_are_run_again_only_where_nothing_has_regressed() {
    let settled = |mut check: ComparedCheck, again: &CheckRun| {
        let doubt = doubt(std::slice::from_ref(&check), false).unwrap();
        check.settle(&doubt, Some(again), true);
        check
    };
    let regressed = settled(detected(tests("+a"), tests("-a")), &tests("-a"));
    let same = detected(tests("-b"), tests("-b"));
    assert_eq!(doubted(&[same.clone(), regressed]), None);
    let fewer = settled(named(tests("+a -b -c"), tests("+a +b -c")), &tests("-c"));
    assert_eq!(doubted(std::slice::from_ref(&fewer)), Some((RunOf::Baseline, "b c".to_owned())), "it decides rule 5");
    let mut fewer = fewer;
    let doubt = doubt(std::slice::from_ref(&fewer), false).unwrap();
    fewer.settle(&doubt, Some(&tests("+b -c")), true);
    assert_eq!(doubted(std::slice::from_ref(&fewer)), Some((RunOf::Baseline, "*".to_owned())), "among the others too");
    fewer.settle(&Doubt { tests: Vec::new(), ..doubt }, Some(&tests("+a +b -c")), false);
    let decided = verdict(std::slice::from_ref(&fewer));
    assert_eq!(decided.verdict, Verdict::Failed, "only one failed before, and it fails still");
    assert!(decided.findings[0].message.contains("(b) failed on the base and then passed there"), "{decided:?}");
}

fn verdict(checks: &[ComparedCheck]) -> Decided {
    let change = TestChange { base_has_tests: true, ..TestChange::default() };
    match decide(VerdictInput { checks, change: &change, reran: false, weakening_approved: false, left_out: &[] }) {
        Decision::Decided(decided) => decided,
        needs @ Decision::NeedsRerun { .. } => panic!("{needs:?}"),
    }
}

/// The check after its failures were run again until nothing is in doubt; each second run is `again`.
fn after(mut check: ComparedCheck, again: &[CheckRun], selects: bool) -> (ComparedCheck, usize) {
    let mut runs = 0;
    while let Some(doubt) = doubt(std::slice::from_ref(&check), false) {
        let selected = selects && !doubt.tests.is_empty();
        check.settle(&doubt, again.get(runs), selected);
        runs += 1;
        assert!(runs < 10, "it ends");
    }
    (check, runs)
}

#[test]
fn what_passes_when_run_again_counts_as_passing_and_is_named() {
    type Row<'a> = (&'a str, ComparedCheck, Vec<CheckRun>, bool, Verdict, Option<&'a str>, usize);
    let table: Vec<Row<'_>> = vec![
        (
            "the one test alone",
            detected(tests("+a +b"), tests("+a -b")),
            vec![tests("+b"), tests("+a +b")],
            true,
            Verdict::Verified,
            Some("b"),
            2,
        ),
        (
            "it passes alone and fails among the others",
            detected(tests("+a +b"), tests("+a -b")),
            vec![tests("+b"), tests("+a -b")],
            true,
            Verdict::Failed,
            None,
            2,
        ),
        (
            "it passes alone, and no time is left for the others",
            detected(tests("+a +b"), tests("+a -b")),
            vec![tests("+b")],
            true,
            Verdict::Failed,
            None,
            2,
        ),
        ("it fails again", detected(tests("+a +b"), tests("+a -b")), vec![tests("-b")], true, Verdict::Failed, None, 1),
        (
            "one of two passes",
            detected(tests("+a +b"), tests("-a -b")),
            vec![tests("+a -b"), tests("+a -b")],
            true,
            Verdict::Failed,
            Some("a"),
            2,
        ),
        (
            "one of two passes alone, and the other in the whole check",
            detected(tests("+a +b"), tests("-a -b")),
            vec![tests("+a -b"), tests("-a +b")],
            true,
            Verdict::Failed,
            Some("b"),
            2,
        ),
        ("the whole check", detected(pass(), fail()), vec![pass()], false, Verdict::Verified, Some(""), 1),
        ("the whole check fails again", detected(pass(), fail()), vec![fail()], false, Verdict::Failed, None, 1),
        (
            "the whole check, by test",
            detected(tests("+a +b"), tests("+a -b")),
            vec![tests("+a +b")],
            false,
            Verdict::Verified,
            Some("b"),
            1,
        ),
        (
            "a run of no test shows nothing, and the whole check is run",
            detected(tests("+a +b"), tests("+a -b")),
            vec![tests(""), tests("+a +b")],
            true,
            Verdict::Verified,
            Some("b"),
            2,
        ),
        (
            "its test passes and the command fails for another reason",
            detected(tests("+a +b"), tests("+a -b")),
            vec![CheckRun { outcome: CheckOutcome::Fail, ..tests("+b") }, fail()],
            true,
            Verdict::Failed,
            None,
            2,
        ),
        ("no time was left", detected(tests("+a"), tests("-a")), vec![], true, Verdict::Failed, None, 1),
        (
            "another test fails each time",
            detected(tests("+a +b"), tests("+a -b")),
            vec![tests("-a +b")],
            false,
            Verdict::Failed,
            None,
            1,
        ),
    ];
    for (what, before, again, selects, expected, flaky, runs) in table {
        let (check, ran) = after(before, &again, selects);
        let decided = verdict(std::slice::from_ref(&check));
        let seen = check.final_run.as_ref().unwrap().flaky.clone();
        let named = flaky.map(|tests| Flaky { tests: tests.split_whitespace().map(str::to_owned).collect() });
        assert_eq!((decided.verdict, seen, ran), (expected, named, runs), "{what}: {}", decided.reason);
        assert_eq!(decided.findings.len(), usize::from(flaky.is_some()), "{what}");
    }
}

#[test]
fn a_flaky_test_is_told_with_its_check() {
    let (check, _) = after(detected(tests("+a +b"), tests("+a -b")), &[tests("+b"), tests("+a +b")], true);
    let decided = verdict(std::slice::from_ref(&check));
    assert_eq!(decided.reason, "`suite` passes (2 tests; 1 test flaky)");
    assert_eq!(decided.findings[0].message, "`suite`: 1 test (b) failed on the patch and then passed there, unchanged");
    let run = check.final_run.unwrap();
    assert_eq!((run.outcome, run.failing.len(), run.counts.unwrap().passed), (CheckOutcome::Pass, 0, Some(2)));
}

#[test]
fn a_test_that_is_flaky_on_the_base_counts_as_passing_there() {
    let (check, runs) = after(detected(tests("+a -b"), tests("+a -b")), &[tests("+b"), tests("+a +b")], true);
    assert_eq!(
        (verdict(std::slice::from_ref(&check)).verdict, runs),
        (Verdict::Failed, 3),
        "b regressed, by all that is known"
    );
    let (check, _) = after(detected(tests("+a -b"), tests("+a -b")), &[tests("-b")], true);
    assert_eq!(verdict(std::slice::from_ref(&check)).verdict, Verdict::BrokenBefore);
}

#[test]
fn the_base_s_tests_put_back_are_run_again_too() {
    let mut check = check(CheckSource::Detected, Some(tests("+a")), Some(tests("+a")));
    check.rerun = Some(tests("-a"));
    let doubt = doubt(std::slice::from_ref(&check), true);
    assert_eq!(doubt, Some(Doubt { check: 0, of: RunOf::PutBack, tests: vec!["a".to_owned()] }));
    check.settle(&doubt.unwrap(), Some(&run(CheckOutcome::Pass)), false);
    assert_eq!(check.rerun.unwrap().outcome, CheckOutcome::Pass);
}
