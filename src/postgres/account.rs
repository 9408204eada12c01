//! As whom the server runs, and whether that account can reach its directory.

use super::PostgresError;
use std::{
    fs,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{MetadataExt, PermissionsExt, chown},
    },
    path::{Path, PathBuf},
};

/// An unprivileged user and group. Only a service that was started as root has one: otherwise the
/// server runs as whoever started the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// The owner of the cluster in `dir` if it has one that is not root; else the first of the users
/// that this machine has for such things. `None` where the service is not root.
pub(super) fn choose(dir: &Path) -> Result<Option<Account>, PostgresError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    if let Ok(metadata) = fs::metadata(dir)
        && metadata.uid() != 0
    {
        return Ok(Some(Account { uid: metadata.uid(), gid: metadata.gid() }));
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let known = ["postgres", "nobody"].iter().find_map(|name| entry(&users, name));
    known.map(Some).ok_or(PostgresError::NoAccount)
}

/// Gives `path` and everything below it to the account. Links are not followed.
pub(super) fn give(path: &Path, account: Account) -> Result<(), PostgresError> {
    let failed = |error| PostgresError::io("cannot change the owner of", path)(error);
    let metadata = fs::symlink_metadata(path).map_err(failed)?;
    if metadata.is_symlink() {
        return Ok(());
    }
    if metadata.is_dir() {
        for entry in fs::read_dir(path).map_err(failed)? {
            give(&entry.map_err(failed)?.path(), account)?;
        }
    }
    if (metadata.uid(), metadata.gid()) == (account.uid, account.gid) {
        return Ok(());
    }
    chown(path, Some(account.uid), Some(account.gid)).map_err(failed)
}

/// A path by which the account's processes reach a directory.
pub(super) struct Reach {
    pub(super) path: PathBuf,
    /// Held until the process has been started: it inherits this.
    _descriptor: Option<OwnedFd>,
}

/// `dir` itself, where every directory above it can be passed through. Where one cannot (below
/// `/root`, say), a descriptor that the process inherits and a path through it, which needs no
/// leave of the directories above.
pub(super) fn reach(dir: &Path, account: Option<Account>) -> Result<Reach, PostgresError> {
    if account.is_none_or(|account| can_pass(dir, account)) {
        return Ok(Reach { path: dir.to_owned(), _descriptor: None });
    }
    let failed = |error: rustix::io::Errno| PostgresError::io("cannot open", dir)(error.into());
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
    let descriptor = rustix::fs::open(dir, flags, rustix::fs::Mode::empty()).map_err(failed)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_raw_fd()));
    Ok(Reach { path, _descriptor: Some(descriptor) })
}

/// Whether the account may pass through every directory above `path`.
pub(super) fn can_pass(path: &Path, account: Account) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    path.ancestors().skip(1).all(|dir| {
        fs::metadata(dir).is_ok_and(|metadata| {
            let bit = if metadata.uid() == account.uid {
                0o100
            } else if metadata.gid() == account.gid {
                0o010
            } else {
                0o001
            };
            metadata.permissions().mode() & bit != 0
        })
    })
}

fn entry(users: &str, name: &str) -> Option<Account> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        (uid != 0).then_some(Account { uid, gid })
    })
}
