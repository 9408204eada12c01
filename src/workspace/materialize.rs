//! Writes fresh working copies: a base with a delta laid over it, and a `.git` that works for whoever is
//! inside.
//!
//! Only ever into a directory in which no command has run. Links are made last, so that no write can go
//! through one; contents are copied, never hard-linked; no attribute, filter or conversion of git applies; and
//! nothing in the `.git` leads out of the workspace but the read-only objects of the mirror.

use super::{
    git::io_error,
    repository::RepositoryError,
    snapshot::{Snapshot, is_git_directory, write_all},
    source::validate_ref,
    tree::{MODE_LINK, MODE_SUBMODULE},
};
use bytes::Bytes;
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid},
};
use std::{
    collections::{BTreeSet, HashSet},
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// The longest target of a link.
const LINK_BYTES_MAX: usize = 1 << 20;
/// Fewer files than this are written by one thread.
const FILES_PER_THREAD: usize = 256;
const MOST_THREADS: usize = 4;

/// What is to be written.
pub(super) struct Copy {
    pub(super) directory: PathBuf,
    pub(super) snapshot: Arc<Snapshot>,
    /// Paths of the base that are not written: deleted, or written by [`Overlaid`].
    pub(super) left_out: HashSet<String>,
    /// Uid and gid of everything; absent: the server's own.
    pub(super) owner: Option<(u32, u32)>,
    pub(super) git: Option<GitDirectory>,
    /// Filled in with those of the snapshot's regular files, in their order.
    pub(super) inodes: Vec<AtomicU64>,
}

/// What the `.git` of a copy is made from.
pub(super) struct GitDirectory {
    /// A full ref name, if one led to the commit.
    pub(super) reference: Option<String>,
    /// Absent: no commit yet.
    pub(super) commit: Option<String>,
    /// Where the mirror's objects are inside the workspace.
    pub(super) objects: String,
    pub(super) shallow: Option<Vec<u8>>,
    /// Objects may be missing that the remote has: git is told that this is no fault.
    pub(super) partial: bool,
}

/// A file that differs from the base.
pub(super) struct Overlaid {
    pub(super) path: String,
    pub(super) mode: u32,
    pub(super) content: Bytes,
}

/// Writes the base's files without the ones left out, and the `.git`. Blocks.
pub(super) fn write_base(copy: &Copy) -> Result<(), RepositoryError> {
    let doing = io_error("writing a working copy");
    write_base_files(copy).map_err(&doing)?;
    match &copy.git {
        Some(git) => write_git(copy, git).map_err(doing),
        None => Ok(()),
    }
}

/// Writes some of the files that differ, after [`write_base`]. Links must come in the last call. Blocks.
pub(super) fn write_overlaid(copy: &Copy, files: &[Overlaid]) -> Result<(), RepositoryError> {
    for file in files {
        if !is_safe_path(&file.path) {
            return Err(RepositoryError::Unusable {
                reason: format!("a change has an impossible path: {:?}", file.path),
            });
        }
    }
    let write = || -> io::Result<()> {
        let target = Target::open(copy)?;
        for file in files {
            let (parent, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
            target.make_directories(parent)?;
            let parent = target.directory(parent)?;
            if file.mode == MODE_LINK {
                target.link(parent.as_fd(), name, &file.content, None)?;
            } else {
                target.file(parent.as_fd(), name, file.mode, None, &mut |out| write_all(out, &file.content))?;
            }
        }
        Ok(())
    };
    write().map_err(io_error("writing a working copy"))
}

/// Whether a path may be in a working copy: relative, no way out, not git's own.
pub(super) fn is_safe_path(path: &str) -> bool {
    path.len() <= 4096
        && !path.contains('\0')
        && path.split('/').all(|part| !matches!(part, "" | "." | "..") && !is_git_directory(part.as_bytes()))
}

fn write_base_files(copy: &Copy) -> io::Result<()> {
    if let Some(parent) = copy.directory.parent() {
        std::fs::create_dir_all(parent)?;
    }
    match std::fs::create_dir(&copy.directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if std::fs::read_dir(&copy.directory)?.next().is_some() {
                return Err(error);
            }
        }
        result => result?,
    }
    let target = Target::open(copy)?;
    target.own(target.root.as_fd(), "")?;
    let entries = &copy.snapshot.tree.entries;
    let mut files = Vec::with_capacity(entries.len());
    let mut directories: BTreeSet<&str> = BTreeSet::new();
    for (number, entry) in entries.iter().enumerate() {
        if copy.left_out.contains(entry.path.as_ref()) {
            continue;
        }
        let parent = entry.path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let mut directory = if entry.mode == MODE_SUBMODULE { &entry.path } else { parent };
        while !directory.is_empty() && directories.insert(directory) {
            directory = directory.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
        if entry.mode != MODE_SUBMODULE {
            files.push((entry.mode == MODE_LINK, parent, number));
        }
    }
    for directory in directories {
        target.make_directory(target.root.as_fd(), directory)?;
    }
    // files first, by directory; links last
    files.sort_unstable();
    let (files, links) = files.split_at(files.partition_point(|file| !file.0));
    let threads = (files.len() / FILES_PER_THREAD).clamp(1, MOST_THREADS);
    let threads = threads.min(std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    std::thread::scope(|scope| -> io::Result<()> {
        let mut parts = files.chunks(files.len().div_ceil(threads).max(1));
        let first = parts.next().unwrap_or_default();
        let others: Vec<_> = parts.map(|part| scope.spawn(|| write_files(copy, &target, part))).collect();
        write_files(copy, &target, first)?;
        for other in others {
            other.join().map_err(|_| io::Error::other("a writer panicked"))??;
        }
        Ok(())
    })?;
    write_files(copy, &target, links)
}

fn write_files(copy: &Copy, target: &Target, files: &[(bool, &str, usize)]) -> io::Result<()> {
    let snapshot = &copy.snapshot;
    let mut buffer = Vec::new();
    let mut open: Option<(&str, OwnedFd)> = None;
    for (is_link, parent, number) in files {
        let entry = &snapshot.tree.entries[*number];
        let directory = match open.take() {
            Some((path, directory)) if path == *parent => directory,
            _ => target.directory(parent)?,
        };
        let name = entry.path.rsplit_once('/').map_or(entry.path.as_ref(), |(_, name)| name);
        if *is_link {
            buffer.resize(usize::try_from(entry.size).unwrap_or(usize::MAX).min(LINK_BYTES_MAX), 0);
            snapshot.read_at(*number, 0, &mut buffer)?;
            target.link(directory.as_fd(), name, &buffer, Some(snapshot.mtime_seconds))?;
        } else {
            let inode = target.file(directory.as_fd(), name, entry.mode, Some(snapshot.mtime_seconds), &mut |out| {
                snapshot.copy_to(*number, out, &mut buffer)
            })?;
            if let Some(known) = copy.inodes.get(*number) {
                known.store(inode, Ordering::Relaxed);
            }
        }
        open = Some((parent, directory));
    }
    Ok(())
}

fn write_git(copy: &Copy, git: &GitDirectory) -> io::Result<()> {
    let target = Target::open(copy)?;
    for directory in ["objects/info", "objects/pack", "refs/heads", "refs/tags", "info"] {
        target.make_directories(&format!(".git/{directory}"))?;
    }
    let branch = git.reference.as_deref().and_then(|name| name.strip_prefix("refs/heads/"));
    let branch = branch.filter(|name| validate_ref(name).is_ok()).unwrap_or("main");
    let (version, promisor) =
        if git.partial { (1, "[remote \"origin\"]\n\tpromisor = true\n\turl = /nonexistent\n") } else { (0, "") };
    let config = format!(
        "[core]\n\trepositoryformatversion = {version}\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n\
        \tcheckStat = minimal\n\ttrustctime = false\n[user]\n\tname = Journeyman\n\temail = journeyman@localhost\n\
        [commit]\n\tgpgsign = false\n[gc]\n\tauto = 0\n{promisor}"
    );
    let mut files: Vec<(&str, Vec<u8>)> = vec![
        ("HEAD", format!("ref: refs/heads/{branch}\n").into()),
        ("config", config.into()),
        ("info/exclude", Vec::new()),
        ("index", copy.snapshot.index()?),
    ];
    if let Some(commit) = &git.commit {
        let head = "# pack-refs with: peeled fully-peeled sorted \n";
        files.push(("packed-refs", format!("{head}{commit} refs/heads/{branch}\n").into()));
        files.push(("objects/info/alternates", format!("{}\n", git.objects).into()));
    }
    if let Some(shallow) = &git.shallow {
        files.push(("shallow", shallow.clone()));
    }
    for (path, content) in files {
        let path = format!(".git/{path}");
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let parent = target.directory(parent)?;
        target.file(parent.as_fd(), name, 0o100_644, None, &mut |out| write_all(out, &content))?;
    }
    Ok(())
}

/// A directory that is being filled. Every path is opened below it without following links.
struct Target {
    root: OwnedFd,
    owner: Option<(Uid, Gid)>,
}

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const NEW_FILE: OFlags =
    OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Target {
    fn open(copy: &Copy) -> io::Result<Self> {
        let root = rustix::fs::openat(rustix::fs::CWD, &copy.directory, DIRECTORY, Mode::empty())?;
        let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let owner = copy.owner.filter(|owner| *owner != own);
        Ok(Self { root, owner: owner.map(|(uid, gid)| (Uid::from_raw(uid), Gid::from_raw(gid))) })
    }

    /// Opens a directory, part by part where it is below another: no part may be a link.
    fn directory(&self, path: &str) -> io::Result<OwnedFd> {
        let mut open: Option<OwnedFd> = None;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let above = open.as_ref().unwrap_or(&self.root);
            open = Some(rustix::fs::openat(above, part, DIRECTORY, Mode::empty())?);
        }
        open.map_or_else(|| self.root.try_clone(), Ok)
    }

    fn make_directory(&self, above: BorrowedFd<'_>, path: &str) -> io::Result<()> {
        match rustix::fs::mkdirat(above, path, Mode::from_raw_mode(0o755)) {
            Err(rustix::io::Errno::EXIST) => return Ok(()),
            made => made?,
        }
        self.own(above, path)
    }

    fn make_directories(&self, path: &str) -> io::Result<()> {
        let mut above = self.root.try_clone()?;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            self.make_directory(above.as_fd(), part)?;
            above = rustix::fs::openat(&above, part, DIRECTORY, Mode::empty())?;
        }
        Ok(())
    }

    fn own(&self, directory: BorrowedFd<'_>, name: &str) -> io::Result<()> {
        let Some((uid, gid)) = self.owner else { return Ok(()) };
        if name.is_empty() {
            return Ok(rustix::fs::fchown(directory, Some(uid), Some(gid))?);
        }
        Ok(rustix::fs::chownat(directory, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Writes a file that must not be there; its inode.
    fn file(
        &self,
        directory: BorrowedFd<'_>,
        name: &str,
        mode: u32,
        mtime_seconds: Option<i64>,
        fill: &mut dyn FnMut(&OwnedFd) -> io::Result<()>,
    ) -> io::Result<u64> {
        let permissions = if mode & 0o100 == 0 { 0o644 } else { 0o755 };
        let file = rustix::fs::openat(directory, name, NEW_FILE, Mode::from_raw_mode(permissions))?;
        fill(&file)?;
        if let Some(seconds) = mtime_seconds {
            rustix::fs::futimens(&file, &times(seconds))?;
        }
        if let Some((uid, gid)) = self.owner {
            rustix::fs::fchown(&file, Some(uid), Some(gid))?;
        }
        Ok(rustix::fs::fstat(&file)?.st_ino)
    }

    fn link(&self, directory: BorrowedFd<'_>, name: &str, target: &[u8], mtime_seconds: Option<i64>) -> io::Result<()> {
        rustix::fs::symlinkat(OsStr::from_bytes(target), directory, Path::new(name))?;
        if let Some(seconds) = mtime_seconds {
            rustix::fs::utimensat(directory, name, &times(seconds), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        self.own(directory, name)
    }
}

fn times(seconds: i64) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}
