//! A worker's loop over jobs of one kind that are no task's run: claims what is due, holds it by heartbeats, gives it back or
//! lets it be done.

use crate::{
    clock,
    domain::ReplicaId,
    shutdown::Shutdown,
    store::{
        Store, StoreError,
        jobs::{self, ClaimedJob},
    },
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How often one that could not be given back is looked for: it runs out by itself.
const BEATS_PER_LEASE: u32 = 3;

#[derive(Clone, Copy, Debug)]
pub struct JobLoop {
    pub replica: ReplicaId,
    /// The data directory that this process has locked.
    pub host: Uuid,
    /// Jobs that are worked on at once.
    pub at_once: usize,
    pub lease_ttl: Duration,
    /// How often to look for work.
    pub poll: Duration,
}

/// What became of a claimed job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// It is done, or somebody else's.
    Settled,
    /// It is to be given back, due after so long.
    Later(Duration),
    /// It stays as a crash would leave it.
    Left,
}

type Held = Arc<Mutex<HashMap<Uuid, CancellationToken>>>;

/// Works on jobs of a kind until the shutdown drains. `work` is given a job and what is cancelled when its lease is lost.
pub(super) async fn work_on<W, F>(store: Store, kind: &'static str, settings: JobLoop, shutdown: Shutdown, work: W)
where
    W: Fn(ClaimedJob, CancellationToken) -> F + Clone + Send + 'static,
    F: Future<Output = Came> + Send + 'static,
{
    let (draining, held) = (shutdown.draining(), Held::default());
    let places = Arc::new(Semaphore::new(settings.at_once));
    let beating = beat(store.clone(), kind, settings, Arc::clone(&held), draining.clone());
    shutdown.spawn(beating);
    while !draining.is_cancelled() {
        let room = places.available_permits();
        let claimed = if room == 0 { Ok(Vec::new()) } else { claim(&store, kind, settings, room).await };
        let claimed = claimed.unwrap_or_else(|error| {
            tracing::warn!(%error, job.kind = kind, "no job can be claimed now");
            Vec::new()
        });
        for job in claimed {
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let lost = CancellationToken::new();
            lock(&held).insert(job.id, lost.clone());
            let (store, held, work) = (store.clone(), Arc::clone(&held), work.clone());
            shutdown.spawn(async move {
                one(&store, kind, job, work(job, lost)).await;
                lock(&held).remove(&job.id);
                drop(place);
            });
        }
        tokio::select! {
            () = draining.cancelled() => {}
            () = tokio::time::sleep(settings.poll + clock::jitter(settings.poll / 4)) => {}
        }
    }
}

async fn claim(
    store: &Store,
    kind: &'static str,
    settings: JobLoop,
    room: usize,
) -> Result<Vec<ClaimedJob>, StoreError> {
    let JobLoop { replica, host, lease_ttl, .. } = settings;
    jobs::claim(store, kind, (replica, host), lease_ttl, room as u32).await
}

/// A task of its own, so that a panic ends the work and not its bookkeeping.
async fn one(store: &Store, kind: &'static str, job: ClaimedJob, work: impl Future<Output = Came> + Send + 'static) {
    let after = match tokio::spawn(work).await {
        Ok(Came::Settled | Came::Left) => return,
        Ok(Came::Later(after)) => after,
        Err(error) => {
            tracing::error!(job.id = %job.id, job.kind = kind, %error, "a job panicked");
            Duration::from_secs(60) * job.attempts.clamp(1, 60)
        }
    };
    if let Err(error) = jobs::give_back(store, &job, after).await {
        tracing::warn!(job.id = %job.id, job.kind = kind, %error, "a lease could not be given back: it will run out");
    }
}

/// Until the drain: what runs then is given back.
async fn beat(store: Store, kind: &'static str, settings: JobLoop, held: Held, draining: CancellationToken) {
    loop {
        tokio::select! {
            () = draining.cancelled() => return,
            () = tokio::time::sleep(settings.lease_ttl / BEATS_PER_LEASE) => {}
        }
        let ids: Vec<Uuid> = lock(&held).keys().copied().collect();
        if ids.is_empty() {
            continue;
        }
        match jobs::prolong(&store, settings.replica, &ids, settings.lease_ttl).await {
            Ok(still) => {
                let held = lock(&held);
                ids.iter()
                    .filter(|id| !still.contains(id))
                    .filter_map(|id| held.get(id))
                    .for_each(CancellationToken::cancel);
            }
            Err(error) => tracing::warn!(%error, job.kind = kind, leases = ids.len(), "a heartbeat failed"),
        }
    }
}

fn lock(held: &Held) -> std::sync::MutexGuard<'_, HashMap<Uuid, CancellationToken>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
