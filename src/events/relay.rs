//! Live pieces between replicas: a process that drives a task stores them while another's watchers
//! follow it, and these fetch them. Nothing is written for a task that nobody elsewhere watches.

use super::{Hub, channel::Encoded};
use crate::{
    domain::{Seq, TaskId},
    store::{
        StoreError,
        live::{self, Piece},
    },
};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How often pieces are stored and fetched; where none came for a while, they are fetched less often.
const PERIOD: Duration = Duration::from_millis(100);
const PERIOD_QUIET: Duration = Duration::from_millis(500);
const QUIET_AFTER: Duration = Duration::from_secs(2);
/// How often a driving process asks who watches.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How often watchers say that they are there, and how long that is believed.
const MARK_EVERY: Duration = Duration::from_secs(5);
const MARK_TTL: Duration = Duration::from_secs(15);
const TIDY_EVERY: Duration = Duration::from_secs(10);
const PIECE_AGE: Duration = Duration::from_secs(30);
/// After a failed round.
const FAILED_PAUSE: Duration = Duration::from_secs(1);
/// Pieces waiting to be stored, and fetched at a time; more are left out.
const PIECES_MAX: usize = 1_000;

#[derive(Debug)]
pub(super) struct Relay {
    replica: Uuid,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The tasks that this process drives: how often, and the last seq that it wrote.
    driven: HashMap<TaskId, (usize, Seq)>,
    /// Those of them that are watched elsewhere.
    asked_for: HashSet<TaskId>,
    outbox: VecDeque<Piece>,
}

impl Relay {
    pub(super) fn new(replica: Uuid) -> Self {
        Self { replica, state: Mutex::default() }
    }

    pub(super) fn is_watched_elsewhere(&self, task: TaskId) -> bool {
        self.state().asked_for.contains(&task)
    }

    pub(super) fn wrote(&self, task: TaskId, seq: Seq) {
        if let Some((_, last)) = self.state().driven.get_mut(&task) {
            *last = seq.max(*last);
        }
    }

    /// Keeps a piece for the next round, where somebody elsewhere waits for it.
    pub(super) fn send(&self, task: TaskId, kind: &str, json: &str) {
        let mut state = self.state();
        if !state.asked_for.contains(&task) {
            return;
        }
        let after = state.driven.get(&task).map_or(0, |(_, seq)| *seq);
        if state.outbox.len() >= PIECES_MAX {
            state.outbox.pop_front();
        }
        state.outbox.push_back(Piece { task, after, kind: kind.to_owned(), json: json.to_owned() });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While it lives, the task is driven by this process.
#[derive(Debug)]
pub struct Driving {
    hub: Hub,
    task: TaskId,
}

impl Drop for Driving {
    fn drop(&mut self) {
        let mut state = self.hub.relay().state();
        if let Some((times, _)) = state.driven.get_mut(&self.task) {
            *times -= 1;
            if *times == 0 {
                state.driven.remove(&self.task);
                state.asked_for.remove(&self.task);
            }
        }
    }
}

impl Hub {
    /// Says that this process drives a task: its pieces are sent from here, to whoever watches.
    #[must_use]
    pub fn driving(&self, task: TaskId) -> Driving {
        self.relay().state().driven.entry(task).or_default().0 += 1;
        Driving { hub: self.clone(), task }
    }

    /// Carries live pieces to and from other replicas until `stop`. Runs once per process;
    /// outlives losses of the database, though pieces do not.
    pub async fn relay_pieces(&self, stop: CancellationToken) {
        let mut round = Round::new(self.clone());
        loop {
            let pause = match round.go().await {
                Ok(()) => PERIOD,
                Err(error) => {
                    tracing::debug!(%error, "live pieces cannot be carried now");
                    FAILED_PAUSE
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

/// What is remembered from round to round.
struct Round {
    hub: Hub,
    /// Watched here and driven elsewhere, with the newest piece seen.
    cursors: HashMap<TaskId, i64>,
    marked: Instant,
    asked: Instant,
    fetched: Instant,
    /// When pieces last came.
    lively: Instant,
    tidied: Instant,
}

impl Round {
    fn new(hub: Hub) -> Self {
        let now = Instant::now();
        Self { hub, cursors: HashMap::new(), marked: now, asked: now, fetched: now, lively: now, tidied: now }
    }

    async fn go(&mut self) -> Result<(), StoreError> {
        let (driven, outbox) = {
            let mut state = self.hub.relay().state();
            (state.driven.keys().copied().collect::<Vec<_>>(), std::mem::take(&mut state.outbox))
        };
        let stored = !outbox.is_empty();
        if stored {
            live::put(self.hub.store(), &Vec::from(outbox)).await?;
        }
        self.ask(&driven).await?;
        self.mark(&driven).await?;
        self.fetch().await?;
        if (stored || !self.cursors.is_empty()) && self.tidied.elapsed() >= TIDY_EVERY {
            self.tidied = Instant::now();
            live::tidy(self.hub.store(), PIECE_AGE).await?;
        }
        Ok(())
    }

    /// Which of the tasks driven here others watch.
    async fn ask(&mut self, driven: &[TaskId]) -> Result<(), StoreError> {
        if driven.is_empty() || self.asked.elapsed() < ASK_EVERY {
            return Ok(());
        }
        self.asked = Instant::now();
        let relay = self.hub.relay();
        let found = live::watched_elsewhere(self.hub.store(), relay.replica, driven).await?;
        let mut state = relay.state();
        state.asked_for = found.into_iter().filter(|task| state.driven.contains_key(task)).collect();
        Ok(())
    }

    /// Says which tasks are watched here that are not driven here.
    async fn mark(&mut self, driven: &[TaskId]) -> Result<(), StoreError> {
        let mut tasks = self.hub.watched_tasks();
        tasks.retain(|task| !driven.contains(task));
        self.cursors.retain(|task, _| tasks.contains(task));
        let grown = tasks.len() > self.cursors.len();
        if !grown && (tasks.is_empty() || self.marked.elapsed() < MARK_EVERY) {
            return Ok(());
        }
        let newest = live::watch(self.hub.store(), self.hub.relay().replica, &tasks, MARK_TTL).await?;
        self.marked = Instant::now();
        for task in tasks {
            self.cursors.entry(task).or_insert(newest);
        }
        Ok(())
    }

    async fn fetch(&mut self) -> Result<(), StoreError> {
        let period = if self.lively.elapsed() < QUIET_AFTER { Duration::ZERO } else { PERIOD_QUIET };
        if self.cursors.is_empty() || self.fetched.elapsed() < period {
            return Ok(());
        }
        self.fetched = Instant::now();
        let cursors: Vec<_> = self.cursors.iter().map(|(task, id)| (*task, *id)).collect();
        for (id, piece) in live::after(self.hub.store(), &cursors, PIECES_MAX as u32).await? {
            self.lively = Instant::now();
            self.cursors.insert(piece.task, id);
            self.hub.arrived(piece);
        }
        Ok(())
    }
}

impl Hub {
    /// A piece from elsewhere; one that a later event has overtaken is of no use.
    fn arrived(&self, piece: Piece) {
        let Some(channel) = self.channel_if_any(piece.task) else { return };
        if channel.last() <= piece.after {
            channel.send_live(Encoded { seq: None, kind: piece.kind, json: piece.json });
        }
    }
}
