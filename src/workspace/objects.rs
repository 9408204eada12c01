//! Git object ids, made in process: no git is needed to know what a tree is called.

use crate::domain::Oid;
use sha1::{Digest, Sha1};
use std::{fmt, str::FromStr};

/// A SHA-1 object id as bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub [u8; 20]);

/// The kinds of objects that are hashed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    Blob,
    Tree,
}

impl ObjectKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Tree => "tree",
        }
    }
}

impl ObjectId {
    /// The id that git gives to `content`.
    pub fn of(kind: ObjectKind, content: &[u8]) -> Self {
        let mut hasher = Sha1::new();
        hasher.update(format!("{} {}\0", kind.as_str(), content.len()));
        hasher.update(content);
        Self(hasher.finalize().into())
    }

    pub fn of_blob(content: &[u8]) -> Self {
        Self::of(ObjectKind::Blob, content)
    }

    /// The domain's form, for logs and events.
    pub fn to_oid(self) -> Oid {
        self.to_string().parse().expect("forty lower-case hex digits are an object id")
    }

    /// Absent for ids of other hash functions.
    pub fn from_oid(oid: &Oid) -> Option<Self> {
        oid.as_str().parse().ok()
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = [0u8; 40];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(str::from_utf8(&hex).unwrap_or_default())
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ObjectId {
    type Err = crate::domain::InvalidOid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let oid: Oid = text.parse()?;
        let text = oid.as_str().as_bytes();
        if text.len() != 40 {
            return Err(crate::domain::InvalidOid);
        }
        let digit = |b: u8| if b.is_ascii_digit() { b - b'0' } else { b - b'a' + 10 };
        let mut id = [0u8; 20];
        for (byte, pair) in id.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0]) << 4 | digit(pair[1]);
        }
        Ok(Self(id))
    }
}
