//! What the watchers of one task share: the last seq, a bounded ring of encoded events, and the
//! live pieces.

use crate::{
    domain::{Seq, TaskId},
    store::{Store, StoreError, log},
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{broadcast, watch};

/// Events that the ring keeps, at most.
const RING_EVENTS_MAX: usize = 256;
/// Bytes that the ring keeps, at most.
const RING_BYTES_MAX: usize = 1 << 20;
/// Live pieces that a slow watcher may be behind before some are left out.
const LIVE_PIECES_MAX: usize = 256;
/// Events read from the log at a time.
pub(super) const PAGE: u32 = 100;

/// An event as it goes over a stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Absent for live pieces, which are not stored.
    pub seq: Option<Seq>,
    pub kind: String,
    /// The whole event as JSON in one line.
    pub json: String,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Arc<Encoded>>,
    bytes: usize,
    /// The seq of the newest event; what the ring is filled after.
    last: Seq,
    /// The log was read to its end into the ring: what comes later is told.
    to_end: bool,
}

#[derive(Debug)]
pub(super) struct Channel {
    task: TaskId,
    last: watch::Sender<Seq>,
    ring: Mutex<Ring>,
    /// Held by the one watcher who reads the log for all.
    filling: tokio::sync::Mutex<()>,
    live: broadcast::Sender<Arc<Encoded>>,
}

impl Channel {
    pub(super) fn new(task: TaskId) -> Self {
        Self {
            task,
            last: watch::Sender::new(0),
            ring: Mutex::default(),
            filling: tokio::sync::Mutex::default(),
            live: broadcast::Sender::new(LIVE_PIECES_MAX),
        }
    }

    /// Tells of a committed seq; older news change nothing.
    pub(super) fn wrote(&self, seq: Seq) {
        self.last.send_if_modified(|last| {
            let newer = seq > *last;
            if newer {
                *last = seq;
            }
            newer
        });
    }

    /// The last seq that was told of.
    pub(super) fn last(&self) -> Seq {
        *self.last.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Seq> {
        self.last.subscribe()
    }

    pub(super) fn live(&self) -> broadcast::Receiver<Arc<Encoded>> {
        self.live.subscribe()
    }

    pub(super) fn watch_count(&self) -> usize {
        self.last.receiver_count()
    }

    pub(super) fn is_watched(&self) -> bool {
        self.live.receiver_count() > 0
    }

    pub(super) fn send_live(&self, piece: Encoded) {
        // Nobody listens any more: live pieces are best effort.
        let _ = self.live.send(Arc::new(piece));
    }

    /// Events after `after` from the ring, filled by one read of the log for all watchers where it
    /// is behind `known`, the last seq that was told of; from the log where the ring begins later.
    pub(super) async fn after(&self, store: &Store, after: Seq, known: Seq) -> Result<Vec<Arc<Encoded>>, StoreError> {
        if let Some(found) = self.in_ring(after, known) {
            return Ok(found);
        }
        let _filling = self.filling.lock().await;
        if let Some(found) = self.in_ring(after, known) {
            return Ok(found);
        }
        let ring_last = self.ring.lock().unwrap_or_else(PoisonError::into_inner).last;
        let rows = log::follow(store, self.task, after, PAGE).await?;
        let events: Vec<_> = rows
            .iter()
            .map(|row| Arc::new(Encoded { seq: Some(row.seq), kind: row.kind.clone(), json: row.json(self.task) }))
            .collect();
        // A reader who is far behind leaves the ring to those who follow the end; one beyond the
        // end has nothing to give.
        if after == ring_last || (after > ring_last && !events.is_empty()) {
            self.keep(after, &events);
        }
        Ok(events)
    }

    /// None where the log has to be read.
    fn in_ring(&self, after: Seq, known: Seq) -> Option<Vec<Arc<Encoded>>> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if after >= ring.last {
            return (ring.to_end && after == ring.last && known <= after).then(Vec::new);
        }
        let first = ring.events.front()?.seq?;
        let skip = usize::try_from(after + 1 - first).ok()?;
        Some(ring.events.iter().skip(skip).take(PAGE as usize).cloned().collect())
    }

    fn keep(&self, after: Seq, events: &[Arc<Encoded>]) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if after != ring.last {
            ring.events.clear();
            ring.bytes = 0;
        }
        ring.to_end = events.len() < PAGE as usize;
        for event in events {
            ring.bytes += event.json.len();
            ring.last = event.seq.unwrap_or(ring.last);
            ring.events.push_back(Arc::clone(event));
        }
        while ring.events.len() > RING_EVENTS_MAX || ring.bytes > RING_BYTES_MAX {
            let Some(oldest) = ring.events.pop_front() else { break };
            ring.bytes -= oldest.json.len();
        }
    }
}
