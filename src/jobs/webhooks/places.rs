//! How many deliveries are on their way to each endpoint, and which endpoints take their time.

use crate::{
    clock,
    domain::{TeamId, WebhookEndpointId},
    store::webhooks::{Claimed, Place},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Deliveries to one endpoint at once: to one that answers fast, to one that is slow, and to one of which nothing is known.
const OF_FAST: u32 = 16;
const OF_SLOW: u32 = 2;
pub(super) const OF_UNKNOWN: u32 = 2;
/// An endpoint that takes longer is slow until it has answered faster.
const SLOW: Duration = Duration::from_secs(2);
/// How long an endpoint is remembered to be fast while nothing is on its way to it.
const FAST_FOR: Duration = Duration::from_secs(60);
/// Endpoints that are remembered while nothing is on its way to them.
const REMEMBERED_MAX: usize = 10_000;

/// Clones share their state.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Arc<Mutex<HashMap<WebhookEndpointId, Known>>>);

#[derive(Debug)]
struct Known {
    team: TeamId,
    under_way: u32,
    /// Of those, the ones that were begun while the endpoint failed.
    failing: u32,
    /// When the oldest of those under way may have begun.
    since: Option<Instant>,
    /// When it answered last, and whether that took long.
    answered: Option<(Instant, bool)>,
}

impl Known {
    fn of(team: TeamId) -> Self {
        Self { team, under_way: 0, failing: 0, since: None, answered: None }
    }

    fn is_slow(&self) -> bool {
        let hangs = self.since.is_some_and(|since| since.elapsed() > SLOW);
        hangs || self.answered.is_some_and(|(_, slow)| slow)
    }

    fn most(&self) -> u32 {
        match self.answered {
            _ if self.is_slow() => OF_SLOW,
            Some(_) => OF_FAST,
            None => OF_UNKNOWN,
        }
    }

    fn is_remembered(&self) -> bool {
        self.under_way > 0 || self.answered.is_some_and(|(at, slow)| slow || at.elapsed() < FAST_FOR)
    }
}

/// What a claim is to know.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// How many are under way, all together.
    pub(super) under_way: u32,
    /// Of those, to endpoints that fail or are slow.
    pub(super) doubtful: u32,
    pub(super) places: Vec<Place>,
}

/// A delivery on its way; it gives its place back when it is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    places: Places,
    endpoint: WebhookEndpointId,
    failing: bool,
    begun: Instant,
}

impl Places {
    pub(super) fn take(&self, claimed: &Claimed) -> Taken {
        let Claimed { team, endpoint, failing, .. } = *claimed;
        let begun = clock::monotonic();
        let mut known = self.known();
        let one = known.entry(endpoint).or_insert_with(|| Known::of(team));
        one.under_way += 1;
        one.failing += u32::from(failing);
        one.since.get_or_insert(begun);
        Taken { places: self.clone(), endpoint, failing, begun }
    }

    pub(super) fn told(&self) -> Told {
        let mut known = self.known();
        known.retain(|_, one| one.is_remembered());
        let mut told = Told::default();
        for (endpoint, one) in known.iter() {
            let (slow, under_way) = (one.is_slow(), one.under_way);
            told.under_way += under_way;
            told.doubtful += if slow { under_way } else { one.failing };
            let room = one.most().saturating_sub(under_way);
            told.places.push(Place { team: one.team, endpoint: *endpoint, under_way, room, slow });
        }
        told
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
        one.failing -= u32::from(self.failing);
        one.answered = Some((clock::monotonic(), self.begun.elapsed() > SLOW));
        one.since = (one.under_way > 0).then(clock::monotonic);
        if one.under_way == 0 && full {
            known.remove(&self.endpoint);
        }
    }
}
