//! How long tests took, where a log tells it.
//!
//! Read apart from the tests themselves, and joined by name where that is without doubt: a time that
//! cannot be placed is left out.

use super::{Log, pattern};
use crate::domain::check::TestReport;
use serde::Deserialize;
use std::{borrow::Cow, collections::HashMap};

pattern!(GO, r"--- (?:PASS|FAIL): (\S+) \((\d+\.\d+)(s)\)$");
pattern!(MARKED, r"^ *(?:✓|✔|√|✕|✗|×|✖|\d+\)) (.+?) \((\d[\d.]*) ?(m?s)\)$");
pattern!(VITEST, r"^ (?:✓|×) (\S+ > .+?) +(\d+)(m?s)$");
pattern!(NEXTEST, r"^ +(?:PASS|FAIL|LEAK) \[ *>?([\d.]+)s\] (?:\( *\d+/\d+\) )?(\S.*)$");
pattern!(PYTEST, r"^(\d+\.\d+)s call +(\S.*?) *$");

/// A line of `go test -json` that ends a test.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GoEnd<'a> {
    #[serde(borrow)]
    package: Cow<'a, str>,
    #[serde(borrow)]
    test: Cow<'a, str>,
    elapsed: f64,
}

/// Gives the tests their times.
pub(super) fn place(log: &Log<'_>, report: &mut TestReport) {
    let mut times: HashMap<Cow<'_, str>, Option<u64>> = HashMap::new();
    for (name, ms) in log.lines.iter().filter_map(|line| time(line)) {
        // Said twice, of two tests of one name perhaps: whose time it is nobody knows.
        times.entry(name).and_modify(|seen| *seen = seen.filter(|seen| *seen == ms)).or_insert(Some(ms));
    }
    if times.is_empty() {
        return;
    }
    let mut places: HashMap<&str, Option<usize>> = HashMap::new();
    for (at, test) in report.tests.iter().enumerate() {
        for suffix in suffixes(&test.name) {
            places.entry(suffix).and_modify(|place| *place = None).or_insert(Some(at));
        }
    }
    let placed: Vec<(usize, u64)> =
        times.iter().filter_map(|(name, ms)| Some((places.get(&**name).copied().flatten()?, (*ms)?))).collect();
    for (at, ms) in placed {
        report.tests[at].duration_ms = Some(ms);
    }
}

fn time<'a>(line: &'a str) -> Option<(Cow<'a, str>, u64)> {
    if line.starts_with("{\"") && line.contains("\"Elapsed\"") {
        let end: GoEnd<'a> = serde_json::from_str(line).ok()?;
        return Some((Cow::Owned(format!("{}.{}", end.package, end.test)), milliseconds(end.elapsed, "s")));
    }
    // Most lines have no time.
    if !line.ends_with("s)") && !line.contains("s ") && !line.contains("s]") && !line.ends_with('s') {
        return None;
    }
    let (name, number, unit) =
        if let Some(found) = GO.captures(line).or_else(|| MARKED.captures(line)).or_else(|| VITEST.captures(line)) {
            (found.get(1)?.as_str(), found.get(2)?.as_str(), found.get(3)?.as_str())
        } else if let Some(found) = NEXTEST.captures(line).or_else(|| PYTEST.captures(line)) {
            (found.get(2)?.as_str(), found.get(1)?.as_str(), "s")
        } else {
            return None;
        };
    Some((Cow::Borrowed(name), milliseconds(number.parse().ok()?, unit)))
}

/// A negative or endless time is 0.
fn milliseconds(number: f64, unit: &str) -> u64 {
    (number * if unit == "s" { 1_000.0 } else { 1.0 }) as u64
}

/// The name, and what is left of it behind each of its parts.
fn suffixes(name: &str) -> impl Iterator<Item = &str> {
    let behind = ["::", " > ", " › ", "."]
        .into_iter()
        .flat_map(|mark| name.match_indices(mark).map(move |(at, mark)| at + mark.len()));
    std::iter::once(0).chain(behind).map(|at| &name[at..])
}
