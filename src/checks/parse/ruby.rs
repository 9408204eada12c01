//! `RSpec`.

use super::{Log, Parsed, Summary, pattern, tally::settle};
use crate::domain::check::TestStatus::{self, Failed, Passed, Skipped};

pattern!(
    END,
    r"^(\d+) examples?, (\d+) failures?(?:, (\d+) pending)?(?:, (\d+) errors? occurred outside of examples)?$"
);
pattern!(FAILED, r"^rspec (?:'(.+?)'|(\S+)) # (.+)$");
pattern!(NOT_LOADED, r"^An error occurred (?:while loading|in an?|in the) (.+?)\.?$");
pattern!(TREE, r"^( *)(\S.*?)(?: \((FAILED - \d+|PENDING: .*)\))?$");

/// `RSpec`: names failures always, all examples in its documentation format. Names are the full descriptions.
pub(super) fn rspec(log: &Log<'_>) -> Parsed {
    // What a test prints may look like a summary, and has no time above it.
    let is_end = |at: &usize| *at > 0 && log.lines[at - 1].starts_with("Finished in ") && END.is_match(log.lines[*at]);
    let Some(end) = (0..log.lines.len()).rev().find(is_end) else { return Parsed::NotMine };
    let Some(found) = END.captures(log.lines[end]) else { return Parsed::NotMine };
    let count = |group: usize| found.get(group).and_then(|text| text.as_str().parse().ok()).unwrap_or(0_u32);
    let (examples, failures, pending, errors) = (count(1), count(2), count(3), count(4));
    let passed = examples.saturating_sub(failures + pending);

    let listed = log.lines[end..].iter().filter_map(|line| FAILED.captures(line));
    let mut named: Vec<(String, TestStatus)> = listed.map(|found| (plain(&found[3]), Failed)).collect();
    let broken = log.lines[..end].iter().filter_map(|line| NOT_LOADED.captures(line));
    named.extend(broken.map(|found| (found[1].trim_start_matches("./").to_owned(), Failed)));
    let tree = tree(&log.lines[..end]).unwrap_or_default();
    let of = |wanted| tree.iter().filter(|(_, status)| *status == wanted).count() as u32;
    // Output between the lines can make groups look like examples.
    if (of(Passed), of(Failed), of(Skipped)) == (passed, failures, pending) {
        named.extend(tree.into_iter().filter(|(_, status)| *status != Failed));
    }
    let partial = log.gap || (failures > 0 && log.stops_early(&["--fail-fast"]));
    settle(named, Summary { passed: Some(passed), failed: failures + errors, skipped: pending, partial })
}

/// The documentation format: groups with examples below them by their indentation. Absent where a line has no group.
fn tree(lines: &[&str]) -> Option<Vec<(String, TestStatus)>> {
    let ends = |line: &&str| matches!(*line, "Pending:" | "Failures:") || line.starts_with("Pending: (");
    let end = lines.iter().position(ends).unwrap_or(lines.len().saturating_sub(1));
    let lines: Vec<(usize, &str, Option<&str>)> = lines[..end]
        .iter()
        .filter(|line| {
            !line.trim().is_empty() && !line.starts_with("Run options: ") && !line.starts_with("Finished in ")
        })
        .filter_map(|line| TREE.captures(line))
        .map(|found| {
            let mark = found.get(3).map(|mark| mark.as_str());
            (found[1].len() / 2, found.get(2).map_or("", |name| name.as_str()), mark)
        })
        .collect();
    let mut path: Vec<&str> = Vec::new();
    let mut examples = Vec::new();
    for (at, (depth, name, mark)) in lines.iter().enumerate() {
        if *depth > path.len() {
            return None;
        }
        path.truncate(*depth);
        let is_group = mark.is_none() && lines.get(at + 1).is_some_and(|(next, ..)| next > depth);
        if is_group {
            path.push(name);
        } else if *depth > 0 {
            let status = match mark {
                None => Passed,
                Some(mark) if mark.starts_with("FAILED") => Failed,
                Some(_) => Skipped,
            };
            examples.push((plain(&format!("{} {name}", path.join(" "))), status));
        }
    }
    Some(examples)
}

/// A method's mark follows a class at once and words after a space, which the tree does not tell.
fn plain(description: &str) -> String {
    description.replace(" #", "#").replace(" .", ".").replace(" ::", "::")
}

/// Where the examples of these names stand, as `RSpec` takes them; absent where the log does not tell it of each.
pub(in crate::checks) fn rspec_places(log: &str, tests: &[String]) -> Option<Vec<String>> {
    let listed: Vec<(String, String)> = log
        .lines()
        .filter_map(|line| FAILED.captures(line))
        .map(|found| {
            let place = found.get(1).or(found.get(2)).map_or("", |place| place.as_str());
            (plain(&found[3]), place.to_owned())
        })
        .collect();
    tests.iter().map(|test| listed.iter().find(|(name, _)| name == test).map(|(_, place)| place.clone())).collect()
}
