//! A commit laid out for fast reading: one file with the paths, the index of a fresh working copy, the recent
//! history and all contents, one after the other.
//!
//! Made once per commit with three git commands; from then on working copies, the brief and checkpoints
//! need no git at all. It lies beside the mirror, is the server's own, and no workspace sees it.

use super::{
    git::{Git, GitFailure, Input, io_error, own_failure},
    index,
    objects::ObjectId,
    repository::{BaseEntry, RepositoryError},
    snapshot_format::{self, Head},
    tree::{MODE_DIRECTORY, MODE_SUBMODULE, OpaqueEntry, Tree},
};
use rustix::io::Errno;
use sha1::{Digest, Sha1};
use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Read},
    os::{fd::OwnedFd, unix::fs::FileExt},
    path::Path,
    sync::{Arc, OnceLock},
};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

const MAGIC: &[u8; 8] = b"JMSNAP01";
/// Magic, length of what follows, its SHA-1.
const HEADER_BYTES: usize = 8 + 8 + 20;
/// How many commits of history are kept for the brief.
const HISTORY_COMMITS: &str = "20";
/// Times of change outside of these are unfit for archives (zip) or file systems.
const MTIME_RANGE: (i64, i64) = (315_619_200, 4_102_444_800);
const CHUNK_BYTES: usize = 256 << 10;
/// Files from here on are copied by the kernel; for smaller ones that is slower.
const KERNEL_COPIES_BYTES: u64 = 16 << 10;
const COPIED_BYTES: usize = 1 << 20;

/// The most that a commit may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) bytes: u64,
    pub(super) files: usize,
}

/// An open snapshot. The file may be unlinked meanwhile: what is open stays.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) tree: Tree,
    /// What every file of a working copy has as its time of change, in seconds.
    pub(super) mtime_seconds: i64,
    /// A line per commit, newest first: short id, date, author, subject.
    pub(super) history: String,
    /// Where the contents of `tree.entries` begin in the file, in the same order.
    offsets: Vec<u64>,
    index: (u64, usize),
    file: Option<File>,
    tracked: OnceLock<Arc<[String]>>,
}

impl Snapshot {
    pub(super) fn empty() -> Self {
        Self {
            tree: Tree::empty(),
            mtime_seconds: MTIME_RANGE.0,
            history: String::new(),
            offsets: Vec::new(),
            index: (0, 0),
            file: None,
            tracked: OnceLock::new(),
        }
    }

    /// Lays out `commit` of the server's own `repository` at `path`, which appears whole or not at all.
    pub(super) async fn build(
        repository: &Path,
        commit: ObjectId,
        path: &Path,
        limits: Limits,
        now_seconds: i64,
    ) -> Result<(), RepositoryError> {
        let (tree, committed, history) = read_history(repository, commit).await?;
        let tree = list(repository, tree, limits).await?;
        let mtime_seconds = committed.clamp(MTIME_RANGE.0, MTIME_RANGE.1).min(now_seconds - 2);
        let index = index::encode(&tree, mtime_seconds);
        let meta = snapshot_format::encode(&tree, mtime_seconds, &history, index.len());
        let partial = path.with_extension("partial");
        let written = write(repository, &tree, &partial, &meta, index).await;
        if let Err(error) = written {
            // best effort: the next build truncates it anyway
            let _ = tokio::fs::remove_file(&partial).await;
            return Err(error);
        }
        tokio::fs::rename(&partial, path).await.map_err(io_error("keeping a snapshot"))
    }

    /// Opens what [`Self::build`] made. Absent where there is none, or none that is whole.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let mut file = File::open(path).ok()?;
        let mut header = [0; HEADER_BYTES];
        file.read_exact(&mut header).ok()?;
        let length = u64::from_be_bytes(header[8..16].try_into().ok()?);
        if &header[..8] != MAGIC || length > file.metadata().ok()?.len() {
            return None;
        }
        let mut meta = vec![0; usize::try_from(length).ok()?];
        file.read_exact(&mut meta).ok()?;
        if Sha1::digest(&meta)[..] != header[16..36] {
            return None;
        }
        let Head { tree, mtime_seconds, history, index_bytes } = snapshot_format::decode(&meta)?;
        let index_at = HEADER_BYTES as u64 + length;
        let mut offset = index_at + index_bytes as u64;
        let mut offsets = Vec::with_capacity(tree.entries.len());
        for entry in tree.entries.iter() {
            offsets.push(offset);
            offset = offset.checked_add(entry.size)?;
        }
        if file.metadata().ok()?.len() != offset {
            return None;
        }
        Some(Self {
            tree,
            mtime_seconds,
            history,
            offsets,
            index: (index_at, index_bytes),
            file: Some(file),
            tracked: OnceLock::new(),
        })
    }

    /// The paths of all files, for those who ask whether one is tracked.
    pub(super) fn tracked(&self) -> Arc<[String]> {
        let paths = || self.tree.entries.iter().map(|entry| entry.path.to_string()).collect();
        Arc::clone(self.tracked.get_or_init(paths))
    }

    /// The index of a fresh working copy.
    pub(super) fn index(&self) -> io::Result<Vec<u8>> {
        let Some(file) = &self.file else { return Ok(index::encode(&self.tree, self.mtime_seconds)) };
        let mut bytes = vec![0; self.index.1];
        file.read_exact_at(&mut bytes, self.index.0)?;
        Ok(bytes)
    }

    /// Fills `buffer` with the content of entry number `entry` from `offset` on.
    pub(super) fn read_at(&self, entry: usize, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let start = self.offsets.get(entry).ok_or(io::ErrorKind::NotFound)?;
        file.read_exact_at(buffer, start + offset)
    }

    /// Writes the whole content of entry number `entry` to the end of `out`. Of larger files the kernel does it
    /// (`copy_file_range(2)`): no byte comes through this process, and a file system that shares blocks may share them.
    pub(super) fn copy_to(&self, entry: usize, out: &OwnedFd, buffer: &mut Vec<u8>) -> io::Result<()> {
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let start = *self.offsets.get(entry).ok_or(io::ErrorKind::NotFound)?;
        let end = start + self.tree.entries.get(entry).ok_or(io::ErrorKind::NotFound)?.size;
        let mut at = start;
        while at < end && end - start >= KERNEL_COPIES_BYTES {
            let left = usize::try_from(end - at).unwrap_or(usize::MAX);
            match rustix::fs::copy_file_range(file, Some(&mut at), out, None, left) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(Errno::INTR) => {}
                // Other file systems, old kernels: as is done with small files.
                Err(Errno::XDEV | Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP) => break,
                Err(error) => return Err(error.into()),
            }
        }
        while at < end {
            let count = (end - at).min(COPIED_BYTES as u64);
            buffer.resize(count as usize, 0);
            file.read_exact_at(buffer, at)?;
            write_all(out, buffer)?;
            at += count;
        }
        Ok(())
    }

    /// The whole content of the file at `path`; absent where there is none or it is a submodule.
    pub(super) fn content(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let entries = &self.tree.entries;
        let Ok(at) = entries.binary_search_by(|entry| entry.path.as_bytes().cmp(path.as_bytes())) else {
            return Ok(None);
        };
        if entries[at].mode == MODE_SUBMODULE {
            return Ok(None);
        }
        let mut bytes = vec![0; usize::try_from(entries[at].size).map_err(io::Error::other)?];
        self.read_at(at, 0, &mut bytes)?;
        Ok(Some(bytes))
    }
}

pub(super) fn write_all(out: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(out, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The commit's tree, its time, and the recent history as text.
async fn read_history(repository: &Path, commit: ObjectId) -> Result<(ObjectId, i64, String), RepositoryError> {
    let format = "--format=%T%x00%ct%x00%h %as %an: %s%x1e";
    let commit = commit.to_string();
    let arguments = ["log", "-n", HISTORY_COMMITS, "--no-show-signature", format, "--end-of-options", &commit, "--"];
    let output = Git::new(Some(repository), arguments)
        .config("i18n.logOutputEncoding", "UTF-8")
        .config("log.showSignature", "false")
        .output_limit(1 << 20)
        .output()
        .await
        .map_err(own_failure("reading the history"))?;
    let text = String::from_utf8_lossy(&output);
    let mut head = None;
    let mut history = String::new();
    for record in text.split('\x1e') {
        let mut fields = record.trim_start().splitn(3, '\0');
        if let (Some(tree), Some(time), Some(line)) = (fields.next(), fields.next(), fields.next()) {
            head = head.or_else(|| Some((tree.parse().ok()?, time.parse().unwrap_or(0))));
            history.extend(line.chars().filter(|c| !c.is_control()).take(200));
            history.push('\n');
        }
    }
    let (tree, time) =
        head.ok_or_else(|| RepositoryError::Git { doing: "reading the history", reason: "it is empty".to_owned() })?;
    Ok((tree, time, history))
}

/// All paths of a tree, as long as they are within the limits: a small pack can unfold to billions.
async fn list(repository: &Path, tree: ObjectId, limits: Limits) -> Result<Tree, RepositoryError> {
    let id = tree.to_string();
    let arguments = ["ls-tree", "-r", "-t", "-l", "-z", "--full-tree", "--end-of-options", &id];
    let listed = Git::new(Some(repository), arguments).talk(None, |stdout| async move {
        let mut reader = BufReader::with_capacity(64 << 10, stdout);
        let mut lister = Lister::new(limits);
        let mut line = Vec::new();
        loop {
            line.clear();
            if reader.read_until(0, &mut line).await? == 0 {
                return lister.finish(tree).map_err(GitFailure::Refused);
            }
            lister.add(line.strip_suffix(b"\0").unwrap_or(&line)).map_err(GitFailure::Refused)?;
        }
    });
    listed.await.map_err(own_failure("listing the files"))
}

struct Lister {
    limits: Limits,
    bytes: u64,
    entries: Vec<BaseEntry>,
    opaque: Vec<OpaqueEntry>,
    directories: Vec<(Box<[u8]>, ObjectId)>,
}

impl Lister {
    fn new(limits: Limits) -> Self {
        Self { limits, bytes: 0, entries: Vec::new(), opaque: Vec::new(), directories: Vec::new() }
    }

    /// One line of `ls-tree -l`: `<mode> <type> <id> <size>\t<path>`.
    fn add(&mut self, line: &[u8]) -> Result<(), RepositoryError> {
        let odd = || RepositoryError::Unusable { reason: "its list of files cannot be read".to_owned() };
        let tab = line.iter().position(|byte| *byte == b'\t').ok_or_else(odd)?;
        let (head, path) = (str::from_utf8(&line[..tab]).map_err(|_| odd())?, &line[tab + 1..]);
        let mut fields = head.split_ascii_whitespace();
        let mode = fields.next().and_then(|mode| u32::from_str_radix(mode, 8).ok()).ok_or_else(odd)?;
        let oid: ObjectId = fields.nth(1).and_then(|oid| oid.parse().ok()).ok_or_else(odd)?;
        let size: u64 = fields.next().and_then(|size| size.parse().ok()).unwrap_or(0);
        check_path(path)?;
        self.bytes = self.bytes.saturating_add(size);
        if mode == MODE_DIRECTORY {
            self.directories.push((path.into(), oid));
        } else if let Ok(path) = str::from_utf8(path) {
            self.entries.push(BaseEntry { path: path.into(), mode, oid, size });
        } else {
            self.opaque.push(OpaqueEntry { path: path.into(), mode, oid });
        }
        let count = self.entries.len() + self.opaque.len() + self.directories.len();
        if count > self.limits.files {
            let what = format!("the commit has more than {} files", self.limits.files);
            return Err(RepositoryError::TooLarge { what });
        }
        if self.bytes > self.limits.bytes {
            let what = format!("the commit's files come to more than {} MiB", self.limits.bytes >> 20);
            return Err(RepositoryError::TooLarge { what });
        }
        Ok(())
    }

    fn finish(mut self, id: ObjectId) -> Result<Tree, RepositoryError> {
        self.entries.sort_unstable_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
        self.directories.sort_unstable();
        let twice = self.entries.windows(2).any(|pair| pair[0].path == pair[1].path)
            || self.directories.windows(2).any(|pair| pair[0].0 == pair[1].0);
        if twice {
            return Err(RepositoryError::Unusable { reason: "a file name stands twice in one directory".to_owned() });
        }
        let Self { entries, opaque, directories, .. } = self;
        Ok(Tree { id, entries: entries.into(), opaque, directories })
    }
}

/// Refuses paths that no working copy should have: git's own directory and ways out of the tree.
/// (The mirror's fetches refuse most of them already; this is what holds.)
fn check_path(path: &[u8]) -> Result<(), RepositoryError> {
    let bad = |part: &[u8]| matches!(part, b"" | b"." | b"..") || is_git_directory(part);
    if path.len() > 4096 || path.split(|byte| *byte == b'/').any(bad) {
        let path = String::from_utf8_lossy(path).chars().take(200).collect::<String>();
        return Err(RepositoryError::Unusable {
            reason: format!("it has a path that no working copy may have: {path:?}"),
        });
    }
    Ok(())
}

/// `.git` in the spellings that some file system takes for it.
pub(super) fn is_git_directory(part: &[u8]) -> bool {
    let trimmed = part.trim_ascii_end();
    trimmed.eq_ignore_ascii_case(b".git") || trimmed.eq_ignore_ascii_case(b"git~1")
}

async fn write(
    repository: &Path,
    tree: &Tree,
    path: &Path,
    meta: &[u8],
    index: Vec<u8>,
) -> Result<(), RepositoryError> {
    let writing = io_error("writing a snapshot");
    let mut file = tokio::fs::File::create(path).await.map_err(&writing)?;
    let mut head = Vec::with_capacity(HEADER_BYTES + meta.len() + index.len());
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&(meta.len() as u64).to_be_bytes());
    head.extend_from_slice(&Sha1::digest(meta));
    head.extend_from_slice(meta);
    head.extend_from_slice(&index);
    file.write_all(&head).await.map_err(&writing)?;
    let wanted: Vec<(ObjectId, u64)> =
        tree.entries.iter().filter(|entry| entry.mode != MODE_SUBMODULE).map(|entry| (entry.oid, entry.size)).collect();
    let mut input = String::with_capacity(wanted.len() * 41);
    for (oid, _) in &wanted {
        // writing to a string cannot fail
        let _ = writeln!(input, "{oid}");
    }
    let file = Git::new(Some(repository), ["cat-file", "--batch", "--buffer"])
        .timeout(std::time::Duration::from_secs(600))
        .talk(Some(Input::Bytes(input.into_bytes())), |stdout| async move {
            let mut reader = BufReader::with_capacity(CHUNK_BYTES, stdout);
            let mut pending = Vec::with_capacity(CHUNK_BYTES);
            for (oid, size) in wanted {
                copy_object(&mut reader, oid, size, &mut pending, &mut file).await?;
            }
            file.write_all(&pending).await?;
            file.sync_all().await?;
            Ok(file)
        })
        .await
        .map_err(own_failure("reading the files"))?;
    drop(file);
    Ok(())
}

/// Takes one object off `cat-file --batch` and gathers it for writing.
async fn copy_object(
    reader: &mut BufReader<tokio::process::ChildStdout>,
    oid: ObjectId,
    size: u64,
    pending: &mut Vec<u8>,
    file: &mut tokio::fs::File,
) -> Result<(), GitFailure> {
    let mut header = String::new();
    if reader.read_line(&mut header).await? == 0 {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    if header.trim_end() != format!("{oid} blob {size}") {
        return Err(GitFailure::Failed { reason: format!("object {oid} is missing or not what it should be") });
    }
    let mut left = size + 1;
    while left > 0 {
        let chunk = reader.fill_buf().await?;
        if chunk.is_empty() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let count = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        pending.extend_from_slice(&chunk[..count]);
        reader.consume(count);
        left -= count as u64;
        if left == 0 {
            // the newline after the content
            pending.pop();
        }
        if pending.len() >= CHUNK_BYTES && left != 1 {
            file.write_all(pending).await?;
            pending.clear();
        }
    }
    Ok(())
}
