//! What is done for memories in the background: vectors for those that have none, and counting what runs did to those
//! that they cited. Both find what is due in the database: nothing is lost with a process, and several may do it at once.

use crate::{
    memory::{self, EmbedError, Embeddings},
    store::Store,
};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const EFFECTS_EVERY: Duration = Duration::from_secs(1);
const EMBED_EVERY: Duration = Duration::from_secs(2);
/// After a server that gave no vectors.
const EMBED_AGAIN: Duration = Duration::from_secs(30);

/// Counts, until `stop`, what ended runs did to the memories that they cited.
pub async fn count_effects(store: &Store, stop: CancellationToken) {
    loop {
        let counted = tokio::select! {
            () = stop.cancelled() => return,
            counted = memory::count_effects(store) => counted,
        };
        match counted {
            Ok(tasks) if tasks > 0 => continue,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "what tasks did to memories could not be counted"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EFFECTS_EVERY) => {}
        }
    }
}

/// Gives memories their vectors, until `stop`.
pub async fn embed_memories(store: &Store, embeddings: &Embeddings, stop: CancellationToken) {
    let mut failing = false;
    loop {
        let round = tokio::select! {
            () = stop.cancelled() => return,
            round = embeddings.round(store) => round,
        };
        let pause = match round {
            Ok(round) => {
                if std::mem::take(&mut failing) {
                    tracing::info!("memories get vectors again");
                }
                if !round.done {
                    continue;
                }
                EMBED_EVERY
            }
            Err(EmbedError::Model(error)) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "memories get no vectors: they are found by their words alone");
                }
                EMBED_AGAIN
            }
            Err(EmbedError::Store(error)) => {
                tracing::warn!(%error, "memories could not be given vectors");
                EMBED_EVERY
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
