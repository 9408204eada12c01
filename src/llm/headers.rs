//! What a provider's answer says beside its body: how long to wait, and what is left of its limits.

use crate::net;
use http::HeaderMap;
use std::time::Duration;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The delay that a server asks for: `retry-after-ms`, else `Retry-After`.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(ms) = text("retry-after-ms").and_then(|ms| ms.parse::<f64>().ok()) {
        return Duration::try_from_secs_f64(ms / 1_000.0).ok();
    }
    net::retry_after(headers)
}

/// How long nothing should be asked because a limit is used up, by the counts that come with every
/// answer: <https://platform.openai.com/docs/guides/rate-limits> (`x-ratelimit-remaining-requests`,
/// `x-ratelimit-reset-requests: 6m0s`) and <https://docs.anthropic.com/en/api/rate-limits>
/// (`anthropic-ratelimit-requests-remaining`, `…-reset` as a date).
pub(super) fn used_up(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let openai = ["requests", "tokens"].into_iter().filter_map(|what| {
        let left = text(&format!("x-ratelimit-remaining-{what}"))?;
        let reset = text(&format!("x-ratelimit-reset-{what}"))?;
        (left == "0").then(|| span(reset)).flatten()
    });
    let anthropic = ["requests", "tokens", "input-tokens", "output-tokens"].into_iter().filter_map(|what| {
        let left = text(&format!("anthropic-ratelimit-{what}-remaining"))?;
        let reset = OffsetDateTime::parse(text(&format!("anthropic-ratelimit-{what}-reset"))?, &Rfc3339).ok()?;
        (left == "0").then(|| net::until(headers, reset))
    });
    openai.chain(anthropic).max()
}

/// A span such as `1s`, `6m0s`, `1h2m3.5s` or `120ms`.
fn span(text: &str) -> Option<Duration> {
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |end| digits + end);
        seconds += number
            * match &rest[digits..unit] {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3_600.0,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    Duration::try_from_secs_f64(seconds).ok()
}
