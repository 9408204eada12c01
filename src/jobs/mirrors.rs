//! Keeps the mirrors of repositories fresh that tasks have asked for lately.
//!
//! Each process looks after its own: a data directory is one process' at a time, so no two fetch into one mirror.

use crate::workspace::repository::Repositories;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Mirrors that are fetched at once.
const AT_ONCE: usize = 2;
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Runs until `stop`; what fails is tried again later, and ever more rarely.
pub async fn keep_mirrors_fresh(repositories: &Repositories, stop: CancellationToken) {
    if !repositories.refreshes() {
        return;
    }
    let workers = (0..AT_ONCE).map(|_| async {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                refreshed = repositories.refresh_next() => if refreshed.is_some() {
                    continue;
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    });
    futures::future::join_all(workers).await;
}
