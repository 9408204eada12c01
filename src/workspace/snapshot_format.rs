//! The head of a snapshot's file: big-endian numbers, and texts with their lengths before them.

use super::{
    objects::ObjectId,
    repository::BaseEntry,
    tree::{OpaqueEntry, Tree},
};

/// What the head of a snapshot tells.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) tree: Tree,
    pub(super) mtime_seconds: i64,
    pub(super) history: String,
    /// Length of the index that follows.
    pub(super) index_bytes: usize,
}

pub(super) fn encode(tree: &Tree, mtime_seconds: i64, history: &str, index_bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(tree.entries.len() * 80 + history.len() + 256);
    out.extend_from_slice(&tree.id.0);
    out.extend_from_slice(&mtime_seconds.to_be_bytes());
    put_text(&mut out, history.as_bytes());
    put_number(&mut out, index_bytes as u64);
    put_number(&mut out, tree.entries.len() as u64);
    for entry in tree.entries.iter() {
        put_entry(&mut out, entry.path.as_bytes(), entry.mode, entry.oid);
        put_number(&mut out, entry.size);
    }
    put_number(&mut out, tree.opaque.len() as u64);
    for entry in &tree.opaque {
        put_entry(&mut out, &entry.path, entry.mode, entry.oid);
    }
    put_number(&mut out, tree.directories.len() as u64);
    for (path, id) in &tree.directories {
        put_entry(&mut out, path, 0, *id);
    }
    out
}

/// Absent where the bytes are not what [`encode`] makes.
pub(super) fn decode(bytes: &[u8]) -> Option<Head> {
    let mut fields = Fields(bytes);
    let id = ObjectId(*fields.array()?);
    let mtime_seconds = i64::from_be_bytes(*fields.array()?);
    let history = String::from_utf8(fields.text()?.to_vec()).ok()?;
    let index_bytes = usize::try_from(fields.number()?).ok()?;
    let mut entries = fields.list()?;
    for _ in 0..fields.number()? {
        let (path, mode, oid) = fields.entry()?;
        entries.push(BaseEntry { path: str::from_utf8(path).ok()?.into(), mode, oid, size: fields.number()? });
    }
    let mut opaque = Vec::new();
    for _ in 0..fields.number()? {
        let (path, mode, oid) = fields.entry()?;
        opaque.push(OpaqueEntry { path: path.into(), mode, oid });
    }
    let mut directories = fields.list()?;
    for _ in 0..fields.number()? {
        let (path, _, id) = fields.entry()?;
        directories.push((path.into(), id));
    }
    let tree = Tree { id, entries: entries.into(), opaque, directories };
    Some(Head { tree, mtime_seconds, history, index_bytes })
}

fn put_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_be_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    put_number(out, text.len() as u64);
    out.extend_from_slice(text);
}

fn put_entry(out: &mut Vec<u8>, path: &[u8], mode: u32, oid: ObjectId) {
    put_text(out, path);
    out.extend_from_slice(&mode.to_be_bytes());
    out.extend_from_slice(&oid.0);
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(field)
    }

    fn number(&mut self) -> Option<u64> {
        self.array().copied().map(u64::from_be_bytes)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (field, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }

    fn entry(&mut self) -> Option<(&'a [u8], u32, ObjectId)> {
        Some((self.text()?, u32::from_be_bytes(*self.array()?), ObjectId(*self.array()?)))
    }

    /// A list with room for as many as are announced, within reason.
    fn list<T>(&self) -> Option<Vec<T>> {
        let announced = u64::from_be_bytes(*self.0.first_chunk()?);
        Some(Vec::with_capacity(usize::try_from(announced).ok()?.min(self.0.len() / 32)))
    }
}
