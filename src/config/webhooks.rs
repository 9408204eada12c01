//! How webhooks are sent, and how long one tries.

use super::{ConfigError, parse, source::Source};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
/// About a day, all together.
const PAUSES_SECONDS: [u64; 8] = [5, 30, 120, 900, 3_600, 10_800, 21_600, 43_200];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    /// Deliveries that one replica sends at once.
    pub at_once: u32,
    /// Of one attempt.
    pub timeout: Duration,
    /// Between attempts; as many as there are attempts after the first.
    pub pauses: Vec<Duration>,
    /// After how long without any that arrived an endpoint is disabled.
    pub failing: Duration,
    /// How long finished deliveries are kept.
    pub kept: Duration,
}

pub(super) fn read(source: &Source<'_>) -> Result<WebhookSettings, ConfigError> {
    let given = source.list("webhook_retry_seconds", ',', parse::seconds(0.01, 604_800.0))?;
    let pauses = if given.is_empty() { PAUSES_SECONDS.map(Duration::from_secs).to_vec() } else { given };
    let hours = source.parsed("webhook_disable_hours", parse::number(1, 8_760))?.unwrap_or(120);
    let days = source.parsed("webhook_retention_days", parse::number(1, 3_650))?.unwrap_or(30);
    Ok(WebhookSettings {
        at_once: source.parsed("webhooks_at_once", parse::number(1, 10_000))?.unwrap_or(256) as u32,
        timeout: source
            .parsed("webhook_timeout_seconds", parse::seconds(0.1, 120.0))?
            .unwrap_or(Duration::from_secs(15)),
        pauses,
        failing: HOUR * hours as u32,
        kept: DAY * days as u32,
    })
}
