//! What the server asks of execd and what execd answers: plain data, the same on every backend.
//!
//! Nothing here is trusted: the server treats answers as hostile, and execd refuses what is out
//! of bounds. Contents of files and output of commands travel beside these, as bytes.

use serde::{Deserialize, Serialize};

/// How a command came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// It ended by itself, with this exit code.
    Exited(i32),
    /// A signal that execd did not send ended it (9 is often the kernel's memory limit).
    Signalled(i32),
    /// It outlived its timeout; its process group was killed.
    TimedOut,
    /// It wrote more than a command may write in all; its process group was killed.
    OutputLimit,
    /// The working copy grew beyond its limit; its process group was killed.
    DiskLimit,
}

/// What a path is. Symbolic links are never followed to say this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    File,
    Directory,
    Symlink,
    Other,
}

/// One line of a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListEntry {
    /// Relative to the working copy, `/` between the parts; bytes that are not UTF-8 are replaced.
    pub path: String,
    pub kind: EntryKind,
    /// In bytes; 0 for all but files.
    pub size: u64,
}

/// One matching line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchHit {
    /// Relative to the working copy.
    pub path: String,
    /// From 1.
    pub line: u64,
    /// The line without its end, cut at 400 bytes; bytes that are not UTF-8 are replaced.
    pub text: String,
}

/// A file of the working copy as a checkpoint sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalkEntry {
    /// Relative to the working copy; always UTF-8 (other names are in [`LeftOut`]).
    pub path: String,
    /// As git writes it: 0o100644, 0o100755, 0o120000.
    pub mode: u32,
    /// The git blob id (SHA-1, 40 hex digits) of the content, of a link of its target.
    pub oid: String,
    pub size: u64,
}

/// A path that a walk saw and could not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Bytes that are not UTF-8 are replaced.
    pub path: String,
    pub why: LeftOutReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOutReason {
    /// The name is not UTF-8.
    Name,
    /// It cannot be opened or read.
    Unreadable,
    /// It is larger than a file of a checkpoint may be.
    TooLarge,
    /// A socket, pipe or device.
    Special,
    /// A directory with a `.git` of its own.
    Repository,
}
