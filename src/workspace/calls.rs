//! What can be asked of a workspace, and the answers.

use crate::domain::Oid;
use std::time::Duration;

pub use execd::message::{EntryKind, LeftOut, LeftOutReason, ListEntry, RunOutcome, SearchHit};

/// Where the working copy is inside every workspace.
pub const WORKSPACE: &str = "/workspace";
/// The most output that is kept of a command: the first and the last halves of it.
pub const OUTPUT_LIMIT_BYTES: usize = execd::message::OUTPUT_LIMIT_BYTES;
/// The largest file that [`super::Workspace::read`] gives and `apply` writes.
pub const FILE_LIMIT_BYTES: u64 = execd::message::FILE_LIMIT_BYTES;
/// The longest command: what the kernel takes as one argument.
pub const COMMAND_LIMIT_BYTES: usize = 128 * 1024 - 1;

/// A number that execd gave a background process; never used twice in one workspace.
pub type ProcessId = u32;

/// A command for `bash -c` (else `sh -c`) in its own session. It has no terminal; its stdin is
/// closed unless `stdin` is set.
#[derive(Clone, Debug)]
pub struct RunCommand {
    /// At most [`COMMAND_LIMIT_BYTES`], without NUL.
    pub command: String,
    /// Below the working copy or absolute; absent: the working copy.
    pub workdir: Option<String>,
    /// Added to the workspace's own environment.
    pub env: Vec<(String, String)>,
    /// When it has passed, the whole process group is killed.
    pub timeout: Duration,
    /// Keep stdin open for [`super::Workspace::write_stdin`].
    pub stdin: bool,
    /// At most [`OUTPUT_LIMIT_BYTES`].
    pub output_limit_bytes: usize,
}

impl RunCommand {
    /// `command` in the working copy with a timeout, no stdin and the largest output limit.
    pub fn new(command: impl Into<String>, timeout: Duration) -> Self {
        Self {
            command: command.into(),
            workdir: None,
            env: Vec::new(),
            timeout,
            stdin: false,
            output_limit_bytes: OUTPUT_LIMIT_BYTES,
        }
    }
}

/// What a command gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunResult {
    pub outcome: RunOutcome,
    /// stdout and stderr in the order of writing. Where more was written than is kept, the
    /// middle is left out.
    pub output: Vec<u8>,
    /// How many bytes were left out.
    pub omitted_bytes: u64,
    /// Where in `output` they are missing.
    pub omitted_at: usize,
    pub duration: Duration,
}

/// A look at a background process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessOutput {
    /// What it wrote since the last look, stdout and stderr in order.
    pub output: Vec<u8>,
    /// How many bytes of that were left out of the middle, because nobody looked in time.
    pub omitted_bytes: u64,
    /// Where in `output` they are missing.
    pub omitted_at: usize,
    /// Set once it has ended and all of its output has been given.
    pub exit: Option<RunOutcome>,
}

/// A file, or its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileContent {
    pub bytes: Vec<u8>,
    /// As git writes it: 0o100644 or 0o100755.
    pub mode: u32,
    /// Of the whole file, in bytes.
    pub size: u64,
    /// `bytes` is only the beginning.
    pub truncated: bool,
    /// The git blob id of the whole file; absent where `truncated`.
    pub oid: Option<Oid>,
}

/// What must be at a path for a change to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Expect {
    #[default]
    Anything,
    /// Nothing is there.
    Absent,
    /// A file whose content has this git blob id (see [`FileContent::oid`]).
    Content(Oid),
}

/// One change of [`super::Workspace::apply`]. Paths are below the working copy, relative to it or
/// beginning with `/workspace/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileChange {
    /// Parent directories are made. `executable: None` keeps what the file has (new: no).
    Write {
        path: String,
        content: Vec<u8>,
        executable: Option<bool>,
        expect: Expect,
    },
    Delete {
        path: String,
        expect: Expect,
    },
    /// `to` must not exist. With `content`, the file gets it on the way.
    Rename {
        from: String,
        to: String,
        content: Option<Vec<u8>>,
        expect: Expect,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchQuery {
    /// A regular expression (the `regex` crate's), matched line by line.
    pub pattern: String,
    /// A file or directory below the working copy, searched even where it is ignored.
    pub path: Option<String>,
    /// A glob on the path, or on the name where it has no `/`.
    pub glob: Option<String>,
    /// At most 1,000 hits.
    pub limit: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchHits {
    /// By path, then line.
    pub hits: Vec<SearchHit>,
    /// There is more than `limit` gave, or time ran out.
    pub truncated: bool,
    pub files_searched: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// Below the working copy; absent: all of it.
    pub path: Option<String>,
    /// 1: the directory's own entries alone.
    pub depth: usize,
    /// A glob on the path, or on the name where it has no `/`; directories are then left out.
    pub glob: Option<String>,
    /// At most 10,000 entries.
    pub limit: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// By path; ignored files and `.git` left out.
    pub entries: Vec<ListEntry>,
    pub truncated: bool,
}

/// What has changed in the working copy since this client's last walk that ended well; the
/// first walk gives every file. Left out unless tracked: what is ignored, and the junk that
/// execd's `walk` module lists. `.git` is never in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// Nothing was walked before: `changed` is the whole working copy.
    pub first: bool,
    /// New files and files whose content or mode changed, sorted by path.
    pub changed: Vec<WalkedFile>,
    /// Files that an earlier walk gave and that are gone, sorted.
    pub deleted: Vec<String>,
    /// What could not be taken, at most 1,000 of them. A file among these that an earlier walk
    /// gave counts as unchanged.
    pub left_out: Vec<LeftOut>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalkedFile {
    pub path: String,
    /// As git writes it: 0o100644, 0o100755, 0o120000.
    pub mode: u32,
    /// The git blob id of the content, of a link of its target.
    pub oid: Oid,
    pub size: u64,
}
