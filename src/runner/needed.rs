//! What of a task's contents a further run needs: its last state, what a retry goes back to, and what its result shows.

use super::{
    blobs::{BlobError, Blobs},
    journal::fold,
};
use crate::{
    domain::{BlobHash, Seq, TaskId, TeamId, event::TreeDelta},
    store::{Store, StoreError},
};
use std::collections::BTreeSet;

/// The hashes, and the last seq of the log that they follow from.
pub async fn needed(
    store: &Store,
    blobs: &Blobs,
    team: TeamId,
    task: TaskId,
) -> Result<(Seq, BTreeSet<BlobHash>), BlobError> {
    let (session, last) = fold(store, task).await?;
    let mut hashes = BTreeSet::new();
    if let Some(briefed) = &session.briefed {
        hashes.extend([briefed.head.instructions.clone(), briefed.head.tools.clone()]);
    }
    for checkpoint in session.checkpoints_needed() {
        let content = blobs.get(team, &checkpoint.delta).await?;
        let delta: TreeDelta = serde_json::from_slice(&content)
            .map_err(|_| StoreError::corrupt("blobs", "content", &checkpoint.delta.0))?;
        hashes.insert(checkpoint.delta.clone());
        hashes.extend(delta.changed.into_iter().map(|entry| entry.content));
    }
    hashes.extend(session.patches_needed().cloned());
    let checks = session.result.iter().flat_map(|result| &result.checks);
    let runs = checks.flat_map(|check| [&check.baseline, &check.final_run]).flatten();
    hashes.extend(runs.filter_map(|run| run.log_blob.clone()));
    Ok((last, hashes))
}
