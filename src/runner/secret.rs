//! What of a task nobody may see: the secrets of its environment and what reaches its repository, beside the
//! process's own.

use super::{
    Deps,
    journal::{Halt, patiently},
    vault::VaultError,
};
use crate::{
    domain::{TaskSpec, TeamId, task::RepositorySource},
    secrets::{Redactor, SealError, Secret},
};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

/// The redactors of one task.
pub(super) struct Hidden {
    /// Of everything, for what is told.
    pub(super) redactor: Arc<Redactor>,
    /// Of the task's own secrets, for files: what else looks like a secret there may be the repository's.
    pub(super) own: Redactor,
}

impl Hidden {
    pub(super) fn none(deps: &Deps) -> Arc<Self> {
        Arc::new(Self { redactor: Arc::clone(&deps.redactor), own: Redactor::default() })
    }
}

/// What hides each set of secrets that tasks of this process have just now: tasks of one environment share it,
/// however many are claimed at once. Nothing is kept for a set that no task has.
#[derive(Default)]
pub struct HiddenSets(Mutex<HashMap<[u8; 32], Arc<Made>>>);

impl std::fmt::Debug for HiddenSets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HiddenSets").finish_non_exhaustive()
    }
}

/// Locked while it is made.
type Made = tokio::sync::Mutex<Weak<Hidden>>;

impl HiddenSets {
    async fn of(&self, process: &Arc<Redactor>, values: Vec<Secret>) -> Result<Arc<Hidden>, Halt> {
        let made = self.entry(digest(&values));
        let mut made = made.lock().await;
        if let Some(hidden) = made.upgrade() {
            return Ok(hidden);
        }
        let process = Arc::clone(process);
        // Thousands of spellings take a while: not on a thread that serves others.
        let hidden = tokio::task::spawn_blocking(move || Hidden {
            redactor: Arc::new(process.with(&values)),
            own: Redactor::new(&values),
        });
        let hidden = Arc::new(hidden.await.map_err(|error| Halt::Disk(std::io::Error::other(error)))?);
        *made = Arc::downgrade(&hidden);
        Ok(hidden)
    }

    fn entry(&self, digest: [u8; 32]) -> Arc<Made> {
        let mut sets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sets.retain(|_, made| {
            // Who holds an entry is about to fill it.
            Arc::strong_count(made) > 1 || made.try_lock().is_ok_and(|made| made.strong_count() > 0)
        });
        Arc::clone(sets.entry(digest).or_default())
    }
}

/// Of values in their order, each with its length.
fn digest(values: &[Secret]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for value in values {
        digest.update((value.expose().len() as u64).to_le_bytes());
        digest.update(value.expose());
    }
    digest.finalize().into()
}

/// A database that is away is waited for; a secret that does not open is told.
pub(super) async fn of_task(
    deps: &Deps,
    team: TeamId,
    spec: &TaskSpec,
) -> Result<Result<Arc<Hidden>, SealError>, Halt> {
    let url = match &spec.repository {
        Some(RepositorySource::Git { url, .. }) => deps.repositories.validate_url(url).ok(),
        _ => None,
    };
    let values = patiently(&deps.cut, || async {
        match deps.vault.of_task(team, spec, url.as_ref()).await {
            Ok(values) => Ok(Ok(values)),
            Err(VaultError::Seal(error)) => Ok(Err(error)),
            Err(VaultError::Store(error)) => Err(error),
        }
    });
    match values.await? {
        Ok(values) if values.is_empty() => Ok(Ok(Hidden::none(deps))),
        Ok(values) => deps.hidden.of(&deps.redactor, values).await.map(Ok),
        Err(error) => Ok(Err(error)),
    }
}
