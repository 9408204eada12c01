//! What of a task nobody may see: the secrets of its environment and what reaches its repository, beside the
//! process's own.

use super::{
    Deps,
    journal::{Halt, patiently},
    vault::VaultError,
};
use crate::{
    domain::{TaskSpec, task::RepositorySource},
    secrets::{Redactor, SealError},
    store::jobs::Claimed,
};
use std::sync::Arc;

/// The redactors of one task.
pub(super) struct Hidden {
    /// Of everything, for what is told.
    pub(super) redactor: Arc<Redactor>,
    /// Of the task's own secrets, for files: what else looks like a secret there may be the repository's.
    pub(super) own: Redactor,
}

impl Hidden {
    pub(super) fn none(deps: &Deps) -> Self {
        Self { redactor: Arc::clone(&deps.redactor), own: Redactor::default() }
    }
}

/// A database that is away is waited for; a secret that does not open is told.
pub(super) async fn of_task(
    deps: &Deps,
    claimed: &Claimed,
    spec: &TaskSpec,
) -> Result<Result<Hidden, SealError>, Halt> {
    let url = match &spec.repository {
        Some(RepositorySource::Git { url, .. }) => deps.repositories.validate_url(url).ok(),
        _ => None,
    };
    let values = patiently(&deps.cut, || async {
        match deps.vault.of_task(claimed.team, spec, url.as_ref()).await {
            Ok(values) => Ok(Ok(values)),
            Err(VaultError::Seal(error)) => Ok(Err(error)),
            Err(VaultError::Store(error)) => Err(error),
        }
    });
    let values = match values.await? {
        Ok(values) if values.is_empty() => return Ok(Ok(Hidden::none(deps))),
        Ok(values) => values,
        Err(error) => return Ok(Err(error)),
    };
    let process = Arc::clone(&deps.redactor);
    // Thousands of spellings take a while: not on a thread that serves others.
    let made = tokio::task::spawn_blocking(move || Hidden {
        redactor: Arc::new(process.with(&values)),
        own: Redactor::new(&values),
    });
    made.await.map(Ok).map_err(|error| Halt::Disk(std::io::Error::other(error)))
}
