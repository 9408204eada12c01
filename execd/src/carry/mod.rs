//! A tree of files as one stream of bytes: how a working copy comes into a workspace that shares no file system with
//! the server, and how what a setup made comes back.
//!
//! A stream is [`MAGIC`], then records: a head, the path from the root, and what the head's size counts (a file's
//! content, a link's target); a record of the kind [`Kind::End`] says that it is whole. Directories come before what
//! is in them. A stream whose first record has an empty path is of one file, which the root itself is.
//!
//! [`pack`] and [`unpack`] follow no link, and [`unpack`] believes nothing: no path leads out of its root, no file
//! that is there is written to, and what is beyond its [`Limits`] is an error.

mod pack;
mod unpack;

pub use pack::pack;
pub use unpack::{Limits, unpack};

use std::io;

pub const MAGIC: &[u8; 8] = b"carry 1\n";
const HEAD_BYTES: usize = 27;
const PATH_LIMIT_BYTES: usize = 4096;
/// Directories in each other.
const DEPTH_LIMIT: usize = 200;
const BUFFER_BYTES: usize = 128 * 1024;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
    Link,
    End,
}

/// What comes before a record's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    kind: Kind,
    /// Of reading, writing and running alone.
    mode: u32,
    mtime_seconds: i64,
    mtime_ns: u32,
    /// Of what follows the path.
    size: u64,
    path_bytes: u16,
}

impl Head {
    const END: Self = Self { kind: Kind::End, mode: 0, mtime_seconds: 0, mtime_ns: 0, size: 0, path_bytes: 0 };

    fn encode(self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[0] = match self.kind {
            Kind::Directory => b'd',
            Kind::File => b'f',
            Kind::Link => b'l',
            Kind::End => b'.',
        };
        bytes[1..5].copy_from_slice(&self.mode.to_le_bytes());
        bytes[5..13].copy_from_slice(&self.mtime_seconds.to_le_bytes());
        bytes[13..17].copy_from_slice(&self.mtime_ns.to_le_bytes());
        bytes[17..25].copy_from_slice(&self.size.to_le_bytes());
        bytes[25..27].copy_from_slice(&self.path_bytes.to_le_bytes());
        bytes
    }

    fn decode(bytes: [u8; HEAD_BYTES]) -> io::Result<Self> {
        let part = |from: usize, to: usize| {
            let mut number = [0; 8];
            number[..to - from].copy_from_slice(&bytes[from..to]);
            u64::from_le_bytes(number)
        };
        let kind = match bytes[0] {
            b'd' => Kind::Directory,
            b'f' => Kind::File,
            b'l' => Kind::Link,
            b'.' => Kind::End,
            _ => return Err(wrong("a record of an unknown kind")),
        };
        let mtime_ns = part(13, 17) as u32;
        if mtime_ns >= 1_000_000_000 {
            return Err(wrong("a time that is none"));
        }
        Ok(Self {
            kind,
            mode: part(1, 5) as u32 & 0o777,
            mtime_seconds: part(5, 13).cast_signed(),
            mtime_ns,
            size: part(17, 25),
            path_bytes: part(25, 27) as u16,
        })
    }
}

fn wrong(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the stream of files holds {why}"))
}
