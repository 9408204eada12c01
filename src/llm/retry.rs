//! When a call is tried again. Pure: delays follow from the error, the number of
//! tries and the call's own name, whose hash is the jitter, so that tasks spread and tests repeat.

use super::{Call, ModelError, Retries};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

/// What one call has spent on trying again.
#[derive(Debug)]
pub(super) struct Backoff<'a> {
    retries: Retries,
    call: Call<'a>,
    attempt: u32,
    waited: Duration,
}

impl<'a> Backoff<'a> {
    pub(super) fn new(retries: Retries, call: Call<'a>) -> Self {
        Self { retries, call, attempt: 0, waited: Duration::ZERO }
    }

    /// The number of the next try after the first, and how long to wait before it; or the error
    /// again, where it is final or nothing is left.
    pub(super) fn next(&mut self, error: ModelError) -> Result<(u32, Duration), ModelError> {
        if !error.may_pass() || self.attempt >= self.retries.attempts {
            return Err(error);
        }
        let asked = match &error {
            ModelError::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        };
        let delay = asked.unwrap_or_else(|| self.own_delay());
        let left = Duration::from_millis(self.retries.max_wait_ms).saturating_sub(self.waited);
        if delay > left {
            return Err(error);
        }
        self.attempt += 1;
        self.waited += delay;
        Ok((self.attempt, delay))
    }

    fn own_delay(&self) -> Duration {
        let doubled = self.retries.first_delay_ms.saturating_mul(1 << self.attempt.min(30));
        let plain = doubled.min(self.retries.max_delay_ms);
        let mut hasher = DefaultHasher::new();
        (self.call.cache_key, self.call.turn, self.attempt).hash(&mut hasher);
        // From 0.8 to 1.2 in steps of a thousandth.
        let factor = 800 + hasher.finish() % 401;
        Duration::from_millis(plain.saturating_mul(factor) / 1_000)
    }
}
