//! The verdict's rules, one by one and mixed.

use super::runs::{check, detected, fail, named, pass, stopped, tests};
use journeyman::{
    agent::verdict::{ComparedCheck, Decided, Decision, VerdictInput, decide},
    domain::check::{
        Check, CheckKind, CheckOutcome, CheckRun, CheckSource, FindingKind, Obstacle, TestChange, Verdict,
        WeakenedTest, Weakening,
    },
};

/// A patch to code, in a repository that has tests.
fn change() -> TestChange {
    TestChange { base_has_tests: true, ..TestChange::default() }
}

fn decision(checks: &[ComparedCheck], change: &TestChange) -> Decision {
    decide(VerdictInput { checks, change, reran: false, weakening_approved: false, left_out: &[] })
}

fn decided(checks: &[ComparedCheck], change: &TestChange) -> Decided {
    match decision(checks, change) {
        Decision::Decided(decided) => decided,
        needs @ Decision::NeedsRerun { .. } => panic!("{needs:?}"),
    }
}

fn verdict(checks: &[ComparedCheck]) -> Verdict {
    decided(checks, &change()).verdict
}

fn after_rerun(checks: &[ComparedCheck], change: &TestChange) -> Decided {
    match decide(VerdictInput { checks, change, reran: true, weakening_approved: false, left_out: &[] }) {
        Decision::Decided(decided) => decided,
        needs @ Decision::NeedsRerun { .. } => panic!("asked for twice: {needs:?}"),
    }
}

#[test]
fn one_check_alone_gives_the_verdict_of_the_table() {
    use Verdict::{BrokenBefore, Failed, Unverified, Verified};
    let table: Vec<(&str, CheckRun, CheckRun, Verdict, Verdict)> = vec![
        // what, base, final; verdict where detected, where the task named it
        ("by command: passes still", pass(), pass(), Verified, Verified),
        ("by command: passes now", fail(), pass(), Verified, Verified),
        ("by command: regressed", pass(), fail(), Failed, Failed),
        ("by command: fails as before", fail(), fail(), BrokenBefore, Failed),
        ("by test: all pass", tests("+a +b"), tests("+a +b"), Verified, Verified),
        ("by test: mended", tests("+a -b"), tests("+a +b"), Verified, Verified),
        ("by test: one regressed", tests("+a +b"), tests("+a -b"), Failed, Failed),
        ("by test: one mended, one regressed", tests("+a -b"), tests("-a +b"), Failed, Failed),
        ("by test: fewer fail", tests("+a -b -c"), tests("+a +b -c"), BrokenBefore, BrokenBefore),
        ("by test: the same fail", tests("+a -b -c"), tests("+a -b -c"), BrokenBefore, Failed),
        ("by test: as many fail, another one, new", tests("+a -b"), tests("+a +b -new"), BrokenBefore, Failed),
        ("a new test fails where the base passed as a whole", tests("+a"), tests("+a -new"), Failed, Failed),
        ("a test that was skipped fails now", tests("+a -b oc"), tests("+a -b -c"), BrokenBefore, Failed),
        ("quiet: the same fails", tests("~ 5 -b"), tests("~ 5 -b"), BrokenBefore, Failed),
        ("quiet: another fails, it may have passed", tests("~ 5 -b"), tests("~ 5 -c"), Failed, Failed),
        ("quiet: fewer fail", tests("~ 5 -b -c"), tests("~ 6 -c"), BrokenBefore, BrokenBefore),
        (
            "quiet: nothing passed on the base, so nothing regressed",
            tests("~ 0 -b"),
            tests("~ 0 -c"),
            BrokenBefore,
            Failed,
        ),
        ("quiet: the runner counts no passes", tests("~ ? -b"), tests("~ ? -c"), Failed, Failed),
        (
            "a file no longer loads: its tests are gone and it fails",
            tests("+f.a +f.b -g.c"),
            tests("-f -g.c"),
            Failed,
            Failed,
        ),
        (
            "tests are gone and nothing named fails",
            tests("+a +b -c"),
            CheckRun { outcome: CheckOutcome::Fail, ..tests("+a") },
            Failed,
            Failed,
        ),
        ("tests passed, and the final run names none", tests("+a -b"), fail(), Failed, Failed),
        ("none passed on the base, and the final run names none", tests("-b"), fail(), BrokenBefore, Failed),
        ("the base named none, the final run names some", fail(), tests("+a -b"), BrokenBefore, Failed),
        ("the base named none and failed; all pass now", fail(), tests("+a"), Verified, Verified),
        ("the base could not run; passes now", stopped(Obstacle::DependencyMissing), tests("+a"), Verified, Verified),
        ("the base could not run; fails now", stopped(Obstacle::DependencyMissing), fail(), BrokenBefore, Failed),
        (
            "neither could run",
            stopped(Obstacle::CommandMissing),
            stopped(Obstacle::CommandMissing),
            Unverified,
            Unverified,
        ),
        ("the patch removed a module", tests("+a"), stopped(Obstacle::DependencyMissing), Failed, Failed),
        (
            "the patch removed a module of a suite that failed",
            tests("+a -b"),
            stopped(Obstacle::DependencyMissing),
            Failed,
            Failed,
        ),
        ("the patch removed the command, unparsed", fail(), stopped(Obstacle::CommandMissing), BrokenBefore, Failed),
        ("the patch needs the network", pass(), stopped(Obstacle::NetworkBlocked), Failed, Failed),
        ("the patch eats memory", pass(), stopped(Obstacle::MemoryLimit), Failed, Failed),
        ("the workspace broke", pass(), stopped(Obstacle::Workspace), Unverified, Unverified),
    ];
    for (what, base, last, of_detected, of_named) in table {
        assert_eq!(verdict(&[detected(base.clone(), last.clone())]), of_detected, "{what}, detected");
        assert_eq!(verdict(&[named(base, last)]), of_named, "{what}, named");
    }
}

#[test]
fn a_time_limit_is_the_patch_s_doing_only_with_twice_the_base_s_time() {
    let endless = CheckRun { duration_ms: 60_000, ..stopped(Obstacle::TimeLimit) };
    assert_eq!(verdict(&[detected(pass(), endless)]), Verdict::Failed);
    let short_of_budget = CheckRun { duration_ms: 1_500, ..stopped(Obstacle::TimeLimit) };
    assert_eq!(verdict(&[detected(pass(), short_of_budget)]), Verdict::Unverified);
}

#[test]
fn a_check_that_could_not_run_is_set_aside_only_where_another_speaks_of_what_changed() {
    let of = |command: &str, workdir: &str, run: CheckRun| {
        let workdir = (!workdir.is_empty()).then(|| workdir.to_owned());
        let check = Check { workdir, ..Check::command(command, CheckSource::Detected) };
        ComparedCheck::new(check, Some(run.clone()), Some(run))
    };
    let missing = |command: &str, workdir: &str| of(command, workdir, stopped(Obstacle::CommandMissing));
    let passing = |command: &str, workdir: &str| of(command, workdir, pass());
    let table = [
        ("its own code", passing("pytest", ""), missing("npm test", "web"), "web/sum.js", false),
        ("other code", passing("pytest", ""), missing("npm test", "web"), "calc.py", true),
        ("words for people", passing("pytest", ""), missing("npm test", "web"), "web/README.md", true),
        ("another language in its place", passing("pytest", ""), missing("npm test", ""), "src/calc.py", true),
        ("its language at the root", passing("pytest", ""), missing("npm test", ""), "src/sum.ts", false),
        ("data of both", passing("pytest", ""), missing("npm test", ""), "data/sums.toml", true),
        ("data below it", passing("pytest", ""), missing("npm test", "web"), "web/sums.toml", false),
        ("code of both", passing("pytest", ""), missing("tox", ""), "calc.py", true),
        ("a linter beside tests", passing("pytest", ""), missing("ruff check .", ""), "calc.py", true),
        ("tests beside a linter", passing("ruff check .", ""), missing("pytest", ""), "calc.py", false),
        ("a runner of whatever", passing("make test", ""), missing("pytest", ""), "calc.py", true),
        ("a package's own tests", passing("npm test", "web"), missing("npm test", ""), "web/sum.js", true),
        ("a neighbour's tests", passing("npm test", "api"), missing("npm test", "web"), "web/sum.js", false),
        ("a name that begins alike", passing("npm test", "web2"), missing("npm test", "web"), "web2/sum.js", true),
    ];
    for (what, passes, stopped, path, verified) in table {
        let change = TestChange { paths: vec![path.to_owned()], base_has_tests: true, ..TestChange::default() };
        let decided = decided(&[passes, stopped], &change);
        let expected = if verified { Verdict::Verified } else { Verdict::Unverified };
        assert_eq!(decided.verdict, expected, "{what}: {}", decided.reason);
        assert_eq!(decided.reason.contains(&format!("the one check of {path}, could not run")), !verified, "{what}");
    }
}

#[test]
fn several_checks_decide_together() {
    use Verdict::{BrokenBefore, Failed, Unverified, Verified};
    let missing = || stopped(Obstacle::CommandMissing);
    let not_run = |source| check(source, Some(pass()), None);
    let table: Vec<(&str, Vec<ComparedCheck>, Verdict)> = vec![
        ("a regression beats all that passes", vec![named(pass(), pass()), detected(pass(), fail())], Failed),
        (
            "a regression beats fewer failures",
            vec![detected(tests("-a -b"), tests("-a +b")), detected(pass(), fail())],
            Failed,
        ),
        (
            "one passes, a guess never could run",
            vec![detected(pass(), pass()), detected(missing(), missing())],
            Verified,
        ),
        (
            "one passes, one that was asked for never could run",
            vec![detected(pass(), pass()), named(missing(), missing())],
            Unverified,
        ),
        (
            "one passes, the repository's own never could run",
            vec![detected(pass(), pass()), check(CheckSource::Repository, Some(missing()), Some(missing()))],
            Unverified,
        ),
        (
            "one passes, for one there was no time",
            vec![detected(pass(), pass()), not_run(CheckSource::Detected)],
            Unverified,
        ),
        ("nothing could run", vec![detected(missing(), missing()), named(missing(), missing())], Unverified),
        (
            "each fails in fewer tests",
            vec![detected(tests("+x -a -b"), tests("+x -a +b")), named(tests("+x -c -d"), tests("+x +c -d"))],
            BrokenBefore,
        ),
        (
            "one fails in fewer, a named one as before",
            vec![detected(tests("+x -a -b"), tests("+x -a +b")), named(tests("+x -c"), tests("+x -c"))],
            Failed,
        ),
        (
            "a named one fails in fewer, a guess as before: not each",
            vec![named(tests("+x -a -b"), tests("+x -a +b")), detected(tests("+x -c"), tests("+x -c"))],
            Failed,
        ),
        (
            "a failure of before beside what could not run",
            vec![detected(fail(), fail()), named(missing(), missing())],
            BrokenBefore,
        ),
        (
            "a named one passes, a guess fails as before",
            vec![named(fail(), pass()), detected(fail(), fail())],
            BrokenBefore,
        ),
    ];
    for (what, checks, expected) in table {
        assert_eq!(verdict(&checks), expected, "{what}");
    }
}

#[test]
fn checks_that_are_not_required_decide_nothing() {
    let optional = |base, last| {
        let mut check = named(base, last);
        check.check.required = false;
        check
    };
    assert_eq!(verdict(&[detected(pass(), pass()), optional(pass(), fail())]), Verdict::Verified);
    let alone = decided(&[optional(pass(), pass())], &change());
    assert_eq!(
        (alone.verdict, alone.reason.as_str()),
        (Verdict::Unverified, "nothing to check with: no check is required")
    );
}

#[test]
fn measures_compare_by_command() {
    let mut measure = detected(tests("+a -b"), tests("-a -b"));
    measure.check.kind = CheckKind::Measure;
    assert_eq!(verdict(&[measure]), Verdict::BrokenBefore);
}

#[test]
fn without_checks_nothing_is_verified() {
    let nothing = decided(&[], &change());
    assert_eq!(nothing.verdict, Verdict::Unverified);
    assert_eq!(nothing.reason, "nothing to check with: the task names no checks and none were found");
    let missing =
        CheckRun { reason: Some("the command `go` is missing".to_owned()), ..stopped(Obstacle::CommandMissing) };
    let could_not = decided(&[detected(missing.clone(), missing)], &change());
    assert_eq!(could_not.reason, "`suite` could not run: the command `go` is missing");
}

#[test]
fn an_empty_patch_is_no_change_unless_the_task_named_checks() {
    let empty = TestChange { empty_patch: true, ..change() };
    for checks in
        [vec![], vec![detected(pass(), pass())], vec![detected(fail(), fail())], vec![detected(pass(), fail())]]
    {
        assert_eq!(decided(&checks, &empty).verdict, Verdict::NoChange);
    }
    assert_eq!(decided(&[named(pass(), pass())], &empty).verdict, Verdict::Verified);
    assert_eq!(decided(&[named(fail(), fail())], &empty).verdict, Verdict::Failed);
    // The patch cannot be to blame for what it did not change.
    let out_of_memory = named(pass(), stopped(Obstacle::MemoryLimit));
    assert_eq!(decided(&[out_of_memory], &empty).verdict, Verdict::Unverified);
}

#[test]
fn only_tests_of_the_patch_s_own_verify_nothing() {
    use CheckSource::{Detected, Task};
    use Verdict::{Unverified, Verified};
    let brings = TestChange { added: vec!["tests/test_new.py".to_owned()], ..TestChange::default() };
    let own =
        |base: Option<CheckRun>, last: CheckRun, source| decided(&[check(source, base, Some(last))], &brings).verdict;
    assert_eq!(own(Some(tests("")), tests("+new"), Detected), Unverified, "the base has no tests");
    assert_eq!(own(Some(tests("")), tests("+new"), Task), Unverified, "whoever named the command");
    assert_eq!(own(None, tests("+new"), Task), Unverified, "there is no base");
    assert_eq!(own(Some(fail()), tests("+new"), Task), Unverified, "the base's run names no tests");
    assert_eq!(own(Some(tests("oold")), tests("+new oold"), Detected), Unverified, "the base's own are skipped");
    assert_eq!(own(Some(tests("+old")), tests("+old +new"), Detected), Verified, "one of the base ran too");
    assert_eq!(own(Some(fail()), pass(), Task), Verified, "a command that a person named, and no tests to be seen");
    assert_eq!(own(Some(pass()), pass(), Detected), Unverified, "a guess at a command where all tests are new");
    let both = [check(Detected, Some(tests("")), Some(tests("+new"))), named(fail(), pass())];
    assert_eq!(decided(&both, &brings).verdict, Verified, "another check shows something");
}

#[test]
fn a_run_of_no_tests_verifies_nothing() {
    let none = decided(&[detected(tests(""), tests(""))], &change());
    assert_eq!(
        (none.verdict, none.reason.as_str()),
        (Verdict::Unverified, "no test ran: the checks pass without showing anything")
    );
}

fn weakened(how: Weakening) -> TestChange {
    let path = "tests/test_a.py".to_owned();
    let test = WeakenedTest { path: path.clone(), name: "test_a".to_owned(), how };
    TestChange { touched: vec![path], weakened: vec![test], ..change() }
}

fn touched() -> TestChange {
    TestChange { touched: vec!["tests/test_a.py".to_owned()], ..change() }
}

#[test]
fn weakened_tests_are_put_back_and_run_again() {
    let put_back = Decision::NeedsRerun { put_back: vec!["tests/test_a.py".to_owned()] };
    for how in [Weakening::Removed, Weakening::Emptied, Weakening::Skipped] {
        assert_eq!(decision(&[detected(pass(), pass())], &weakened(how)), put_back, "as the text shows: {how:?}");
    }
    for (base, last) in [
        (tests("+a -b"), tests("+a")),
        (tests("+a -b"), tests("+a ob")),
        (tests("+a +b"), tests("+a +c")),
        (tests("~ 5"), tests("~ 4")),
        (tests("+a +b"), tests("~ 1")),
        (tests("+a"), pass()),
    ] {
        assert_eq!(
            decision(&[detected(base.clone(), last.clone())], &touched()),
            put_back,
            "as the runs show: {base:?}"
        );
    }
    for (base, last) in [(tests("+a ob"), tests("+a")), (tests("~ 5"), tests("~ 6")), (tests("~ ?"), tests("~ ?"))] {
        assert_eq!(
            decided(&[detected(base, last)], &touched()).verdict,
            Verdict::Verified,
            "what did not run is no loss"
        );
    }
}

#[test]
fn tests_put_back_must_pass() {
    let with = |rerun: Option<CheckRun>| {
        let check = ComparedCheck { rerun, ..detected(tests("+a -b"), tests("+a")) };
        after_rerun(&[check], &weakened(Weakening::Removed))
    };
    let passes = with(Some(tests("+a +b")));
    assert_eq!(passes.verdict, Verdict::Verified);
    assert_eq!(passes.reason, "`suite` passes (1 test), also with the base's own test files put back");
    assert_eq!(passes.findings, vec![]);
    for (what, rerun) in [
        ("still failing", Some(tests("+a -b"))),
        ("still not running", Some(tests("+a"))),
        ("skipped by other means", Some(tests("+a ob"))),
        ("naming no tests", Some(pass())),
        ("not run", None),
        ("stopped", Some(stopped(Obstacle::TimeLimit))),
    ] {
        let decided = with(rerun);
        assert_eq!(decided.verdict, Verdict::Failed, "{what}");
        let finding = &decided.findings[0];
        assert_eq!(
            (finding.kind, finding.path.as_deref()),
            (FindingKind::TestsWeakened, Some("tests/test_a.py")),
            "{what}"
        );
        assert_eq!(finding.message, "the patch weakens tests of the base: test_a (removed)");
    }
}

#[test]
fn a_person_s_approval_lets_weakened_tests_pass() {
    let checks = [detected(tests("+a -b"), tests("+a"))];
    let change = weakened(Weakening::Removed);
    let decision = decide(VerdictInput {
        checks: &checks,
        change: &change,
        reran: false,
        weakening_approved: true,
        left_out: &[],
    });
    assert!(
        matches!(&decision, Decision::Decided(decided) if decided.verdict == Verdict::Verified && decided.findings.is_empty()),
        "{decision:?}"
    );
}

#[test]
fn tests_that_cannot_be_put_back_fail_unless_they_only_moved() {
    let lost = decided(&[detected(tests("+m::a -m::b"), tests("+m::a"))], &change());
    assert_eq!((lost.verdict, lost.findings[0].kind), (Verdict::Failed, FindingKind::TestsWeakened));
    let moved = |base, last| decided(&[detected(tests(base), tests(last))], &change()).verdict;
    assert_eq!(moved("+old::a +old::b", "+new::a +new::b"), Verdict::Verified);
    assert_eq!(moved("+x +old::a", "+x +new::a"), Verdict::Verified);
    assert_eq!(moved("+x -old::a", "+x +new::a"), Verdict::Failed, "one that failed has to pass under its name");
    assert_eq!(moved("+x +old::a +older::a", "+x +new::a"), Verdict::Failed, "one place cannot stand for two");
}

#[test]
fn weakened_tests_are_told_beside_other_verdicts() {
    let fewer = decided(&[detected(tests("+x -a -b"), tests("+x -a"))], &weakened(Weakening::Removed));
    assert_eq!((fewer.verdict, fewer.findings.len()), (Verdict::BrokenBefore, 1));
    let regressed = decided(&[detected(pass(), fail())], &weakened(Weakening::Skipped));
    assert_eq!((regressed.verdict, regressed.findings.len()), (Verdict::Failed, 1));
}

#[test]
fn reasons_name_the_check_and_a_few_tests() {
    let reason = |base, last| decided(&[named(base, last)], &change()).reason;
    assert_eq!(reason(tests("+a"), tests("+a")), "`suite` passes (1 test)");
    assert_eq!(reason(pass(), fail()), "`suite` passed on the base and fails now (exit code 1)");
    assert_eq!(
        reason(tests("+a +b +c +d +e +f"), tests("-a -b -c -d -e -f")),
        "`suite`: 6 tests that did not fail on the base fail now: a, b, c, d, e and 1 more"
    );
    assert_eq!(
        reason(tests("+x -a -b"), tests("+x -a +b")),
        "`suite`: 1 of the 2 that failed on the base still fail: a"
    );
    assert_eq!(reason(fail(), fail()), "`suite`, named by the task, fails, as it did on the base (exit code 1)");
}

fn steering() -> TestChange {
    TestChange { steering: vec!["conftest.py".to_owned()], ..change() }
}

#[test]
fn what_the_patch_adds_to_steer_tests_is_taken_away_and_the_checks_run_again() {
    let check = detected(tests("+a -b"), tests("+a +b"));
    let asked = |change: &TestChange| decision(std::slice::from_ref(&check), change);
    assert_eq!(asked(&steering()), Decision::NeedsRerun { put_back: vec!["conftest.py".to_owned()] });
    let both = TestChange { steering: vec!["a.ini".to_owned(), "z.ini".to_owned()], ..weakened(Weakening::Skipped) };
    let all = ["a.ini", "tests/test_a.py", "z.ini"].map(str::to_owned).to_vec();
    assert_eq!(asked(&both), Decision::NeedsRerun { put_back: all });
    let green = TestChange { base_has_tests: false, ..steering() };
    assert!(matches!(asked(&green), Decision::Decided(_)), "where the base has no tests there is nothing to steer");
}

#[test]
fn tests_of_the_base_must_pass_without_what_steers_them() {
    use Verdict::{Failed, Unverified, Verified};
    for (what, base, last, rerun, verdict) in [
        ("all pass without it", tests("+a -b"), tests("+a +b"), Some(tests("+a +b")), Verified),
        ("one that failed passes only with it", tests("+a -b"), tests("+a +b"), Some(tests("+a -b")), Failed),
        ("one that passed needs it now", tests("+a"), tests("+a"), Some(tests("-a")), Failed),
        ("a quiet runner, one that failed", tests("~ 5 -b"), tests("~ 6"), Some(tests("~ 5 -b")), Failed),
        ("a new test needs a fixture of it", tests("+a"), tests("+a +new"), Some(tests("+a -new")), Verified),
        ("a new file of tests is not even loaded", tests("+a"), tests("+a +new"), Some(tests("+a -load")), Verified),
        (
            "a file of the base's tests is not loaded",
            tests("+a +b"),
            tests("+a +b"),
            Some(tests("+a -load")),
            Unverified,
        ),
        ("a quiet runner, an unknown one", tests("~ 5"), tests("~ 6"), Some(tests("~ 5 -new")), Unverified),
        ("by command, passes without it", fail(), pass(), Some(pass()), Verified),
        ("by command, fails without it", fail(), pass(), Some(fail()), Unverified),
        ("does not start without it", tests("+a"), tests("+a"), Some(stopped(Obstacle::DependencyMissing)), Unverified),
        ("not run", tests("+a"), tests("+a"), None, Unverified),
    ] {
        let check = ComparedCheck { rerun, ..detected(base, last) };
        let decided = after_rerun(&[check], &steering());
        assert_eq!(decided.verdict, verdict, "{what}: {}", decided.reason);
        if verdict == Verified {
            assert!(decided.reason.contains("also without"), "{what}: {}", decided.reason);
            assert_eq!(decided.findings, vec![], "{what}");
        } else {
            let finding = &decided.findings[0];
            let found = (finding.kind, finding.path.as_deref());
            assert_eq!(found, (FindingKind::TestsWeakened, Some("conftest.py")), "{what}");
            assert!(decided.reason.contains("conftest.py"), "{what}: {}", decided.reason);
        }
    }
}

#[test]
fn tests_that_the_patch_steers_away_run_again_without_it() {
    let check = |rerun| ComparedCheck { rerun, ..detected(tests("+a -b"), tests("+a")) };
    let asked = decision(&[check(None)], &steering());
    assert_eq!(asked, Decision::NeedsRerun { put_back: vec!["conftest.py".to_owned()] });
    for (rerun, verdict) in [("+a -b", Verdict::Failed), ("+a", Verdict::Failed), ("+a +b", Verdict::Verified)] {
        assert_eq!(after_rerun(&[check(Some(tests(rerun)))], &steering()).verdict, verdict, "{rerun}");
    }
}
