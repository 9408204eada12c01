//! From a stream to a tree.

use super::{BUFFER_BYTES, DEPTH_LIMIT, HEAD_BYTES, Head, Kind, MAGIC, PATH_LIMIT_BYTES, wrong};
use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, CWD, Mode, OFlags, Timespec, Timestamps},
    io::Errno,
};
use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read, Write},
    os::unix::ffi::OsStrExt,
    path::Path,
};

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const NEW_FILE: OFlags =
    OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const OLD_FILE: OFlags =
    OFlags::WRONLY.union(OFlags::TRUNC).union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// What may be unpacked.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Contents of files, together.
    pub bytes: u64,
    /// Files, directories and links.
    pub entries: u64,
}

impl Limits {
    pub const NONE: Self = Self { bytes: u64::MAX, entries: u64::MAX };
}

/// Makes the tree below `root`, which is a directory that nobody else writes to, or the file that `root` is. Where it
/// fails, a part of it is there. What is beyond a limit is [`io::ErrorKind::FileTooLarge`].
pub fn unpack(input: &mut dyn Read, root: &Path, limits: Limits) -> io::Result<()> {
    let mut magic = [0; MAGIC.len()];
    input.read_exact(&mut magic)?;
    if magic != *MAGIC {
        return Err(wrong("something else"));
    }
    let mut unpacking =
        Unpacking { input, root, limits, parent: None, directories: Vec::new(), buffer: vec![0; BUFFER_BYTES] };
    while unpacking.record()? {}
    unpacking.finish()
}

struct Unpacking<'a> {
    input: &'a mut dyn Read,
    root: &'a Path,
    /// What is left of them.
    limits: Limits,
    /// The directory that the last entry was in.
    parent: Option<(Vec<u8>, OwnedFd)>,
    /// What they are to be in the end: while they are filled their owner has to be able to.
    directories: Vec<(Vec<u8>, Head)>,
    buffer: Vec<u8>,
}

impl Unpacking<'_> {
    /// `false`: that was the last.
    fn record(&mut self) -> io::Result<bool> {
        let mut head = [0; HEAD_BYTES];
        self.input.read_exact(&mut head)?;
        let head = Head::decode(head)?;
        if head.kind == Kind::End {
            return Ok(false);
        }
        let mut path = vec![0; usize::from(head.path_bytes)];
        self.input.read_exact(&mut path)?;
        let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, "there is more than there may be");
        self.limits.entries = self.limits.entries.checked_sub(1).ok_or_else(too_large)?;
        if head.kind == Kind::File {
            self.limits.bytes = self.limits.bytes.checked_sub(head.size).ok_or_else(too_large)?;
        }
        if path.is_empty() && head.kind == Kind::File {
            let file = rustix::fs::openat(CWD, self.root, OLD_FILE, Mode::empty())?;
            self.content(&mut File::from(file), head.size)?;
            return Ok(true);
        }
        check(&path)?;
        let (parent, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (&[][..], &path[..]),
        };
        let directory = match self.parent.take() {
            Some((known, directory)) if known == parent => directory,
            _ => open(self.root, parent)?,
        };
        let entry = self.entry(&directory, OsStr::from_bytes(name), head);
        entry.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", String::from_utf8_lossy(&path))))?;
        self.parent = Some((parent.to_vec(), directory));
        if head.kind == Kind::Directory {
            self.directories.push((path, head));
        }
        Ok(true)
    }

    fn entry(&mut self, directory: &OwnedFd, name: &OsStr, head: Head) -> io::Result<()> {
        match head.kind {
            Kind::Directory => match rustix::fs::mkdirat(directory, name, Mode::RWXU) {
                Err(Errno::EXIST) => Ok(()),
                made => Ok(made?),
            },
            Kind::File => {
                let file = rustix::fs::openat(directory, name, NEW_FILE, Mode::RUSR | Mode::WUSR)?;
                let mut file = File::from(file);
                self.content(&mut file, head.size)?;
                rustix::fs::fchmod(&file, Mode::from_raw_mode(head.mode))?;
                Ok(rustix::fs::futimens(&file, &times(head))?)
            }
            Kind::Link => {
                if head.size > PATH_LIMIT_BYTES as u64 {
                    return Err(wrong("a link that is too long"));
                }
                let mut target = vec![0; head.size as usize];
                self.input.read_exact(&mut target)?;
                rustix::fs::symlinkat(OsStr::from_bytes(&target), directory, name)?;
                Ok(rustix::fs::utimensat(directory, name, &times(head), AtFlags::SYMLINK_NOFOLLOW)?)
            }
            Kind::End => Ok(()),
        }
    }

    fn content(&mut self, file: &mut File, mut left: u64) -> io::Result<()> {
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(BUFFER_BYTES);
            self.input.read_exact(&mut self.buffer[..wanted])?;
            file.write_all(&self.buffer[..wanted])?;
            left -= wanted as u64;
        }
        Ok(())
    }

    /// What is inside comes first: a directory may be closed to its owner then.
    fn finish(self) -> io::Result<()> {
        for (path, head) in self.directories.iter().rev() {
            let directory = open(self.root, path)?;
            rustix::fs::fchmod(&directory, Mode::from_raw_mode(head.mode))?;
            rustix::fs::futimens(&directory, &times(*head))?;
        }
        Ok(())
    }
}

/// Opens a directory below the root, part by part: none may be a link.
fn open(root: &Path, path: &[u8]) -> io::Result<OwnedFd> {
    let mut directory = rustix::fs::openat(CWD, root, DIRECTORY.difference(OFlags::NOFOLLOW), Mode::empty())?;
    for part in path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
        directory = rustix::fs::openat(&directory, OsStr::from_bytes(part), DIRECTORY, Mode::empty())?;
    }
    Ok(directory)
}

fn check(path: &[u8]) -> io::Result<()> {
    let parts = path.split(|byte| *byte == b'/');
    let depth = parts.clone().count();
    let plain = |part: &[u8]| !matches!(part, b"" | b"." | b"..") && !part.contains(&0);
    if path.len() > PATH_LIMIT_BYTES || depth > DEPTH_LIMIT + 2 || !parts.into_iter().all(plain) {
        return Err(wrong("a path that is none"));
    }
    Ok(())
}

fn times(head: Head) -> Timestamps {
    let time = Timespec { tv_sec: head.mtime_seconds as _, tv_nsec: head.mtime_ns.into() };
    Timestamps { last_access: time, last_modification: time }
}
