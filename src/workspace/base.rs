//! Where tasks start from.

use super::{LaidOut, objects::ObjectId, snapshot::Snapshot};
use crate::domain::Oid;
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where a mirror's objects are inside every workspace.
pub(super) const INSIDE_OBJECTS: &str = "/run/mirror";

/// One path of a commit's tree. Directories are implied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseEntry {
    pub path: Box<str>,
    /// As git writes it: `0o100644`, `0o100755`, `0o120000`, `0o160000`.
    pub mode: u32,
    pub oid: ObjectId,
    /// Of the content; 0 for submodules.
    pub size: u64,
}

impl BaseEntry {
    pub(super) fn is(&self, mode: u32, oid: ObjectId) -> bool {
        self.mode == mode && self.oid == oid
    }
}

/// Where tasks start from: one commit (or the empty tree), laid out on this host. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Base {
    /// Absent: the empty tree.
    pub commit: Option<Oid>,
    pub tree: Oid,
    /// The full name of the branch or tag that led here (`refs/heads/main`), where one did.
    pub reference: Option<String>,
    /// The mirror's objects on this host.
    pub(super) objects: Option<PathBuf>,
    pub(super) snapshot: Arc<Snapshot>,
    /// Where the remote's own history was cut off.
    pub(super) shallow: Option<Arc<[u8]>>,
    /// Large contents of earlier commits may not be in the mirror.
    pub(super) partial: bool,
}

impl Base {
    /// What a workspace must see, read-only, for its git to work: (on the host, inside).
    pub fn mount(&self) -> Vec<(PathBuf, PathBuf)> {
        self.objects.iter().map(|objects| (objects.clone(), PathBuf::from(INSIDE_OBJECTS))).collect()
    }

    /// Every path of the base, sorted; shared by all who ask.
    pub fn tracked(&self) -> Arc<[String]> {
        self.snapshot.tracked()
    }

    /// What of a working copy of this base is known to be as it was laid out, where the copy was laid out on this host.
    pub async fn laid_out(&self, copy: &Path) -> Option<LaidOut> {
        LaidOut::of(&self.snapshot, copy).await
    }

    /// Every file of the base, sorted by path.
    pub fn entries(&self) -> Arc<[BaseEntry]> {
        Arc::clone(&self.snapshot.tree.entries)
    }

    /// The last commits, newest first, a line each: short id, date, author, subject.
    pub fn history(&self) -> &str {
        &self.snapshot.history
    }

    /// A file of the base (of a link its target); absent where there is none. A short blocking read.
    pub fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        self.snapshot.content(path)
    }
}
