//! `ExUnit`.

use super::{Log, Parsed, Summary, pattern, tally::settle};
use crate::domain::check::TestStatus::{self, Failed, Passed, Skipped};
use std::collections::BTreeSet;

pattern!(END, r"^((?:\d+ (?:tests?|doctests?|propert(?:y|ies)|features?), )+)(\d+) failures?(.*)$");
pattern!(COUNT, r"(\d+) (\w+)");
pattern!(FAILURE, r"^ +\d+\) ((?:test|doctest|property|feature) .+) \((\S+)\)$");
pattern!(PLACE, r"^ {5}(\S+\.exs?:\d+)$");
pattern!(MODULE, r"^(\S+) \[\S+\.exs?\]$");
pattern!(TRACE, r"^  \* ((?:test|doctest|property|feature) .+?) \((\d[\d.]*ms|skipped|excluded)\)(?: \[L#\d+\])?$");

/// `ExUnit`: names failures always, all tests with `--trace`.
pub(super) fn exunit(log: &Log<'_>) -> Parsed {
    let is_end = |at: &usize| *at > 0 && log.lines[at - 1].starts_with("Finished in ") && END.is_match(log.lines[*at]);
    let ends: Vec<usize> = (0..log.lines.len()).filter(is_end).collect();
    // An umbrella's projects come one after the other.
    let mut from = 0;
    let runs = ends.into_iter().map(|end| {
        let run = one(log, &log.lines[from..end], log.lines[end]);
        from = end + 1;
        run
    });
    super::tally::sum(runs.collect::<Vec<_>>())
}

fn one(log: &Log<'_>, lines: &[&str], end: &str) -> Parsed {
    let Some(found) = END.captures(end) else { return Parsed::NotMine };
    let sum = |text: &str, word: Option<&str>| -> u32 {
        let counts = COUNT.captures_iter(text).filter(|count| word.is_none_or(|word| &count[2] == word));
        counts.filter_map(|count| count[1].parse::<u32>().ok()).sum()
    };
    let (total, failed) = (sum(&found[1], None), found[2].parse::<u32>().unwrap_or(0));
    let rest = &found[3];
    let invalid = sum(rest, Some("invalid"));
    let skipped = sum(rest, Some("skipped"));
    // Those of a module whose `setup_all` failed have no words of their own.
    if invalid > 0 {
        return Parsed::Broken;
    }
    let passed = total.saturating_sub(failed + skipped + sum(rest, Some("excluded")));
    let mut named: Vec<(String, TestStatus)> = failures(lines).map(|(name, _)| (name, Failed)).collect();
    let failing: BTreeSet<String> = named.iter().map(|(name, _)| name.clone()).collect();
    let mut module = "";
    for line in lines {
        if let Some(found) = MODULE.captures(line) {
            module = found.get(1).map_or("", |name| name.as_str());
        } else if let Some(found) = TRACE.captures(line) {
            let name = format!("{module}: {}", &found[1]);
            match &found[2] {
                "skipped" => named.push((name, Skipped)),
                "excluded" => {}
                _ if failing.contains(&name) => {}
                _ => named.push((name, Passed)),
            }
        }
    }
    let partial = log.gap || (failed > 0 && log.stops_early(&["--max-failures"]));
    settle(named, Summary { passed: Some(passed), failed, skipped, partial })
}

/// Failing tests with where they stand: what a test prints has no place below it.
fn failures<'a>(lines: &'a [&'a str]) -> impl Iterator<Item = (String, &'a str)> {
    lines.windows(2).filter_map(|pair| {
        let (found, place) = (FAILURE.captures(pair[0])?, PLACE.captures(pair[1])?);
        Some((format!("{}: {}", &found[2], &found[1]), place.get(1).map_or("", |place| place.as_str())))
    })
}

/// Where these tests stand, as `mix test` takes them; absent where the log does not tell it of each.
pub(in crate::checks) fn exunit_places(log: &str, tests: &[String]) -> Option<Vec<String>> {
    let lines: Vec<&str> = log.lines().collect();
    let known: Vec<(String, &str)> = failures(&lines).collect();
    let place = |test: &String| known.iter().find(|(name, _)| name == test).map(|(_, place)| (*place).to_owned());
    tests.iter().map(place).collect()
}
