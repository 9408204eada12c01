//! What arrived, when, and what became of it: a bounded ring for tests and benchmarks.

use super::script::LogLimits;
use crate::{clock, domain::item::Wire};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// How far the answer to a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    Replying,
    /// All of the answer has been handed to the connection.
    Done,
    /// The connection was closed before.
    Dropped,
}

/// One request. Times are microseconds since 1970 by this machine's clock.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// From 1.
    pub(super) n: u64,
    pub(super) at_us: i64,
    pub(super) ended_at_us: Option<i64>,
    pub(super) state: State,
    pub(super) wire: Wire,
    pub(super) status: u16,
    /// The line that was played.
    pub(super) place: String,
    pub(super) fault: Option<String>,
    pub(super) input_tokens: u64,
    pub(super) cached_input_tokens: u64,
    /// Of the whole reply, whatever of it arrived.
    pub(super) output_tokens: u64,
    pub(super) bytes: usize,
    /// Absent once the ring was full of bodies.
    pub(super) body: Option<Bytes>,
    /// But for those that hold keys.
    pub(super) headers: Vec<(String, String)>,
}

/// An entry as `GET /requests` shows it.
#[derive(Debug, Serialize)]
pub(super) struct View<'a> {
    n: u64,
    at_us: i64,
    ended_at_us: Option<i64>,
    state: State,
    wire: Wire,
    status: u16,
    line: &'a str,
    fault: Option<&'a str>,
    input_tokens: u64,
    cached_input_tokens: u64,
    output_tokens: u64,
    bytes: usize,
    headers: &'a [(String, String)],
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a RawValue>,
}

/// The log. Its watchers are told of every change.
#[derive(Clone, Debug)]
pub(super) struct Log {
    ring: Arc<Mutex<Ring>>,
    changes: watch::Sender<()>,
}

#[derive(Debug)]
struct Ring {
    limits: LogLimits,
    entries: VecDeque<Entry>,
    next: u64,
    bytes: usize,
}

impl Log {
    pub(super) fn new(limits: LogLimits) -> Self {
        let ring = Ring { limits, entries: VecDeque::new(), next: 1, bytes: 0 };
        Self { ring: Arc::new(Mutex::new(ring)), changes: watch::Sender::new(()) }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a request, whose number comes from here, and gives what will tell its end.
    pub(super) fn add(&self, mut entry: Entry) -> Ending {
        let mut ring = self.ring();
        entry.n = ring.next;
        ring.next += 1;
        ring.bytes += entry.body.as_ref().map_or(0, Bytes::len);
        let n = entry.n;
        ring.entries.push_back(entry);
        while ring.entries.len() > ring.limits.requests.max(1) {
            let gone = ring.entries.pop_front().and_then(|entry| entry.body);
            ring.bytes -= gone.map_or(0, |body| body.len());
        }
        let mut at = 0;
        while ring.bytes > ring.limits.bytes && at < ring.entries.len() {
            let gone = ring.entries[at].body.take();
            ring.bytes -= gone.map_or(0, |body| body.len());
            at += 1;
        }
        drop(ring);
        self.changes.send_replace(());
        Ending { log: self.clone(), n, told: false }
    }

    fn end(&self, n: u64, state: State) {
        let at = micros();
        let mut ring = self.ring();
        if let Some(entry) = ring.entry(n) {
            entry.state = state;
            entry.ended_at_us = Some(at);
        }
        drop(ring);
        self.changes.send_replace(());
    }

    /// Entries after number `after`, oldest first, at most `limit`.
    pub(super) fn after(&self, after: u64, limit: usize) -> Vec<Entry> {
        self.ring().entries.iter().filter(|entry| entry.n > after).take(limit).cloned().collect()
    }

    pub(super) fn get(&self, n: u64) -> Option<Entry> {
        self.ring().entry(n).cloned()
    }

    pub(super) fn clear(&self) {
        let mut ring = self.ring();
        ring.entries.clear();
        ring.bytes = 0;
    }

    /// Wakes after each change from now on.
    pub(super) fn watch(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }
}

impl Ring {
    fn entry(&mut self, n: u64) -> Option<&mut Entry> {
        let at = self.entries.binary_search_by_key(&n, |entry| entry.n).ok()?;
        self.entries.get_mut(at)
    }
}

impl Entry {
    pub(super) fn view(&self, bodies: bool) -> View<'_> {
        let body = self.body.as_ref().filter(|_| bodies);
        View {
            n: self.n,
            at_us: self.at_us,
            ended_at_us: self.ended_at_us,
            state: self.state,
            wire: self.wire,
            status: self.status,
            line: &self.place,
            fault: self.fault.as_deref(),
            input_tokens: self.input_tokens,
            cached_input_tokens: self.cached_input_tokens,
            output_tokens: self.output_tokens,
            bytes: self.bytes,
            headers: &self.headers,
            body: body.and_then(|body| serde_json::from_slice(body).ok()),
        }
    }
}

/// Tells the log how a request ended: dropped without a word, it was the connection that closed.
#[derive(Debug)]
pub(super) struct Ending {
    log: Log,
    n: u64,
    told: bool,
}

impl Ending {
    pub(super) fn done(&mut self) {
        self.told = true;
        self.log.end(self.n, State::Done);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.told {
            self.log.end(self.n, State::Dropped);
        }
    }
}

pub(super) fn micros() -> i64 {
    (clock::now().0.unix_timestamp_nanos() / 1_000) as i64
}
