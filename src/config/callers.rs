//! `rate_person`, `rate_key`, `rate_tool`, `streams_per_user`: what one caller may ask of a replica.

use super::{ConfigError, parse, source::Source};
use crate::api::{Rate, Rates};
use std::{num::NonZeroU32, time::Duration};

const OFF: &str = "off";
const REQUESTS_MAX: u32 = 1_000_000;
const SECONDS_MAX: u64 = 86_400;

/// Enough for people and programs that follow many tasks; a loop that has lost its pause is held.
const USUAL: &str = "60000/60";
const OF_TOOLS: &str = "300000/60";
/// One dashboard server holds a stream for each of its viewers.
const STREAMS: u64 = 2_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallerSettings {
    pub rates: Rates,
    /// Event streams of one user that may be open at once.
    pub streams_per_user: usize,
}

pub(super) fn read(source: &Source<'_>) -> Result<CallerSettings, ConfigError> {
    let or = |given: Option<Option<Rate>>, default: &str| given.unwrap_or_else(|| rate(default).unwrap_or_default());
    Ok(CallerSettings {
        rates: Rates {
            person: or(source.parsed("rate_person", rate)?, USUAL),
            key: or(source.parsed("rate_key", rate)?, USUAL),
            tool: or(source.parsed("rate_tool", rate)?, OF_TOOLS),
        },
        streams_per_user: source.parsed("streams_per_user", parse::number(1, 20_000))?.unwrap_or(STREAMS) as usize,
    })
}

fn rate(text: &str) -> Result<Option<Rate>, String> {
    if text == OFF {
        return Ok(None);
    }
    let parsed = text.split_once('/').and_then(|(requests, seconds)| {
        let requests: NonZeroU32 = requests.trim().parse().ok()?;
        let seconds: u64 = seconds.trim().parse().ok()?;
        let within = requests.get() <= REQUESTS_MAX && (1..=SECONDS_MAX).contains(&seconds);
        within.then_some(Rate { requests, window: Duration::from_secs(seconds) })
    });
    parsed.map(Some).ok_or_else(|| {
        format!(
            "\"{text}\" must be {OFF}, or requests and seconds such as {USUAL}: from 1 to {REQUESTS_MAX} in 1 to {SECONDS_MAX}"
        )
    })
}
