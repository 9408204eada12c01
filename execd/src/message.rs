//! What the server asks of execd and what execd answers: plain data, the same on every backend.
//!
//! Nothing here is trusted: the server treats answers as hostile, and execd refuses what is out
//! of bounds. Contents of files and output of commands travel beside these, as bytes.

use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};
use std::fmt::Write;

/// The longest request, with what is attached to it.
pub const REQUEST_LIMIT_BYTES: usize = 64 * 1024 * 1024;
/// The longest answer's `Data` in all.
pub const ANSWER_LIMIT_BYTES: usize = 64 * 1024 * 1024;
/// Calls that may be under way in one workspace.
pub const CALLS_LIMIT: usize = 64;
/// The largest file that is read, written or taken into a checkpoint.
pub const FILE_LIMIT_BYTES: u64 = 16 * 1024 * 1024;
/// The most output that is kept of one command.
pub const OUTPUT_LIMIT_BYTES: usize = 1024 * 1024;
/// The most paths that a walk names as left out.
pub const LEFT_OUT_LIMIT: usize = 1_000;
/// The most files of a walk.
pub const WALK_LIMIT_FILES: usize = 500_000;

/// The secret that the server begins a connection with, where nothing else tells who it is.
pub const PROOF_BYTES: usize = 32;

/// What execd knows of the secret, in 40 hex digits. A secret of so many random bytes is not found again from it.
pub fn proof_digest(secret: &[u8]) -> String {
    Sha1::digest(secret).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A call. What is attached follows its JSON in the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The first call of a connection.
    Configure(Configure),
    Run(Command),
    Start(Command),
    /// As `Start`, with stdin and stdout on a stream of their own that is carried as a relayed
    /// connection is; the process's output is its stderr alone.
    Connect(Command),
    /// Attached: what to write.
    WriteStdin {
        process: u32,
        wait_ms: u64,
    },
    Kill {
        process: u32,
    },
    Read {
        path: String,
        max_bytes: u64,
        /// The entry itself, as a walk sees it: of a link its target.
        #[serde(default)]
        entry: bool,
    },
    /// Attached: the contents, one after the other.
    Apply {
        changes: Vec<Change>,
    },
    Search {
        pattern: String,
        path: Option<String>,
        glob: Option<String>,
        limit: usize,
    },
    List {
        path: Option<String>,
        depth: usize,
        glob: Option<String>,
        limit: usize,
    },
    /// `since`: the generation that the server has; 0: none. Attached, where `tracked`: the
    /// tracked paths, each ended by NUL; they hold for later walks too.
    Walk {
        since: u64,
        tracked: bool,
    },
    /// The files that the server laid out before any workspace was opened over them, for the first walk: what still has
    /// its inode, size and `mtime_seconds`, and a ctime before `before_ns`, need not be read. Attached: for each its mode
    /// (octal), blob id, size, inode and path, with a space between, ended by NUL.
    LaidOut {
        mtime_seconds: i64,
        before_ns: i64,
    },
    /// Accept connections on the workspace's loopback and carry them; port 0 takes a free one.
    Listen {
        port: u16,
    },
}

/// What holds for the whole sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configure {
    /// The environment of every command, over execd's own defaults.
    pub env: Vec<(String, String)>,
    /// `RLIMIT_NPROC` of commands, where the user is the workspace's alone.
    pub pids: Option<u64>,
    /// Processes and threads that the workspace may have; where it has them, and no command can be started,
    /// what nobody answers for is ended.
    pub processes: u64,
    /// `RLIMIT_DATA` of each process, where no cgroup bounds them together.
    pub data_bytes: Option<u64>,
    /// What the working copy may grow to; also the size of one file.
    pub disk_bytes: u64,
    /// What one command may write in all.
    pub output_bytes: u64,
    /// How often the server is asked for a sign of life when it says nothing; it is not sent where it is the usual, which
    /// an execd that does not know this keeps anyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    pub command: String,
    pub workdir: Option<String>,
    pub env: Vec<(String, String)>,
    pub timeout_ms: u64,
    pub stdin: bool,
    /// How much of the output is kept: the first and the last halves of it.
    pub keep_bytes: usize,
    /// Send output beyond the first half as it comes, too.
    pub live: bool,
}

/// What must be at a path for a change to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    Anything,
    Absent,
    /// The git blob id (SHA-1, 40 hex digits) of the content.
    Content(String),
}

/// One change of an `apply`; `size` bytes of its content are attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    Write { path: String, size: u64, executable: Option<bool>, expect: Expected },
    Delete { path: String, expect: Expected },
    Rename { from: String, to: String, size: Option<u64>, expect: Expected },
}

/// A call's answer; what it gives in bulk came before it as `Data`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Configured,
    /// Data: the output that was kept.
    Ran {
        outcome: RunOutcome,
        omitted_bytes: u64,
        omitted_at: u64,
        duration_us: u64,
    },
    Started {
        process: u32,
    },
    /// The stream was announced before this, as of port 0.
    Connected {
        process: u32,
        stream: u32,
    },
    /// Data: the output since the last look.
    Looked {
        omitted_bytes: u64,
        omitted_at: u64,
        exit: Option<RunOutcome>,
    },
    Killed,
    /// Data: the content.
    Read {
        mode: u32,
        size: u64,
        truncated: bool,
        oid: Option<String>,
    },
    Applied,
    /// Data: a [`SearchHit`] a line.
    Found {
        truncated: bool,
        files: u64,
    },
    /// Data: a [`ListEntry`] a line.
    Listed {
        truncated: bool,
    },
    Noted,
    /// Data: a [`WalkLine`] a line.
    Walked {
        generation: u64,
    },
    Listening {
        port: u16,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    NotFound,
    /// A precondition does not hold; nothing was changed.
    Conflict,
    /// The request is wrong or not allowed.
    Refused,
    Io,
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub kind: FailureKind,
    /// The path or thing it is about; may be empty.
    pub what: String,
    pub why: String,
}

/// A line of a walk's data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WalkLine {
    Changed(WalkEntry),
    Deleted(String),
    LeftOut(LeftOut),
}

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
