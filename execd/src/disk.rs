//! How much the working copy holds, measured while commands run.
//!
//! A full measure reads every directory, so it is made rarely, and at once where the file system
//! has lost much space since the last one. A file that was unlinked and is still open is seen by
//! nobody here; the size of one file is bounded by `RLIMIT_FSIZE`.

use rustix::fs::statvfs;
use std::{
    fs,
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

/// What a measure found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measure {
    pub(crate) used_bytes: u64,
    /// There are directories deeper than a path can say, in which anything may be.
    hides: bool,
    took: Duration,
}

#[derive(Debug)]
pub(crate) struct Disk {
    root: PathBuf,
    limit_bytes: u64,
    last: Option<(Instant, Measure, u64)>,
    measuring: bool,
    /// The last measure ended what ran; what that has left is to be measured.
    ended: bool,
}

impl Disk {
    pub(crate) fn new(root: &Path, limit_bytes: u64) -> Self {
        Self { root: root.to_owned(), limit_bytes, last: None, measuring: false, ended: false }
    }

    /// The directory to measure, where it is time to: while commands run, and once when a measure
    /// has ended them, so that the next is blamed for nothing of theirs.
    pub(crate) fn due(&mut self, now: Instant, idle: bool) -> Option<PathBuf> {
        if self.measuring || idle && !self.ended {
            return None;
        }
        let due = self.last.is_none_or(|(at, measure, free_then)| {
            let since = now.saturating_duration_since(at);
            let lost = free_then.saturating_sub(self.free_bytes());
            let room = if measure.hides { 0 } else { self.limit_bytes.saturating_sub(measure.used_bytes) };
            let filled = !self.ended && lost > SLACK_BYTES.max(room / 2);
            idle || filled || since >= MEASURE_EVERY.max(measure.took * MEASURE_SHARE)
        });
        self.measuring = due;
        due.then(|| self.root.clone())
    }

    /// Takes a measure; `true`: beyond the limit and growing, or not to be measured, so that what runs is to be
    /// ended.
    pub(crate) fn measured(&mut self, now: Instant, measure: Measure) -> bool {
        let before = self.last.map_or(0, |(_, before, _)| before.used_bytes);
        self.last = Some((now, measure, self.free_bytes()));
        self.measuring = false;
        let grows = measure.used_bytes > self.limit_bytes && measure.used_bytes > before;
        self.ended = !self.ended && (grows || measure.hides);
        self.ended
    }

    fn free_bytes(&self) -> u64 {
        statvfs(&self.root).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Counts the blocks of everything below `root`, without following links or leaving its file
/// system. Hard links count each time.
pub(crate) fn measure(root: &Path) -> Measure {
    let begun = Instant::now();
    let mut used_bytes = 0_u64;
    let mut hides = false;
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) => {
                hides |= error.raw_os_error() == Some(libc::ENAMETOOLONG);
                continue;
            }
        };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            used_bytes = used_bytes.saturating_add(metadata.blocks().saturating_mul(512));
            if metadata.is_dir() {
                directories.push(entry.path());
            }
        }
    }
    Measure { used_bytes, hides, took: begun.elapsed() }
}
