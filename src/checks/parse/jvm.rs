//! Maven's Surefire and Failsafe, and Gradle.

use super::{
    Log, Parsed, Summary, pattern,
    tally::{settle, sum},
};
use crate::domain::check::TestStatus::{self, Failed, Passed, Skipped};

pattern!(
    SUREFIRE_END,
    r"^(?:\[\w+\] +)?Tests run: (\d+), Failures: (\d+), Errors: (\d+), Skipped: (\d+)(?:, Flakes: \d+)?$"
);
pattern!(RESULTS, r"^(?:\[\w+\] +)?Results ?: *$");
pattern!(SUREFIRE_CLASS, r"^(?:\[\w+\] +)?Tests run: \d+, .*Time elapsed: .* --? in (\S+)$");
pattern!(SUREFIRE_TEST, r"^(?:\[\w+\] +)?(\S.*?)(?: --)? +Time elapsed: [\d.,]+ s(?:ec)?\s+<<< (?:FAILURE|ERROR)!$");
pattern!(OLD_NAME, r"^(.+)\(([\w.$]+)\)$");

/// Surefire: names failures always and passes never.
pub(super) fn surefire(log: &Log<'_>) -> Parsed {
    let mut runs = Vec::new();
    let (mut from, mut results) = (0, None);
    for (at, line) in log.lines.iter().enumerate() {
        if RESULTS.is_match(line) {
            results = Some(at);
        } else if let Some(found) = SUREFIRE_END.captures(line).filter(|_| results.is_some()) {
            let count = |group: usize| found[group].parse::<u32>().unwrap_or(0);
            let named = surefire_failures(&log.lines[from..results.unwrap_or(at)]);
            let (failed, skipped) = (count(2) + count(3), count(4));
            let passed = count(1).saturating_sub(failed + skipped);
            runs.push(settle(named, Summary { passed: Some(passed), failed, skipped, partial: log.gap }));
            (from, results) = (at + 1, None);
        }
    }
    let began = || log.lines.iter().any(|line| line.trim_end().ends_with("T E S T S"));
    if runs.is_empty() && began() { Parsed::Broken } else { sum(runs) }
}

fn surefire_failures(lines: &[&str]) -> Vec<(String, TestStatus)> {
    let mut class = "";
    let mut named = Vec::new();
    for line in lines {
        if let Some(found) = SUREFIRE_CLASS.captures(line) {
            class = found.get(1).map_or("", |name| name.as_str());
        } else if let Some(found) = SUREFIRE_TEST.captures(line).filter(|found| !found[1].starts_with("Tests run:")) {
            let said = &found[1];
            let name = match OLD_NAME.captures(said).filter(|old| old[2].ends_with(class) && !class.is_empty()) {
                Some(old) => format!("{}.{}", &old[2], &old[1]),
                None if said.starts_with(class) => said.to_owned(),
                None => format!("{class}.{said}"),
            };
            named.push((name, Failed));
        }
    }
    named
}

pattern!(GRADLE_END, r"^(\d+) tests? completed(?:, (\d+) failed)?(?:, (\d+) skipped)?$");
pattern!(GRADLE_TEST, r"^(\S.*? > \S.*?) (PASSED|FAILED|SKIPPED)$");

/// Gradle: counts and names where something failed, the rest only where the build asks for it. Where all passes it
/// says nothing that could be held against its names.
pub(super) fn gradle(log: &Log<'_>) -> Parsed {
    let mut runs = Vec::new();
    let mut named: Vec<(String, TestStatus)> = Vec::new();
    for line in &log.lines {
        if let Some(found) = GRADLE_TEST.captures(line).filter(|_| !line.starts_with('>')) {
            let status = match &found[2] {
                "PASSED" => Passed,
                "FAILED" => Failed,
                _ => Skipped,
            };
            named.push((without_executor(&found[1]).to_owned(), status));
        } else if let Some(found) = GRADLE_END.captures(line) {
            let count =
                |group: usize| found.get(group).and_then(|count| count.as_str().parse::<u32>().ok()).unwrap_or(0);
            let (failed, skipped) = (count(2), count(3));
            let passed = count(1).saturating_sub(failed + skipped);
            let summary = Summary { passed: Some(passed), failed, skipped, partial: log.gap };
            runs.push(settle(std::mem::take(&mut named), summary));
        }
    }
    let left = named.iter().any(|(_, status)| *status == Failed);
    if left { Parsed::Broken } else { sum(runs) }
}

fn without_executor(name: &str) -> &str {
    match name.split_once("Gradle Test Executor ") {
        Some((_, rest)) => rest.split_once(" > ").map_or(name, |(_, name)| name),
        None => name,
    }
}
