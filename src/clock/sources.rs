//! Where time and chance come in.

use crate::domain::Timestamp;
use rand::{Rng, RngCore};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The present time, UTC, cut to the microsecond that Postgres keeps, so that what is written is
/// equal to what is read back.
#[expect(clippy::disallowed_methods, reason = "clock owns the time")]
pub fn now() -> Timestamp {
    let at = time::OffsetDateTime::now_utc();
    let micros = at.microsecond();
    Timestamp(at.replace_microsecond(micros).unwrap_or(at))
}

/// A point on the monotonic clock, for measuring durations.
#[expect(clippy::disallowed_methods, reason = "clock owns the time")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// A new row's id: UUIDv7, which sorts by the time it was made.
#[expect(clippy::disallowed_methods, reason = "clock owns randomness")]
pub fn new_id<T: From<Uuid>>() -> T {
    T::from(Uuid::now_v7())
}

/// Bytes from the thread's cryptographically secure generator, for keys and secrets.
#[expect(clippy::disallowed_methods, reason = "clock owns randomness")]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

/// A duration drawn evenly from half of `span` to one and a half of it: what keeps those that
/// failed together from trying again together.
#[expect(clippy::disallowed_methods, reason = "clock owns randomness")]
pub fn jitter(span: Duration) -> Duration {
    span.mul_f64(rand::rng().random_range(0.5..1.5))
}

/// Measures one thing from its start.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    pub fn start() -> Self {
        Self(monotonic())
    }

    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// Whole milliseconds since the start, as events carry them.
    pub fn elapsed_ms(self) -> u64 {
        u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
