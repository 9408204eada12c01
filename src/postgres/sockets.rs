//! The directory of the server's unix socket: private, and short enough for a socket's address.

use super::{PostgresError, account::Account};
use std::{
    fs::{self, DirBuilder},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

/// The longest directory that still has room for `/.s.PGSQL.5432` in the 108 bytes of a unix
/// socket's address (unix(7)), with its closing NUL.
const LONGEST_BYTES: usize = 108 - 1 - "/.s.PGSQL.5432".len();

/// The socket's file in a directory.
pub(super) fn socket(dir: &Path) -> PathBuf {
    dir.join(".s.PGSQL.5432")
}

/// The directory to use: `own` (inside the cluster's directory) where it is short enough and can
/// be reached; else the one that `memory` remembers, if it is still ours; else a new one under
/// `/run` or `/tmp`, which is remembered.
pub(super) fn directory(
    own: &Path,
    own_is_reached: bool,
    memory: &Path,
    account: Option<Account>,
) -> Result<PathBuf, PostgresError> {
    let owner = account.map_or_else(|| rustix::process::geteuid().as_raw(), |account| account.uid);
    if own_is_reached && own.as_os_str().len() <= LONGEST_BYTES {
        if !is_private(own, owner) {
            make(own, account).map_err(PostgresError::io("cannot make", own))?;
        }
        return Ok(own.to_owned());
    }
    let remembered = fs::read_to_string(memory).ok().map(|text| PathBuf::from(text.trim_end()));
    if let Some(dir) = remembered.filter(|dir| is_private(dir, owner)) {
        return Ok(dir);
    }
    let mut failed = None;
    for parent in ["/run", "/tmp", "/var/tmp"] {
        // A name that cannot be guessed, mode 0700.
        match tempfile::Builder::new().prefix("journeyman-").tempdir_in(parent) {
            Ok(dir) => {
                let dir = dir.keep();
                own_it(&dir, account).map_err(PostgresError::io("cannot prepare", &dir))?;
                let text = format!("{}\n", dir.display());
                fs::write(memory, text).map_err(PostgresError::io("cannot write", memory))?;
                return Ok(dir);
            }
            Err(error) => failed = Some((parent, error)),
        }
    }
    let (parent, error) = failed.expect("there are places to try");
    Err(PostgresError::io("cannot make a directory for the socket in", parent)(error))
}

/// Takes away a directory that was made outside the cluster's own, and its memory.
pub(super) fn forget(dir: &Path, memory: &Path) {
    if fs::read_to_string(memory).is_ok_and(|text| Path::new(text.trim_end()) == dir) {
        // What is left behind is found again by its memory, or harmless.
        let _ = fs::remove_file(socket(dir));
        let _ = fs::remove_dir(dir);
        let _ = fs::remove_file(memory);
    }
}

/// A real directory of the owner's that nobody else can enter: what lies in a shared place under
/// a remembered name may be a stranger's by now.
fn is_private(dir: &Path, owner: u32) -> bool {
    fs::symlink_metadata(dir).is_ok_and(|metadata| {
        let for_others = metadata.permissions().mode() & 0o077;
        metadata.is_dir() && metadata.uid() == owner && for_others == 0
    })
}

fn make(dir: &Path, account: Option<Account>) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    own_it(dir, account)
}

fn own_it(dir: &Path, account: Option<Account>) -> std::io::Result<()> {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    match account {
        Some(account) => chown(dir, Some(account.uid), Some(account.gid)),
        None => Ok(()),
    }
}
