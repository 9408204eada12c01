//! From a tree to a stream.

use super::{BUFFER_BYTES, DEPTH_LIMIT, Head, Kind, MAGIC, PATH_LIMIT_BYTES};
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat},
};
use std::{
    ffi::OsStr,
    io::{self, Read, Write},
    os::unix::ffi::OsStrExt,
    path::Path,
};

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// Writes all that is below `root`, or the file that it is. Of `root`'s own entries those named in `left_out` are not
/// taken, and nothing is that is neither file, directory nor link. An error names the path.
pub fn pack(root: &Path, left_out: &[&str], out: &mut dyn Write) -> io::Result<()> {
    out.write_all(MAGIC)?;
    let named = |error: io::Error| at(root.as_os_str().as_bytes(), &error);
    let metadata = rustix::fs::statat(CWD, root, AtFlags::SYMLINK_NOFOLLOW).map_err(|errno| named(errno.into()))?;
    let mut packing = Packing { out, buffer: vec![0; BUFFER_BYTES] };
    if FileType::from_raw_mode(metadata.st_mode) == FileType::Directory {
        let from = rustix::fs::openat(CWD, root, DIRECTORY, Mode::empty()).map_err(|errno| named(errno.into()))?;
        packing.directory(&from, &mut Vec::new(), 0, left_out)?;
    } else {
        let file = rustix::fs::openat(CWD, root, FILE, Mode::empty()).map_err(|errno| named(errno.into()))?;
        packing.file(file, b"")?;
    }
    out.write_all(&Head::END.encode())?;
    out.flush()
}

struct Packing<'a> {
    out: &'a mut dyn Write,
    buffer: Vec<u8>,
}

impl Packing<'_> {
    fn directory(&mut self, from: &OwnedFd, path: &mut Vec<u8>, depth: usize, left_out: &[&str]) -> io::Result<()> {
        if depth > DEPTH_LIMIT {
            return Err(at(path, &io::Error::other("is too deep")));
        }
        let read = Dir::read_from(from).map_err(|errno| at(path, &errno.into()))?;
        for entry in read {
            let entry = entry.map_err(|errno| at(path, &errno.into()))?;
            let name = entry.file_name().to_bytes();
            let is_left_out = depth == 0 && left_out.iter().any(|out| out.as_bytes() == name);
            if matches!(name, b"." | b"..") || is_left_out {
                continue;
            }
            let length = path.len();
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            if path.len() > PATH_LIMIT_BYTES {
                return Err(at(path, &io::ErrorKind::InvalidFilename.into()));
            }
            self.entry(from, OsStr::from_bytes(name), path, depth)?;
            path.truncate(length);
        }
        Ok(())
    }

    fn entry(&mut self, from: &OwnedFd, name: &OsStr, path: &mut Vec<u8>, depth: usize) -> io::Result<()> {
        let metadata = match rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW) {
            // What was removed meanwhile was not there.
            Err(rustix::io::Errno::NOENT) => return Ok(()),
            looked => looked.map_err(|errno| at(path, &errno.into()))?,
        };
        match FileType::from_raw_mode(metadata.st_mode) {
            FileType::Directory => {
                let opened = rustix::fs::openat(from, name, DIRECTORY, Mode::empty());
                let below = opened.map_err(|errno| at(path, &errno.into()))?;
                self.head(Kind::Directory, &metadata, 0, path)?;
                self.directory(&below, path, depth + 1, &[])
            }
            FileType::RegularFile => {
                let opened = rustix::fs::openat(from, name, FILE, Mode::empty());
                self.file(opened.map_err(|errno| at(path, &errno.into()))?, path)
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(from.as_fd(), name, Vec::new());
                let target = target.map_err(|errno| at(path, &errno.into()))?;
                self.head(Kind::Link, &metadata, target.to_bytes().len() as u64, path)?;
                self.out.write_all(target.to_bytes())
            }
            _ => Ok(()),
        }
    }

    /// As many bytes as the file has when it is begun: one that shrinks meanwhile is filled up with zeros.
    fn file(&mut self, file: OwnedFd, path: &[u8]) -> io::Result<()> {
        let metadata = rustix::fs::fstat(&file).map_err(|errno| at(path, &errno.into()))?;
        if FileType::from_raw_mode(metadata.st_mode) != FileType::RegularFile {
            return Ok(());
        }
        let mut left = u64::try_from(metadata.st_size).unwrap_or_default();
        self.head(Kind::File, &metadata, left, path)?;
        let mut file = std::fs::File::from(file);
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(BUFFER_BYTES);
            let mut count = file.read(&mut self.buffer[..wanted]).map_err(|error| at(path, &error))?;
            if count == 0 {
                self.buffer[..wanted].fill(0);
                count = wanted;
            }
            self.out.write_all(&self.buffer[..count])?;
            left -= count as u64;
        }
        Ok(())
    }

    fn head(&mut self, kind: Kind, metadata: &Stat, size: u64, path: &[u8]) -> io::Result<()> {
        let head = Head {
            kind,
            mode: metadata.st_mode & 0o777,
            mtime_seconds: metadata.st_mtime,
            mtime_ns: metadata.st_mtime_nsec as u32,
            size,
            path_bytes: path.len() as u16,
        };
        self.out.write_all(&head.encode())?;
        self.out.write_all(path)
    }
}

fn at(path: &[u8], error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", String::from_utf8_lossy(path)))
}
