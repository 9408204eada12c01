//! `PHPUnit`.

use super::{Log, Parsed, Summary, pattern, tally::settle};
use crate::domain::check::TestStatus::{self, Failed, Passed};
use std::collections::BTreeSet;

pattern!(OK, r"^OK \((\d+) tests?, \d+ assertions?\)$");
pattern!(COUNTS, r"^Tests: (\d+), Assertions: \d+(.*)\.$");
pattern!(COUNT, r"(\w+): (\d+)");
pattern!(SECTION, r"^There (?:was|were) \d+ (?:PHPUnit |test runner )?(\w+)");
pattern!(NAMED, r"^\d+\) (\S+::\S.*)$");
pattern!(DATA_SET, r#"^(.* with data set (?:"[^"]*"|#\d+)) \(.*\)$"#);
pattern!(ENDED, r"^Test '(\S+::.+)' ended$");

/// `PHPUnit`: names failures and errors always; all tests with `--debug` of its versions up to 9, where none was skipped.
pub(super) fn phpunit(log: &Log<'_>) -> Parsed {
    let Some(start) = log.lines.iter().position(|line| line.starts_with("PHPUnit ") && line.contains("Bergmann"))
    else {
        return Parsed::NotMine;
    };
    let lines = &log.lines[start..];
    let last =
        |at: &usize| OK.is_match(lines[*at]) || COUNTS.is_match(lines[*at]) || lines[*at] == "No tests executed!";
    let Some(end) = (0..lines.len()).rev().find(last) else { return Parsed::Broken };
    let mut counts = Counts::default();
    if let Some(found) = OK.captures(lines[end]) {
        counts.tests = found[1].parse().unwrap_or(0);
    } else if let Some(found) = COUNTS.captures(lines[end]) {
        counts.tests = found[1].parse().unwrap_or(0);
        for part in COUNT.captures_iter(&found[2]) {
            let count: u32 = part[2].parse().unwrap_or(0);
            match &part[1] {
                "Failures" | "Errors" => counts.failed += count,
                "Skipped" | "Incomplete" => counts.skipped += count,
                _ => {}
            }
        }
    }
    let mut failing: Vec<String> = Vec::new();
    let mut listed = false;
    for line in &lines[..end] {
        if let Some(found) = SECTION.captures(line) {
            listed = matches!(&found[1], "error" | "errors" | "failure" | "failures");
        } else if let Some(found) = NAMED.captures(line).filter(|_| listed) {
            failing.push(plain(&found[1]));
        }
    }
    let failed: BTreeSet<&String> = failing.iter().collect();
    let ended: Vec<String> =
        lines[..end].iter().filter_map(|line| ENDED.captures(line)).map(|found| plain(&found[1])).collect();
    let passed = counts.tests.saturating_sub(counts.failed + counts.skipped);
    let passing: Vec<String> = ended.into_iter().filter(|name| !failed.contains(name)).collect();
    let mut named: Vec<(String, TestStatus)> = Vec::new();
    if counts.skipped == 0 && passing.len() == passed as usize {
        named.extend(passing.into_iter().map(|name| (name, Passed)));
    }
    named.extend(failing.into_iter().map(|name| (name, Failed)));
    let stops = ["--stop-on-failure", "--stop-on-error", "--stop-on-defect"];
    let partial = log.gap || (counts.failed > 0 && log.stops_early(&stops));
    settle(named, Summary { passed: Some(passed), failed: counts.failed, skipped: counts.skipped, partial })
}

#[derive(Default)]
struct Counts {
    tests: u32,
    failed: u32,
    skipped: u32,
}

/// Without the values of its data set, which follow its name.
fn plain(name: &str) -> String {
    DATA_SET.captures(name).map_or_else(|| name.to_owned(), |found| found[1].to_owned())
}
