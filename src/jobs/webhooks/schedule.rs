//! What becomes of a delivery after an attempt.

use crate::domain::webhook::DeliveryState;
use std::time::Duration;

/// What a receiver may have us wait for at most.
const ASKED_MAX: Duration = Duration::from_secs(6 * 3_600);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub state: DeliveryState,
    /// Of one that stays pending: when it is tried again, before jitter.
    pub pause: Duration,
    /// It is not tried before.
    pub at_least: Duration,
    /// The receiver wants nothing any more.
    pub gone: bool,
}

/// `pauses` are those between attempts; `round` counts the attempts before this one; `status` is absent where there was no answer.
pub fn decide(pauses: &[Duration], round: u32, status: Option<u16>, retry_after: Option<Duration>) -> Decision {
    let ended = |state, gone| Decision { state, pause: Duration::ZERO, at_least: Duration::ZERO, gone };
    match status {
        Some(200..=299) => return ended(DeliveryState::Delivered, false),
        Some(410) => return ended(DeliveryState::Dead, true),
        _ => {}
    }
    let Some(pause) = pauses.get(round as usize) else { return ended(DeliveryState::Dead, false) };
    let at_least = match status {
        Some(429 | 503) => retry_after.unwrap_or_default().min(ASKED_MAX),
        _ => Duration::ZERO,
    };
    Decision { state: DeliveryState::Pending, pause: *pause, at_least, gone: false }
}
