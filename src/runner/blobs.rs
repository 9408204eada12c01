//! Large contents of teams: in the database up to its limit, beyond it in the object store.

use crate::{
    domain::{BlobHash, TeamId, UploadId},
    store::{
        Store, StoreError,
        blobs::{self, INLINE_BYTES_MAX},
        uploads,
    },
};
use bytes::Bytes;
use futures::future::BoxFuture;
use std::{
    io,
    path::{Path, PathBuf},
};

/// Small contents written with one statement.
const WRITTEN_AT_ONCE: usize = 64;

/// Why a content could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the object store cannot be used: {}", .0.kind())]
    Disk(#[from] io::Error),
}

/// Reads and writes contents by hash. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Blobs {
    store: Store,
    objects: PathBuf,
}

impl Blobs {
    pub fn new(store: Store, objects: PathBuf) -> Self {
        Self { store, objects }
    }

    /// Stores contents, each once in a team; those that are there already cost nothing more.
    pub async fn put(&self, team: TeamId, contents: &[(BlobHash, Bytes)]) -> Result<(), BlobError> {
        let (small, large): (Vec<_>, Vec<_>) = contents.iter().partition(|(_, c)| c.len() <= INLINE_BYTES_MAX);
        for chunk in small.chunks(WRITTEN_AT_ONCE) {
            let chunk: Vec<(BlobHash, &[u8])> = chunk.iter().map(|(h, c)| (h.clone(), c.as_ref())).collect();
            blobs::put(&self.store, team, &chunk).await?;
        }
        for (hash, content) in large {
            write_object(&self.object(team, hash), content).await?;
            blobs::put_external(&self.store, team, hash, content.len() as u64).await?;
        }
        Ok(())
    }

    /// Reads a content.
    pub async fn get(&self, team: TeamId, hash: &BlobHash) -> io::Result<Bytes> {
        match blobs::get(&self.store, team, hash).await.map_err(io::Error::other)? {
            Some(blobs::Stored { content: Some(content), .. }) => Ok(content.into()),
            Some(_) => Ok(tokio::fs::read(self.object(team, hash)).await?.into()),
            None => Err(io::Error::new(io::ErrorKind::NotFound, "the content is not stored")),
        }
    }

    /// A team's contents as a function, for those who lay out trees.
    pub fn of_team(
        &self,
        team: TeamId,
    ) -> impl Fn(BlobHash) -> BoxFuture<'static, io::Result<Bytes>> + Send + Sync + use<> {
        let blobs = self.clone();
        move |hash| {
            let blobs = blobs.clone();
            Box::pin(async move { blobs.get(team, &hash).await })
        }
    }

    /// An upload's content as a file on this host. Absent where the upload was deleted.
    pub async fn upload(&self, team: TeamId, upload: UploadId) -> Result<Option<PathBuf>, BlobError> {
        let mut tx = self.store.team(team).await?;
        let Some(row) = uploads::get(&mut tx, upload).await? else { return Ok(None) };
        drop(tx);
        let path = self.object(team, &row.hash);
        if !tokio::fs::try_exists(&path).await? {
            write_object(&path, &self.get(team, &row.hash).await?).await?;
        }
        Ok(Some(path))
    }

    fn object(&self, team: TeamId, hash: &BlobHash) -> PathBuf {
        self.objects.join(team.to_string()).join(&hash.as_str()[..2]).join(hash.as_str())
    }
}

/// Whole or not at all: written beside its place and renamed into it.
async fn write_object(path: &Path, content: &[u8]) -> io::Result<()> {
    if tokio::fs::try_exists(path).await? {
        return Ok(());
    }
    let directory = path.parent().unwrap_or(path);
    tokio::fs::create_dir_all(directory).await?;
    let unfinished = directory.join(format!("{}.part", crate::clock::new_id::<uuid::Uuid>()));
    tokio::fs::write(&unfinished, content).await?;
    tokio::fs::rename(&unfinished, path).await
}
