//! How much a provider may be asked at once, and whose turn it is.
//!
//! One [`Gate`] stands before each provider (address and key), shared by all models and tasks of
//! the process. Where there is no room, callers wait by share (a user): each share in turn gets
//! one call, so that one with many waiting calls holds nobody else up. What a provider says of its
//! limits (`Retry-After`, counts that are used up) holds for everyone.

use super::ModelError;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep_until},
};

/// What a provider allows. The strictest of all models of one provider holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rate {
    /// Calls at once.
    pub concurrency: Option<u32>,
    pub requests_per_minute: Option<u32>,
    /// Input and output together.
    pub tokens_per_minute: Option<u32>,
    /// The longest wait for room, in milliseconds; then the model counts as not available.
    pub max_wait_ms: u64,
}

impl Default for Rate {
    fn default() -> Self {
        Self { concurrency: None, requests_per_minute: None, tokens_per_minute: None, max_wait_ms: 600_000 }
    }
}

impl Rate {
    /// The stricter of both, limit by limit.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        let least = |a: Option<u32>, b: Option<u32>| a.into_iter().chain(b).min();
        Self {
            concurrency: least(self.concurrency, other.concurrency),
            requests_per_minute: least(self.requests_per_minute, other.requests_per_minute),
            tokens_per_minute: least(self.tokens_per_minute, other.tokens_per_minute),
            max_wait_ms: self.max_wait_ms.min(other.max_wait_ms),
        }
    }
}

/// However long a provider asks everyone to wait, one call tries again after this.
const HOLD_MAX: Duration = Duration::from_mins(1);
/// A wait longer than this is told of.
const WORTH_TELLING: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Gate {
    state: Mutex<State>,
    /// What is waited for has changed: waiters look again.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    rate: Rate,
    running: u32,
    /// Nothing goes out before.
    held_until: Option<Instant>,
    requests: Bucket,
    tokens: Bucket,
    /// By share; none is empty.
    waiting: BTreeMap<String, VecDeque<Waiter>>,
    /// The share that was served last.
    served: String,
}

#[derive(Debug)]
struct Waiter {
    tokens: u64,
    admit: oneshot::Sender<Permit>,
}

/// What a minute's allowance has left; below zero after a call that was larger than thought.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

/// One call's place. Dropping it makes room.
#[derive(Debug)]
pub(super) struct Permit {
    gate: Option<Arc<Gate>>,
    tokens: u64,
}

impl Gate {
    pub(super) fn new(rate: Rate) -> Arc<Self> {
        let bucket = |limit: Option<u32>| Bucket { left: f64::from(limit.unwrap_or(0)), at: Instant::now() };
        let state = State {
            rate,
            running: 0,
            held_until: None,
            requests: bucket(rate.requests_per_minute),
            tokens: bucket(rate.tokens_per_minute),
            waiting: BTreeMap::new(),
            served: String::new(),
        };
        Arc::new(Self { state: Mutex::new(state), changed: Notify::new() })
    }

    /// Waits for a place for a call of about so many tokens. Cancel safe.
    pub(super) async fn enter(self: &Arc<Self>, share: &str, tokens: u64) -> Result<Permit, ModelError> {
        let (admit, mut admitted) = oneshot::channel();
        let started = Instant::now();
        let until = {
            let mut state = self.state();
            state.waiting.entry(share.to_owned()).or_default().push_back(Waiter { tokens, admit });
            started + Duration::from_millis(state.rate.max_wait_ms)
        };
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let again = self.admit().unwrap_or(until).min(until);
            tokio::select! {
                biased;
                permit = &mut admitted => {
                    let waited = started.elapsed();
                    if waited > WORTH_TELLING {
                        tracing::info!(model.share = share, model.waited = ?waited, "a model call waited for room at its provider");
                    }
                    return permit.map_err(|_| ModelError::unavailable("the provider's queue was dropped"));
                }
                () = changed => {}
                () = sleep_until(again) => {
                    if Instant::now() >= until {
                        let waited = started.elapsed().as_secs();
                        return Err(ModelError::unavailable(format!("no room at the provider within {waited} s")));
                    }
                }
            }
        }
    }

    /// Nothing goes out to this provider for so long, a minute at most.
    pub(super) fn hold(&self, delay: Duration) {
        let until = Instant::now() + delay.min(HOLD_MAX);
        let mut state = self.state();
        if state.held_until.is_none_or(|held| held < until) {
            state.held_until = Some(until);
            tracing::info!(model.hold = ?delay.min(HOLD_MAX), "the provider asks to wait");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives places to those whose turn it is, as far as there is room. Answers when it is worth looking
    /// again, where time alone makes room.
    fn admit(self: &Arc<Self>) -> Option<Instant> {
        let mut state = self.state();
        loop {
            if state.waiting.is_empty() || state.rate.concurrency.is_some_and(|most| state.running >= most.max(1)) {
                return None;
            }
            let now = Instant::now();
            if let Some(later) = state.closed_until(now) {
                return Some(later);
            }
            let waiter = state.next()?;
            if waiter.admit.is_closed() {
                continue;
            }
            let tokens = waiter.tokens;
            let permit = Permit { gate: Some(Arc::clone(self)), tokens };
            match waiter.admit.send(permit) {
                Ok(()) => {
                    state.running += 1;
                    state.requests.left -= 1.0;
                    state.tokens.left -= tokens as f64;
                }
                // It never had a place: nothing is given back.
                Err(mut permit) => permit.gate = None,
            }
        }
    }
}

impl State {
    /// The first in the queue of the share after the one that was served last.
    fn next(&mut self) -> Option<Waiter> {
        let after = (Bound::Excluded(self.served.clone()), Bound::Unbounded);
        let share = self.waiting.range(after).next().or_else(|| self.waiting.iter().next())?.0.clone();
        let queue = self.waiting.get_mut(&share)?;
        let waiter = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(&share);
        }
        self.served = share;
        waiter
    }

    /// When the next call may go out, where that is not now.
    fn closed_until(&mut self, now: Instant) -> Option<Instant> {
        if let Some(held) = self.held_until {
            if held > now {
                return Some(held);
            }
            self.held_until = None;
        }
        let rate = self.rate;
        let requests = self.requests.ready(rate.requests_per_minute, 1.0, now);
        let wanted = self.waiting.values().filter_map(VecDeque::front).map(|waiter| waiter.tokens).max();
        let tokens = self.tokens.ready(rate.tokens_per_minute, wanted.unwrap_or(0) as f64, now);
        requests.into_iter().chain(tokens).max()
    }
}

impl Bucket {
    /// When `wanted` will be there, where it is not. What is more than the whole bucket needs a full one.
    fn ready(&mut self, per_minute: Option<u32>, wanted: f64, now: Instant) -> Option<Instant> {
        let size = f64::from(per_minute?.max(1));
        let per_second = size / 60.0;
        self.left = (self.left + (now - self.at).as_secs_f64() * per_second).min(size);
        self.at = now;
        let missing = wanted.min(size) - self.left;
        // Less than a thousandth is rounding.
        (missing > 0.001).then(|| now + Duration::from_secs_f64((missing / per_second).max(0.001)))
    }
}

impl Permit {
    /// The call came to so many tokens: what was thought is put right.
    pub(super) fn settle(&mut self, tokens: u64) {
        if let Some(gate) = &self.gate {
            gate.state().tokens.left += self.tokens as f64 - tokens as f64;
            self.tokens = tokens;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(gate) = self.gate.take() else { return };
        {
            let mut state = gate.state();
            state.running = state.running.saturating_sub(1);
        }
        if gate.admit().is_some() {
            gate.changed.notify_waiters();
        }
    }
}
