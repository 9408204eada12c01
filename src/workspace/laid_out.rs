//! What the server wrote into a working copy before any workspace was opened over it: a first walk need not read it
//! again.
//!
//! A mark beside the copy, with the inodes of its files, is written last, so its ctime is later than, or as late as,
//! that of every file; whatever changes a file afterwards gives it a later one, which nobody inside can set.

use super::{repository::RepositoryError, snapshot::Snapshot};
use std::{
    ffi::OsString,
    fmt::Write,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// More is not told: the walk reads.
const LIMIT_BYTES: usize = 32 << 20;

/// The base's files as they were laid out.
#[derive(Clone, Debug)]
pub struct LaidOut {
    snapshot: Arc<Snapshot>,
    /// Of the snapshot's files, in their order; 0: not known.
    inodes: Vec<u64>,
    /// The mark's ctime.
    before_ns: i64,
}

impl LaidOut {
    /// Absent where the copy was not laid out here, or not whole.
    pub(super) async fn of(snapshot: &Arc<Snapshot>, copy: &Path) -> Option<Self> {
        let path = mark(copy)?;
        let mark = tokio::fs::symlink_metadata(&path).await.ok()?;
        let before_ns = mark.ctime().checked_mul(1_000_000_000)?.checked_add(mark.ctime_nsec())?;
        let content = tokio::fs::read(path).await.ok()?;
        let (inodes, rest) = content.as_chunks();
        let inodes: Vec<u64> = inodes.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        let whole = rest.is_empty() && inodes.len() == snapshot.tree.entries.len();
        whole.then(|| Self { snapshot: Arc::clone(snapshot), inodes, before_ns })
    }

    pub(super) fn mtime_seconds(&self) -> i64 {
        self.snapshot.mtime_seconds
    }

    pub(super) fn before_ns(&self) -> i64 {
        self.before_ns
    }

    /// The files as execd takes them; absent where they are too many.
    pub(super) fn bytes(&self) -> Option<Vec<u8>> {
        let mut text = String::new();
        let files = self.snapshot.tree.entries.iter().zip(&self.inodes).filter(|(_, inode)| **inode != 0);
        for (entry, inode) in files {
            let _ = write!(text, "{:o} {} {} {inode} {}\0", entry.mode, entry.oid, entry.size, entry.path);
            if text.len() > LIMIT_BYTES {
                return None;
            }
        }
        Some(text.into_bytes())
    }
}

/// The copy is complete. Blocks.
pub(super) fn set_mark(copy: &Path, inodes: &[AtomicU64]) -> Result<(), RepositoryError> {
    let content: Vec<u8> = inodes.iter().flat_map(|inode| inode.load(Ordering::Relaxed).to_le_bytes()).collect();
    let write = || mark(copy).map_or(Ok(()), |mark| std::fs::write(mark, &content));
    write().map_err(super::git::io_error("marking a working copy"))
}

/// The copy is going to be written. Blocks.
pub(super) fn remove_mark(copy: &Path) -> Result<(), RepositoryError> {
    match mark(copy).map(std::fs::remove_file) {
        Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => {
            Err(super::git::io_error("marking a working copy")(error))
        }
        _ => Ok(()),
    }
}

/// Puts a complete copy where it belongs, its mark with it. Blocks.
pub(super) fn put_in_place(from: &Path, to: &Path) -> io::Result<()> {
    let absent = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let (Some(old), Some(new)) = (mark(from), mark(to)) else { return Err(io::ErrorKind::InvalidFilename.into()) };
    std::fs::remove_file(&new).or_else(|error| if absent(&error) { Ok(()) } else { Err(error) })?;
    std::fs::rename(from, to)?;
    std::fs::rename(old, new).or_else(|error| if absent(&error) { Ok(()) } else { Err(error) })
}

/// Beside the copy, where no workspace sees it.
fn mark(copy: &Path) -> Option<PathBuf> {
    let mut name = OsString::from(".");
    name.push(copy.file_name()?);
    name.push(".laid-out");
    Some(copy.with_file_name(name))
}
