//! From what a command gave to a check's outcome.

use super::parse;
use crate::{
    domain::check::{Check, CheckOutcome, CheckRun},
    workspace::RunOutcome,
};
use std::time::Duration;

/// What a check's command gave.
#[derive(Clone, Debug)]
pub struct Output<'a> {
    pub outcome: RunOutcome,
    /// stdout and stderr in order; where bytes were left out, the two ends.
    pub output: &'a [u8],
    pub omitted_bytes: u64,
    pub duration: Duration,
    /// Contents of the report files that it wrote.
    pub reports: &'a [Vec<u8>],
}

/// Judges one run of `check`.
pub fn judge(check: &Check, output: &Output<'_>) -> CheckRun {
    let report = parse(&check.command, output.output, output.reports);
    CheckRun {
        outcome: CheckOutcome::Fail,
        exit_code: None,
        duration_ms: u64::try_from(output.duration.as_millis()).unwrap_or(u64::MAX),
        failing: Vec::new(),
        counts: report.as_ref().map(|report| report.counts),
        tests: report.map(|report| report.tests),
        obstacle: None,
        reason: None,
        log: String::new(),
        log_blob: None,
    }
}
