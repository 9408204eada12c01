//! What can keep a private cluster from running, with the mend.

use super::OLDEST_MAJOR;
use std::{io, path::PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    #[error(
        "no PostgreSQL {OLDEST_MAJOR} or newer was found{seen}: install it (Debian: apt-get install postgresql), \
         set JOURNEYMAN_POSTGRES_BIN to the directory of `initdb` and `postgres`, or set DATABASE_URL",
        seen = seen(.too_old)
    )]
    NoBinaries { too_old: Vec<(PathBuf, u32)> },
    #[error("{dir} (JOURNEYMAN_POSTGRES_BIN) has no working `initdb` and `postgres`", dir = dir.display())]
    NoBinariesIn { dir: PathBuf },
    #[error(
        "the cluster in {dir} was made by PostgreSQL {made_by}, and the binaries in {bin_dir} are PostgreSQL {found}: \
         install PostgreSQL {made_by} beside them (Debian: apt-get install postgresql-{made_by}), or move the data \
         with pg_upgrade or pg_dump, or choose another JOURNEYMAN_DATA_DIR",
        dir = dir.display(), bin_dir = bin_dir.display()
    )]
    OtherVersion { dir: PathBuf, made_by: String, bin_dir: PathBuf, found: u32 },
    #[error(
        "the data directory {dir} is in use by process {holder}: stop it, or choose another JOURNEYMAN_DATA_DIR",
        dir = dir.display()
    )]
    InUse { dir: PathBuf, holder: String },
    #[error(
        "PostgreSQL does not run as root, and this machine has neither a user `postgres` nor `nobody` to run it as: \
         make one with `useradd --system postgres`, or set DATABASE_URL"
    )]
    NoAccount,
    #[error("the user id {uid} cannot be switched to ({source}): start as an ordinary user, or set DATABASE_URL")]
    CannotSwitch { uid: u32, source: io::Error },
    #[error("the disk of {path} is full: free some space and start again", path = path.display())]
    DiskFull { path: PathBuf },
    #[error("{action} {path}: {source}", path = path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("initdb failed: {message}")]
    Initdb { message: String },
    #[error("PostgreSQL did not start: {message} (its log: {log})", log = log.display())]
    Start { message: String, log: PathBuf },
    #[error("PostgreSQL (process {pid}) did not end")]
    Stop { pid: u32 },
}

impl PostgresError {
    /// For `map_err`: an I/O error with what was done to which path. A full disk is its own thing.
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::Io { action, path, source },
        }
    }
}

fn seen(too_old: &[(PathBuf, u32)]) -> String {
    match too_old {
        [] => String::new(),
        [(dir, major), ..] => format!(" ({} has PostgreSQL {major})", dir.display()),
    }
}
