//! Logs of runners, and what may be claimed of them: recorded from real ones, but for Maven's, Gradle's and dotnet's,
//! which are written after their known formats.

use super::{fixture, fixtures};
use journeyman::{
    checks::parse,
    domain::check::{TestReport, TestStatus},
};
use proptest::prelude::*;

/// `passed/failed/skipped`, whether all that ran are named, and the failing tests.
type Expected<'a> = (&'a str, &'a str, bool, &'a [&'a str]);

const PYTEST: &[&str] =
    &["test_calc.py::TestGroup::test_text[a b]", "test_calc.py::test_divides", "test_calc.py::test_uses_broken"];
const UNITTEST: &[&str] = &[
    "tests.test_calc.DivTest.test_by_zero",
    "tests.test_calc.DivTest.test_divides",
    "tests.test_calc.DivTest.test_table",
];
const CARGO: &[&str] = &["it::whole", "sample::tests::breaks"];
const GO: &[&str] = &["example.com/sample.TestTable", "example.com/sample.TestTable/three"];
const GO_BUILD: &[&str] =
    &["example.com/sample.TestTable", "example.com/sample.TestTable/three", "example.com/sample/inner"];
const JEST: &[&str] = &["jest/bad.test.js", "jest/calc.test.js › add › breaks"];
const VITEST: &[&str] = &["vit/bad.test.js", "vit/calc.test.js > add > breaks"];
const RSPEC: &[&str] = &["Calc is expected to eq 3", "Calc#add breaks", "Calc#add with zero raises"];
const CTEST: &[&str] = &["absent", "breaks", "crashes", "slow"];
const PHPUNIT: &[&str] = &["CalcTest::testBreaks", "CalcTest::testRaises", "CalcTest::testTable with data set \"two\""];
const EXUNIT: &[&str] = &["SampleTest: test breaks", "SampleTest: test zero raises"];
const MAVEN: &[&str] =
    &["com.example.CalcTest.breaks", "com.example.CalcTest.raises", "com.example.CalcTest.table(int)[2]"];
const DOTNET: &[&str] = &["Sample.Tests.CalcTests.Breaks", "Sample.Tests.CalcTests.Table(a: 1, b: 2)"];
const NODE: &[&str] = &["breaks", "group > inner # odd"];

const TABLE: &[Expected<'_>] = &[
    ("unittest-mixed.txt", "3/3/2", false, UNITTEST),
    ("unittest-mixed-v.txt", "3/3/2", true, UNITTEST),
    ("unittest-ok.txt", "2/0/0", false, &[]),
    ("unittest-ok-v.txt", "2/0/0", true, &[]),
    ("unittest-none.txt", "0/0/0", true, &[]),
    ("unittest-import-v.txt", "0/1/0", true, &["unittest.loader._FailedTest.test_bad"]),
    ("pytest-mixed.txt", "3/3/2", false, PYTEST),
    ("pytest-mixed-q.txt", "3/3/2", false, PYTEST),
    ("pytest-mixed-v.txt", "3/3/2", true, PYTEST),
    ("pytest-mixed-r.txt", "3/3/2", true, PYTEST),
    ("pytest-mixed-q-r.txt", "3/3/2", true, PYTEST),
    ("pytest-mixed-xdist-v.txt", "3/3/2", true, PYTEST),
    ("pytest-mixed-color.txt", "3/3/2", true, PYTEST),
    ("pytest-ok.txt", "2/0/0", false, &[]),
    ("pytest-ok-q.txt", "2/0/0", false, &[]),
    ("pytest-ok-r.txt", "2/0/0", true, &[]),
    ("pytest-ok-v.txt", "2/0/0", true, &[]),
    ("pytest-none.txt", "0/0/0", true, &[]),
    ("pytest-bad.txt", "0/1/0", false, &["test_bad.py"]),
    ("pytest-bad-v.txt", "0/1/0", false, &["test_bad.py"]),
    ("pytest-x.txt", "2/1/0", false, &["test_calc.py::test_divides"]),
    (
        "pytest-subtests.txt",
        "4/3/2",
        true,
        &[
            "tests/test_calc.py::DivTest::test_by_zero",
            "tests/test_calc.py::DivTest::test_divides",
            "tests/test_calc.py::DivTest::test_table",
        ],
    ),
    (
        "pytest-report.xml",
        "3/3/2",
        true,
        &["test_calc.TestGroup::test_text[a b]", "test_calc::test_divides", "test_calc::test_uses_broken"],
    ),
    ("cargo-mixed.txt", "4/2/1", true, CARGO),
    ("cargo-mixed-failfast.txt", "2/1/1", false, &["sample::tests::breaks"]),
    ("cargo-mixed-q.txt", "4/2/1", false, &["tests::breaks", "whole"]),
    ("cargo-ok.txt", "6/0/1", true, &[]),
    ("cargo-ok-q.txt", "6/0/1", false, &[]),
    ("nextest-mixed.txt", "3/2/1", true, &["sample tests::breaks", "sample::it whole"]),
    ("nextest-ok.txt", "5/0/1", true, &[]),
    ("go-mixed.txt", "?/2/0", false, GO),
    ("go-mixed-v.txt", "4/2/1", true, GO),
    ("go-mixed-json.txt", "4/2/1", true, GO),
    ("go-ok.txt", "?/0/0", false, &[]),
    ("go-ok-v.txt", "6/0/1", true, &[]),
    ("go-build.txt", "?/3/0", false, GO_BUILD),
    ("go-build-v.txt", "3/3/1", true, GO_BUILD),
    ("jest-mixed.txt", "3/2/2", false, JEST),
    ("jest-mixed-verbose.txt", "3/2/2", true, JEST),
    ("jest-ok.txt", "1/0/0", true, &[]),
    ("jest-ok-two.txt", "2/0/4", false, &[]),
    ("vitest-mixed.txt", "3/2/2", false, VITEST),
    ("vitest-mixed-verbose.txt", "3/2/2", true, VITEST),
    ("vitest-ok.txt", "1/0/0", false, &[]),
    ("vitest-ok-verbose.txt", "1/0/0", true, &[]),
    ("vitest-junit.xml", "3/2/2", true, &["vit/bad.test.js", "vit/calc.test.js::add > breaks"]),
    ("node-mixed-tap.txt", "3/2/2", true, NODE),
    ("node-mixed-spec.txt", "3/2/2", true, NODE),
    ("node-ok-tap.txt", "1/0/0", true, &[]),
    ("node-ok-spec.txt", "1/0/0", true, &[]),
    ("mocha-mixed.txt", "2/1/1", true, &["add › breaks"]),
    ("mocha-tap.txt", "2/1/1", true, &["add breaks"]),
    ("rspec-mixed.txt", "4/3/2", false, RSPEC),
    ("rspec-mixed-doc.txt", "4/3/2", false, RSPEC),
    ("rspec-ok.txt", "2/0/0", false, &[]),
    ("rspec-ok-doc.txt", "2/0/0", true, &[]),
    ("rspec-filter.txt", "1/0/0", true, &[]),
    ("rspec-bad.txt", "0/1/0", true, &["bad/bad_spec.rb"]),
    ("rspec-x.txt", "0/1/0", true, &["Calc is expected to eq 3"]),
    ("ctest-mixed.txt", "2/4/2", true, CTEST),
    ("ctest-mixed-v.txt", "2/4/2", true, CTEST),
    ("ctest-ok.txt", "2/0/0", true, &[]),
    ("ctest-ok-v.txt", "2/0/0", true, &[]),
    ("ctest-none.txt", "0/0/0", true, &[]),
    ("ctest-stop.txt", "1/1/0", true, &["breaks"]),
    ("phpunit-mixed.txt", "6/3/2", false, PHPUNIT),
    ("phpunit-mixed-debug.txt", "6/3/2", false, PHPUNIT),
    ("phpunit-ok.txt", "2/0/0", false, &[]),
    ("phpunit-filter.txt", "0/2/0", true, &["CalcTest::testBreaks", "CalcTest::testTable with data set \"two\""]),
    ("phpunit-stop.txt", "1/1/0", false, &["CalcTest::testBreaks"]),
    ("phpunit-none.txt", "0/0/0", true, &[]),
    ("exunit-mixed.txt", "5/2/1", false, EXUNIT),
    ("exunit-mixed-trace.txt", "5/2/1", true, EXUNIT),
    ("exunit-ok.txt", "2/0/0", false, &[]),
    ("exunit-ok-trace.txt", "2/0/0", true, &[]),
    ("exunit-exclude.txt", "4/2/1", false, EXUNIT),
    ("exunit-max.txt", "2/1/1", false, &["SampleTest: test zero raises"]),
    ("exunit-line.txt", "0/1/0", true, &["SampleTest: test zero raises"]),
    ("maven-mixed.txt", "4/3/1", false, MAVEN),
    ("maven-old.txt", "1/2/0", false, &["com.example.CalcTest.breaks", "com.example.CalcTest.raises"]),
    ("maven-ok.txt", "3/0/1", false, &[]),
    ("gradle-mixed.txt", "5/2/1", false, &["CalcTest > breaks()", "CalcTest > table(int) > [2] 2"]),
    ("gradle-mixed-loud.txt", "1/1/1", true, &["CalcTest > breaks()"]),
    ("dotnet-mixed.txt", "3/2/1", false, DOTNET),
    ("dotnet-mixed-normal.txt", "2/1/1", true, &["Sample.Tests.CalcTests.Breaks"]),
    ("dotnet-ok.txt", "3/0/0", false, &[]),
];

/// Logs that say nothing of tests.
const SILENT: &[&str] = &["pytest-qq.txt", "cargo-compile-error.txt", "gradle-ok.txt", "phpunit-mixed-testdox.txt"];

fn counts(report: &TestReport) -> String {
    let passed = report.counts.passed.map_or("?".to_owned(), |passed| passed.to_string());
    format!("{passed}/{}/{}", report.counts.failed, report.counts.skipped)
}

fn with(report: &TestReport, status: TestStatus) -> Vec<&str> {
    report.tests.iter().filter(|test| test.status == status).map(|test| test.name.as_str()).collect()
}

#[test]
fn each_runner_s_log_is_read_into_its_tests() {
    for (file, expected, all_named, failing) in TABLE {
        let report = parse("", &fixture(file), &[]).unwrap_or_else(|| panic!("{file} was not parsed"));
        assert_eq!((counts(&report).as_str(), report.counts.all_named), (*expected, *all_named), "{file}");
        assert_eq!(with(&report, TestStatus::Failed), *failing, "{file}");
        if *all_named {
            assert_eq!(
                with(&report, TestStatus::Passed).len() as u32,
                report.counts.passed.unwrap() - shared(file),
                "{file}"
            );
        }
    }
}

/// Tests whose passing and failing parts carry one name: counted as passed, shown as failed.
fn shared(file: &str) -> u32 {
    u32::from(file == "pytest-subtests.txt")
}

#[test]
fn every_stored_log_is_in_the_table_or_says_nothing() {
    for file in fixtures() {
        if SILENT.contains(&file.as_str()) {
            assert_eq!(parse("", &fixture(&file), &[]), None, "{file}");
        } else {
            assert!(TABLE.iter().any(|row| row.0 == file), "{file} is in no table");
        }
    }
}

#[test]
fn names_do_not_depend_on_how_loud_a_runner_is() {
    for (quiet, loud) in [
        ("unittest-mixed.txt", "unittest-mixed-v.txt"),
        ("pytest-mixed-q.txt", "pytest-mixed-xdist-v.txt"),
        ("go-mixed.txt", "go-mixed-json.txt"),
        ("jest-mixed.txt", "jest-mixed-verbose.txt"),
        ("vitest-mixed.txt", "vitest-mixed-verbose.txt"),
        ("node-mixed-tap.txt", "node-mixed-spec.txt"),
    ] {
        let read = |file| parse("", &fixture(file), &[]).unwrap();
        assert_eq!(with(&read(quiet), TestStatus::Failed), with(&read(loud), TestStatus::Failed), "{quiet} and {loud}");
    }
}

#[test]
fn known_failures_count_as_skipped_not_as_passed() {
    for (file, name) in [
        ("unittest-mixed-v.txt", "tests.test_calc.AddTest.test_known"),
        ("pytest-mixed-v.txt", "test_calc.py::test_known"),
        ("node-mixed-tap.txt", "todo fails"),
    ] {
        let report = parse("", &fixture(file), &[]).unwrap();
        assert!(with(&report, TestStatus::Skipped).contains(&name), "{file}");
    }
}

#[test]
fn doctests_keep_their_names_when_lines_move() {
    let report = parse("", &fixture("cargo-ok.txt"), &[]).unwrap();
    assert!(with(&report, TestStatus::Passed).contains(&"sample docs::src/lib.rs - add"));
}

#[test]
fn what_a_test_prints_is_not_taken_for_a_result() {
    for file in fixtures() {
        let Some(report) = parse("", &fixture(&file), &[]) else { continue };
        assert!(!report.tests.iter().any(|test| test.name.contains("fake") || test.name.contains("Fake")), "{file}");
    }
}

#[test]
fn a_summary_that_does_not_agree_with_the_names_is_no_parse() {
    for (file, from, to) in [
        ("unittest-mixed.txt", "failures=3", "failures=4"),
        ("unittest-ok.txt", "\nOK\n", "\nFAILED (failures=1)\n"),
        ("pytest-mixed.txt", "2 failed, 3 passed", "3 failed, 3 passed"),
        ("pytest-ok-v.txt", "2 passed in", "1 passed in"),
        ("cargo-mixed.txt", "running 4 tests", "running 5 tests"),
        ("cargo-mixed.txt", "test whole ... FAILED", "test whole ... ok"),
        ("cargo-ok.txt", "3 passed; 0 failed", "2 passed; 1 failed"),
        ("nextest-mixed.txt", "3 passed, 2 failed", "2 passed, 3 failed"),
        ("go-mixed.txt", "FAIL\texample.com/sample\t", "ok  \texample.com/sample\t"),
        ("jest-mixed.txt", "1 failed, 1 skipped", "2 failed, 1 skipped"),
        ("jest-mixed.txt", "2 failed, 1 passed, 3 total", "3 failed, 1 passed, 4 total"),
        ("vitest-mixed.txt", "1 failed | 3 passed", "2 failed | 3 passed"),
        ("node-mixed-tap.txt", "# fail 2", "# fail 1"),
        ("node-mixed-spec.txt", "ℹ fail 2", "ℹ fail 0"),
        ("mocha-mixed.txt", "1 failing", "2 failing"),
        ("rspec-mixed.txt", "9 examples, 3 failures", "9 examples, 4 failures"),
        ("rspec-ok.txt", "2 examples, 0 failures", "2 examples, 1 failure"),
        ("ctest-mixed.txt", "4 tests failed out of 7", "3 tests failed out of 7"),
        ("ctest-ok.txt", "failed out of 2", "failed out of 3"),
        ("phpunit-mixed.txt", "Failures: 2", "Failures: 3"),
        ("phpunit-ok.txt", "OK (2 tests, 2 assertions)", ""),
        ("exunit-mixed.txt", "8 tests, 2 failures", "8 tests, 1 failure"),
        ("maven-mixed.txt", "Tests run: 8, Failures: 2", "Tests run: 8, Failures: 1"),
        ("maven-mixed.txt", "[ERROR] Tests run: 8,", "Killed"),
        ("gradle-mixed.txt", "2 failed, 1 skipped", "3 failed, 1 skipped"),
        ("gradle-mixed.txt", "8 tests completed, 2 failed, 1 skipped", "Killed"),
        ("dotnet-mixed.txt", "Failed:     2", "Failed:     1"),
        ("mocha-tap.txt", "1..4", "1..5"),
        ("pytest-report.xml", "tests=\"8\"", "tests=\"7\""),
    ] {
        let log = String::from_utf8(fixture(file)).unwrap();
        assert!(log.contains(from), "{file} holds {from}");
        assert_eq!(parse("", log.replacen(from, to, 1).as_bytes(), &[]), None, "{file}: {from} → {to}");
    }
}

#[test]
fn two_runners_in_one_log_add_up() {
    let both = [fixture("unittest-mixed-v.txt"), fixture("cargo-mixed.txt")].concat();
    let report = parse("make test", &both, &[]).unwrap();
    assert_eq!(counts(&report), "7/5/3");
    let twice = [fixture("cargo-ok.txt"), fixture("cargo-ok.txt")].concat();
    let report = parse("make test", &twice, &[]).unwrap();
    assert!(!report.counts.all_named, "names that stand for two tests each cannot be compared");
    let one_cut = [fixture("unittest-ok-v.txt"), b"running 3 tests\ntest a ... ok\n".to_vec()].concat();
    assert_eq!(parse("make test", &one_cut, &[]), None);
}

#[test]
fn reports_go_before_the_log() {
    let report = parse("", &fixture("pytest-qq.txt"), &[fixture("pytest-report.xml")]).unwrap();
    assert_eq!(counts(&report), "3/3/2");
    let log = parse("", &fixture("pytest-mixed.txt"), &[b"<testsuite tests=\"1\"><testcase na".to_vec()]).unwrap();
    assert_eq!(with(&log, TestStatus::Failed), PYTEST);
}

#[test]
fn a_runner_told_to_stop_at_the_first_failure_does_not_name_all() {
    let log = fixture("vitest-mixed-verbose.txt");
    assert!(parse("npx vitest run", &log, &[]).unwrap().counts.all_named);
    assert!(!parse("npx vitest run --bail=1", &log, &[]).unwrap().counts.all_named);
}

#[test]
fn huge_logs_are_read_in_time() {
    let mut log = fixture("pytest-mixed-v.txt");
    let noise = "a line of noise that says nothing of tests ... ok ✓ [ 12%]\n".repeat(16_000);
    log.splice(0..0, noise.bytes());
    let started = std::time::Instant::now();
    assert_eq!(with(&parse("", &log, &[]).unwrap(), TestStatus::Failed), PYTEST);
    assert!(started.elapsed().as_secs() < 20, "took {:?}", started.elapsed());
}

#[test]
fn a_cut_log_of_a_failing_run_never_reads_as_all_passed() {
    for (file, _, _, failing) in TABLE.iter().filter(|row| !row.3.is_empty()) {
        let log = fixture(file);
        for end in (0..log.len()).filter(|at| *at == 0 || log[at - 1] == b'\n' || at % 37 == 0) {
            if let Some(report) = parse("", &log[..end], &[]) {
                assert!(report.counts.failed > 0, "{file} cut at {end} of {} hides {failing:?}", log.len());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let _ = parse("pytest -x", &bytes, std::slice::from_ref(&bytes));
    }

    /// Lines of real logs in any order, some twice, some missing.
    #[test]
    fn shuffled_logs_are_read_without_panic(
        pick in any::<prop::sample::Index>(),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 1..80),
    ) {
        let log = fixture(pick.get(TABLE).0);
        let lines: Vec<&[u8]> = log.split(|byte| *byte == b'\n').collect();
        let shuffled = order.iter().map(|at| *at.get(&lines)).collect::<Vec<_>>().join(&b'\n');
        if let Some(report) = parse("", &shuffled, &[]) {
            let failed = with(&report, TestStatus::Failed).len();
            prop_assert_eq!(failed as u32, report.counts.failed);
        }
    }

    #[test]
    fn a_hole_in_a_failing_log_never_reads_as_all_passed(
        pick in any::<prop::sample::Index>(),
        from in any::<prop::sample::Index>(),
        length in 1_usize..600,
    ) {
        let failing: Vec<_> = TABLE.iter().filter(|row| !row.3.is_empty()).collect();
        let log = fixture(pick.get(&failing).0);
        let from = from.index(log.len());
        let holed = [&log[..from], b"\n", &log[(from + length).min(log.len())..]].concat();
        let check = super::test_check("make test");
        let run = journeyman::checks::judge(&check, &super::output(&holed, 1, Some(from)));
        prop_assert!(run.counts.is_none_or(|counts| counts.failed > 0), "{}", String::from_utf8_lossy(&holed));
    }
}
