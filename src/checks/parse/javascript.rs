//! jest, vitest and mocha.

use super::{
    Log, Parsed, Summary, pattern,
    tally::{count_of, settle},
};
use crate::domain::check::TestStatus::{self, Failed, Passed, Skipped};
use std::collections::BTreeSet;

pattern!(JEST_END, r"^Tests: +(.*\d+ total)$");
pattern!(JEST_SUITES, r"^Test Suites: +(.*\d+ total)$");
pattern!(JEST_FILE, r"^(PASS|FAIL) (?:\S+ )??(\S+\.\w+)(?: \(.*\))?$");
pattern!(JEST_FAILURE, r"^  ● (.+)$");
pattern!(MARK, r"^( +)(✓|✔|√|✕|✗|×|○|✎|-|\d+\)) (.+?)(?: \(\d[\d.]* ?m?s\))?$");
pattern!(JEST_DESCRIBE, r"^( +)(\S.*)$");

/// jest: names failures always, all tests with `--verbose` or where it runs a single file.
pub(super) fn jest(log: &Log<'_>) -> Parsed {
    let Some(end) = log.lines.iter().rposition(|line| JEST_END.is_match(line)) else {
        let suites = log.lines.iter().any(|line| JEST_SUITES.is_match(line));
        return if suites { Parsed::Broken } else { Parsed::NotMine };
    };
    let suites = log.lines[..end].iter().rev().take(2).find_map(|line| JEST_SUITES.captures(line));
    let (Some(suites), Some(tests)) = (suites, JEST_END.captures(log.lines[end])) else { return Parsed::NotMine };

    let mut files_failed = BTreeSet::new();
    let mut broken_files = BTreeSet::new();
    let mut failing = BTreeSet::new();
    let mut named: Vec<(String, TestStatus)> = Vec::new();
    let mut file: Option<String> = None;
    let mut tree = None;
    for line in &log.lines[..end] {
        if let Some(found) = JEST_FILE.captures(line) {
            if &found[1] == "FAIL" {
                files_failed.insert(found[2].to_owned());
            }
            tree = Some(Tree::default());
            file = Some(found[2].to_owned());
            continue;
        }
        let Some(file) = &file else { continue };
        if let Some(found) = JEST_FAILURE.captures(line) {
            tree = None;
            match &found[1] {
                "Console" => {}
                "Test suite failed to run" => _ = broken_files.insert(file.clone()),
                // Only failing tests have a heading of their own; obsolete snapshots have not.
                name => _ = failing.insert(format!("{file} › {name}")),
            }
        } else if line.is_empty() {
            tree = None;
        } else if let Some(tree) = &mut tree {
            named.extend(tree.line(line, 2).map(|(name, status)| (format!("{file} › {name}"), status)));
        }
    }
    // The summary at the end of long runs repeats failures; verbose trees name them too.
    named.retain(|(_, status)| *status != Failed);
    let failed = count_of(&tests[1], "failed");
    if failing.len() != failed as usize || files_failed.len() != count_of(&suites[1], "failed") as usize {
        return Parsed::Broken;
    }
    let skipped = count_of(&tests[1], "skipped") + count_of(&tests[1], "todo") + count_of(&tests[1], "pending");
    let failed = failed + broken_files.len() as u32;
    named.extend(failing.into_iter().chain(broken_files).map(|name| (name, Failed)));
    let partial = log.gap || (failed > 0 && log.stops_early(&["--bail", "-b"]));
    settle(named, Summary { passed: Some(count_of(&tests[1], "passed")), failed, skipped, partial })
}

/// Marks below headings, by their indentation.
#[derive(Debug, Default)]
struct Tree {
    path: Vec<String>,
}

impl Tree {
    /// Reads a line; `margin` is the indentation of the outermost.
    fn line(&mut self, line: &str, margin: usize) -> Option<(String, TestStatus)> {
        if let Some(found) = MARK.captures(line) {
            let depth = found[1].len().checked_sub(margin)? / 2;
            self.path.truncate(depth);
            let name = found[3].strip_prefix("skipped ").filter(|_| &found[2] == "○").unwrap_or(&found[3]);
            let name = name.strip_prefix("todo ").filter(|_| &found[2] == "✎").unwrap_or(name);
            let full = self.path.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(" › ");
            let status = match &found[2] {
                "✓" | "✔" | "√" => Passed,
                "○" | "✎" | "-" => Skipped,
                _ => Failed,
            };
            return Some((full, status));
        }
        let found = JEST_DESCRIBE.captures(line)?;
        let depth = found[1].len().checked_sub(margin)? / 2;
        self.path.truncate(depth);
        self.path.push(found[2].to_owned());
        None
    }
}

pattern!(VITEST_END, r"^ +Tests  +(.*\(\d+\)|no tests)$");
pattern!(VITEST_FILES, r"^ *Test Files  +(.*\(\d+\)|no tests)$");
pattern!(VITEST_FAILURE, r"^ FAIL  (?:\|[^|]+\| |\S+ (?:\[|\| ))?(\S.*)$");
pattern!(VITEST_MARK, r"^ (✓|×|↓|□) (?:\|[^|]+\| )?(\S+ > .+?)(?: \d+m?s)?$");

/// vitest: names failures always, all tests with the verbose reporter.
pub(super) fn vitest(log: &Log<'_>) -> Parsed {
    let ends: Vec<usize> = (0..log.lines.len()).filter(|at| VITEST_END.is_match(log.lines[*at])).collect();
    let files = log.lines.iter().find_map(|line| VITEST_FILES.captures(line));
    let (Some(end), Some(files)) = (ends.last(), files) else {
        let began = log.lines.iter().any(|line| line.starts_with(" RUN  v"));
        return if began { Parsed::Broken } else { Parsed::NotMine };
    };
    let Some(tests) = VITEST_END.captures(log.lines[*end]) else { return Parsed::Broken };
    let count = |word: &str| count_of(tests[1].split('(').next().unwrap_or(""), word);
    let mut failing = BTreeSet::new();
    let mut broken_files = BTreeSet::new();
    let mut named: Vec<(String, TestStatus)> = Vec::new();
    for line in &log.lines[..*end] {
        if let Some(found) = VITEST_FAILURE.captures(line) {
            if found[1].contains(" > ") {
                failing.insert(found[1].to_owned());
            } else {
                broken_files.insert(found[1].split(" [ ").next().unwrap_or("").to_owned());
            }
        } else if let Some(found) = VITEST_MARK.captures(line) {
            let status = match &found[1] {
                "✓" => Passed,
                "×" => continue,
                _ => Skipped,
            };
            named.push((found[2].to_owned(), status));
        }
    }
    let failed = count("failed");
    let files_of_tests = failing.iter().filter_map(|name| name.split(" > ").next());
    let files_failed: BTreeSet<&str> = files_of_tests.chain(broken_files.iter().map(String::as_str)).collect();
    let files_counted = count_of(files[1].split('(').next().unwrap_or(""), "failed");
    if failing.len() != failed as usize || files_failed.len() != files_counted as usize {
        return Parsed::Broken;
    }
    let failed = failed + broken_files.len() as u32;
    named.extend(failing.into_iter().chain(broken_files).map(|name| (name, Failed)));
    let skipped = count("skipped") + count("todo");
    let partial = log.gap || (failed > 0 && log.stops_early(&["--bail"]));
    settle(named, Summary { passed: Some(count("passed")), failed, skipped, partial })
}

pattern!(MOCHA_END, r"^  (\d+) passing \(\d+m?s?\)$");
pattern!(MOCHA_COUNT, r"^  (\d+) (pending|failing)$");
pattern!(MOCHA_FAILURE, r"^  \d+\) (.+)$");

/// mocha's spec reporter.
pub(super) fn mocha(log: &Log<'_>) -> Parsed {
    let ends: Vec<usize> = (0..log.lines.len()).filter(|at| MOCHA_END.is_match(log.lines[*at])).collect();
    let end = match ends[..] {
        [] => return Parsed::NotMine,
        [end] => end,
        _ => return Parsed::Broken,
    };
    let passed = MOCHA_END.captures(log.lines[end]).and_then(|found| found[1].parse().ok());
    let count = |word: &str| -> u32 {
        let found = log.lines[end..].iter().take(3).filter_map(|line| MOCHA_COUNT.captures(line));
        found.filter(|found| &found[2] == word).find_map(|found| found[1].parse().ok()).unwrap_or(0)
    };
    let (failed, skipped) = (count("failing"), count("pending"));
    let mut tree = Tree::default();
    let mut named: Vec<(String, TestStatus)> = log.lines[..end].iter().filter_map(|line| tree.line(line, 2)).collect();
    // The failures are counted below the passes: where they are marked above, the count was cut.
    let marked = named.iter().filter(|(_, status)| *status == Failed).count();
    if marked > failed as usize {
        return Parsed::Broken;
    }
    named.retain(|(_, status)| *status != Failed);
    named.extend(mocha_failures(&log.lines[end..]).into_iter().map(|name| (name, Failed)));
    // Where a suite's hook failed, its tests did not run and are nowhere.
    let partial =
        log.gap || named.iter().any(|(name, _)| name.contains("\" hook")) || log.stops_early(&["--bail", "-b"]);
    settle(named, Summary { passed, failed, skipped, partial })
}

/// `  1) suite` and deeper lines, the last of which ends with a colon.
fn mocha_failures(lines: &[&str]) -> Vec<String> {
    let mut failures = Vec::new();
    let mut open: Option<Vec<&str>> = None;
    for line in lines {
        if let Some(found) = MOCHA_FAILURE.captures(line) {
            let first = found.get(1).map_or("", |first| first.as_str());
            open = Some(vec![first]);
        } else if let Some(path) = &mut open {
            path.push(line.trim());
        }
        let done = open.as_ref().and_then(|path| path.last()?.strip_suffix(':'));
        if let Some(last) = done {
            let mut path = open.take().unwrap_or_default();
            path.pop();
            path.push(last);
            failures.push(path.join(" › "));
        }
    }
    failures
}
