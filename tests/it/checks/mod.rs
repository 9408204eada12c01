//! Tests of checks: logs, outcomes, reports, scans, and the verdict on them.

mod flaky;
mod logs;
mod missing;
mod outcomes;
mod patches;
mod runs;
mod sandbox;
mod scans;
mod scope;
mod select;
mod slow;
mod verdict;

use journeyman::{
    checks::Output,
    domain::check::{Check, CheckSource},
    workspace::RunOutcome,
};
use std::{path::PathBuf, time::Duration};

/// A log that a real runner wrote.
fn fixture(name: &str) -> Vec<u8> {
    let path = directory().join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn fixtures() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/logs")
}

fn test_check(command: &str) -> Check {
    Check::command(command, CheckSource::Detected)
}

/// What a command gave that ended by itself, with bytes missing at `gap`.
fn output(bytes: &[u8], exit: i32, gap: Option<usize>) -> Output<'_> {
    Output {
        outcome: RunOutcome::Exited(exit),
        output: bytes,
        omitted_bytes: u64::from(gap.is_some()),
        omitted_at: gap.unwrap_or(0),
        duration: Duration::from_millis(1_200),
        reports: &[],
        paths: &[],
    }
}
