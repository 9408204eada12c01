//! `dotnet test` (the console logger of `VSTest`).

use super::{
    Log, Parsed, Summary, pattern,
    tally::{settle, sum},
};
use crate::domain::check::TestStatus::{self, Failed, Passed, Skipped};

pattern!(TEST, r"^ +(Passed|Failed|Skipped) (\S.*?) \[[^\]]*?\d+ m?s\]$");
pattern!(END, r"^(?:Passed|Failed|Skipped)! +- Failed: +(\d+), Passed: +(\d+), Skipped: +(\d+), Total: +(\d+)");
pattern!(LONG_END, r"^Total tests: (\d+)$");
pattern!(LONG_COUNT, r"^ +(Passed|Failed|Skipped): (\d+)$");

/// `dotnet test`: names failures and skips always, passes where the logger is told to. A solution's projects come one
/// after the other, or at once: then the lines cannot be told apart, and the counts alone are added up.
pub(super) fn vstest(log: &Log<'_>) -> Parsed {
    let mut named: Vec<(String, TestStatus)> = Vec::new();
    let mut whole = Summary { passed: Some(0), partial: log.gap, ..Summary::default() };
    let mut ends = 0;
    let mut add = |passed: u32, failed: u32, skipped: u32| {
        ends += 1;
        whole.passed = whole.passed.map(|sum| sum + passed);
        whole.failed += failed;
        whole.skipped += skipped;
    };
    for (at, line) in log.lines.iter().enumerate() {
        if let Some(found) = TEST.captures(line) {
            let status = match &found[1] {
                "Passed" => Passed,
                "Failed" => Failed,
                _ => Skipped,
            };
            named.push((found[2].to_owned(), status));
        } else if let Some(found) = END.captures(line) {
            let count = |group: usize| found[group].parse::<u32>().unwrap_or(0);
            add(count(2), count(1), count(3));
        } else if LONG_END.is_match(line) {
            let counts = log.lines[at + 1..].iter().map_while(|line| LONG_COUNT.captures(line));
            let mut sums = (0, 0, 0);
            for found in counts {
                let count = found[2].parse::<u32>().unwrap_or(0);
                match &found[1] {
                    "Passed" => sums.0 = count,
                    "Failed" => sums.1 = count,
                    _ => sums.2 = count,
                }
            }
            add(sums.0, sums.1, sums.2);
        }
    }
    match ends {
        0 => Parsed::NotMine,
        _ => sum([settle(named, whole)]),
    }
}
