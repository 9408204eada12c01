//! What the server writes to the parsers: one JSON header, then the bytes of the files.

use serde::{Deserialize, Serialize};
use std::io::{self, Read};

/// Of the header.
const HEADER_BYTES_MAX: u32 = 32 << 20;
/// Of all files together.
const FILES_BYTES_MAX: u64 = 64 << 20;

/// What is to be found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// An [`crate::Index`] of all files.
    Index,
    /// [`crate::Checked`]: for each file the errors that it did not have before.
    Errors,
}

/// One file. Paths say which language it is and whether it is a test; they are never opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File<B> {
    pub path: String,
    pub content: B,
    /// The file before it was changed.
    pub before: Option<B>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch<B> {
    pub wanted: Wanted,
    /// After this no further file is begun.
    pub time_ms: u64,
    pub files: Vec<File<B>>,
}

#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    #[error("reading the batch: {0}")]
    Io(#[from] io::Error),
    #[error("the batch's header cannot be read: {0}")]
    Header(#[from] serde_json::Error),
    #[error("the batch is too large")]
    TooLarge,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    wanted: Wanted,
    time_ms: u64,
    files: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    path: String,
    bytes: u64,
    before: Option<u64>,
}

impl<B: AsRef<[u8]>> Batch<B> {
    /// What is written before the files' bytes, each file's `content` and then its `before`.
    pub fn header(&self) -> Result<Vec<u8>, BatchError> {
        let length = |bytes: &B| bytes.as_ref().len() as u64;
        let entries = self.files.iter().map(|file| Entry {
            path: file.path.clone(),
            bytes: length(&file.content),
            before: file.before.as_ref().map(length),
        });
        let header = Header { wanted: self.wanted, time_ms: self.time_ms, files: entries.collect() };
        let json = serde_json::to_vec(&header)?;
        let size = u32::try_from(json.len()).map_err(|_| BatchError::TooLarge)?;
        Ok([&size.to_le_bytes()[..], &json].concat())
    }
}

impl Batch<Vec<u8>> {
    pub fn read(mut input: impl Read) -> Result<Self, BatchError> {
        let mut size = [0; 4];
        input.read_exact(&mut size)?;
        let size = u32::from_le_bytes(size);
        if size > HEADER_BYTES_MAX {
            return Err(BatchError::TooLarge);
        }
        let mut json = vec![0; size as usize];
        input.read_exact(&mut json)?;
        let header: Header = serde_json::from_slice(&json)?;
        let lengths = header.files.iter().flat_map(|entry| [Some(entry.bytes), entry.before]).flatten();
        if lengths.fold(0_u64, u64::saturating_add) > FILES_BYTES_MAX {
            return Err(BatchError::TooLarge);
        }
        let mut take = |length: u64| {
            let mut content = vec![0; length as usize];
            input.read_exact(&mut content).map(|()| content)
        };
        let mut files = Vec::with_capacity(header.files.len());
        for entry in header.files {
            let content = take(entry.bytes)?;
            let before = entry.before.map(&mut take).transpose()?;
            files.push(File { path: entry.path, content, before });
        }
        Ok(Self { wanted: header.wanted, time_ms: header.time_ms, files })
    }
}
