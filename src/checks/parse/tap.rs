//! TAP (versions 13 and 14), and node's test runner in TAP and in its spec reporter.

use super::{Log, Parsed, Summary, pattern, tally::settle};
use crate::domain::check::TestStatus::{self, Failed, Passed, Skipped};

pattern!(POINT, r"^( *)(not )?ok\b(?: +(\d+))?(?: +-)?(?: +(.*?))??(?: +# *(?i:(skip|todo))\b.*)?$");
pattern!(PLAN, r"^1\.\.(\d+)(?: *#.*)?$");
pattern!(SUBTEST, r"^( *)# Subtest: (.*)$");
pattern!(COUNT, r"^(?:# |ℹ )(tests|suites|pass|fail|cancelled|skipped|todo) (\d+)$");

/// TAP: the plan must agree with the points at the left margin. node's has counts of its own,
/// and names its inner tests too.
pub(super) fn parse(log: &Log<'_>) -> Parsed {
    let version = log.lines.iter().any(|line| matches!(*line, "TAP version 13" | "TAP version 14"));
    let points: Vec<(usize, Point)> =
        log.lines.iter().enumerate().filter_map(|(at, line)| Some((at, point(line)?))).collect();
    let plans: Vec<usize> = log.lines.iter().filter_map(|line| PLAN.captures(line)?[1].parse().ok()).collect();
    if !version && (plans.is_empty() || points.is_empty()) {
        return Parsed::NotMine;
    }
    if let Some(counts) = NodeCounts::of(log).filter(|counts| counts.suites.is_some()) {
        return node_tap(log, &counts);
    }
    if log.gap || plans.len() != 1 || log.lines.iter().any(|line| line.starts_with("Bail out!")) {
        return Parsed::Broken;
    }
    let named: Vec<(String, TestStatus)> = points
        .into_iter()
        .filter(|(_, point)| point.indent == 0)
        .enumerate()
        .map(|(index, (_, point))| {
            let name = if point.name.is_empty() { format!("test {}", index + 1) } else { point.name };
            (name, point.status)
        })
        .collect();
    if named.len() != plans[0] {
        return Parsed::Broken;
    }
    let count = |wanted| named.iter().filter(|(_, status)| *status == wanted).count() as u32;
    let summary =
        Summary { passed: Some(count(Passed)), failed: count(Failed), skipped: count(Skipped), partial: false };
    settle(named, summary)
}

/// `ok 1 - name # SKIP why`. A `not ok` that is still to do is no failure.
struct Point {
    indent: usize,
    name: String,
    status: TestStatus,
}

fn point(line: &str) -> Option<Point> {
    let found = POINT.captures(line)?;
    let status = match (found.get(5), found.get(2)) {
        (Some(_), _) => Skipped,
        (None, Some(_)) => Failed,
        (None, None) => Passed,
    };
    let name = found.get(4).map_or("", |name| name.as_str()).replace("\\#", "#");
    Some(Point { indent: found[1].len(), name: name.trim().to_owned(), status })
}

/// The counts below a run of `node --test`.
#[derive(Debug)]
struct NodeCounts {
    suites: Option<u32>,
    pass: u32,
    /// Cancelled ones too.
    fail: u32,
    skipped: u32,
    /// The line of the first of them.
    at: usize,
}

impl NodeCounts {
    fn of(log: &Log<'_>) -> Option<Self> {
        let get = |word: &str| {
            log.lines.iter().enumerate().rev().find_map(|(at, line)| {
                let found = COUNT.captures(line).filter(|found| &found[1] == word)?;
                Some((at, found[2].parse::<u32>().ok()?))
            })
        };
        let (at, _) = get("tests")?;
        let count = |word: &str| get(word).map(|(_, count)| count);
        Some(Self {
            suites: count("suites"),
            pass: count("pass")?,
            fail: count("fail")? + count("cancelled")?,
            skipped: count("skipped")? + count("todo")?,
            at,
        })
    }
}

fn node_tap(log: &Log<'_>, counts: &NodeCounts) -> Parsed {
    let mut path: Vec<String> = Vec::new();
    let mut results = Vec::new();
    for (at, line) in log.lines[..counts.at].iter().enumerate() {
        if let Some(found) = SUBTEST.captures(line) {
            path.truncate(found[1].len() / 4);
            path.push(found[2].replace("\\#", "#"));
        } else if let Some(point) = point(line).filter(|point| path.last().is_some_and(|open| *open == point.name)) {
            let depth = point.indent / 4;
            if depth + 1 != path.len() {
                continue;
            }
            let details = log.lines[at..].iter().skip(1).take_while(|line| line.trim() != "...");
            let suite = details.take(4).any(|line| line.trim() == "type: 'suite'");
            results.push(NodeResult { depth, suite, name: path.join(" > "), status: point.status });
            path.pop();
        }
    }
    node(results, counts, log.gap)
}

struct NodeResult {
    depth: usize,
    suite: bool,
    name: String,
    status: TestStatus,
}

/// Suites are not counted as tests, tests with tests inside are; where the log does not tell them
/// apart, the counts do.
fn node(results: Vec<NodeResult>, counts: &NodeCounts, gap: bool) -> Parsed {
    let mut leaves = Vec::new();
    let mut parents = Vec::new();
    let mut deepest = 0;
    for result in results {
        let parent = deepest > result.depth;
        deepest = result.depth;
        if result.suite {
            continue;
        }
        if parent { &mut parents } else { &mut leaves }.push((result.name, result.status));
    }
    let summary = Summary { passed: Some(counts.pass), failed: counts.fail, skipped: counts.skipped, partial: gap };
    let failing = |tests: &[(String, TestStatus)]| tests.iter().filter(|(_, status)| *status == Failed).count();
    let passing = |tests: &[(String, TestStatus)]| tests.iter().filter(|(_, status)| *status == Passed).count();
    let whole = leaves.len() + parents.len();
    let all = failing(&leaves) + failing(&parents) == counts.fail as usize
        && passing(&leaves) + passing(&parents) <= counts.pass as usize
        && whole <= (counts.pass + counts.fail + counts.skipped) as usize;
    if all {
        leaves.extend(parents);
    }
    settle(leaves, summary)
}

pattern!(SPEC, r"^( *)(✔|✖|﹣|▶|⚠) (.+?)(?: \((\d[\d.]*)ms\)(?: # (.*))?)?$");

/// `node --test` with its spec reporter.
pub(super) fn node_spec(log: &Log<'_>) -> Parsed {
    let Some(counts) = NodeCounts::of(log) else {
        let started = log.lines.iter().any(|line| SPEC.captures(line).is_some_and(|found| found.get(4).is_some()));
        return if started && log.lines.iter().any(|line| line.starts_with("ℹ ")) {
            Parsed::Broken
        } else {
            Parsed::NotMine
        };
    };
    if !log.lines[counts.at].starts_with("ℹ ") {
        return Parsed::NotMine;
    }
    let mut path: Vec<String> = Vec::new();
    let mut results = Vec::new();
    for line in &log.lines[..counts.at] {
        let Some(found) = SPEC.captures(line) else { continue };
        let (depth, name) = (found[1].len() / 2, found[3].to_owned());
        let timed = found.get(4).is_some();
        if &found[2] == "▶" && !timed {
            path.truncate(depth);
            path.push(name);
            continue;
        }
        if !timed {
            continue;
        }
        path.truncate(depth + 1);
        let closes = path.len() == depth + 1 && path[depth] == name;
        path.truncate(depth);
        let status = match (&found[2], found.get(5)) {
            (_, Some(_)) | ("﹣" | "⚠", None) => Skipped,
            ("✖", None) => Failed,
            _ => Passed,
        };
        let full = path.iter().map(String::as_str).chain([name.as_str()]).collect::<Vec<_>>().join(" > ");
        // A parent's mark says what its tests said; `▶` at the end does not even say which.
        if closes && &found[2] == "▶" {
            results.push(NodeResult { depth, suite: true, name: full, status });
        } else {
            results.push(NodeResult { depth, suite: false, name: full, status });
        }
    }
    node(results, &counts, log.gap)
}
