//! Sandboxes that are ready before a task wants one.

use super::service::PATIENCE;
use journeyman::{
    domain::TaskId,
    workspace::{PoolSettings, SandboxLimits, Sandboxes, TakeSandbox, Taken},
};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// One is kept ready.
pub(crate) const ONE: PoolSettings = PoolSettings { size: 1, total: 1, age: Duration::from_secs(3_600) };

/// What keeps them; stops when it is dropped.
pub(crate) struct Keeping {
    stop: CancellationToken,
    keeping: Option<JoinHandle<()>>,
}

impl Keeping {
    /// Stops, and waits until those that nobody took are gone.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        self.keeping.take().unwrap().await.unwrap();
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) fn keep(sandboxes: &Sandboxes, limits: SandboxLimits) -> Keeping {
    let (sandboxes, stop) = (sandboxes.clone(), CancellationToken::new());
    let stopped = stop.clone();
    let keeping = tokio::spawn(async move { sandboxes.keep_warm(limits, stopped).await });
    Keeping { stop, keeping: Some(keeping) }
}

/// Waits until so many are ready.
pub(crate) async fn until(sandboxes: &Sandboxes, count: usize) {
    let begun = Instant::now();
    while sandboxes.ready() != count {
        assert!(begun.elapsed() < PATIENCE, "{} of {count} are ready", sandboxes.ready());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Takes one of the default image, once it is ready.
pub(crate) async fn take(sandboxes: &Sandboxes, task: TaskId, mirrors: Vec<(PathBuf, PathBuf)>) -> Taken {
    until(sandboxes, 1).await;
    let wanted = TakeSandbox { task, image: None, limits: SandboxLimits::default(), mirrors };
    sandboxes.take(&wanted).await.expect("it was ready")
}
