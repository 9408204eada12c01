//! cargo test (libtest and doctests) and cargo-nextest.

use super::{
    Log, Parsed, Summary, pattern,
    tally::{settle, sum},
};
use crate::domain::check::TestStatus::{self, Failed, Passed, Skipped};
use std::collections::{BTreeMap, BTreeSet};

pattern!(RUNNING, r"^running (\d+) tests?$");
pattern!(
    RESULT,
    r"^test result: (ok|FAILED)\. (\d+) passed; (\d+) failed; (\d+) ignored; (\d+) measured; (\d+) filtered out"
);
pattern!(TARGET, r"^\s+Running (?:unittests )?(\S+) \((?:.*/)?(.+?)-[0-9a-f]{16}(?:\.exe)?\)$");
pattern!(DOC_TARGET, r"^\s+Doc-tests (\S+)$");
pattern!(TEST, r"^test (.+?)(?: - should panic)?(?: - compile(?: fail)?)? \.\.\. (ok|FAILED|ignored)(?:, .*)?$");
pattern!(QUIET_FAILURE, r"^(.+) --- FAILED$");
pattern!(DOC_LINE, r" \(line \d+\)$");
pattern!(TARGETS_FAILED, r"^error: \d+ targets? failed:$");

/// `cargo test`: one section a binary, from `running n tests` to `test result:`. Where a binary
/// died, its section has no result and nothing is claimed of any.
pub(super) fn cargo_test(log: &Log<'_>) -> Parsed {
    let starts: Vec<usize> = (0..log.lines.len()).filter(|at| RUNNING.is_match(log.lines[*at])).collect();
    let results = log.lines.iter().filter(|line| RESULT.is_match(line)).count();
    if starts.is_empty() && results == 0 {
        return Parsed::NotMine;
    }
    if log.gap || starts.len() != results || log.lines.iter().any(|line| line.starts_with("error: could not compile")) {
        return Parsed::Broken;
    }
    let went_on = log.lines.iter().any(|line| TARGETS_FAILED.is_match(line));
    let mut target: Option<String> = None;
    let mut from = 0;
    sum(starts.iter().enumerate().map(|(index, start)| {
        for line in &log.lines[from..*start] {
            let found = TARGET.captures(line).map(|found| found[2].to_owned());
            target = found
                .or_else(|| DOC_TARGET.captures(line).map(|found| format!("{} docs", &found[1])))
                .or(target.take());
        }
        from = *start;
        let end = starts.get(index + 1).copied().unwrap_or(log.lines.len());
        section(&log.lines[*start..end], target.as_deref(), went_on)
    }))
}

fn section(lines: &[&str], target: Option<&str>, went_on: bool) -> Parsed {
    let running: Option<u32> = RUNNING.captures(lines[0]).and_then(|found| found[1].parse().ok());
    let Some(end) = lines.iter().position(|line| RESULT.is_match(line)) else { return Parsed::Broken };
    let Some(result) = RESULT.captures(lines[end]) else { return Parsed::Broken };
    let count = |group: usize| result[group].parse::<u32>().unwrap_or(0);
    let (passed, failed, ignored, measured) = (count(2), count(3), count(4), count(5));
    if running != Some(passed + failed + ignored + measured) || (failed == 0) != (&result[1] == "ok") {
        return Parsed::Broken;
    }
    let mut doctests = BTreeMap::new();
    let mut name = |text: &str| {
        let test = stable(text, &mut doctests);
        target.map_or_else(|| test.clone(), |target| format!("{target}::{test}"))
    };
    let mut named: Vec<(String, TestStatus)> = Vec::new();
    let mut failing = BTreeSet::new();
    for line in &lines[1..end] {
        if let Some(found) = TEST.captures(line) {
            let status = match &found[2] {
                "ok" => Passed,
                "ignored" => Skipped,
                _ => Failed,
            };
            if status == Failed {
                failing.insert(found[1].to_owned());
            }
            named.push((name(&found[1]), status));
        }
    }
    // Quiet runs name failures in the list at the end alone.
    let listed = lines[..end].iter().rposition(|line| *line == "failures:");
    for line in listed.map_or(&[][..], |at| &lines[at + 1..end]) {
        let test = line.strip_prefix("    ").filter(|test| !test.is_empty());
        if let Some(test) = test.filter(|test| !failing.contains(*test)) {
            named.push((name(test), Failed));
        }
    }
    let quiet: BTreeSet<&str> = lines[..end]
        .iter()
        .filter_map(|line| QUIET_FAILURE.captures(line)?.get(1))
        .map(|found| found.as_str())
        .collect();
    if quiet.len() > failed as usize {
        return Parsed::Broken;
    }
    // Cargo stops at the first binary that fails unless told not to.
    let partial = failed > 0 && !went_on;
    settle(named, Summary { passed: Some(passed), failed, skipped: ignored, partial })
}

/// Doctests are named by their line, which moves with every edit above it: their order stands in.
fn stable(test: &str, doctests: &mut BTreeMap<String, u32>) -> String {
    let Some(found) = DOC_LINE.find(test) else { return test.to_owned() };
    let item = test[..found.start()].to_owned();
    let number = doctests.entry(item.clone()).and_modify(|number| *number += 1).or_insert(1);
    if *number == 1 { item } else { format!("{item} #{number}") }
}

pattern!(
    NEXTEST_LINE,
    r"^ +(PASS|FAIL|LEAK|LEAK-FAIL|TIMEOUT|ABORT|XFAIL|SIG[A-Z0-9]+) \[ *>?[\d.]+s\] (?:\( *\d+/\d+\) )?(\S.*)$"
);
pattern!(NEXTEST_END, r"^ +Summary \[ *[\d.]+s\] (\d+)(?:/(\d+))? tests? run: (\d+) passed(.*)$");

/// `cargo nextest run`: one line a test; failures are listed again below the summary.
pub(super) fn nextest(log: &Log<'_>) -> Parsed {
    let ends: Vec<usize> = (0..log.lines.len()).filter(|at| NEXTEST_END.is_match(log.lines[*at])).collect();
    let began = log.lines.iter().any(|line| line.trim_start().starts_with("Nextest run ID "));
    let end = match ends[..] {
        [] if began => return Parsed::Broken,
        [] => return Parsed::NotMine,
        [end] => end,
        _ => return Parsed::Broken,
    };
    let Some(summary) = NEXTEST_END.captures(log.lines[end]) else { return Parsed::Broken };
    let number = |group: usize| summary.get(group).and_then(|found| found.as_str().parse::<u32>().ok());
    let tail = strip_brackets(&summary[4]);
    let count = |word: &str| super::tally::count_of(&tail, word);
    let passed = number(3).unwrap_or(0);
    let failed = count("failed") + count("timed") + count("exec");
    let mut tests: BTreeMap<String, TestStatus> = BTreeMap::new();
    for found in log.lines.iter().filter_map(|line| NEXTEST_LINE.captures(line)) {
        let status = if matches!(&found[1], "PASS" | "LEAK") { Passed } else { Failed };
        tests.insert(found[2].to_owned(), status);
    }
    if number(1) != Some(passed + failed) {
        return Parsed::Broken;
    }
    let partial = log.gap || number(2).is_some();
    settle(tests.into_iter().collect(), Summary { passed: Some(passed), failed, skipped: count("skipped"), partial })
}

/// `3 passed (1 slow), 2 failed` without what stands in brackets.
fn strip_brackets(text: &str) -> String {
    let mut depth = 0_u32;
    text.chars()
        .filter(|letter| {
            match letter {
                '(' => depth += 1,
                ')' => {
                    depth = depth.saturating_sub(1);
                    return false;
                }
                _ => {}
            }
            depth == 0
        })
        .collect()
}
