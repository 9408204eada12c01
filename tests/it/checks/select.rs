//! Commands that run single tests, and the order of checks.

use super::{fixture, output, test_check};
use journeyman::{
    agent::verdict::order,
    checks::{judge, select},
    domain::check::{Check, CheckKind},
};

/// The command that runs `tests` alone, after `command` gave this log.
fn selected(command: &str, log: &str, tests: &[&str]) -> Option<String> {
    let check = test_check(command);
    let run = judge(&check, &output(&fixture(log), 1, None));
    let tests: Vec<String> = tests.iter().map(|test| (*test).to_owned()).collect();
    select(&check, &run, &tests).map(|check| check.command)
}

#[test]
fn single_tests_are_asked_for_as_their_runner_takes_them() {
    let (pytest, unittest, cargo) = ("pytest-mixed.txt", "unittest-mixed.txt", "cargo-mixed.txt");
    for (command, log, test, expected) in [
        ("pytest", pytest, "test_calc.py::test_x[a b]", "pytest 'test_calc.py::test_x[a b]'"),
        (
            "PYTHONPATH=src python3 -m pytest -q tests/ -k add",
            pytest,
            "t/a.py::test_x",
            "PYTHONPATH=src python3 -m pytest -q -k add 't/a.py::test_x'",
        ),
        ("python3 -m unittest", unittest, "tests.A.test_x", "python3 -m unittest -v -k 'tests.A.test_x'"),
        (
            "python3 -m unittest discover -s tests",
            unittest,
            "a.A.test_x",
            "python3 -m unittest discover -v -s tests -k 'a.A.test_x'",
        ),
        ("cargo test --no-fail-fast", cargo, "it::whole", "cargo test --no-fail-fast -- 'whole' --exact"),
        ("cargo test -q -- --nocapture", cargo, "it::a::b", "cargo test -- --nocapture 'a::b' --exact"),
        (
            "cargo nextest run --no-fail-fast",
            "cargo-mixed.txt",
            "sample::it a::b",
            "cargo nextest run --no-fail-fast -E 'test(=a::b)'",
        ),
        (
            "go test -race ./...",
            "go-mixed.txt",
            "example.com/sample.TestTable/three",
            "go test -count=1 -v -race -run '^(TestTable)$' 'example.com/sample'",
        ),
        (
            "npx jest src",
            "jest-mixed.txt",
            "jest/calc.test.js › add › breaks (a)",
            r"npx jest --verbose -t '^(add breaks \(a\))$' --runTestsByPath 'jest/calc.test.js'",
        ),
        (
            "vitest run",
            "vitest-mixed.txt",
            "vit/calc.test.js > add > breaks",
            "vitest run --reporter=verbose -t '^(add breaks)$' 'vit/calc.test.js'",
        ),
        ("npx mocha test", "mocha-mixed.txt", "add › breaks", "npx mocha test --grep '^(add breaks)$'"),
        (
            "node --test test/",
            "node-mixed-tap.txt",
            "group > inner # a/b",
            r"node --test --test-name-pattern='/^(inner \# a\/b)$/' test/",
        ),
        (
            "bundle exec rspec spec/ --order rand",
            "rspec-mixed.txt",
            "Calc#add breaks",
            "bundle exec rspec --order rand --format documentation './spec/calc_spec.rb:4'",
        ),
        (
            "ctest --test-dir build -j 4",
            "ctest-mixed.txt",
            "with.dot",
            r"ctest --test-dir build -j 4 -R '^(with\.dot)$'",
        ),
        (
            "mix test --seed 1 test/sample_test.exs",
            "exunit-mixed.txt",
            "SampleTest: test breaks",
            "mix test --seed 1 --trace 'test/sample_test.exs:8'",
        ),
        (
            "dotnet test -c Release",
            "dotnet-mixed.txt",
            "Sample.Tests.CalcTests.Breaks",
            "dotnet test -c Release --logger 'console;verbosity=normal' --filter 'FullyQualifiedName=Sample.Tests.CalcTests.Breaks'",
        ),
    ] {
        assert_eq!(selected(command, log, &[test]).as_deref(), Some(expected), "{command}");
    }
}

#[test]
fn where_single_tests_are_not_sure_the_whole_check_is_run() {
    for (command, log, test) in [
        ("pytest && ruff check .", "pytest-mixed.txt", "a.py::test_x"),
        ("pytest -x", "pytest-mixed.txt", "a.py::test_x"),
        ("make test", "pytest-mixed.txt", "a.py::test_x"),
        ("npm test", "jest-mixed.txt", "a.test.js › b"),
        ("cargo test", "cargo-mixed-failfast.txt", "it::whole"),
        ("cargo test", "cargo-mixed.txt", "sample docs::src/lib.rs - add"),
        ("python3 -m unittest", "unittest-mixed.txt", "unittest.loader._FailedTest.test_x"),
        ("go test ./...", "go-mixed.txt", "example.com/sample"),
        ("npx jest", "jest-mixed.txt", "a.test.js"),
        ("pytest", "pytest-mixed.txt", &"x".repeat(20_000)),
        ("rspec", "rspec-mixed.txt", "Calc#add is not in the log"),
        ("rspec --fail-fast", "rspec-mixed.txt", "Calc#add breaks"),
        ("mix test --failed", "exunit-mixed.txt", "SampleTest: test breaks"),
        ("mix test", "exunit-mixed.txt", "SampleTest: test fake"),
        ("ctest -R add", "ctest-mixed.txt", "breaks"),
        ("mocha -g add", "mocha-mixed.txt", "add › breaks"),
        ("dotnet test", "dotnet-mixed.txt", "Sample.Tests.CalcTests.Table(a: 1, b: 2)"),
        ("mvn test", "maven-mixed.txt", "com.example.CalcTest.breaks"),
    ] {
        assert_eq!(selected(command, log, &[test]), None, "{command} {log}");
    }
    assert_eq!(selected("pytest", "pytest-mixed.txt", &[]), None);
    let quoted = selected("pytest", "pytest-mixed.txt", &["a.py::t['; rm -rf / #]"]);
    assert_eq!(quoted.as_deref(), Some(r"pytest 'a.py::t['\''; rm -rf / #]'"), "a name is never a command");
}

#[test]
fn what_answers_fast_runs_first_and_measures_last() {
    let mut checks: Vec<Check> =
        ["make bench", "make slow", "pytest", "npm run lint", "make unknown", "cargo clippy", "npm run lint-and-test"]
            .iter()
            .map(|command| test_check(command))
            .collect();
    checks[0].kind = CheckKind::Measure;
    let took = [Some(1), Some(60_000), Some(2_000), Some(900), None, Some(300), Some(5_000)];
    let names: Vec<&str> = order(&checks, |at| took[at]).iter().map(|at| checks[*at].command.as_str()).collect();
    assert_eq!(
        names,
        ["cargo clippy", "npm run lint", "pytest", "npm run lint-and-test", "make slow", "make unknown", "make bench"]
    );
    let unknown: Vec<usize> = order(&checks, |_| None);
    assert_eq!(unknown, [3, 5, 1, 2, 4, 6, 0], "as given, static ones first");
}
