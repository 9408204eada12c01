//! go test: plain, `-v` and `-json`.

use super::{
    Log, Parsed, Summary, pattern,
    tally::{settle, sum},
};
use crate::domain::check::TestStatus::{self, Failed, Passed, Skipped};
use serde::Deserialize;
use std::{borrow::Cow, collections::BTreeMap};

pattern!(PACKAGE, r"^(?:(ok  |FAIL|\?   )\t|\t)(\S+)(?:\t| \[)(.*)$");
pattern!(RESULT, r"--- (PASS|FAIL|SKIP): (\S+) \(\d+\.\d+s\)$");
pattern!(RUN, r"^=== RUN   (\S+)$");

/// One line a package ends what is known of it. Plain runs name failures and count nothing.
pub(super) fn parse(log: &Log<'_>) -> Parsed {
    let json: Vec<Event<'_>> = log.lines.iter().filter_map(|line| event(line)).collect();
    if json.iter().any(|event| event.package.is_some()) {
        return if log.gap { Parsed::Broken } else { events(&json) };
    }
    if !log.lines.iter().any(|line| PACKAGE.is_match(line)) {
        return Parsed::NotMine;
    }
    // A tab before a package's name alone is too little to know Go by.
    if !log
        .lines
        .iter()
        .any(|line| line.starts_with("ok  \t") || line.starts_with("FAIL\t") || line.starts_with("?   \t"))
    {
        return Parsed::NotMine;
    }
    if log.gap {
        return Parsed::Broken;
    }
    let verbose = log.lines.iter().any(|line| RUN.is_match(line));
    let mut packages = Vec::new();
    let mut open = Package::default();
    for line in &log.lines {
        if let Some(found) = PACKAGE.captures(line) {
            let word = found.get(1).map_or("", |found| found.as_str()).trim_end();
            packages.push(std::mem::take(&mut open).close(&found[2], word, verbose));
        } else if let Some(found) = RUN.captures(line) {
            open.run(&found[1]);
        } else if let Some(found) = RESULT.captures(line) {
            open.result(&found[2], &found[1]);
        }
    }
    // Results without their package's line: the log was cut.
    if open.results.is_empty() && open.running.is_empty() { sum(packages) } else { Parsed::Broken }
}

/// The tests of a package until its line comes.
#[derive(Debug, Default)]
struct Package {
    /// By name, of `=== RUN` lines: none of a plain run.
    running: BTreeMap<String, Option<TestStatus>>,
    results: Vec<(String, TestStatus)>,
}

impl Package {
    fn run(&mut self, test: &str) {
        self.running.entry(test.to_owned()).or_insert(None);
    }

    fn result(&mut self, test: &str, word: &str) {
        let status = match word {
            "PASS" | "pass" => Passed,
            "SKIP" | "skip" => Skipped,
            _ => Failed,
        };
        self.results.push((test.to_owned(), status));
    }

    /// `word`: `ok`, `FAIL`, `?` (no test files) or empty (no test files either).
    fn close(mut self, package: &str, word: &str, verbose: bool) -> Parsed {
        let fails = word == "FAIL";
        // A test may print what reads like a result; in verbose runs only what ran counts.
        if verbose {
            for (test, status) in std::mem::take(&mut self.results) {
                if let Some(seen) = self.running.get_mut(&test) {
                    *seen = Some(status);
                }
            }
            // A panic ends the others too.
            let unfinished = if fails { Failed } else { Passed };
            self.results =
                self.running.into_iter().map(|(test, status)| (test, status.unwrap_or(unfinished))).collect();
        } else {
            self.results.retain(|(_, status)| *status == Failed);
            self.results.sort();
            self.results.dedup();
        }
        let mut named: Vec<(String, TestStatus)> =
            self.results.into_iter().map(|(test, status)| (format!("{package}.{test}"), status)).collect();
        let count = |wanted| named.iter().filter(|(_, status)| *status == wanted).count() as u32;
        let (passed, mut failed, skipped) = (count(Passed), count(Failed), count(Skipped));
        if !fails && failed > 0 {
            return Parsed::Broken;
        }
        if fails && failed == 0 {
            // It does not build, or ended without saying which test broke it.
            named.push((package.to_owned(), Failed));
            failed = 1;
        }
        let nothing = matches!(word, "?" | "");
        let passed = if verbose { Some(passed) } else { nothing.then_some(0) };
        settle(named, Summary { passed, failed, skipped, partial: false })
    }
}

/// A line of `go test -json` (`go doc test2json`).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event<'a> {
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow, default)]
    package: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    test: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    output: Option<Cow<'a, str>>,
}

fn event(line: &str) -> Option<Event<'_>> {
    line.starts_with("{\"").then(|| serde_json::from_str(line).ok())?
}

fn events(events: &[Event<'_>]) -> Parsed {
    let mut open: BTreeMap<&str, Package> = BTreeMap::new();
    let mut packages = Vec::new();
    for event in events {
        let Some(name) = event.package.as_deref() else { continue };
        match (&*event.action, event.test.as_deref()) {
            ("run", Some(test)) => open.entry(name).or_default().run(test),
            (word @ ("pass" | "fail" | "skip"), Some(test)) => open.entry(name).or_default().result(test, word),
            (word @ ("pass" | "fail" | "skip"), None) => {
                let word = match word {
                    "pass" => "ok",
                    "fail" => "FAIL",
                    _ => "?",
                };
                packages.push(open.remove(name).unwrap_or_default().close(name, word, true));
            }
            // Behind what a test printed without a newline, older Go sees no result.
            ("output", Some(test)) => {
                let text = event.output.as_deref().unwrap_or("").trim_end();
                if let Some(found) = RESULT.captures(text).filter(|found| &found[2] == test) {
                    open.entry(name).or_default().result(test, &found[1]);
                }
            }
            ("start" | "output", None) => _ = open.entry(name).or_default(),
            _ => {}
        }
    }
    if open.is_empty() { sum(packages) } else { Parsed::Broken }
}
