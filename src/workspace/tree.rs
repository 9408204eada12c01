//! A commit's tree in memory, and what a tree is called once some of its files differ: computed in
//! process, hashing only the directories above what differs.

use super::{
    objects::{ObjectId, ObjectKind},
    repository::BaseEntry,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Modes as git writes them in trees.
pub const MODE_FILE: u32 = 0o100_644;
pub const MODE_EXECUTABLE: u32 = 0o100_755;
pub const MODE_LINK: u32 = 0o120_000;
pub const MODE_SUBMODULE: u32 = 0o160_000;
pub(super) const MODE_DIRECTORY: u32 = 0o040_000;

/// A tree with all of its paths, shared by every task that starts from it.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) id: ObjectId,
    /// By path, bytewise.
    pub(super) entries: Arc<[BaseEntry]>,
    /// Entries whose names are not UTF-8: they stay in every tree and are in no working copy.
    pub(super) opaque: Vec<OpaqueEntry>,
    /// Every directory but the root, by path, bytewise.
    pub(super) directories: Vec<(Box<[u8]>, ObjectId)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OpaqueEntry {
    pub(super) path: Box<[u8]>,
    pub(super) mode: u32,
    pub(super) oid: ObjectId,
}

/// What is at a path in place of what the base has there; `None`: nothing.
pub(super) type Overlay<'a> = BTreeMap<&'a str, Option<(u32, ObjectId)>>;

/// A tree that differs from the base's: its id, and the tree objects that the base does not have.
#[derive(Debug)]
pub(super) struct Overlaid {
    pub(super) id: ObjectId,
    pub(super) objects: Vec<(ObjectId, Vec<u8>)>,
}

type Children = BTreeMap<Vec<u8>, (u32, ObjectId)>;

impl Tree {
    pub(super) fn empty() -> Self {
        let id = ObjectId::of(ObjectKind::Tree, b"");
        Self { id, entries: Arc::new([]), opaque: Vec::new(), directories: Vec::new() }
    }

    pub(super) fn find(&self, path: &str) -> Option<&BaseEntry> {
        let at = self.entries.binary_search_by(|entry| entry.path.as_bytes().cmp(path.as_bytes())).ok()?;
        Some(&self.entries[at])
    }

    /// The tree with `overlay` laid over it. Directories that become empty are gone, as in git.
    pub(super) fn with(&self, overlay: &Overlay<'_>) -> Overlaid {
        let mut directories: BTreeSet<&str> = BTreeSet::from([""]);
        for path in overlay.keys() {
            let mut rest = *path;
            while let Some(slash) = rest.rfind('/') {
                rest = &rest[..slash];
                if !directories.insert(rest) {
                    break;
                }
            }
        }
        // children of directories that were rebuilt: by directory, the name and the new id (or gone)
        let mut rebuilt: BTreeMap<&str, Vec<(&str, Option<ObjectId>)>> = BTreeMap::new();
        let mut objects = Vec::new();
        let mut id = self.id;
        // reverse order of paths: what is below comes before what is above
        for directory in directories.into_iter().rev() {
            let mut children = self.children(directory);
            for (name, below) in rebuilt.remove(directory).unwrap_or_default() {
                match below {
                    Some(tree) => drop(children.insert(name.into(), (MODE_DIRECTORY, tree))),
                    None if children.get(name.as_bytes()).is_some_and(|child| child.0 == MODE_DIRECTORY) => {
                        children.remove(name.as_bytes());
                    }
                    None => {}
                }
            }
            overlay_onto(&mut children, directory, overlay);
            let new = if children.is_empty() && !directory.is_empty() {
                None
            } else {
                let content = encode(&children);
                let id = ObjectId::of(ObjectKind::Tree, &content);
                objects.push((id, content));
                Some(id)
            };
            if directory.is_empty() {
                id = new.unwrap_or(id);
            } else {
                let (parent, name) = directory.rsplit_once('/').unwrap_or(("", directory));
                rebuilt.entry(parent).or_default().push((name, new));
            }
        }
        Overlaid { id, objects }
    }

    /// What is directly in `directory`, without listing what is further below.
    fn children(&self, directory: &str) -> Children {
        let mut prefix = directory.as_bytes().to_vec();
        if !prefix.is_empty() {
            prefix.push(b'/');
        }
        let mut children = Children::new();
        direct(
            &self.entries,
            &prefix,
            |entry| entry.path.as_bytes(),
            |name, entry| {
                children.insert(name.to_vec(), (entry.mode, entry.oid));
            },
        );
        direct(
            &self.directories,
            &prefix,
            |directory| &directory.0,
            |name, directory| {
                children.insert(name.to_vec(), (MODE_DIRECTORY, directory.1));
            },
        );
        for entry in &self.opaque {
            if let Some(name) = entry.path.strip_prefix(prefix.as_slice()).filter(|name| !name.contains(&b'/')) {
                children.insert(name.to_vec(), (entry.mode, entry.oid));
            }
        }
        children
    }
}

fn overlay_onto(children: &mut Children, directory: &str, overlay: &Overlay<'_>) {
    let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
    for (path, new) in overlay.range(prefix.as_str()..).take_while(|(path, _)| path.starts_with(&prefix)) {
        let name = &path[prefix.len()..];
        if name.contains('/') {
            continue;
        }
        match new {
            Some((mode, oid)) => drop(children.insert(name.into(), (*mode, *oid))),
            None if children.get(name.as_bytes()).is_some_and(|child| child.0 != MODE_DIRECTORY) => {
                children.remove(name.as_bytes());
            }
            None => {}
        }
    }
}

/// Calls `found` with what lies directly below `prefix` in a list that is sorted by path.
fn direct<T>(list: &[T], prefix: &[u8], path: impl Fn(&T) -> &[u8], mut found: impl FnMut(&[u8], &T)) {
    let mut at = list.partition_point(|item| path(item) < prefix);
    while let Some(item) = list.get(at) {
        let Some(name) = path(item).strip_prefix(prefix) else { return };
        match name.iter().position(|byte| *byte == b'/') {
            None => {
                found(name, item);
                at += 1;
            }
            Some(slash) => {
                let mut beyond = path(item)[..prefix.len() + slash].to_vec();
                beyond.push(b'/' + 1);
                at += list[at..].partition_point(|item| path(item) < beyond.as_slice());
            }
        }
    }
}

/// A tree object's content. Directories sort as if their names ended with a slash.
fn encode(children: &Children) -> Vec<u8> {
    let mut sorted: Vec<(&Vec<u8>, &(u32, ObjectId))> = children.iter().collect();
    let key = |name: &[u8], mode: u32| {
        let mut key = name.to_vec();
        if mode == MODE_DIRECTORY {
            key.push(b'/');
        }
        key
    };
    sorted.sort_by_cached_key(|(name, (mode, _))| key(name, *mode));
    let mut content = Vec::with_capacity(children.len() * 40);
    for (name, (mode, oid)) in sorted {
        content.extend_from_slice(format!("{mode:o} ").as_bytes());
        content.extend_from_slice(name);
        content.push(0);
        content.extend_from_slice(&oid.0);
    }
    content
}
