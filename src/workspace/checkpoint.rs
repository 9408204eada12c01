//! What a working copy is, as its difference from the base: kept up with each walk of the workspace, and
//! named by the tree id that git would give it.
//!
//! What a walk says is hostile: paths are checked, and a content counts only once it was read and
//! has the id that was claimed. No git runs here, and nothing is read from the workspace's files but
//! through execd.

use super::{
    FILE_LIMIT_BYTES, LeftOutReason, Walk, WalkedFile, Workspace, WorkspaceError,
    materialize::is_safe_path,
    objects::ObjectId,
    repository::Base,
    snapshot::Snapshot,
    tree::{MODE_EXECUTABLE, MODE_FILE, MODE_LINK, Overlay},
};
use crate::{
    domain::{
        BlobHash, Oid,
        event::{DeltaEntry, TreeDelta},
    },
    secrets::Redactor,
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// How often the working copy is walked again because files changed while they were read.
const WALKS: usize = 4;
/// Contents of one checkpoint, which are all in memory at once.
const NEW_LIMIT_BYTES: u64 = 256 << 20;
const READS_AT_ONCE: usize = 8;

#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// execd claimed what cannot be: it is not itself any more.
    #[error("the workspace reported an impossible file {path:?}")]
    Impossible { path: String },
    #[error("the files changed since the last checkpoint come to more than {} MiB", NEW_LIMIT_BYTES >> 20)]
    TooLarge,
}

/// A state of the working copy that can be made again anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub tree: Oid,
    /// From the base to here.
    pub delta: TreeDelta,
    /// The contents of `delta` that the last checkpoint did not have.
    pub new_blobs: Vec<(BlobHash, Bytes)>,
}

/// One open task's working copy: the base and what differs from it.
#[derive(Debug)]
pub struct TreeState {
    snapshot: Arc<Snapshot>,
    changed: BTreeMap<String, DeltaEntry>,
    deleted: BTreeSet<String>,
    tree: ObjectId,
    /// What is taken out of every content before it is kept.
    hidden: Redactor,
}

impl TreeState {
    /// The state in which `delta` is what differs from `base`.
    pub fn from(base: &Base, delta: &TreeDelta) -> Self {
        let mut state = Self {
            snapshot: Arc::clone(&base.snapshot),
            changed: delta.changed.iter().map(|entry| (entry.path.clone(), entry.clone())).collect(),
            deleted: delta.deleted.iter().cloned().collect(),
            tree: base.snapshot.tree.id,
            hidden: Redactor::default(),
        };
        state.tree = tree_id(&state.snapshot, &state.changed, &state.deleted);
        state
    }

    /// The same, but known values of `redactor` go out of every content that is kept, but for those that the base's file
    /// has itself, and files whose path holds one are not kept at all. The working copy stays as it is: what differs is what its trees say.
    #[must_use]
    pub fn hiding(mut self, redactor: &Redactor) -> Self {
        self.hidden = redactor.clone();
        self
    }

    /// The tree's id as of the last checkpoint.
    pub fn tree(&self) -> Oid {
        self.tree.to_oid()
    }

    pub fn delta(&self) -> TreeDelta {
        TreeDelta { changed: self.changed.values().cloned().collect(), deleted: self.deleted.iter().cloned().collect() }
    }

    /// Takes in what a walk found; `None` where the tree is what it was. Contents are read from the workspace and
    /// checked against the ids that the walk gave; where a file changed meanwhile, the copy is walked
    /// again. Cancel safe: the state changes at the end or not at all, but the walk's news are then lost to
    /// this state, so a new `Workspace` (whose first walk gives all) is needed after a cancel.
    pub async fn absorb(&mut self, walk: Walk, workspace: &Workspace) -> Result<Option<Checkpoint>, CheckpointError> {
        let mut news = News::default();
        self.take_in(walk, &mut news)?;
        let mut contents: BTreeMap<ObjectId, (BlobHash, Bytes)> = BTreeMap::new();
        for attempt in 1..=WALKS {
            let stale = self.read_news(&mut news, &mut contents, workspace, attempt == WALKS).await?;
            if !stale {
                break;
            }
            let walk = workspace.walk().await?;
            self.take_in(walk, &mut news)?;
        }
        let (changed, deleted) = self.merge(&news, &contents);
        let tree = tree_id(&self.snapshot, &changed, &deleted);
        if tree == self.tree {
            return Ok(None);
        }
        let known: BTreeSet<&BlobHash> = self.changed.values().map(|entry| &entry.content).collect();
        let used: BTreeSet<&BlobHash> = changed.values().map(|entry| &entry.content).collect();
        let new_blobs =
            contents.into_values().filter(|(hash, _)| used.contains(hash) && !known.contains(hash)).collect();
        (self.changed, self.deleted, self.tree) = (changed, deleted, tree);
        Ok(Some(Checkpoint { tree: tree.to_oid(), delta: self.delta(), new_blobs }))
    }

    fn take_in(&self, walk: Walk, news: &mut News) -> Result<(), CheckpointError> {
        if walk.first {
            // what is not in it is gone, unless it could not be taken, or looked for
            let there: BTreeSet<&str> = (walk.changed.iter().map(|file| file.path.as_str()))
                .chain(walk.left_out.iter().map(|left| left.path.as_str()))
                .collect();
            let unreadable: Vec<&str> = (walk.left_out.iter())
                .filter(|left| left.why == LeftOutReason::Unreadable)
                .map(|left| left.path.as_str())
                .collect();
            let hidden = |path: &str| unreadable.iter().any(|directory| is_below(path, directory));
            let gone = self.paths().filter(|path| !there.contains(path) && !hidden(path));
            news.0 = gone.map(|path| (path.to_owned(), None)).collect();
        }
        for path in walk.deleted {
            news.0.insert(path, None);
        }
        for file in walk.changed {
            let WalkedFile { path, mode, oid, size } = file;
            let id = ObjectId::from_oid(&oid).filter(|_| matches!(mode, MODE_FILE | MODE_EXECUTABLE | MODE_LINK));
            let Some(id) = id.filter(|_| is_safe_path(&path)) else {
                return Err(CheckpointError::Impossible { path: path.chars().take(200).collect() });
            };
            if self.hidden.redact_all_but(path.as_bytes(), b"").is_some() && self.snapshot.tree.find(&path).is_none() {
                tracing::warn!("a file whose path holds a secret is left out of a checkpoint");
                continue;
            }
            news.0.insert(path, Some((mode, id, size)));
        }
        Ok(())
    }

    /// Every path that was there at the last checkpoint, but submodules.
    fn paths(&self) -> impl Iterator<Item = &str> {
        let of_base = self.snapshot.tree.entries.iter().filter(|entry| entry.mode != super::tree::MODE_SUBMODULE);
        let of_base = of_base.map(|entry| entry.path.as_ref()).filter(|path| !self.deleted.contains(*path));
        of_base.chain(self.changed.keys().map(String::as_str))
    }

    /// Reads the contents that are not known yet; true if some were not what the walk said. The last time, what
    /// was read stands: a file that is written all the time is as good at one moment as at another.
    async fn read_news(
        &self,
        news: &mut News,
        contents: &mut BTreeMap<ObjectId, (BlobHash, Bytes)>,
        workspace: &Workspace,
        last: bool,
    ) -> Result<bool, CheckpointError> {
        let wanted: Vec<(String, u32, ObjectId, u64)> = (news.0.iter())
            .filter_map(|(path, file)| file.map(|(mode, id, size)| (path.clone(), mode, id, size)))
            .filter(|(path, mode, id, _)| !self.has(path, *mode, *id) && !contents.contains_key(id))
            .collect();
        let bytes: u64 = wanted.iter().map(|(.., size)| *size).sum();
        if bytes > NEW_LIMIT_BYTES {
            return Err(CheckpointError::TooLarge);
        }
        let mut reads = stream::iter(wanted)
            .map(|(path, mode, id, _)| async move {
                match workspace.read_entry(&path, FILE_LIMIT_BYTES).await {
                    Ok(read) if read.truncated => Ok((path, mode, id, None)),
                    Ok(read) => Ok((path, mode, id, Some(Bytes::from(read.bytes)))),
                    Err(WorkspaceError::NotFound { .. } | WorkspaceError::Refused { .. }) => Ok((path, mode, id, None)),
                    Err(error) => Err(error),
                }
            })
            .buffered(READS_AT_ONCE);
        let mut stale = false;
        while let Some((path, mode, id, content)) = reads.try_next().await? {
            let found = content.as_ref().map(|content| ObjectId::of_blob(content));
            match content {
                Some(content) if found == Some(id) || (last && mode != MODE_LINK) => {
                    let mut id = found.unwrap_or(id);
                    let mut content = content;
                    if let Some(veiled) = self.veiled(&path, &content) {
                        id = ObjectId::of_blob(&veiled);
                        content = veiled;
                    }
                    news.0.insert(path, Some((mode, id, content.len() as u64)));
                    contents.insert(id, (BlobHash::of(&content), content));
                }
                // neither read nor gone by the next walk: it stays as it was at the last checkpoint
                _ if last => drop(news.0.remove(&path)),
                _ => stale = true,
            }
        }
        Ok(stale)
    }

    /// A content without the known values in it, where it has some that the base's file has not.
    fn veiled(&self, path: &str, content: &Bytes) -> Option<Bytes> {
        // The base is read only where there is something to hide.
        self.hidden.redact_all_but(content, b"")?;
        let of_base = self.snapshot.content(path).ok().flatten().unwrap_or_default();
        self.hidden.redact_all_but(content, &of_base).map(Bytes::from)
    }

    /// Whether the base or the last checkpoint has just this at `path`.
    fn has(&self, path: &str, mode: u32, id: ObjectId) -> bool {
        match self.changed.get(path) {
            Some(entry) => entry.mode == mode && ObjectId::from_oid(&entry.oid) == Some(id),
            None => !self.deleted.contains(path) && self.snapshot.tree.find(path).is_some_and(|base| base.is(mode, id)),
        }
    }

    fn merge(
        &self,
        news: &News,
        contents: &BTreeMap<ObjectId, (BlobHash, Bytes)>,
    ) -> (BTreeMap<String, DeltaEntry>, BTreeSet<String>) {
        let (mut changed, mut deleted) = (self.changed.clone(), self.deleted.clone());
        for (path, file) in &news.0 {
            let base = self.snapshot.tree.find(path);
            match file {
                None => {
                    changed.remove(path);
                    if base.is_some() {
                        deleted.insert(path.clone());
                    }
                }
                Some((mode, id, _)) if base.is_some_and(|base| base.is(*mode, *id)) => {
                    changed.remove(path);
                    deleted.remove(path);
                }
                Some((mode, id, _)) => {
                    // known already where only the mode changed
                    let before = self.changed.get(path).filter(|entry| ObjectId::from_oid(&entry.oid) == Some(*id));
                    let content = contents.get(id).map(|(hash, _)| hash).or(before.map(|entry| &entry.content));
                    if let Some(content) = content {
                        let (oid, content) = (id.to_oid(), content.clone());
                        changed.insert(path.clone(), DeltaEntry { path: path.clone(), mode: *mode, oid, content });
                        deleted.remove(path);
                    }
                }
            }
        }
        self.settle(&mut changed, &mut deleted);
        (changed, deleted)
    }

    /// A file where a directory was (or the other way round) takes the place of all that was there.
    fn settle(&self, changed: &mut BTreeMap<String, DeltaEntry>, deleted: &mut BTreeSet<String>) {
        for path in changed.keys() {
            let mut above = path.as_str();
            while let Some((parent, _)) = above.rsplit_once('/') {
                above = parent;
                if self.snapshot.tree.find(above).is_some() {
                    deleted.insert(above.to_owned());
                }
            }
            let below = format!("{path}/");
            let entries = &self.snapshot.tree.entries;
            let start = entries.partition_point(|entry| entry.path.as_bytes() < below.as_bytes());
            deleted.extend(
                (entries[start..].iter())
                    .take_while(|entry| entry.path.starts_with(&below))
                    .map(|entry| entry.path.to_string()),
            );
        }
        deleted.retain(|path| !changed.contains_key(path));
    }
}

/// What walks told since the last checkpoint: the file at each path, or that it is gone.
#[derive(Default)]
struct News(BTreeMap<String, Option<(u32, ObjectId, u64)>>);

/// Whether a path is somewhere below a directory; below the root, which is empty, everything is.
fn is_below(path: &str, directory: &str) -> bool {
    directory.is_empty() || path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

fn tree_id(snapshot: &Snapshot, changed: &BTreeMap<String, DeltaEntry>, deleted: &BTreeSet<String>) -> ObjectId {
    let mut overlay: Overlay<'_> = deleted.iter().map(|path| (path.as_str(), None)).collect();
    for entry in changed.values() {
        overlay.insert(&entry.path, ObjectId::from_oid(&entry.oid).map(|id| (entry.mode, id)));
    }
    if overlay.is_empty() { snapshot.tree.id } else { snapshot.tree.with(&overlay).id }
}
