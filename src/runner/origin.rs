//! Where a task's code comes from: its repository, its upload, or nothing.

use super::blobs::{BlobError, Blobs};
use crate::{
    domain::{Oid, TeamId, task::RepositorySource},
    workspace::repository::{Base, Origin, Repositories, RepositoryError},
};

/// Why a base could not be had.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    #[error(transparent)]
    Blob(#[from] BlobError),
}

/// The base of a task: of `commit`, where it is known already, else of what its ref means now.
pub async fn base(
    repositories: &Repositories,
    blobs: &Blobs,
    team: TeamId,
    source: Option<&RepositorySource>,
    commit: Option<&Oid>,
) -> Result<Base, OriginError> {
    let file;
    let (origin, reference) = match source {
        None => return Ok(repositories.empty()),
        Some(RepositorySource::Git { url, reference }) => (Origin::Url(url), reference.as_deref()),
        Some(RepositorySource::Upload { upload, reference }) => {
            let deleted = || RepositoryError::Unusable { reason: "the upload was deleted".to_owned() };
            file = blobs.upload(team, *upload).await?.ok_or_else(deleted)?;
            (Origin::Upload { upload: *upload, file: &file }, reference.as_deref())
        }
    };
    Ok(match (commit, origin) {
        (Some(commit), origin) => repositories.reopen(team, origin, commit, reference).await?,
        (None, Origin::Url(url)) => repositories.resolve(team, url, reference).await?,
        (None, Origin::Upload { upload, file }) => repositories.resolve_upload(team, upload, file, reference).await?,
    })
}
