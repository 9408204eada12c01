//! Large contents of teams: in the database up to its limit, beyond it in the object store.

use crate::{
    clock,
    domain::{BlobHash, TaskId, TeamId, UploadId},
    objects::{ObjectError, Objects, StoredObject},
    store::{
        Store, StoreError,
        blobs::{self, INLINE_BYTES_MAX, Stored},
        uploads,
    },
};
use bytes::Bytes;
use futures::{TryStreamExt, future::BoxFuture};
use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::io::AsyncWriteExt;

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

impl From<ObjectError> for BlobError {
    fn from(error: ObjectError) -> Self {
        Self::Disk(error.into())
    }
}

/// Reads and writes contents by hash. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Blobs {
    store: Store,
    objects: Objects,
    /// Where uploads are laid that git and tar read.
    files: PathBuf,
}

impl Blobs {
    pub fn new(store: Store, objects: Objects, files: PathBuf) -> Self {
        Self { store, objects, files }
    }

    /// Stores contents for a task, each once in a team; those that are there already cost nothing more.
    pub async fn put(&self, team: TeamId, task: TaskId, contents: &[(BlobHash, Bytes)]) -> Result<(), BlobError> {
        let (small, large): (Vec<_>, Vec<_>) = contents.iter().partition(|(_, c)| c.len() <= INLINE_BYTES_MAX);
        for chunk in small.chunks(WRITTEN_AT_ONCE) {
            let chunk: Vec<(BlobHash, &[u8])> = chunk.iter().map(|(h, c)| (h.clone(), c.as_ref())).collect();
            blobs::put(&self.store, team, task, &chunk).await?;
        }
        for (hash, content) in large {
            if blobs::hold(&self.store, team, task, hash).await? {
                continue;
            }
            // The object stands before the row that names it.
            let key = Objects::new_key(team, hash);
            self.objects.put(&key, content.clone()).await?;
            if !blobs::put_external(&self.store, team, task, (hash, content.len() as u64, &key)).await? {
                // What stays is found by listing.
                let _ = self.objects.remove(&key).await;
            }
        }
        Ok(())
    }

    /// Reads a content.
    pub async fn get(&self, team: TeamId, hash: &BlobHash) -> io::Result<Bytes> {
        match blobs::get(&self.store, team, hash).await.map_err(io::Error::other)? {
            Some(Stored { content: Some(content), .. }) => Ok(content.into()),
            Some(stored) => Ok(self.object(team, hash, stored).bytes().await?),
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
        let path = self.files.join(team.to_string()).join(row.hash.as_str());
        if !tokio::fs::try_exists(&path).await? {
            self.lay(team, &row.hash, &path).await?;
        }
        Ok(Some(path))
    }

    /// Whole or not at all: written beside its place and renamed into it.
    async fn lay(&self, team: TeamId, hash: &BlobHash, path: &Path) -> Result<(), BlobError> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, "the content is not stored");
        let stored = blobs::get(&self.store, team, hash).await?.ok_or_else(missing)?;
        let directory = path.parent().unwrap_or(path);
        tokio::fs::create_dir_all(directory).await?;
        let unfinished = directory.join(format!("{}.part", clock::new_id::<uuid::Uuid>()));
        if let Some(content) = &stored.content {
            tokio::fs::write(&unfinished, content).await?;
        } else {
            let mut file = tokio::fs::File::create(&unfinished).await?;
            let mut pieces = Box::pin(self.object(team, hash, stored).stream().await?);
            while let Some(piece) = pieces.try_next().await? {
                file.write_all(&piece).await?;
            }
            file.flush().await?;
        }
        Ok(tokio::fs::rename(&unfinished, path).await?)
    }

    /// Contents of uploads that lie on this host.
    pub async fn laid(&self) -> io::Result<Vec<(TeamId, BlobHash)>> {
        let mut found = Vec::new();
        let mut teams = tokio::fs::read_dir(&self.files).await?;
        while let Some(directory) = teams.next_entry().await? {
            let Some(team) = directory.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let mut files = tokio::fs::read_dir(directory.path()).await?;
            while let Some(file) = files.next_entry().await? {
                // One that is being written has another name.
                if let Some(name) = file.file_name().to_str().filter(|name| name.len() == 64) {
                    found.push((team, BlobHash(name.to_owned())));
                }
            }
        }
        Ok(found)
    }

    /// Removes one of them; it is laid anew for whoever still has the upload.
    pub async fn remove_laid(&self, team: TeamId, hash: &BlobHash) -> io::Result<()> {
        gone(tokio::fs::remove_file(self.files.join(team.to_string()).join(hash.as_str())).await)
    }

    /// Removes what came in and came no further for so long; how much.
    pub async fn remove_stale_incoming(&self, kept: Duration) -> io::Result<u64> {
        let mut removed = 0;
        let mut files = match tokio::fs::read_dir(self.files.join("incoming")).await {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        while let Some(file) = files.next_entry().await? {
            let written = file.metadata().await.and_then(|about| about.modified());
            if written.is_ok_and(|at| at < std::time::SystemTime::from(clock::now().0 - kept)) {
                gone(tokio::fs::remove_file(file.path()).await)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn object(&self, team: TeamId, hash: &BlobHash, stored: Stored) -> StoredObject {
        let key = stored.object.unwrap_or_else(|| Objects::first_key(team, hash));
        StoredObject { objects: self.objects.clone(), key, hash: hash.clone(), size: stored.size }
    }
}

/// What somebody else has removed is removed.
fn gone(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
