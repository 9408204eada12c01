//! Reading what is held against its hash.

use super::{ObjectError, Objects};
use crate::domain::BlobHash;
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// An object as its row describes it.
#[derive(Clone, Debug)]
pub struct StoredObject {
    pub objects: Objects,
    pub key: String,
    pub hash: BlobHash,
    pub size: u64,
}

impl StoredObject {
    /// All of it.
    pub async fn bytes(&self) -> Result<Bytes, ObjectError> {
        let mut pieces = Box::pin(self.stream().await?);
        let mut bytes = BytesMut::with_capacity(usize::try_from(self.size).unwrap_or_default());
        while let Some(piece) = pieces.try_next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.freeze())
    }

    /// Piece by piece. The last piece is held back until all of it is known to be right: who counts the bytes never has
    /// a wrong object for a whole one.
    pub async fn stream(&self) -> Result<impl Stream<Item = Result<Bytes, ObjectError>> + Send + use<>, ObjectError> {
        let (size, pieces) = self.objects.read(&self.key).await?;
        if size != self.size {
            return Err(ObjectError::Wrong);
        }
        let state = Reading { pieces, held: None, hash: Sha256::new(), left: self.size, wanted: self.hash.clone() };
        Ok(stream::try_unfold(Some(state), next))
    }
}

struct Reading<S> {
    pieces: S,
    held: Option<Bytes>,
    hash: Sha256,
    left: u64,
    wanted: BlobHash,
}

async fn next<S>(reading: Option<Reading<S>>) -> Result<Option<(Bytes, Option<Reading<S>>)>, ObjectError>
where
    S: Stream<Item = Result<Bytes, object_store::Error>> + Unpin,
{
    let Some(mut reading) = reading else { return Ok(None) };
    loop {
        match reading.pieces.next().await {
            Some(Ok(piece)) if piece.is_empty() => {}
            Some(Ok(piece)) => {
                reading.left = reading.left.checked_sub(piece.len() as u64).ok_or(ObjectError::Wrong)?;
                reading.hash.update(&piece);
                if let Some(before) = reading.held.replace(piece) {
                    return Ok(Some((before, Some(reading))));
                }
            }
            Some(Err(error)) => return Err(ObjectError::unusable(&error)),
            None => {
                if reading.left > 0 || hex(reading.hash) != reading.wanted.as_str() {
                    return Err(ObjectError::Wrong);
                }
                return Ok(reading.held.map(|last| (last, None)));
            }
        }
    }
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
