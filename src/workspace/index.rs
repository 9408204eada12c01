//! Writes git's index (version 2, gitformat-index(5)) for a fresh working copy, so that git inside the
//! workspace finds it clean without reading a file.
//!
//! Every file of a copy carries one time of change, and the copy's configuration has git compare only
//! that and the size: so the index is the same for every copy of a commit and is made once.

use super::tree::{MODE_SUBMODULE, Tree};
use sha1::{Digest, Sha1};
use std::collections::BTreeMap;

/// Longest path that an entry's flags can tell.
const FLAGGED_PATH_BYTES: usize = 0xfff;

/// The index of `tree` whose files were all changed at `mtime_seconds`.
pub(super) fn encode(tree: &Tree, mtime_seconds: i64) -> Vec<u8> {
    let mut entries: Vec<(&[u8], u32, &[u8; 20], u64)> =
        tree.entries.iter().map(|entry| (entry.path.as_bytes(), entry.mode, &entry.oid.0, entry.size)).collect();
    entries.extend(tree.opaque.iter().map(|entry| (entry.path.as_ref(), entry.mode, &entry.oid.0, 0)));
    entries.sort_unstable_by_key(|entry| entry.0);
    let mut out = Vec::with_capacity(entries.len() * 104 + 1024);
    out.extend_from_slice(b"DIRC");
    put(&mut out, 2);
    put(&mut out, entries.len() as u32);
    for (path, mode, oid, size) in &entries {
        let start = out.len();
        let known = *mode != MODE_SUBMODULE;
        // ctime, mtime, dev, ino, mode, uid, gid, size
        let mtime = if known { mtime_seconds as u32 } else { 0 };
        for number in [0, 0, mtime, 0, 0, 0, index_mode(*mode), 0, 0, *size as u32] {
            put(&mut out, number);
        }
        out.extend_from_slice(*oid);
        let flags = path.len().min(FLAGGED_PATH_BYTES) as u16;
        out.extend_from_slice(&flags.to_be_bytes());
        out.extend_from_slice(path);
        // NUL-terminated and padded to a multiple of eight
        out.resize(start + ((out.len() - start) / 8 + 1) * 8, 0);
    }
    if entries.iter().all(|entry| index_mode(entry.1) == entry.1) {
        put_cache_tree(&mut out, tree, &entries);
    }
    let digest = Sha1::digest(&out);
    out.extend_from_slice(&digest);
    out
}

/// The `TREE` extension: the ids of all directories, so that git need not compute them to compare
/// the index with HEAD.
fn put_cache_tree(out: &mut Vec<u8>, tree: &Tree, entries: &[(&[u8], u32, &[u8; 20], u64)]) {
    // per directory: how many files below it and how many directories directly in it
    let mut counts: BTreeMap<&[u8], (usize, usize)> = BTreeMap::from([(&[][..], (0, 0))]);
    for (path, _) in &tree.directories {
        counts.entry(path).or_default();
        counts.entry(parent(path)).or_default().1 += 1;
    }
    for (path, ..) in entries {
        let mut directory = parent(path);
        loop {
            counts.entry(directory).or_default().0 += 1;
            if directory.is_empty() {
                break;
            }
            directory = parent(directory);
        }
    }
    if !tree.directories.is_empty() && counts.values().any(|(files, _)| *files == 0) {
        // an empty directory, which only odd tools write: git computes the rest itself
        return;
    }
    let mut extension = Vec::new();
    let ids: BTreeMap<&[u8], &[u8; 20]> = tree.directories.iter().map(|(path, id)| (path.as_ref(), &id.0)).collect();
    // depth first: a directory, then what is below it
    let mut below: BTreeMap<&[u8], Vec<&[u8]>> = BTreeMap::new();
    for (path, _) in &tree.directories {
        below.entry(parent(path)).or_default().push(path);
    }
    for names in below.values_mut() {
        names.sort_by_key(|path| (path.len(), *path));
    }
    let mut stack: Vec<&[u8]> = vec![&[]];
    while let Some(directory) = stack.pop() {
        let (files, directories) = counts.get(directory).copied().unwrap_or_default();
        let name = directory.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        extension.extend_from_slice(name);
        extension.extend_from_slice(format!("\0{files} {directories}\n").as_bytes());
        extension.extend_from_slice(ids.get(directory).copied().unwrap_or(&tree.id.0));
        stack.extend(below.get(directory).into_iter().flatten().rev());
    }
    out.extend_from_slice(b"TREE");
    put(out, extension.len() as u32);
    out.extend_from_slice(&extension);
}

/// The index knows four modes; trees of old tools have others.
fn index_mode(mode: u32) -> u32 {
    match mode & 0o170_000 {
        0o100_000 if mode & 0o100 != 0 => super::tree::MODE_EXECUTABLE,
        0o100_000 => super::tree::MODE_FILE,
        other => other,
    }
}

fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(&[], |slash| &path[..slash])
}

fn put(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_be_bytes());
}
