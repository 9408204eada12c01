//! The loop of a worker process.

use crate::{
    clock,
    domain::{ReplicaId, TaskId},
    shutdown::Shutdown,
    store::{
        Store, StoreError,
        jobs::{self, Claimed},
    },
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Claimed at a time, so that one statement stays small.
const CLAIM_MAX: usize = 32;
/// How often a drain looks whether anything is still held.
const DRAIN_LOOK: Duration = Duration::from_millis(200);
/// After work that ended abnormally.
const RETRY_AFTER: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub struct QueueSettings {
    /// This process; new at every start.
    pub replica: ReplicaId,
    /// The data directory that this process has locked.
    pub host: Uuid,
    /// Tasks that this process runs at once.
    pub capacity: usize,
    pub lease_ttl: Duration,
    /// How often to look for work that nobody here was told of.
    pub poll: Duration,
    /// The newest log version that this build reads.
    pub log_version: i32,
}

/// How a piece of work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Its job was settled in the log's own transaction, or it belongs to somebody else now.
    Settled,
    /// It could not go on here; it is tried again a little later, by whoever claims it.
    Again,
    /// It was left as it is, as a crash would leave it.
    Left,
}

/// The work of one process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Queue {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    settings: QueueSettings,
    held: Mutex<HashMap<TaskId, Held>>,
    wake: Notify,
}

#[derive(Debug)]
struct Held {
    /// Tells this claim from a later one of the same task.
    epoch: i64,
    lost: CancellationToken,
}

impl Queue {
    pub fn new(store: Store, settings: QueueSettings) -> Self {
        Self { inner: Arc::new(Inner { store, settings, held: Mutex::default(), wake: Notify::new() }) }
    }

    /// There may be work: look now.
    pub fn wake(&self) {
        self.inner.wake.notify_one();
    }

    /// This process, as its leases name it, and the data directory that it has locked.
    pub fn holder(&self) -> (ReplicaId, Uuid) {
        (self.inner.settings.replica, self.inner.settings.host)
    }

    /// Tasks held by this process now.
    pub fn held(&self) -> Vec<TaskId> {
        self.inner.held().keys().copied().collect()
    }

    /// Claims and drives until the shutdown drains; then claims no more. Heartbeats go on until
    /// what runs has ended. `drive` gets a token that is cancelled when the lease is lost.
    pub async fn work<F>(&self, shutdown: &Shutdown, drive: impl Fn(Claimed, CancellationToken) -> F)
    where
        F: Future<Output = Done> + Send + 'static,
    {
        let settings = &self.inner.settings;
        match jobs::expire_host(&self.inner.store, settings.host, settings.replica).await {
            Ok(0) => {}
            Ok(leases) => tracing::info!(leases, "taking over the leases of an earlier process on this data directory"),
            Err(error) => tracing::warn!(error = %error, "earlier leases will run out by themselves"),
        }
        let heart = self.clone();
        let (draining, cut) = (shutdown.draining(), shutdown.cut());
        let drained = draining.clone();
        shutdown.spawn(async move { heart.beat(&drained, &cut).await });
        while !draining.is_cancelled() {
            let full = match self.claim(shutdown, &drive).await {
                Ok(full) => full,
                Err(error) => {
                    tracing::warn!(error = %error, "no work can be claimed now");
                    false
                }
            };
            if full {
                continue;
            }
            tokio::select! {
                () = draining.cancelled() => {}
                () = self.inner.wake.notified() => {}
                () = tokio::time::sleep(settings.poll + clock::jitter(settings.poll / 4)) => {}
            }
        }
    }

    /// Claims what there is room for; answers whether there may be more.
    async fn claim<F>(
        &self,
        shutdown: &Shutdown,
        drive: &impl Fn(Claimed, CancellationToken) -> F,
    ) -> Result<bool, StoreError>
    where
        F: Future<Output = Done> + Send + 'static,
    {
        let settings = &self.inner.settings;
        let room = settings.capacity.saturating_sub(self.inner.held().len()).min(CLAIM_MAX);
        if room == 0 {
            return Ok(false);
        }
        let claimed = jobs::claim_tasks(
            &self.inner.store,
            settings.replica,
            settings.host,
            settings.log_version,
            settings.lease_ttl,
            room as u32,
        )
        .await?;
        let full = claimed.len() == room;
        for one in claimed {
            let lost = CancellationToken::new();
            let earlier = self.inner.held().insert(one.task, Held { epoch: one.epoch, lost: lost.clone() });
            if let Some(earlier) = earlier {
                // Its lease ran out unnoticed and came back here: who drives it still must stop.
                tracing::warn!(task.id = %one.task, "a lease was lost and claimed anew");
                earlier.lost.cancel();
            }
            let driving = drive(one, lost);
            let queue = self.clone();
            shutdown.spawn(async move {
                // A task of its own, so that a panic ends the work and not its bookkeeping.
                let done = match tokio::spawn(driving).await {
                    Ok(done) => done,
                    Err(error) => {
                        tracing::error!(task.id = %one.task, error = %error, "driving a task panicked");
                        Done::Again
                    }
                };
                queue.ended(one, done).await;
            });
        }
        Ok(full)
    }

    async fn ended(&self, claimed: Claimed, done: Done) {
        let task = claimed.task;
        {
            let mut held = self.inner.held();
            if held.get(&task).is_some_and(|h| h.epoch == claimed.epoch) {
                held.remove(&task);
            }
        }
        let delay = match done {
            Done::Settled => None,
            // What fails at once at every claim is tried ever more rarely.
            Done::Again => Some(RETRY_AFTER * claimed.attempts.clamp(1, 30)),
            Done::Left => Some(Duration::ZERO),
        };
        if let Some(delay) = delay
            && let Err(error) =
                jobs::expire(&self.inner.store, self.inner.settings.replica, task, claimed.epoch, delay).await
        {
            tracing::warn!(task.id = %task, error = %error, "a lease could not be given back: it will run out");
        }
        self.wake();
    }

    /// Until the cut, or until a drain has left nothing to hold.
    async fn beat(&self, draining: &CancellationToken, cut: &CancellationToken) {
        let ttl = self.inner.settings.lease_ttl;
        loop {
            let pause = if draining.is_cancelled() { DRAIN_LOOK } else { ttl / 3 };
            tokio::select! {
                () = cut.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                () = draining.cancelled(), if !draining.is_cancelled() => {}
            }
            let held = self.held();
            if held.is_empty() && draining.is_cancelled() {
                return;
            }
            if held.is_empty() {
                continue;
            }
            match jobs::heartbeat(&self.inner.store, self.inner.settings.replica, &held, ttl).await {
                Ok(still) => self.lose(&held, &still),
                // The leases may run out meanwhile; whether another took them the next beat tells.
                Err(error) => tracing::warn!(error = %error, leases = held.len(), "a heartbeat failed"),
            }
        }
    }

    fn lose(&self, before: &[TaskId], still: &[TaskId]) {
        let held = self.inner.held();
        for task in before.iter().filter(|task| !still.contains(task)) {
            if let Some(one) = held.get(task) {
                tracing::warn!(task.id = %task, "a lease was lost");
                one.lost.cancel();
            }
        }
    }
}

impl Inner {
    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<TaskId, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
