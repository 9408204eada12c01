//! The loop: claims what is due as far as there is room, and sends it.

use super::{
    attempt::{Attempted, Attempts},
    loading::Loaded,
    places::{OF_UNKNOWN, Places},
    settling,
};
use crate::{
    clock,
    net::CheckedClient,
    secrets::{Keyring, Redactor},
    shutdown::Shutdown,
    store::{
        Store, StoreError,
        webhooks::{self, Claimed, Kept, Room, Standing},
    },
};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How often to look for work: where there was none, and where there was some.
const POLL: Duration = Duration::from_millis(250);
const AGAIN: Duration = Duration::from_millis(20);
/// Claimed at a time.
const CLAIM_MAX: u32 = 64;
/// Attempts that wait to be written; more wait to be handed over.
const UNSETTLED_MAX: usize = 1_000;
/// What an attempt that is under way may still take once nothing new is begun.
const DRAIN: Duration = Duration::from_secs(3);
const TRIM_EVERY: Duration = Duration::from_secs(30);
const TRIMMED_MAX: u32 = 5_000;
/// Times that a round of trimming goes on where there is more.
const TRIMS_MAX: u32 = 20;

#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// Deliveries that are under way at once.
    pub at_once: u32,
    /// Of one attempt.
    pub timeout: Duration,
    /// Between attempts; after the last there is none.
    pub pauses: Vec<Duration>,
    /// An endpoint that nothing has reached for so long is disabled.
    pub failing: Duration,
    pub kept: Kept,
}

/// Sends webhooks.
#[derive(Clone, Debug)]
pub struct Webhooks {
    store: Store,
    keyring: Keyring,
    attempts: Attempts,
    settings: WebhookSettings,
    places: Places,
}

impl Webhooks {
    pub fn new(
        store: Store,
        client: CheckedClient,
        keyring: Keyring,
        redactor: Redactor,
        settings: WebhookSettings,
    ) -> Self {
        let attempts =
            Attempts { client, redactor, timeout: settings.timeout, pauses: Arc::from(settings.pauses.as_slice()) };
        Self { store, keyring, attempts, settings, places: Places::default() }
    }

    /// Sends until the shutdown drains. What is under way then has a moment to end, and is given back.
    pub async fn run(self, shutdown: Shutdown) {
        let draining = shutdown.draining();
        let (settled, unsettled) = mpsc::channel(UNSETTLED_MAX);
        shutdown.spawn(settling::settle(self.store.clone(), self.settings.failing, unsettled));
        let trimming = self.clone();
        let stop = draining.clone();
        shutdown.spawn(async move { trimming.trim(stop).await });
        while !draining.is_cancelled() {
            let sent = self.round(&shutdown, &settled).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "no webhooks can be sent now");
                0
            });
            let pause = if sent == 0 { POLL + clock::jitter(POLL / 4) } else { AGAIN };
            tokio::select! {
                () = draining.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Claims what there is room for and begins to send it; how many.
    async fn round(
        &self,
        shutdown: &Shutdown,
        settled: &mpsc::Sender<(Attempted, Standing)>,
    ) -> Result<usize, StoreError> {
        let told = self.places.told();
        let all = self.settings.at_once.saturating_sub(told.under_way).min(CLAIM_MAX);
        if all == 0 {
            return Ok(0);
        }
        let at_once = self.settings.at_once;
        let doubtful = at_once.div_ceil(2).saturating_sub(told.doubtful);
        let room = Room { all, doubtful, of_unknown: OF_UNKNOWN, of_team: at_once - at_once / 4 };
        // Twice what an attempt may take: who claimed it is then gone.
        let lease = self.settings.timeout * 2 + Duration::from_secs(1);
        let claimed = webhooks::claim(&self.store, room, &told.places, lease).await?;
        if claimed.is_empty() {
            return Ok(0);
        }
        let loaded = Loaded::load(&self.store, &self.keyring, &claimed).await?;
        let count = claimed.len();
        for one in claimed {
            let timestamp = clock::now().0.unix_timestamp();
            let signatures = loaded.sign(&one, timestamp);
            let taken = self.places.take(&one);
            let (own, settled, draining) = (self.clone(), settled.clone(), shutdown.draining());
            shutdown.spawn(async move {
                own.send(one, signatures, timestamp, settled, draining).await;
                drop(taken);
            });
        }
        Ok(count)
    }

    async fn send(
        &self,
        one: Claimed,
        signatures: Result<String, String>,
        timestamp: i64,
        settled: mpsc::Sender<(Attempted, Standing)>,
        draining: CancellationToken,
    ) {
        let drained = async {
            draining.cancelled().await;
            tokio::time::sleep(DRAIN).await;
        };
        let attempted = tokio::select! {
            attempted = self.attempts.make(&one, signatures, timestamp) => attempted,
            () = drained => {
                if let Err(error) = webhooks::give_back(&self.store, &one).await {
                    tracing::debug!(%error, "a webhook could not be given back: its lease will run out");
                }
                return;
            }
        };
        let standing = Standing { team: one.team, endpoint: one.endpoint };
        // Nobody takes it only where the process is being cut: it is then sent again.
        let _ = settled.send((attempted, standing)).await;
    }

    async fn trim(&self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(TRIM_EVERY + clock::jitter(TRIM_EVERY / 4)) => {}
            }
            for _ in 0..TRIMS_MAX {
                match webhooks::trim(&self.store, self.settings.kept, TRIMMED_MAX).await {
                    Ok(gone) if gone >= u64::from(TRIMMED_MAX) && !stop.is_cancelled() => {}
                    Ok(_) => break,
                    Err(error) => {
                        tracing::warn!(%error, "old webhooks could not be let go");
                        break;
                    }
                }
            }
        }
    }
}
