//! `CTest`.

use super::{Log, Parsed, Summary, pattern, tally::settle};
use crate::domain::check::TestStatus::{self, Failed, Passed, Skipped};

pattern!(TEST, r"^ *\d+/\d+ Test +#\d+: (.+?) \.\.+ *(.*?) +\d+\.\d+ sec\b");
pattern!(END, r"^\d+% tests passed, (\d+) tests? failed(?: out of (\d+))?$");

/// `CTest`: names every test that it ran. Skipped ones count as passed in its summary, disabled ones not at all.
pub(super) fn ctest(log: &Log<'_>) -> Parsed {
    let ends: Vec<usize> = (0..log.lines.len()).filter(|at| END.is_match(log.lines[*at])).collect();
    let Some(found) = ends.last().and_then(|at| END.captures(log.lines[*at])) else {
        let began = log.lines.iter().any(|line| line.starts_with("Test project /"));
        let none = log.lines.contains(&"No tests were found!!!");
        return match (began, none) {
            (true, true) => settle(Vec::new(), Summary { passed: Some(0), ..Summary::default() }),
            (true, false) if log.lines.iter().any(|line| TEST.is_match(line)) => Parsed::Broken,
            _ => Parsed::NotMine,
        };
    };
    let mut disabled = 0;
    let mut named: Vec<(String, TestStatus)> = Vec::new();
    for found in log.lines.iter().filter_map(|line| TEST.captures(line)) {
        let word = found[2].trim_start_matches('*');
        let status = match word {
            "Passed" => Passed,
            "Skipped" => Skipped,
            "Not Run (Disabled)" => {
                disabled += 1;
                Skipped
            }
            _ => Failed,
        };
        named.push((found[1].to_owned(), status));
    }
    let number = |group: usize| found.get(group).and_then(|text| text.as_str().parse::<usize>().ok());
    let (Some(failed), Some(total)) = (number(1), number(2)) else { return Parsed::Broken };
    if named.len() - disabled != total {
        return Parsed::Broken;
    }
    let of = |wanted| named.iter().filter(|(_, status)| *status == wanted).count() as u32;
    let partial = log.gap || (failed > 0 && log.stops_early(&["--stop-on-failure"]));
    let summary = Summary { passed: Some(of(Passed)), failed: failed as u32, skipped: of(Skipped), partial };
    settle(named, summary)
}
