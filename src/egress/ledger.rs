//! What was reached and refused, summed up until somebody asks. Bounded, whatever a workspace does.

use super::{Refusal, Target};
use crate::domain::network::{NetworkOutcome, NetworkUse};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Places that are kept apart between two looks, and that one look gives.
const KEPT_MAX: usize = 200;
const GIVEN_MAX: usize = 50;
const REASON_CHARS_MAX: usize = 200;

type Key = (Target, NetworkOutcome, Option<String>);

/// Of one place.
#[derive(Debug, Default)]
pub(super) struct Counts {
    requests: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl Counts {
    pub(super) fn received(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the workspaces of one task have used under one policy. Cheap to clone: the clones are one.
#[derive(Clone, Debug, Default)]
pub struct Used(Arc<Whole>);

#[derive(Debug, Default)]
struct Whole {
    kept: Mutex<Kept>,
    /// Bytes in and out of all of them, whatever was told of them.
    bytes: AtomicU64,
}

/// What was used since somebody last asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Most requests first, at most 50.
    pub hosts: Vec<NetworkUse>,
    /// How many further places there were.
    pub others: u32,
    /// In and out, those of further places too.
    pub bytes: u64,
}

impl Taken {
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.bytes == 0
    }
}

#[derive(Debug, Default)]
struct Kept {
    places: BTreeMap<Key, Arc<Counts>>,
    /// Places that had no room, and what was used of them.
    others: BTreeSet<Target>,
    rest: Arc<Counts>,
}

impl Used {
    /// Where so many bytes were used before: another process of the service counted them.
    pub fn after(bytes: u64) -> Self {
        Self(Arc::new(Whole { bytes: bytes.into(), ..Whole::default() }))
    }

    /// Counts bytes; how many there are by now.
    pub(super) fn add(&self, bytes: u64) -> u64 {
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// A connection or request that is passed on; its bytes are counted with what is given.
    pub(super) fn allowed(&self, target: &Target) -> Arc<Counts> {
        let counts = self.place(target, NetworkOutcome::Allowed, None);
        counts.request();
        counts
    }

    pub(super) fn refused(&self, target: &Target, refusal: &Refusal) {
        let reason = refusal.to_string().chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect();
        self.place(target, refusal.outcome(), Some(reason)).request();
    }

    fn place(&self, target: &Target, outcome: NetworkOutcome, reason: Option<String>) -> Arc<Counts> {
        let host = target.host.chars().filter(|c| !c.is_control()).take(253).collect();
        let target = Target { host, port: target.port };
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (target, outcome, reason);
        if let Some(counts) = kept.places.get(&key) {
            return Arc::clone(counts);
        }
        if kept.places.len() >= KEPT_MAX {
            if kept.others.len() < KEPT_MAX {
                kept.others.insert(key.0);
            }
            return Arc::clone(&kept.rest);
        }
        Arc::clone(kept.places.entry(key).or_default())
    }

    /// What was used since this was last asked.
    pub fn take(&self) -> Taken {
        let take = |number: &AtomicU64| number.swap(0, Ordering::Relaxed);
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut used = Vec::new();
        let mut bytes = take(&kept.rest.bytes_in) + take(&kept.rest.bytes_out);
        kept.places.retain(|(target, outcome, reason), counts| {
            let (requests, bytes_in, bytes_out) =
                (take(&counts.requests), take(&counts.bytes_in), take(&counts.bytes_out));
            bytes += bytes_in + bytes_out;
            if requests + bytes_in + bytes_out > 0 {
                used.push(NetworkUse {
                    host: target.host.clone(),
                    port: target.port,
                    outcome: *outcome,
                    reason: reason.clone(),
                    requests,
                    bytes_in,
                    bytes_out,
                });
            }
            // A connection that is open counts on.
            Arc::strong_count(counts) > 1
        });
        used.sort_by(|one, other| other.requests.cmp(&one.requests).then_with(|| one.host.cmp(&other.host)));
        let others = std::mem::take(&mut kept.others).len() + used.len().saturating_sub(GIVEN_MAX);
        used.truncate(GIVEN_MAX);
        Taken { hosts: used, others: others as u32, bytes }
    }
}
