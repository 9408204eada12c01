//! What trackers' APIs are called with, and which of them are left alone for now.
//!
//! Who goes on asking a tracker that has said to wait may be shut out for good
//! (docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api): until then nothing is sent to it, whoever asks, and the
//! caller hears so at once.

use super::forge::ForgeError;
use crate::{
    clock,
    domain::Timestamp,
    net::{self, CheckedClient, Fetched},
    secrets::Secret,
};
use http::HeaderMap;
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::Instant;
use url::Url;

/// The longest that a tracker is left alone at its word: their limits are by the hour at most.
const WAIT_MAX: Duration = Duration::from_secs(3_600);
/// After a secondary rate limit that says no more: GitHub wants a minute at least.
const SECONDARY_WAIT: Duration = Duration::from_secs(60);
const KEPT_MAX: usize = 10_000;
/// What is left of a limit, and when it is full again: GitHub's, Gitea's and Jira's; GitLab's; Linear's two.
const COUNTS: [(&str, &str); 4] = [
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("ratelimit-remaining", "ratelimit-reset"),
    ("x-ratelimit-requests-remaining", "x-ratelimit-requests-reset"),
    ("x-ratelimit-complexity-remaining", "x-ratelimit-complexity-reset"),
];

/// A client for trackers. All that are made of one know of the same limits. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TrackerClient {
    pub(super) client: CheckedClient,
    waits: Arc<Mutex<HashMap<Limited, (Instant, String)>>>,
}

/// Who is limited where: an API's origin, and by what it is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Limited {
    origin: String,
    credential_hash: [u8; 32],
}

impl Limited {
    pub(super) fn new(api: &Url, credential: &Secret) -> Self {
        let origin = api.origin().ascii_serialization();
        Self { origin, credential_hash: Sha256::digest(credential.expose()).into() }
    }
}

impl TrackerClient {
    pub fn new(client: CheckedClient) -> Self {
        Self { client, waits: Arc::default() }
    }

    /// Another client that knows of the same limits.
    #[must_use]
    pub fn with(&self, client: CheckedClient) -> Self {
        Self { client, waits: Arc::clone(&self.waits) }
    }

    /// [`ForgeError::Unavailable`] while the tracker is to be left alone.
    pub(super) fn may_ask(&self, limited: &Limited) -> Result<(), ForgeError> {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((until, reason)) = waits.get(limited) else { return Ok(()) };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            waits.remove(limited);
            return Ok(());
        }
        let until = clock::now().plus(left).0;
        let until = Timestamp(until.replace_nanosecond(0).unwrap_or(until));
        Err(ForgeError::Unavailable(format!("it is to be left alone until {until}: {reason}")))
    }

    /// Notes what an answer asks for.
    pub(super) fn heard(&self, limited: Limited, answer: &Fetched, reason: impl FnOnce() -> String) {
        let Some(wait) = asked(answer) else { return };
        let (until, reason) = (Instant::now() + wait, reason());
        tracing::warn!(origin = limited.origin, seconds = wait.as_secs(), reason, "a tracker wants to be left alone");
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        if waits.len() >= KEPT_MAX {
            waits.retain(|_, (until, _)| *until > Instant::now());
        }
        if waits.len() < KEPT_MAX {
            waits.insert(limited, (until, reason));
        }
    }
}

/// How long an answer asks to be left alone; none where it asks for nothing.
fn asked(answer: &Fetched) -> Option<Duration> {
    // Linear says so by 400 (linear.app/developers/rate-limiting), GitHub by 403 too.
    if !matches!(answer.status, 400 | 403 | 429 | 503) {
        return None;
    }
    let headers = &answer.headers;
    let used_up = || COUNTS.into_iter().filter_map(|(left, reset)| reset_of(headers, left, reset)).max();
    let secondary = || {
        let text = String::from_utf8_lossy(&answer.body).to_ascii_lowercase();
        text.contains("secondary rate limit").then_some(SECONDARY_WAIT)
    };
    let wait = net::retry_after(headers).or_else(used_up).or_else(secondary)?;
    Some(wait.min(WAIT_MAX)).filter(|wait| !wait.is_zero())
}

/// Until a limit is full again that is used up. The moment is in seconds since 1970, in milliseconds (Linear), or a date (Jira).
fn reset_of(headers: &HeaderMap, left: &str, reset: &str) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if text(left)? != "0" {
        return None;
    }
    let reset = text(reset)?;
    let moment = match reset.parse::<i64>() {
        Ok(millis) if millis > 100_000_000_000 => OffsetDateTime::from_unix_timestamp(millis / 1_000).ok()?,
        Ok(seconds) => OffsetDateTime::from_unix_timestamp(seconds).ok()?,
        Err(_) => OffsetDateTime::parse(reset, &Rfc3339).ok()?,
    };
    let wait = net::until(headers, moment);
    // It counts whole seconds.
    (!wait.is_zero()).then(|| wait + Duration::from_secs(1))
}
