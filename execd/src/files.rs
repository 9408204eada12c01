//! Paths as the server names them, and reading one file.

use crate::worker::Given;
use execd::message::{Answer, FILE_LIMIT_BYTES, Failure, FailureKind};
use rustix::fs::{Mode, OFlags};
use sha1::{Digest, Sha1};
use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

const PATH_LIMIT_BYTES: usize = 4096;

/// A path below the working copy, without `.` and `..`; the working copy itself is refused
/// nowhere here. Links are not looked at.
pub(crate) fn below(root: &Path, path: &str) -> Result<PathBuf, Failure> {
    let found = absolute(root, path)?;
    if found.starts_with(root) { Ok(found) } else { Err(outside(path)) }
}

/// An absolute path, without `.` and `..`: relative ones are relative to the working copy.
pub(crate) fn absolute(root: &Path, path: &str) -> Result<PathBuf, Failure> {
    if path.is_empty() || path.len() > PATH_LIMIT_BYTES || path.contains('\0') {
        return Err(failure(FailureKind::Refused, path, "not a path"));
    }
    let mut found = if path.starts_with('/') { PathBuf::from("/") } else { root.to_owned() };
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => found.push(name),
            Component::ParentDir => {
                if !found.pop() {
                    return Err(outside(path));
                }
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(found)
}

/// The path as the server knows it: relative to the working copy where it is below.
pub(crate) fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}

pub(crate) fn outside(path: &str) -> Failure {
    failure(FailureKind::Refused, path, "is outside of the working copy")
}

pub(crate) fn failure(kind: FailureKind, what: &str, why: &str) -> Failure {
    Failure { kind, what: what.to_owned(), why: why.to_owned() }
}

pub(crate) fn io_failure(what: &str, error: &io::Error) -> Failure {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => FailureKind::NotFound,
        io::ErrorKind::NotADirectory => FailureKind::Refused,
        _ => FailureKind::Io,
    };
    failure(kind, what, &error.to_string())
}

/// The git blob id of a content, as hex.
pub(crate) fn blob_id(content: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", content.len()));
    hash.update(content);
    hex(&hash.finalize())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 0xf)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// Opens a regular file for reading; a link at its end is not followed, a pipe is not waited for.
pub(crate) fn open_regular(path: &Path) -> io::Result<(File, std::fs::Metadata)> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a directory"));
    }
    if !metadata.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    Ok((file, metadata))
}

pub(crate) fn git_mode(mode: u32) -> u32 {
    if mode & 0o100 == 0 { 0o100_644 } else { 0o100_755 }
}

/// The call `read`: follows links wherever they lead in the sandbox, but for the kernel's own
/// file systems, where reading as execd is not reading as a command.
pub(crate) fn read(root: &Path, path: &str, max_bytes: u64) -> Given {
    let named = absolute(root, path)?;
    let real = named.canonicalize().map_err(|error| io_failure(path, &error))?;
    if ["/proc", "/sys", "/dev"].iter().any(|kernel| real.starts_with(kernel)) {
        return Err(failure(FailureKind::Refused, path, "is the kernel's: look at it by a command"));
    }
    read_regular(&real, path, max_bytes)
}

/// The call `read` of an entry, as a walk sees it: of a link its target, which is not followed.
pub(crate) fn read_entry(root: &Path, path: &str, max_bytes: u64) -> Given {
    let named = below(root, path)?;
    let metadata = named.symlink_metadata().map_err(|error| io_failure(path, &error))?;
    if !metadata.is_symlink() {
        return read_regular(&named, path, max_bytes);
    }
    let target = named.read_link().map_err(|error| io_failure(path, &error))?;
    let bytes = target.into_os_string().into_encoded_bytes();
    let (size, oid) = (bytes.len() as u64, Some(blob_id(&bytes)));
    Ok((bytes, Answer::Read { mode: 0o120_000, size, truncated: false, oid }))
}

fn read_regular(real: &Path, path: &str, max_bytes: u64) -> Given {
    let (file, metadata) = open_regular(real).map_err(|error| match error.kind() {
        io::ErrorKind::IsADirectory | io::ErrorKind::Other => failure(FailureKind::Refused, path, &error.to_string()),
        _ => io_failure(path, &error),
    })?;
    let max_bytes = max_bytes.min(FILE_LIMIT_BYTES);
    let mut bytes = Vec::with_capacity(metadata.len().min(max_bytes) as usize);
    file.take(max_bytes + 1).read_to_end(&mut bytes).map_err(|error| io_failure(path, &error))?;
    let truncated = bytes.len() as u64 > max_bytes;
    bytes.truncate(max_bytes as usize);
    let oid = (!truncated).then(|| blob_id(&bytes));
    let size = if truncated { metadata.len().max(max_bytes + 1) } else { bytes.len() as u64 };
    Ok((bytes, Answer::Read { mode: git_mode(metadata.mode()), size, truncated, oid }))
}
