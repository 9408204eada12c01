//! What this process has on its disk of uploads that are gone: their contents as git and tar read them, and their mirrors.
//! Every replica looks after its own, also one that drives no tasks.

use crate::{
    runner::Blobs,
    store::{Store, StoreError, uploads},
    workspace::repository::Repositories,
};
use std::{io, time::Duration};
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(60);
/// Asked about at a time.
const PAGE: usize = 500;
/// How old an upload that is coming in, and came no further, grows.
const INCOMING_KEPT: Duration = Duration::from_secs(24 * 3_600);

#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the directory of uploads cannot be looked through: {}", .0.kind())]
    Disk(#[from] io::Error),
}

/// Looks now and again until `stop`.
pub async fn sweep_uploads(store: &Store, blobs: &Blobs, repositories: &Repositories, stop: CancellationToken) {
    loop {
        match round(store, blobs, repositories).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "removed what was left here of uploads that are gone"),
            Err(error) => tracing::warn!(%error, "uploads that are gone could not be swept"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

async fn round(store: &Store, blobs: &Blobs, repositories: &Repositories) -> Result<u64, SweepError> {
    let mut removed = blobs.remove_stale_incoming(INCOMING_KEPT).await?;
    // What is here is listed before it is asked what is wanted: what comes meanwhile stays.
    for named in blobs.laid().await?.chunks(PAGE) {
        let wanted = uploads::contents_wanted(store, named).await?;
        for (team, hash) in named.iter().filter(|one| !wanted.contains(one)) {
            blobs.remove_laid(*team, hash).await?;
            removed += 1;
        }
    }
    for named in repositories.uploads().await?.chunks(PAGE) {
        let wanted = uploads::existing(store, named).await?;
        for (team, upload) in named.iter().filter(|one| !wanted.contains(one)) {
            repositories.remove_upload(*team, *upload).await?;
            removed += 1;
        }
    }
    Ok(removed)
}
