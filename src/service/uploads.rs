//! Uploads: an archive or a bundle, streamed to where contents lie, known by its hash.

use super::{Answer, Error, Idempotency, Service, access, access::Right, hooks::Archive, idempotency};
use crate::{
    clock,
    domain::{BlobHash, Principal, Timestamp, UploadId},
    objects::Objects,
    store::{
        blobs::INLINE_BYTES_MAX,
        uploads::{self, NewUpload},
    },
};
use futures::{Stream, StreamExt};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use tokio::{fs, io::AsyncWriteExt};
use utoipa::ToSchema;

/// Bytes of an upload, at most.
pub const UPLOAD_BYTES_MAX: u64 = 256 * 1024 * 1024;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct UploadView {
    pub id: UploadId,
    /// `tar_gz` or `bundle`.
    pub kind: &'static str,
    pub size: u64,
    /// SHA-256 of the content, lower-case hex.
    pub sha256: BlobHash,
    pub created_at: Timestamp,
}

/// An upload while it comes in: in memory first, in a file once it is large.
struct Incoming {
    files: PathBuf,
    head: Vec<u8>,
    spilled: Option<(PathBuf, fs::File)>,
    size: u64,
    hash: Sha256,
}

impl Incoming {
    fn new(files: PathBuf) -> Self {
        Self { files, head: Vec::new(), spilled: None, size: 0, hash: Sha256::new() }
    }

    async fn write(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.size += piece.len() as u64;
        if self.size > UPLOAD_BYTES_MAX {
            return Err(Error::TooLarge { limit_bytes: UPLOAD_BYTES_MAX });
        }
        self.hash.update(piece);
        if self.spilled.is_none() && self.head.len() + piece.len() > INLINE_BYTES_MAX {
            self.spill().await?;
        }
        if let Some((_, file)) = &mut self.spilled {
            return file.write_all(piece).await.map_err(disk);
        }
        self.head.extend_from_slice(piece);
        Ok(())
    }

    async fn spill(&mut self) -> Result<(), Error> {
        let incoming = self.files.join("incoming");
        fs::create_dir_all(&incoming).await.map_err(disk)?;
        let path = incoming.join(clock::new_id::<uuid::Uuid>().to_string());
        let mut file = fs::File::create(&path).await.map_err(disk)?;
        file.write_all(&self.head).await.map_err(disk)?;
        self.spilled = Some((path, file));
        Ok(())
    }

    /// By its first bytes: gzip (RFC 1952) or a git bundle (gitformat-bundle).
    fn kind(&self) -> Option<&'static str> {
        if self.head.starts_with(&[0x1f, 0x8b]) {
            Some("tar_gz")
        } else if self.head.starts_with(b"# v2 git bundle\n") || self.head.starts_with(b"# v3 git bundle\n") {
            Some("bundle")
        } else {
            None
        }
    }

    async fn discard(self) {
        if let Some((path, _)) = self.spilled {
            // What cannot be removed now is swept with the other leftovers of `incoming`.
            let _ = fs::remove_file(path).await;
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "stands as a function in map_err")]
fn disk(error: std::io::Error) -> Error {
    Error::Unavailable(format!("object store: {error}"))
}

impl Service {
    /// Takes an upload in; it is kept when this returns.
    pub async fn create_upload<S, B, E>(
        &self,
        principal: &Principal,
        stream: S,
        key: impl FnOnce([u8; 32]) -> Option<Idempotency>,
    ) -> Result<Answer, Error>
    where
        S: Stream<Item = Result<B, E>> + Send,
        B: AsRef<[u8]> + Send,
        E: Send,
    {
        access::require(principal, Right::WriteTasks)?;
        let mut incoming = Incoming::new(self.settings().files.clone());
        let read = receive(&mut incoming, stream).await;
        let kind = incoming.kind();
        let kind = match (read, kind) {
            (Ok(()), Some(kind)) => kind,
            (Ok(()), None) => {
                incoming.discard().await;
                return Err(Error::invalid("", "the body must be a tar.gz or a git bundle"));
            }
            (Err(error), _) => {
                incoming.discard().await;
                return Err(error);
            }
        };
        if kind == "tar_gz"
            && let Some(check) = &self.hooks().archive
        {
            let content = match &mut incoming.spilled {
                None => Archive::Bytes(incoming.head.clone()),
                Some((path, file)) => {
                    file.flush().await.map_err(disk)?;
                    Archive::File(path.clone())
                }
            };
            if let Err(why) = check(content).await {
                incoming.discard().await;
                return Err(Error::invalid("", why));
            }
        }
        let key = key(incoming.hash.clone().finalize().into());
        self.keep(principal, incoming, kind, key.as_ref()).await
    }

    async fn keep(
        &self,
        principal: &Principal,
        mut incoming: Incoming,
        kind: &'static str,
        key: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        use std::fmt::Write;
        let mut hex = String::with_capacity(64);
        for byte in incoming.hash.clone().finalize() {
            let _ = write!(hex, "{byte:02x}");
        }
        let hash = BlobHash(hex);
        // The object stands before the row that names it, and outside of the transaction.
        let object = self.store_spilled(principal, &mut incoming, &hash).await?;
        let mut tx = self.store().team(principal.team).await?;
        if let Some(done) = idempotency::begin(&mut tx, principal, key).await? {
            self.forget(object.as_deref()).await;
            incoming.discard().await;
            return Ok(done);
        }
        let id: UploadId = clock::new_id();
        let inline = (incoming.size <= INLINE_BYTES_MAX as u64).then_some(incoming.head.as_slice());
        let new = NewUpload {
            team: principal.team,
            id,
            user: principal.user,
            kind,
            size: incoming.size,
            hash: &hash,
            content: inline,
            object: object.as_deref(),
        };
        let (created_at, mine) = uploads::insert(&mut tx, new).await?;
        let view = UploadView { id, kind, size: incoming.size, sha256: hash, created_at };
        let answer = idempotency::commit(tx, principal, key, Answer::new(201, &view)?).await?;
        if !mine {
            self.forget(object.as_deref()).await;
        }
        Ok(answer)
    }

    async fn store_spilled(
        &self,
        principal: &Principal,
        incoming: &mut Incoming,
        hash: &BlobHash,
    ) -> Result<Option<String>, Error> {
        let Some((path, file)) = &mut incoming.spilled else { return Ok(None) };
        file.flush().await.map_err(disk)?;
        file.sync_all().await.map_err(disk)?;
        let key = Objects::new_key(principal.team, hash);
        let put = self.settings().objects.put_file(&key, path).await;
        put.map_err(|error| Error::Unavailable(error.to_string()))?;
        incoming.spilled = None;
        Ok(Some(key))
    }

    /// An object that no row names. What stays is found by listing.
    async fn forget(&self, object: Option<&str>) {
        if let Some(key) = object {
            let _ = self.settings().objects.remove(key).await;
        }
    }
}

async fn receive<S, B, E>(incoming: &mut Incoming, stream: S) -> Result<(), Error>
where
    S: Stream<Item = Result<B, E>> + Send,
    B: AsRef<[u8]> + Send,
    E: Send,
{
    let mut stream = std::pin::pin!(stream);
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|_| Error::invalid("", "the body broke off"))?;
        incoming.write(piece.as_ref()).await?;
    }
    Ok(())
}
