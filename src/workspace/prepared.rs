//! What an environment's setup left in a working copy beside its repository's files, such as installed dependencies:
//! kept on this host, and copied into later copies.
//!
//! Contents are copied (by the kernel, which shares blocks where the file system can), never linked: a workspace
//! could write through a link. What was prepared is whole or absent. Links are made as links and never
//! followed; nothing but files, directories and links is taken. Start with [`Prepared::keep`].

use super::error::WorkspaceError;
use crate::{
    clock,
    domain::{BlobHash, TeamId},
};
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid},
    io::Errno,
};
use std::{
    collections::{HashMap, HashSet},
    ffi::{CStr, OsStr},
    fs::{self, File},
    io,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::SystemTime,
};
use tokio::sync::{OwnedMutexGuard, RwLock};

const FILES_MAX: u64 = 2_000_000;
const DEPTH_MAX: usize = 200;
/// In the directory of what was prepared: the files, and how many bytes they are.
const FILES: &str = "files";
const SIZE: &str = "size";

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// All that was prepared on this host. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Prepared {
    inner: Arc<Inner>,
}

type Making = tokio::sync::Mutex<()>;

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    /// Bytes of one, and of all together.
    one_bytes: u64,
    all_bytes: u64,
    /// Held for reading while something is copied from here, for writing while something is removed.
    using: RwLock<()>,
    /// By team and key: whoever makes one is alone.
    making: Mutex<HashMap<(TeamId, String), Weak<Making>>>,
}

impl Prepared {
    /// Below `data_dir`, which no other process uses. What a crash left half done is removed.
    pub fn new(data_dir: &Path, one_bytes: u64, all_bytes: u64) -> Self {
        let root = data_dir.join("prepared");
        for team in fs::read_dir(&root).into_iter().flatten().flatten() {
            for entry in fs::read_dir(team.path()).into_iter().flatten().flatten() {
                if entry.file_name().as_bytes().ends_with(b".part") {
                    // What stays is in nobody's way.
                    let _ = fs::remove_dir_all(entry.path());
                }
            }
        }
        Self {
            inner: Arc::new(Inner { root, one_bytes, all_bytes, using: RwLock::default(), making: Mutex::default() }),
        }
    }

    /// A turn to prepare this: whoever else wants it meanwhile waits, and then finds it.
    pub async fn turn(&self, team: TeamId, key: &str) -> OwnedMutexGuard<()> {
        let one = {
            let mut making = self.inner.making.lock().unwrap_or_else(PoisonError::into_inner);
            making.retain(|_, one| one.strong_count() > 0);
            let place = making.entry((team, key.to_owned())).or_default();
            place.upgrade().unwrap_or_else(|| {
                let one = Arc::default();
                *place = Arc::downgrade(&one);
                one
            })
        };
        one.lock_owned().await
    }

    /// Whether this was prepared here.
    pub async fn has(&self, team: TeamId, key: &str) -> bool {
        tokio::fs::try_exists(self.inner.place(team, key)).await.unwrap_or(false)
    }

    /// Keeps all of a copy but its `.git` and the files at `known`, which are the repository's. No process may be at work in it.
    ///
    /// # Errors
    /// [`WorkspaceError::Refused`] where it is more than is kept; nothing is kept then.
    pub async fn keep(
        &self,
        team: TeamId,
        key: &str,
        copy: PathBuf,
        known: HashSet<String>,
    ) -> Result<(), WorkspaceError> {
        let (inner, key) = (Arc::clone(&self.inner), key.to_owned());
        let place = inner.place(team, &key);
        let kept = tokio::task::spawn_blocking(move || inner.keep(team, &key, &copy, &known)).await;
        kept.map_err(|error| failed(&io::Error::other(error)))??;
        let _alone = self.inner.using.write().await;
        let inner = Arc::clone(&self.inner);
        let pruned = tokio::task::spawn_blocking(move || inner.prune(&place)).await;
        if pruned.is_err() {
            tracing::warn!("removing prepared files was cut off");
        }
        Ok(())
    }

    /// Copies what was prepared into a working copy that no sandbox has seen; files that are there stay as they are.
    /// Answers false where it is not here.
    pub async fn lay(
        &self,
        team: TeamId,
        key: &str,
        directory: PathBuf,
        owner: Option<(u32, u32)>,
    ) -> Result<bool, WorkspaceError> {
        let _using = self.inner.using.read().await;
        let place = self.inner.place(team, key);
        let laid = tokio::task::spawn_blocking(move || Inner::lay(&place, &directory, owner)).await;
        laid.map_err(|error| failed(&io::Error::other(error)))?.map_err(|error| failed(&error))
    }
}

impl Inner {
    fn place(&self, team: TeamId, key: &str) -> PathBuf {
        // A key comes from a task's log: it is a name and never a path.
        self.root.join(team.to_string()).join(BlobHash::of(key.as_bytes()).as_str())
    }

    fn keep(&self, team: TeamId, key: &str, copy: &Path, known: &HashSet<String>) -> Result<(), WorkspaceError> {
        let mut directories: HashSet<&str> = HashSet::new();
        for path in known {
            let mut path = path.as_str();
            while let Some((above, _)) = path.rsplit_once('/') {
                if !directories.insert(above) {
                    break;
                }
                path = above;
            }
        }
        let unfinished = self.root.join(team.to_string()).join(format!("{}.part", clock::new_id::<uuid::Uuid>()));
        let mut copying =
            Copying { known, directories, bytes_left: self.one_bytes, files_left: FILES_MAX, owner: None, keeps: true };
        let write = |copying: &mut Copying<'_>| -> io::Result<()> {
            fs::create_dir_all(unfinished.join(FILES))?;
            // Nobody else on this host looks in.
            fs::set_permissions(&self.root, fs::Permissions::from_mode(0o700))?;
            let (from, to) = (open(copy)?, open(&unfinished.join(FILES))?);
            copying.directory(&from, &to, "", 0)?;
            fs::write(unfinished.join(SIZE), (self.one_bytes - copying.bytes_left).to_string())?;
            let place = self.place(team, key);
            // Made anew, as when a setup is run again: the old one goes.
            match fs::remove_dir_all(&place) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            fs::rename(&unfinished, place)
        };
        let written = write(&mut copying);
        if written.is_err() {
            // The next start finds what stays.
            let _ = fs::remove_dir_all(&unfinished);
        }
        written.map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => WorkspaceError::Refused {
                why: format!("it left more than {} MiB or {FILES_MAX} files", self.one_bytes >> 20),
            },
            _ => failed(&error),
        })
    }

    fn lay(place: &Path, directory: &Path, owner: Option<(u32, u32)>) -> io::Result<bool> {
        let from = match open(&place.join(FILES)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened?,
        };
        let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let owner = owner.filter(|owner| *owner != own).map(|(uid, gid)| (Uid::from_raw(uid), Gid::from_raw(gid)));
        let known = HashSet::new();
        let mut copying = Copying {
            known: &known,
            directories: HashSet::new(),
            bytes_left: u64::MAX,
            files_left: u64::MAX,
            owner,
            keeps: false,
        };
        copying.directory(&from, &open(directory)?, "", 0)?;
        // When it was last used.
        let now = Timespec { tv_sec: clock::now().0.unix_timestamp(), tv_nsec: 0 };
        let times = Timestamps { last_access: now, last_modification: now };
        rustix::fs::utimensat(CWD, place, &times, AtFlags::empty())?;
        Ok(true)
    }

    /// Removes what was not used for longest until all together fits.
    fn prune(&self, newest: &Path) {
        let mut all: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for team in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            for entry in fs::read_dir(team.path()).into_iter().flatten().flatten() {
                let size = fs::read_to_string(entry.path().join(SIZE)).ok().and_then(|size| size.parse().ok());
                let used = entry.metadata().and_then(|metadata| metadata.modified()).ok();
                all.extend(used.zip(size).map(|(used, size)| (used, size, entry.path())));
            }
        }
        all.sort();
        let mut sum: u64 = all.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in all.iter().filter(|(.., path)| path != newest) {
            if sum <= self.all_bytes {
                return;
            }
            match fs::remove_dir_all(path) {
                Ok(()) => sum -= size,
                Err(error) => tracing::warn!(%error, "prepared files could not be removed"),
            }
        }
    }
}

/// One copying of a tree.
struct Copying<'a> {
    /// Files that are not taken.
    known: &'a HashSet<String>,
    /// The directories above these.
    directories: HashSet<&'a str>,
    bytes_left: u64,
    files_left: u64,
    owner: Option<(Uid, Gid)>,
    /// Into the place where it is kept: directories without anything that is taken are left out there.
    keeps: bool,
}

impl Copying<'_> {
    /// Copies what is in one directory into another; answers whether there was anything.
    fn directory(&mut self, from: &OwnedFd, to: &OwnedFd, path: &str, depth: usize) -> io::Result<bool> {
        if depth > DEPTH_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut any = false;
        for entry in Dir::read_from(from)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") || (depth == 0 && name.to_bytes() == b".git") {
                continue;
            }
            let text = name.to_string_lossy();
            let inside = if path.is_empty() { text.into_owned() } else { format!("{path}/{text}") };
            let metadata = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
            any |= match FileType::from_raw_mode(metadata.st_mode) {
                FileType::Directory => self.below(from, to, name, &inside, (&metadata, depth))?,
                FileType::RegularFile if !self.known.contains(&inside) => {
                    self.count(metadata.st_size as u64)?;
                    self.file(from, to, name, &metadata)?;
                    true
                }
                FileType::Symlink if !self.known.contains(&inside) => {
                    self.count(0)?;
                    self.link(from, to, name, &metadata)?;
                    true
                }
                _ => false,
            };
        }
        Ok(any)
    }

    fn below(
        &mut self,
        from: &OwnedFd,
        to: &OwnedFd,
        name: &CStr,
        path: &str,
        (metadata, depth): (&rustix::fs::Stat, usize),
    ) -> io::Result<bool> {
        let source = rustix::fs::openat(from, name, DIRECTORY, Mode::empty())?;
        let made = match rustix::fs::mkdirat(to, name, Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH) {
            Err(Errno::EXIST) => false,
            made => made.map(|()| true)?,
        };
        let target = match rustix::fs::openat(to, name, DIRECTORY, Mode::empty()) {
            // The repository has something else there.
            Err(Errno::NOTDIR | Errno::LOOP) => return Ok(false),
            opened => opened?,
        };
        let any = self.directory(&source, &target, path, depth + 1)?;
        let own = any || !self.directories.contains(path);
        if made && self.keeps && !own {
            rustix::fs::unlinkat(to, name, AtFlags::REMOVEDIR)?;
            return Ok(false);
        }
        if made {
            if let Some((uid, gid)) = self.owner {
                rustix::fs::fchown(&target, Some(uid), Some(gid))?;
            }
            // Its owner can always go in: what is kept is read again.
            rustix::fs::fchmod(&target, permissions(metadata) | Mode::RWXU)?;
            rustix::fs::futimens(&target, &times(metadata))?;
        }
        Ok(own)
    }

    fn file(&self, from: &OwnedFd, to: &OwnedFd, name: &CStr, metadata: &rustix::fs::Stat) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut source = File::from(rustix::fs::openat(from, name, flags, Mode::empty())?);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let target = match rustix::fs::openat(to, name, flags, Mode::RUSR | Mode::WUSR) {
            Err(Errno::EXIST) => return Ok(()),
            opened => opened?,
        };
        let mut target = File::from(target);
        io::copy(&mut source, &mut target)?;
        if let Some((uid, gid)) = self.owner {
            rustix::fs::fchown(&target, Some(uid), Some(gid))?;
        }
        rustix::fs::fchmod(&target, permissions(metadata))?;
        Ok(rustix::fs::futimens(&target, &times(metadata))?)
    }

    fn link(&self, from: &OwnedFd, to: &OwnedFd, name: &CStr, metadata: &rustix::fs::Stat) -> io::Result<()> {
        let leads_to = rustix::fs::readlinkat(from, name, Vec::new())?;
        match rustix::fs::symlinkat(OsStr::from_bytes(leads_to.to_bytes()), to, name) {
            Err(Errno::EXIST) => return Ok(()),
            made => made?,
        }
        if let Some((uid, gid)) = self.owner {
            rustix::fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(rustix::fs::utimensat(to.as_fd(), name, &times(metadata), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn count(&mut self, bytes: u64) -> io::Result<()> {
        let too_large = || io::Error::from(io::ErrorKind::FileTooLarge);
        self.files_left = self.files_left.checked_sub(1).ok_or_else(too_large)?;
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or_else(too_large)?;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(CWD, path, DIRECTORY, Mode::empty())?)
}

/// Without what would let a program act as its owner.
fn permissions(metadata: &rustix::fs::Stat) -> Mode {
    Mode::from_raw_mode(metadata.st_mode & 0o777)
}

fn times(metadata: &rustix::fs::Stat) -> Timestamps {
    let time = Timespec { tv_sec: metadata.st_mtime as _, tv_nsec: metadata.st_mtime_nsec as _ };
    Timestamps { last_access: time, last_modification: time }
}

fn failed(error: &io::Error) -> WorkspaceError {
    WorkspaceError::Io { what: "copying prepared files".to_owned(), why: error.to_string() }
}
