//! The walk for a checkpoint: which files the working copy holds, by git's blob ids.
//!
//! What was hashed once is not read again while its size, times, inode and mode stand. Symbolic
//! links are never followed. Left out, unless tracked:
//! - what `.gitignore` files and `.git/info/exclude` ignore (the user's own git settings do not
//!   count, nor do `.ignore` files);
//! - junk, by [`is_junk`]: what tools make beside sources and no project keeps;
//! - directories with a `.git` of their own, and everything named `.git` whatever its case.

use crate::{
    apply::TEMPORARY_PREFIX,
    connection::refused,
    files::{git_mode, hex, open_regular},
    worker::{Cancelled, Given},
};
use execd::message::{
    Answer, FILE_LIMIT_BYTES, Failure, LEFT_OUT_LIMIT, LeftOut, LeftOutReason, WALK_LIMIT_FILES, WalkEntry, WalkLine,
};
use ignore::WalkBuilder;
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, Stat, statat},
    io::Errno,
};
use sha1::{Digest, Sha1};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ffi::OsStr,
    io::{self, Read},
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A file that changed this shortly before it was hashed may change again without a new time.
const RACY: Duration = Duration::from_millis(50);

/// Directories that are junk wherever they are.
const JUNK_DIRECTORIES: &[&str] = &[
    ".eggs",
    ".gradle",
    ".hypothesis",
    ".mypy_cache",
    ".next",
    ".nox",
    ".nuxt",
    ".parcel-cache",
    ".pytest_cache",
    ".ruff_cache",
    ".svelte-kit",
    ".tox",
    ".turbo",
    ".venv",
    "__pycache__",
    "node_modules",
];
/// A directory that holds one of these is made by a tool and can be made again.
const JUNK_MARKS: &[&str] = &["CACHEDIR.TAG", "pyvenv.cfg"];
/// `target` is junk beside one of these.
const TARGET_OWNERS: &[&str] = &["Cargo.toml", "pom.xml", "build.sbt"];
/// Files that are junk wherever they are, by the end of their name.
const JUNK_FILES: &[&str] = &[".pyc", ".pyo", ".DS_Store", ".swp"];

/// Whether `path` is what tools leave behind. Only names and marks are looked at.
pub(crate) fn is_junk(path: &Path, is_directory: bool) -> bool {
    let Some(name) = path.file_name() else { return false };
    if !is_directory {
        let name = name.as_bytes();
        return name.starts_with(TEMPORARY_PREFIX.as_bytes())
            || JUNK_FILES.iter().any(|end| name.ends_with(end.as_bytes()));
    }
    let has = |directory: &Path, names: &[&str]| names.iter().any(|name| directory.join(name).is_file());
    JUNK_DIRECTORIES.iter().any(|junk| name == *junk)
        || name.as_bytes().ends_with(b".egg-info")
        || has(path, JUNK_MARKS)
        || (name == "target" && path.parent().is_some_and(|parent| has(parent, TARGET_OWNERS)))
}

pub(crate) fn is_git(name: &OsStr) -> bool {
    name.as_bytes().eq_ignore_ascii_case(b".git")
}

/// Walks `root` with what is ignored and junk left out, in no particular order. `repository` is
/// asked for each directory with a `.git` of its own: whether to go into it.
pub(crate) fn visible(root: &Path, repository: impl Fn(&Path) -> bool + Send + Sync + 'static) -> WalkBuilder {
    let mut builder = WalkBuilder::new(root);
    builder
        .hidden(false)
        .parents(false)
        .ignore(false)
        .git_global(false)
        .git_ignore(true)
        .git_exclude(true)
        .require_git(false)
        .follow_links(false);
    builder.filter_entry(move |entry| {
        let is_directory = entry.file_type().is_some_and(|kind| kind.is_dir());
        let path = entry.path();
        if entry.depth() == 0 {
            return true;
        }
        if is_git(entry.file_name()) || is_junk(path, is_directory) {
            return false;
        }
        !is_directory || path.join(".git").symlink_metadata().is_err() || repository(path)
    });
    builder
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Signature {
    size: u64,
    inode: u64,
    mode: u32,
    mtime_ns: i128,
    ctime_ns: i128,
}

#[derive(Debug)]
struct Known {
    signature: Signature,
    racy: bool,
    mode: u32,
    oid: [u8; 20],
    size: u64,
    /// The walk that first saw it so.
    changed: u64,
    /// The last walk that saw it.
    seen: u64,
}

/// What the server wrote before anybody else could: for the first walk.
#[derive(Debug, Default)]
struct LaidOut {
    mtime_ns: i128,
    /// What has a later ctime was touched since.
    before_ns: i128,
    files: HashMap<String, LaidFile>,
}

#[derive(Debug)]
struct LaidFile {
    mode: u32,
    oid: [u8; 20],
    size: u64,
    inode: u64,
}

/// What earlier walks know.
#[derive(Debug)]
pub(crate) struct Walker {
    root: PathBuf,
    generation: u64,
    files: HashMap<String, Known>,
    /// Gone since the walk of that number.
    deleted: BTreeMap<String, u64>,
    tracked: HashSet<String>,
    laid_out: LaidOut,
    left_out: Vec<LeftOut>,
    /// The directory that was looked into last: its files are looked up from there, which spares
    /// the kernel the way to it.
    looking: Option<(PathBuf, OwnedFd)>,
}

impl Walker {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            generation: 0,
            files: HashMap::new(),
            deleted: BTreeMap::new(),
            tracked: HashSet::new(),
            laid_out: LaidOut::default(),
            left_out: Vec::new(),
            looking: None,
        }
    }

    /// Takes the tracked paths, each ended by NUL.
    pub(crate) fn track(&mut self, paths: &[u8]) -> Result<(), Failure> {
        let text = std::str::from_utf8(paths).map_err(|_| refused("tracked paths are not UTF-8"))?;
        self.tracked = text.split_terminator('\0').filter(|path| is_plain(path)).map(str::to_owned).collect();
        Ok(())
    }

    /// The call `laid_out`: what is as the server wrote it need not be read by the first walk.
    pub(crate) fn laid_out(&mut self, mtime_seconds: i64, before_ns: i64, files: &[u8]) -> Result<(), Failure> {
        let text = std::str::from_utf8(files).map_err(|_| refused("laid out paths are not UTF-8"))?;
        let files = text.split_terminator('\0').map(laid_file).collect::<Option<_>>();
        self.laid_out = LaidOut {
            mtime_ns: i128::from(mtime_seconds) * 1_000_000_000,
            before_ns: before_ns.into(),
            files: files.ok_or_else(|| refused("a laid out file cannot be read"))?,
        };
        Ok(())
    }

    /// The call `walk`: what changed since the walk `since`.
    pub(crate) fn walk(&mut self, since: u64, cancelled: &Cancelled) -> Given {
        if since > self.generation {
            return Err(refused("no such walk was made"));
        }
        self.generation += 1;
        self.left_out.clear();
        let walked = self.walk_visible(cancelled).and_then(|()| self.walk_tracked(cancelled));
        self.looking = None;
        walked?;
        // From here on what the walks have seen themselves counts.
        self.laid_out = LaidOut::default();

        let generation = self.generation;
        let gone: Vec<String> =
            self.files.iter().filter(|(_, known)| known.seen < generation).map(|(path, _)| path.clone()).collect();
        for path in gone {
            self.files.remove(&path);
            self.deleted.insert(path, generation);
        }
        // Who knows nothing has nothing to forget.
        self.deleted.retain(|_, at| since > 0 && *at > since);
        self.lines(since).map(|data| (data, Answer::Walked { generation }))
    }

    fn walk_visible(&mut self, cancelled: &Cancelled) -> Result<(), Failure> {
        let repositories = Arc::new(Mutex::new(Vec::new()));
        let found = Arc::clone(&repositories);
        let repository = move |path: &Path| {
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            if found.len() < LEFT_OUT_LIMIT {
                found.push(path.to_owned());
            }
            false
        };
        for (count, entry) in visible(&self.root, repository).build().enumerate() {
            if count.is_multiple_of(64) {
                cancelled.check()?;
            }
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    if let Some(path) = error_path(&error) {
                        self.keep_below(&path);
                        self.leave_out(&path, LeftOutReason::Unreadable);
                    }
                    continue;
                }
            };
            if entry.depth() == 0 {
                continue;
            }
            if entry.file_type().is_some_and(|kind| kind.is_dir()) {
                continue;
            }
            self.see(entry.path())?;
        }
        for path in std::mem::take(&mut *repositories.lock().unwrap_or_else(PoisonError::into_inner)) {
            self.leave_out(&path, LeftOutReason::Repository);
        }
        Ok(())
    }

    /// Tracked files that the walk did not come by because they are ignored or junk.
    fn walk_tracked(&mut self, cancelled: &Cancelled) -> Result<(), Failure> {
        let unseen: Vec<String> = self
            .tracked
            .iter()
            .filter(|path| self.files.get(*path).is_none_or(|known| known.seen < self.generation))
            .cloned()
            .collect();
        for (count, path) in unseen.into_iter().enumerate() {
            if count.is_multiple_of(64) {
                cancelled.check()?;
            }
            // Below a link or a file it is not what the base had there: it is gone.
            let below_link = Path::new(&path).ancestors().skip(1).any(|parent| {
                !parent.as_os_str().is_empty() && !self.root.join(parent).symlink_metadata().is_ok_and(|at| at.is_dir())
            });
            if !below_link {
                self.see(&self.root.join(&path))?;
            }
        }
        Ok(())
    }

    fn see(&mut self, path: &Path) -> Result<(), Failure> {
        let stat = match self.look(path) {
            Ok(stat) => stat,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            // What cannot be looked at is not gone.
            Err(_) => {
                if let Some(relative) = path.strip_prefix(&self.root).ok().and_then(Path::to_str) {
                    self.keep(relative);
                }
                self.leave_out(path, LeftOutReason::Unreadable);
                return Ok(());
            }
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            return Ok(());
        }
        if kind != FileType::RegularFile && kind != FileType::Symlink {
            self.leave_out(path, LeftOutReason::Special);
            return Ok(());
        }
        let relative = path.strip_prefix(&self.root).unwrap_or(path);
        let Some(relative) = relative.to_str() else {
            self.leave_out(path, LeftOutReason::Name);
            return Ok(());
        };
        let generation = self.generation;
        let signature = Signature::of(&stat);
        if let Some(known) = self.files.get_mut(relative)
            && known.signature == signature
            && !known.racy
        {
            known.seen = generation;
            return Ok(());
        }
        if signature.size > FILE_LIMIT_BYTES {
            self.keep(relative);
            self.leave_out(path, LeftOutReason::TooLarge);
            return Ok(());
        }
        let is_link = kind == FileType::Symlink;
        let mode = if is_link { 0o120_000 } else { git_mode(stat.st_mode) };
        let hashed = match self.laid_out.untouched(relative, mode, &signature) {
            Some(known) => Ok(known),
            None => hash(path, is_link),
        };
        let Ok((oid, size)) = hashed else {
            self.keep(relative);
            self.leave_out(path, LeftOutReason::Unreadable);
            return Ok(());
        };
        let before = self.files.get(relative);
        let changed = match before {
            Some(known) if known.oid == oid && known.mode == mode => known.changed,
            _ => generation,
        };
        if before.is_none() && self.files.len() >= WALK_LIMIT_FILES {
            return Err(refused(format!("the working copy holds more than {WALK_LIMIT_FILES} files")));
        }
        self.deleted.remove(relative);
        let racy = signature.is_racy();
        self.files.insert(relative.to_owned(), Known { signature, racy, mode, oid, size, changed, seen: generation });
        Ok(())
    }

    fn look(&mut self, path: &Path) -> rustix::io::Result<Stat> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(Errno::INVAL) };
        if self.looking.as_ref().is_none_or(|(directory, _)| directory != parent) {
            self.looking = None;
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            self.looking = Some((parent.to_owned(), rustix::fs::open(parent, flags, Mode::empty())?));
        }
        let Some((_, directory)) = &self.looking else { return Err(Errno::INVAL) };
        statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// What was known of a file that cannot be looked at now stands.
    fn keep(&mut self, relative: &str) {
        if let Some(known) = self.files.get_mut(relative) {
            known.seen = self.generation;
        }
    }

    /// The same for all that was below a directory that cannot be looked into now.
    fn keep_below(&mut self, directory: &Path) {
        let Some(relative) = directory.strip_prefix(&self.root).ok().and_then(Path::to_str) else { return };
        let prefix = if relative.is_empty() { String::new() } else { format!("{relative}/") };
        for (_, known) in self.files.iter_mut().filter(|(path, _)| path.starts_with(&prefix)) {
            known.seen = self.generation;
        }
    }

    fn leave_out(&mut self, path: &Path, why: LeftOutReason) {
        if self.left_out.len() < LEFT_OUT_LIMIT {
            let relative = path.strip_prefix(&self.root).unwrap_or(path);
            self.left_out.push(LeftOut { path: relative.to_string_lossy().into_owned(), why });
        }
    }

    fn lines(&self, since: u64) -> Result<Vec<u8>, Failure> {
        let changed = self.files.iter().filter(|(_, known)| known.changed > since).map(|(path, known)| {
            let oid = hex(&known.oid);
            WalkLine::Changed(WalkEntry { path: path.clone(), mode: known.mode, oid, size: known.size })
        });
        let deleted = self.deleted.keys().cloned().map(WalkLine::Deleted);
        let left_out = self.left_out.iter().cloned().map(WalkLine::LeftOut);
        crate::list::lines(changed.chain(deleted).chain(left_out))
    }
}

impl LaidOut {
    /// The blob id and size of a file that is as it was laid out. Whoever writes to it or sets its times gives it a
    /// new ctime; whoever moves another one here, with the directory that it is in, brings another inode.
    fn untouched(&self, path: &str, mode: u32, signature: &Signature) -> Option<([u8; 20], u64)> {
        let file = self.files.get(path)?;
        let same = file.mode == mode
            && file.size == signature.size
            && file.inode == signature.inode
            && signature.mtime_ns == self.mtime_ns
            && signature.ctime_ns < self.before_ns;
        same.then_some((file.oid, file.size))
    }
}

/// A line of the call `laid_out`.
fn laid_file(line: &str) -> Option<(String, LaidFile)> {
    let mut parts = line.splitn(5, ' ');
    let mode = u32::from_str_radix(parts.next()?, 8).ok()?;
    let oid = unhex(parts.next()?)?;
    let size = parts.next()?.parse().ok()?;
    let inode = parts.next()?.parse().ok()?;
    Some((parts.next()?.to_owned(), LaidFile { mode, oid, size, inode }))
}

fn unhex(text: &str) -> Option<[u8; 20]> {
    let mut oid = [0; 20];
    for (at, byte) in oid.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    (text.len() == 40).then_some(oid)
}

impl Signature {
    fn of(stat: &Stat) -> Self {
        Self {
            size: stat.st_size.cast_unsigned(),
            inode: stat.st_ino,
            mode: stat.st_mode,
            mtime_ns: i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec),
            ctime_ns: i128::from(stat.st_ctime) * 1_000_000_000 + i128::from(stat.st_ctime_nsec),
        }
    }

    fn is_racy(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.ctime_ns + RACY.as_nanos() as i128 > now.as_nanos() as i128
    }
}

/// The blob id and the size of what was read.
fn hash(path: &Path, is_link: bool) -> io::Result<([u8; 20], u64)> {
    let content = if is_link {
        std::fs::read_link(path)?.into_os_string().as_bytes().to_vec()
    } else {
        let (file, metadata) = open_regular(path)?;
        let mut content = Vec::with_capacity(metadata.len().min(FILE_LIMIT_BYTES) as usize);
        file.take(FILE_LIMIT_BYTES + 1).read_to_end(&mut content)?;
        content
    };
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", content.len()));
    hash.update(&content);
    Ok((hash.finalize().into(), content.len() as u64))
}

fn error_path(error: &ignore::Error) -> Option<PathBuf> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path.clone()),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => error_path(err),
        _ => None,
    }
}

/// A relative path without anything to resolve in it, and not git's own.
fn is_plain(path: &str) -> bool {
    !path.is_empty()
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != ".." && !is_git(OsStr::new(part)))
}
