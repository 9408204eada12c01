//! How much the working copy holds, measured while anything runs in the workspace, whoever started it.
//!
//! A full measure reads every directory, so it is made rarely, and at once where the file system
//! has lost much space since the last one. Files that were unlinked and are still open belong to it.

use rustix::{fs::statvfs, process::Pid};
use std::{
    collections::HashSet,
    fs,
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// A command that ends sooner is not measured.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(250);
const MEASURE_EVERY: Duration = Duration::from_secs(5);
/// A measure may take at most this part of the time.
const MEASURE_SHARE: u32 = 50;
const SLACK_BYTES: u64 = 16 << 20;
const SLACK_ENTRIES: u64 = 4_096;
/// There may be as many files, links and directories as there would be of this size: they cost the file
/// system even where they are empty.
const BYTES_PER_ENTRY: u64 = 8 << 10;
const ENTRIES_LEAST: u64 = 10_000;

/// Space and files, of a file system or a tree on it.
#[derive(Clone, Copy, Debug, Default)]
struct Amount {
    bytes: u64,
    entries: u64,
}

impl Amount {
    fn less(self, other: Self) -> Self {
        Self { bytes: self.bytes.saturating_sub(other.bytes), entries: self.entries.saturating_sub(other.entries) }
    }
}

/// What a measure found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measure {
    used: Amount,
    /// There are directories deeper than a path can say, in which anything may be.
    hides: bool,
    /// There are directories that cannot be listed, which tests make, too; or processes may have files open
    /// that have no name any more, and cannot be looked at.
    closed: bool,
    took: Duration,
}

#[derive(Debug)]
pub(crate) struct Disk {
    root: PathBuf,
    limit: Amount,
    /// What the file system had in the beginning.
    free_first: Amount,
    last: Option<(Instant, Measure, Amount)>,
    measuring: bool,
    /// The last measure ended what ran; what that has left is to be measured.
    ended: bool,
}

impl Disk {
    pub(crate) fn new(root: &Path, limit_bytes: u64) -> Self {
        let limit = Amount { bytes: limit_bytes, entries: (limit_bytes / BYTES_PER_ENTRY).max(ENTRIES_LEAST) };
        let root = root.to_owned();
        Self { free_first: free(&root), root, limit, last: None, measuring: false, ended: false }
    }

    /// The directory to measure, where it is time to: while anything runs, and once when a measure
    /// has ended it, so that the next is blamed for nothing of its doing.
    pub(crate) fn due(&mut self, now: Instant, idle: bool) -> Option<PathBuf> {
        if self.measuring || idle && !self.ended {
            return None;
        }
        let due = self.last.is_none_or(|(at, measure, free_then)| {
            let since = now.saturating_duration_since(at);
            let lost = free_then.less(free(&self.root));
            let room = if measure.hides { Amount::default() } else { self.limit.less(measure.used) };
            let filled =
                lost.bytes > SLACK_BYTES.max(room.bytes / 2) || lost.entries > SLACK_ENTRIES.max(room.entries / 2);
            idle || filled && !self.ended || since >= MEASURE_EVERY.max(measure.took * MEASURE_SHARE)
        });
        self.measuring = due;
        due.then(|| self.root.clone())
    }

    /// Takes a measure; `true`: beyond the limit and growing, or not to be measured, so that what runs is to be
    /// ended.
    pub(crate) fn measured(&mut self, now: Instant, measure: Measure) -> bool {
        let before = self.last.map_or(Amount::default(), |(_, before, _)| before.used);
        self.last = Some((now, measure, free(&self.root)));
        self.measuring = false;
        let grows = |used, before, limit| used > limit && used > before;
        let grows = grows(measure.used.bytes, before.bytes, self.limit.bytes)
            || grows(measure.used.entries, before.entries, self.limit.entries);
        // What is behind a closed door is not blamed for what others take, unless it may be all that there may be.
        let lost = self.free_first.less(free(&self.root));
        let hides =
            measure.hides || measure.closed && (lost.bytes > self.limit.bytes || lost.entries > self.limit.entries);
        self.ended = !self.ended && (grows || hides);
        self.ended
    }
}

/// What the file system still has. One that does not count its files gives none.
fn free(root: &Path) -> Amount {
    statvfs(root).map_or(Amount::default(), |stat| Amount {
        bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        entries: stat.f_favail,
    })
}

/// Counts everything below `root` and its blocks, without following links or leaving its file
/// system. Hard links count each time. `server` is the process that carries the server's connection, where it is this user's.
pub(crate) fn measure(root: &Path, server: Option<Pid>) -> Measure {
    let begun = Instant::now();
    let mut used = Amount::default();
    let (mut hides, mut closed) = (false, false);
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) => {
                hides |= error.raw_os_error() == Some(libc::ENAMETOOLONG);
                closed |= error.kind() == ErrorKind::PermissionDenied;
                continue;
            }
        };
        for entry in entries.flatten() {
            used.entries += 1;
            let Ok(metadata) = entry.metadata() else {
                closed = true;
                continue;
            };
            used.bytes = used.bytes.saturating_add(metadata.blocks().saturating_mul(512));
            if metadata.is_dir() {
                directories.push(entry.path());
            }
        }
    }
    match fs::symlink_metadata(root) {
        Ok(top) => closed |= !nameless(root, top.dev(), server, &mut used),
        Err(_) => closed = true,
    }
    Measure { used, hides, closed, took: begun.elapsed() }
}

/// Counts the files of a file system that have no name any more and live on because a process of this user has them open;
/// `false` where there may be more. Others' processes are the server's: no command becomes another user.
fn nameless(root: &Path, device: u64, server: Option<Pid>, used: &mut Amount) -> bool {
    let Ok(processes) = fs::read_dir("/proc") else { return false };
    let server = server.map(|pid| pid.as_raw_nonzero().get().to_string());
    let user = rustix::process::geteuid().as_raw();
    let mut all = true;
    let mut seen = HashSet::new();
    for process in processes.flatten() {
        let name = process.file_name();
        let is_number = name.as_encoded_bytes().first().is_some_and(u8::is_ascii_digit);
        let is_server = server.as_deref().is_some_and(|server| name == *server);
        if !is_number || is_server || !lives(&process.path(), user) {
            continue;
        }
        match fs::read_dir(process.path().join("fd")) {
            // It has ended since.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(_) => all = false,
            Ok(open) => {
                for file in open.flatten().filter_map(|file| fs::metadata(file.path()).ok()) {
                    let counts = file.is_file() && file.dev() == device && file.nlink() == 0;
                    if counts && seen.insert(file.ino()) {
                        used.entries += 1;
                        used.bytes = used.bytes.saturating_add(file.blocks().saturating_mul(512));
                    }
                }
            }
        }
        // What is mapped and not open has a size that nobody here can ask for.
        all &= !maps_nameless(&process.path(), root);
    }
    all
}

/// Whether it is this user's and runs: one that nobody has waited for has nothing open, and cannot be looked at.
fn lives(process: &Path, user: u32) -> bool {
    let Ok(status) = fs::read_to_string(process.join("status")) else { return false };
    let field = |name| status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
    !matches!(field("State:"), Some("Z" | "X")) && field("Uid:").is_some_and(|uid| uid.parse() == Ok(user))
}

fn maps_nameless(process: &Path, root: &Path) -> bool {
    let Ok(maps) = fs::read(process.join("maps")) else { return false };
    let mut prefix = root.as_os_str().as_encoded_bytes().to_vec();
    prefix.push(b'/');
    maps.split(|byte| *byte == b'\n')
        .filter_map(|line| line.strip_suffix(b" (deleted)"))
        .any(|line| line.splitn(2, |byte| *byte == b'/').nth(1).is_some_and(|path| path.starts_with(&prefix[1..])))
}
