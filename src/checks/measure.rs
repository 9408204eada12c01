//! The figure that one run of a `measure` gave.

use super::parse::clean;
use crate::domain::check::{Check, CheckOutcome, CheckRun};
use regex::RegexBuilder;

const METRIC_LIMIT_BYTES: usize = 1 << 20;

/// The first group of `metric`'s last match in the output (the whole match, where it has none); without a
/// metric the duration in milliseconds. Absent where the run did not pass, or says no figure.
pub fn figure(check: &Check, run: &CheckRun, output: &[u8]) -> Option<f64> {
    if run.outcome != CheckOutcome::Pass {
        return None;
    }
    let Some(metric) = &check.metric else { return Some(run.duration_ms as f64) };
    let metric = RegexBuilder::new(metric).multi_line(true).size_limit(METRIC_LIMIT_BYTES).build().ok()?;
    let text = clean(output);
    let found = metric.captures_iter(&text).last()?;
    let figure = found.get(1).or_else(|| found.get(0))?.as_str().trim();
    let figure: f64 = figure.replace([',', '_'], "").parse().ok()?;
    (figure.is_finite() && figure >= 0.0).then_some(figure)
}
