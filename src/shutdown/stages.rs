//! The two stages of a stop and what waits for them.

use std::{future::Future, time::Duration};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long tasks may take to reach their next step after the first signal. With [`CUT`] and the
/// stop of the private Postgres it stays within the 15 s that an operator is promised.
pub const DRAIN: Duration = Duration::from_secs(11);

/// How long what was cut may take to return.
pub const CUT: Duration = Duration::from_secs(1);

/// The two stages and everything that waits for them. Clones share their state.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    draining: CancellationToken,
    cut: CancellationToken,
    tracker: TaskTracker,
}

/// How a shutdown ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Everything returned by itself.
    Whole,
    /// This many tracked futures had not returned when they were cut.
    Cut { left: usize },
}

#[derive(Debug, thiserror::Error)]
pub enum ShutdownError {
    #[error("signals cannot be listened for: {0}")]
    Signals(#[source] std::io::Error),
}

impl Shutdown {
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled once nothing new may be started.
    pub fn draining(&self) -> CancellationToken {
        self.draining.clone()
    }

    /// Cancelled once everything must return at once; always after [`Self::draining`].
    pub fn cut(&self) -> CancellationToken {
        self.cut.clone()
    }

    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Spawned futures are tracked here, so that a drain can wait for them.
    pub fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }

    /// Spawns a tracked future. It must watch [`Self::draining`] or [`Self::cut`] itself.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.tracker.spawn(future)
    }

    /// Starts the drain; further calls do nothing.
    pub fn drain(&self) {
        self.draining.cancel();
        self.tracker.close();
    }

    /// Cuts everything at once, draining or not.
    pub fn cut_now(&self) {
        self.drain();
        self.cut.cancel();
    }

    /// Listens for SIGTERM and SIGINT from now on: the first drains, a second one cuts.
    /// Must be called within a runtime; the listener lives until the process ends.
    pub fn listen_for_signals(&self) -> Result<(), ShutdownError> {
        let mut term = signal(SignalKind::terminate()).map_err(ShutdownError::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(ShutdownError::Signals)?;
        let shutdown = self.clone();
        // Not tracked: it would be waited for by the drain that it starts.
        tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    _ = term.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                if shutdown.is_draining() {
                    tracing::warn!(signal = name, "second signal: cutting off what still runs");
                    shutdown.cut_now();
                } else {
                    tracing::info!(signal = name, "draining: nothing new is started, a second signal cuts off");
                    shutdown.drain();
                }
            }
        });
        Ok(())
    }

    /// Waits for the drain to begin, then for everything tracked to return: [`DRAIN`] long of its
    /// own accord, then it is cut and has [`CUT`] to go.
    pub async fn finished(&self) -> Drained {
        self.finished_within(DRAIN, CUT).await
    }

    /// As [`Self::finished`] with other spans.
    pub async fn finished_within(&self, drain: Duration, cut: Duration) -> Drained {
        self.draining.cancelled().await;
        tokio::select! {
            () = self.tracker.wait() => return Drained::Whole,
            () = self.cut.cancelled() => {}
            () = tokio::time::sleep(drain) => {}
        }
        let left = self.tracker.len();
        self.cut_now();
        if timeout(cut, self.tracker.wait()).await.is_err() {
            tracing::warn!(left = self.tracker.len(), "some of what was cut has not returned");
        }
        Drained::Cut { left }
    }
}
