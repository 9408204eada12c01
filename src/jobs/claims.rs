//! A worker's loop over what is due and no task's run: [`work_in_turn`] claims as much as there is room for; [`work_on`] does so
//! with jobs of one kind, holds them by heartbeats, and gives them back or lets them be done.

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
use tokio::sync::{Notify, Semaphore};
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
    /// Of one person, on all replicas together.
    pub of_user: u32,
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
    let held = Held::default();
    let beating = beat(store.clone(), kind, settings, Arc::clone(&held), shutdown.draining());
    shutdown.spawn(beating);
    let turns = Turns { what: kind, at_once: settings.at_once, poll: settings.poll, woken: Arc::default() };
    work_in_turn(
        turns,
        store.clone(),
        shutdown,
        move |store, room| async move {
            let JobLoop { replica, host, lease_ttl, of_user, .. } = settings;
            jobs::claim(&store, kind, (replica, host), lease_ttl, (room, of_user)).await
        },
        move |job: ClaimedJob| {
            let lost = CancellationToken::new();
            lock(&held).insert(job.id, lost.clone());
            let (store, held, work) = (store.clone(), Arc::clone(&held), work.clone());
            async move {
                one(&store, kind, job, work(job, lost)).await;
                lock(&held).remove(&job.id);
            }
        },
    )
    .await;
}

/// How a loop looks for what is due.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    /// For the log.
    pub(super) what: &'static str,
    /// What is worked on at once.
    pub(super) at_once: usize,
    /// How often to look for what no one in this process told of.
    pub(super) poll: Duration,
    /// Told when something is due.
    pub(super) woken: Arc<Notify>,
}

/// Claims what is due as far as there is room and has each worked on, until the shutdown drains. Where something was claimed and
/// there is room left, there may be more: it looks again at once.
pub(super) async fn work_in_turn<T, C, CF, W, WF>(turns: Turns, store: Store, shutdown: Shutdown, claim: C, work: W)
where
    C: Fn(Store, u32) -> CF,
    CF: Future<Output = Result<Vec<T>, StoreError>>,
    W: Fn(T) -> WF,
    WF: Future<Output = ()> + Send + 'static,
{
    let Turns { what, at_once, poll, woken } = turns;
    let (draining, places) = (shutdown.draining(), Arc::new(Semaphore::new(at_once)));
    while !draining.is_cancelled() {
        let room = places.available_permits();
        let claimed = if room == 0 { Ok(Vec::new()) } else { claim(store.clone(), room as u32).await };
        let claimed = claimed.unwrap_or_else(|error| {
            tracing::warn!(%error, "nothing of {what} can be claimed now");
            Vec::new()
        });
        let more = !claimed.is_empty();
        for one in claimed {
            // There is one for each: nobody else takes them.
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let (done, woken) = (work(one), Arc::clone(&woken));
            shutdown.spawn(async move {
                done.await;
                drop(place);
                woken.notify_one();
            });
        }
        if more && places.available_permits() > 0 {
            continue;
        }
        tokio::select! {
            () = draining.cancelled() => {}
            () = woken.notified() => {}
            () = tokio::time::sleep(poll + clock::jitter(poll / 4)) => {}
        }
    }
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
