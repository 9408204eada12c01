//! How long a server asks to be left alone.

use crate::clock;
use http::{HeaderMap, header};
use std::time::Duration;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

/// The delay that `Retry-After` asks for: seconds, or a date (RFC 9110, 10.2.3).
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let asked = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    match asked.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => Some(until(headers, date(asked)?)),
    }
}

/// The time until a moment that a server names: from its answer's own `Date` where it has one, because clocks differ. Zero where
/// that is past.
pub fn until(headers: &HeaderMap, moment: OffsetDateTime) -> Duration {
    let own = headers.get(header::DATE).and_then(|value| date(value.to_str().ok()?.trim()));
    (moment - own.unwrap_or_else(|| clock::now().0)).try_into().unwrap_or(Duration::ZERO)
}

fn date(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(&text.replace("GMT", "+0000"), &Rfc2822).ok()
}
