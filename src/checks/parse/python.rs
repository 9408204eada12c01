//! unittest and pytest.

use super::{
    Log, Parsed, Summary, pattern,
    tally::{settle, sum},
};
use crate::domain::check::TestStatus::{self, Failed, Passed, Skipped};
use std::collections::BTreeSet;

pattern!(RAN, r"^Ran (\d+) tests? in [\d.]+s$");
pattern!(UNITTEST_END, r"^(OK|FAILED|NO TESTS RAN)(?: \((.*)\))?$");
pattern!(UNITTEST_START, r"^(\w+) \(([\w.<>]+)\)(?: \(.*\)| \[.*\])?(?: \.\.\. ?(.*))?$");
pattern!(UNITTEST_FAILURE, r"^(ERROR|FAIL|UNEXPECTED SUCCESS): (\w+) \(([\w.<>]+)\)");
pattern!(UNITTEST_STATUS, r#"(ok|FAIL|ERROR|skipped ['"].*['"]|expected failure|unexpected success)$"#);

/// `python -m unittest`, quiet or with `-v`. Each run ends with `Ran n tests` and its outcome.
pub(super) fn unittest(log: &Log<'_>) -> Parsed {
    let ends: Vec<usize> = (0..log.lines.len()).filter(|at| RAN.is_match(log.lines[*at])).collect();
    let mut start = 0;
    sum(ends.into_iter().map(|end| {
        let run = unittest_run(log, start, end);
        start = end + 1;
        run
    }))
}

fn unittest_run(log: &Log<'_>, start: usize, end: usize) -> Parsed {
    let ran: Option<u32> = RAN.captures(log.lines[end]).and_then(|found| found[1].parse().ok());
    let outcome =
        log.lines[end + 1..].iter().find(|line| !line.is_empty()).and_then(|line| UNITTEST_END.captures(line));
    let (Some(ran), Some(outcome)) = (ran, outcome) else { return Parsed::Broken };
    let details = outcome.get(2).map_or("", |found| found.as_str());
    let count = |word: &str| -> u32 {
        let found = details.split(", ").find_map(|part| part.strip_prefix(word)?.strip_prefix('='));
        found.and_then(|number| number.parse().ok()).unwrap_or(0)
    };
    let failed = count("failures") + count("errors") + count("unexpected successes");
    if (failed == 0) == (&outcome[1] == "FAILED") {
        return Parsed::Broken;
    }

    let lines = &log.lines[start..end];
    let mut named = Vec::new();
    let mut failing = BTreeSet::new();
    for (at, line) in lines.iter().enumerate() {
        let found = UNITTEST_FAILURE.captures(line).filter(|_| at > 0 && is_rule(lines[at - 1]));
        if let Some(found) = found {
            let name = unittest_name(&found[2], &found[3]);
            failing.insert(name.clone());
            named.push((name, Failed));
        }
    }
    // Fixtures of classes and modules fail without being tests that ran.
    let tests_failed = failing.iter().filter(|name| !is_fixture(name)).count() as u32;
    let skipped = count("skipped") + count("expected failures");
    let passed = ran.checked_sub(skipped + tests_failed);
    let spoken = lines.iter().position(|line| is_rule(line)).unwrap_or(lines.len());
    let verbose = unittest_verbose(&lines[..spoken]);
    named.extend(verbose.into_iter().filter(|(name, _)| !failing.contains(name)));
    let partial = log.gap || (failed > 0 && log.stops_early(&["-f", "--failfast"]));
    settle(named, Summary { passed, failed, skipped, partial })
}

fn is_rule(line: &str) -> bool {
    line.len() == 70 && line.bytes().all(|byte| byte == b'=')
}

/// Since Python 3.11 the class in brackets ends with the test's name, before it does not.
fn unittest_name(test: &str, class: &str) -> String {
    if class.rsplit('.').next() == Some(test) { class.to_owned() } else { format!("{class}.{test}") }
}

fn is_fixture(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    matches!(last, "setUpClass" | "tearDownClass" | "setUpModule" | "tearDownModule")
}

/// What passed or was skipped, of `-v`. A test's status may stand lines below its name, after its
/// description or after what it printed. Known failures count as skipped: they prove nothing.
fn unittest_verbose(lines: &[&str]) -> Vec<(String, TestStatus)> {
    let mut named = Vec::new();
    let mut open: Option<String> = None;
    for line in lines {
        let mut rest = *line;
        if let Some(found) = UNITTEST_START.captures(line) {
            open = Some(unittest_name(&found[1], &found[2]));
            rest = found.get(3).map_or("", |found| found.as_str());
        }
        let Some(status) = UNITTEST_STATUS.captures(rest) else { continue };
        let status = match &status[1] {
            "ok" => Passed,
            "FAIL" | "ERROR" | "unexpected success" => {
                open = None;
                continue;
            }
            _ => Skipped,
        };
        named.extend(open.take().map(|name| (name, status)));
    }
    named
}

pattern!(
    PYTEST_END,
    r"^(?:=+ )?((?:\d+ [a-z]+(?: [a-z]+)?(?:, )?)+|no tests ran|no tests collected[^=]*) in [\d.]+s(?: \([\d:, day]+\))?(?: =+)?$"
);
pattern!(PYTEST_SECTION, r"^=+ (.+?) =+$");
pattern!(PYTEST_SHORT, r"^(PASSED|FAILED|ERROR|XPASS) (\S.*)$");
pattern!(PYTEST_SUBTEST, r"^SUBFAILED.*? (\S+::\S.*)$");
pattern!(PYTEST_VERBOSE, r"^(\S.*?::.*?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)(?: \(.*\))?\s*(?:\[ *\d+%\])?$");
pattern!(PYTEST_XDIST, r"^\[gw\d+\] \[ *\d+%\] (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS) (\S.*?) *$");

/// pytest in any loudness but `-qq`, which has no summary; with and without xdist.
pub(super) fn pytest(log: &Log<'_>) -> Parsed {
    let ends: Vec<usize> = (0..log.lines.len()).filter(|at| PYTEST_END.is_match(log.lines[*at])).collect();
    let header = log.lines.iter().any(|line| is_section(line, "test session starts"));
    match ends[..] {
        [] if header => Parsed::Broken,
        [] => Parsed::NotMine,
        // Tests of test runners print other runs: where in doubt, the last is the real one.
        [.., end] => pytest_run(log, end),
    }
}

fn pytest_run(log: &Log<'_>, end: usize) -> Parsed {
    let Some(summary) = PYTEST_END.captures(log.lines[end]).map(|found| found[1].to_owned()) else {
        return Parsed::Broken;
    };
    let count = |word: &str| super::tally::count_of(&summary, word);
    let lines = &log.lines[..end];
    let sections: Vec<usize> = (0..lines.len()).filter(|at| PYTEST_SECTION.is_match(lines[*at])).collect();
    let short = sections.iter().rev().find(|at| is_section(lines[**at], "short test summary info")).copied();
    let first =
        sections.iter().copied().find(|at| !is_section(lines[*at], "test session starts")).unwrap_or(lines.len());

    let mut named: Vec<(String, TestStatus)> = Vec::new();
    let loud = pytest_verbose(&lines[..first]);
    let passed = count("passed") + count("xpassed");
    let mut seen = BTreeSet::new();
    for line in short.map_or(&[][..], |at| &lines[at + 1..]) {
        if let Some(found) = PYTEST_SUBTEST.captures(line) {
            named.push((node(&found[1]), Failed));
        } else if let Some(found) = PYTEST_SHORT.captures(line) {
            let status = if matches!(&found[1], "PASSED" | "XPASS") { Passed } else { Failed };
            let name = if status == Passed && &found[1] == "PASSED" { found[2].to_owned() } else { node(&found[2]) };
            seen.insert(name.clone());
            named.push((name, status));
        }
    }
    named.extend(loud.into_iter().filter(|(name, _)| !seen.contains(name)));
    // Something between the sections may read like a result: subtests pass beside their test.
    let failed = count("failed") + count("error") + count("errors");
    let stopped = lines[first..].iter().any(|line| line.starts_with("!!!!") && line.ends_with("!!!!"));
    let skipped = count("skipped") + count("xfailed");
    settle(named, Summary { passed: Some(passed), failed, skipped, partial: log.gap || stopped })
}

fn is_section(line: &str, title: &str) -> bool {
    PYTEST_SECTION.captures(line).is_some_and(|found| &found[1] == title)
}

fn pytest_verbose(lines: &[&str]) -> Vec<(String, TestStatus)> {
    let mut named = Vec::new();
    for line in lines {
        let (name, status) = match (PYTEST_XDIST.captures(line), PYTEST_VERBOSE.captures(line)) {
            (Some(found), _) => (found[2].to_owned(), found[1].to_owned()),
            (None, Some(found)) => (found[1].to_owned(), found[2].to_owned()),
            (None, None) => continue,
        };
        let status = match status.as_str() {
            "PASSED" | "XPASS" => Passed,
            "SKIPPED" | "XFAIL" => Skipped,
            _ => Failed,
        };
        named.push((name, status));
    }
    named
}

/// The node id before ` - message`; the id itself may hold ` - ` in its brackets.
fn node(text: &str) -> String {
    let balanced = |prefix: &str| prefix.matches('[').count() == prefix.matches(']').count();
    let cut = text.match_indices(" - ").map(|(at, _)| at).find(|at| balanced(&text[..*at]));
    text[..cut.unwrap_or(text.len())].to_owned()
}
