//! How many deliveries are on their way to each endpoint, and which endpoints take their time.

use crate::{clock, domain::WebhookEndpointId, store::webhooks::Place};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Deliveries to one endpoint at once, and to one that is slow.
pub(super) const OF_ENDPOINT: u32 = 16;
const OF_SLOW: u32 = 2;
/// An endpoint that takes longer is slow until it has answered faster.
const SLOW: Duration = Duration::from_secs(2);
/// Slow endpoints that are remembered while nothing is on its way to them.
const REMEMBERED_MAX: usize = 10_000;

/// Clones share their state.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Arc<Mutex<HashMap<WebhookEndpointId, Known>>>);

#[derive(Debug, Default)]
struct Known {
    under_way: u32,
    /// When the oldest of those under way may have begun.
    since: Option<Instant>,
    slow: bool,
}

/// A delivery on its way; it gives its place back when it is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    places: Places,
    endpoint: WebhookEndpointId,
    begun: Instant,
}

impl Places {
    pub(super) fn take(&self, endpoint: WebhookEndpointId) -> Taken {
        let begun = clock::monotonic();
        let mut known = self.known();
        let one = known.entry(endpoint).or_default();
        one.under_way += 1;
        one.since.get_or_insert(begun);
        Taken { places: self.clone(), endpoint, begun }
    }

    /// How many are under way, all together.
    pub(super) fn under_way(&self) -> u32 {
        self.known().values().map(|one| one.under_way).sum()
    }

    /// What a claim is to know.
    pub(super) fn told(&self) -> Vec<Place> {
        let known = self.known();
        let place = |(endpoint, one): (&WebhookEndpointId, &Known)| {
            let hangs = one.since.is_some_and(|since| since.elapsed() > SLOW);
            let most = if one.slow || hangs { OF_SLOW } else { OF_ENDPOINT };
            Place { endpoint: *endpoint, room: most.saturating_sub(one.under_way), busy: one.under_way > 0 }
        };
        known.iter().map(place).collect()
    }

    fn known(&self) -> MutexGuard<'_, HashMap<WebhookEndpointId, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut known = self.places.known();
        let full = known.len() > REMEMBERED_MAX;
        let Some(one) = known.get_mut(&self.endpoint) else { return };
        one.under_way -= 1;
        one.slow = self.begun.elapsed() > SLOW;
        one.since = (one.under_way > 0).then(clock::monotonic);
        if one.under_way == 0 && (!one.slow || full) {
            known.remove(&self.endpoint);
        }
    }
}
