//! The patch between two states of a working copy, and what it comes to.
//!
//! Made by git in a throwaway repository of the server's own that sees the mirror's objects: attributes, renames,
//! filters and external diffs are off, so it says what the trees say, and `git apply` takes it on the
//! state that it starts from.

use super::{
    git::{Git, io_error, own_failure},
    objects::{ObjectId, ObjectKind},
    repository::{Base, RepositoryError, RepositorySettings},
    tree::{Overlaid, Overlay},
};
use crate::domain::{
    BlobHash,
    event::{DeltaEntry, TreeDelta},
    task::PatchStat,
};
use bytes::Bytes;
use flate2::{Compression, write::ZlibEncoder};
use futures::{StreamExt, TryStreamExt, stream};
use std::{
    collections::BTreeMap,
    future::Future,
    io::{self, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};

/// The longest patch.
const PATCH_LIMIT_BYTES: usize = 512 << 20;
const READS_AT_ONCE: usize = 8;

/// A unified diff in git's format, binary files included, and its size in lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    pub text: Vec<u8>,
    pub stat: PatchStat,
}

/// The patch that leads from `from` to `to`, both differences from `base`.
pub(super) async fn make<C, F>(
    settings: &RepositorySettings,
    base: &Base,
    (from, to): (&TreeDelta, &TreeDelta),
    contents: &C,
) -> Result<Patch, RepositoryError>
where
    C: Fn(BlobHash) -> F + Sync,
    F: Future<Output = io::Result<Bytes>> + Send,
{
    let (before, after) = (overlaid(base, from), overlaid(base, to));
    if before.id == after.id {
        return Ok(Patch::default());
    }
    let doing = io_error("making a patch");
    let parent = settings.data_dir.join("scratch");
    tokio::fs::create_dir_all(&parent).await.map_err(&doing)?;
    let scratch = tempfile::Builder::new().prefix("patch-").tempdir_in(&parent).map_err(&doing)?;
    let repository = scratch.path().to_owned();
    let objects = base.objects.clone();
    let trees: Vec<(ObjectId, Vec<u8>)> = before.objects.into_iter().chain(after.objects).collect();
    let made = tokio::task::spawn_blocking({
        let repository = repository.clone();
        move || -> io::Result<()> {
            make_repository(&repository, objects.as_deref())?;
            trees.iter().try_for_each(|(id, tree)| write_loose(&repository, *id, ObjectKind::Tree, tree))
        }
    });
    made.await.map_err(io::Error::other).and_then(|made| made).map_err(&doing)?;
    let mut blobs = stream::iter(differing(from, to))
        .map(|entry| async move {
            let content = contents(entry.content.clone()).await;
            content.map(|content| (entry, content)).map_err(|error| RepositoryError::Content(Arc::new(error)))
        })
        .buffered(READS_AT_ONCE);
    while let Some((entry, content)) = blobs.try_next().await? {
        let repository = repository.clone();
        let claimed = ObjectId::from_oid(&entry.oid);
        let written = tokio::task::spawn_blocking(move || {
            let id = ObjectId::of_blob(&content);
            if claimed != Some(id) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a recorded content is not what it was"));
            }
            write_loose(&repository, id, ObjectKind::Blob, &content)
        });
        written.await.map_err(io::Error::other).and_then(|written| written).map_err(&doing)?;
    }
    drop(blobs);
    let output = diff(&repository, before.id, after.id).await;
    let removed = tokio::task::spawn_blocking(move || scratch.close()).await;
    if !matches!(removed, Ok(Ok(()))) {
        tracing::warn!("a patch's scratch repository could not be removed");
    }
    Ok(split(&output?))
}

async fn diff(repository: &Path, before: ObjectId, after: ObjectId) -> Result<Vec<u8>, RepositoryError> {
    let (before, after) = (before.to_string(), after.to_string());
    let arguments = [
        "diff-tree",
        "-r",
        "--numstat",
        "--patch",
        "--binary",
        "--full-index",
        "--no-renames",
        "--no-color",
        "--no-ext-diff",
        "--no-textconv",
        "--unified=3",
        "--src-prefix=a/",
        "--dst-prefix=b/",
        "--end-of-options",
        &before,
        &after,
    ];
    let git = Git::new(Some(repository), arguments).timeout(Duration::from_secs(120)).output_limit(PATCH_LIMIT_BYTES);
    git.output().await.map_err(own_failure("making a patch"))
}

/// The counts come first, a line for each file, then an empty line and the patch.
fn split(output: &[u8]) -> Patch {
    let mut stat = PatchStat::default();
    let mut at = 0;
    while let Some(length) = output[at..].iter().position(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(&output[at..at + length]);
        at += length + 1;
        if line.is_empty() {
            break;
        }
        // binary files have dashes for numbers
        let mut counts = line.split('\t').map(|count| count.parse::<u32>().unwrap_or(0));
        stat.files += 1;
        stat.additions += counts.next().unwrap_or(0);
        stat.deletions += counts.next().unwrap_or(0);
    }
    Patch { text: output[at..].to_vec(), stat }
}

fn overlaid(base: &Base, delta: &TreeDelta) -> Overlaid {
    let mut overlay: Overlay<'_> = delta.deleted.iter().map(|path| (path.as_str(), None)).collect();
    for entry in &delta.changed {
        overlay.insert(&entry.path, ObjectId::from_oid(&entry.oid).map(|id| (entry.mode, id)));
    }
    if overlay.is_empty() {
        return Overlaid { id: base.snapshot.tree.id, objects: Vec::new() };
    }
    base.snapshot.tree.with(&overlay)
}

/// The entries of either side that the other does not have: the only contents that a diff looks at. Each content once.
fn differing(from: &TreeDelta, to: &TreeDelta) -> Vec<DeltaEntry> {
    let of = |delta: &TreeDelta| -> BTreeMap<String, DeltaEntry> {
        delta.changed.iter().map(|entry| (entry.path.clone(), entry.clone())).collect()
    };
    let (from, to) = (of(from), of(to));
    let one_sided = |a: &BTreeMap<String, DeltaEntry>, b: &BTreeMap<String, DeltaEntry>| -> Vec<DeltaEntry> {
        a.values()
            .filter(|entry| b.get(&entry.path).is_none_or(|other| other.oid != entry.oid || other.mode != entry.mode))
            .cloned()
            .collect()
    };
    let both = one_sided(&from, &to).into_iter().chain(one_sided(&to, &from));
    both.map(|entry| (entry.oid.as_str().to_owned(), entry)).collect::<BTreeMap<_, _>>().into_values().collect()
}

pub(super) fn make_repository(path: &Path, objects: Option<&Path>) -> io::Result<()> {
    std::fs::create_dir_all(path.join("objects/info"))?;
    std::fs::create_dir_all(path.join("refs"))?;
    if let Some(objects) = objects {
        let mut line = objects.as_os_str().as_encoded_bytes().to_vec();
        line.push(b'\n');
        std::fs::write(path.join("objects/info/alternates"), line)?;
    }
    std::fs::write(path.join("config"), "[core]\n\trepositoryformatversion = 0\n\tbare = true\n")?;
    std::fs::write(path.join("HEAD"), "ref: refs/heads/none\n")
}

fn write_loose(repository: &Path, id: ObjectId, kind: ObjectKind, content: &[u8]) -> io::Result<()> {
    let name = id.to_string();
    let directory = repository.join("objects").join(&name[..2]);
    std::fs::create_dir_all(&directory)?;
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(format!("{} {}\0", kind.as_str(), content.len()).as_bytes())?;
    encoder.write_all(content)?;
    std::fs::write(directory.join(&name[2..]), encoder.finish()?)
}
