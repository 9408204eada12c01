//! A backup: the whole database, the master key and the objects, as one file that is written beside a service that runs;
//! and its restore into an empty one. Start with `write.rs`, whose order `read.rs` follows.
//!
//! The file is a tar packed by gzip: `manifest.json`, `secret-key`, `database/<table>/<part>`, `objects/<key>`, and
//! `end.json`, without which it is not whole.

mod pack;
mod read;
mod write;

pub(super) use read::restore;
pub(super) use write::backup;

use crate::store::backup::Table;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

const FORMAT: &str = "journeyman-backup";
const VERSION: u32 = 1;
const MANIFEST: &str = "manifest.json";
const SECRET_KEY: &str = "secret-key";
const END: &str = "end.json";

/// Where a backup is written to or read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    File(PathBuf),
    /// Standard output or input.
    Standard,
}

/// What a backup leaves out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// The bucket has a backup of its own.
    pub objects: bool,
    /// The master key is kept elsewhere.
    pub key: bool,
}

/// What a backup says of itself at its beginning.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: String,
    version: u32,
    /// That wrote it.
    release: String,
    made_at: crate::domain::Timestamp,
    /// Versions of the schema.
    migrations: Vec<i64>,
    /// In the order in which they come.
    tables: Vec<Table>,
    /// The id of the master key, whether it is in here or not.
    key_id: String,
    objects: bool,
}

/// And at its end.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct End {
    rows: u64,
    objects: u64,
    /// Keys of objects that were gone, of contents that were being removed.
    missing: Vec<String>,
}
