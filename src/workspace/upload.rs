//! Uploads as repositories: a git bundle is fetched from like a remote, a tar.gz becomes one commit.
//!
//! An archive is read as a stream with caps on bytes, files, ratio and depth, and goes straight into git's
//! object store: nothing of it is ever unpacked to a file system. What has no place in a commit (links that leave
//! the tree, devices, absolute paths, `..`) refuses the archive; a `.git` in it is left out.

use super::{
    git::{Git, GitFailure, Input, io_error, own_failure},
    repository::RepositoryError,
    snapshot::{Limits, is_git_directory},
    tar::{self, Kind},
};
use flate2::read::MultiGzDecoder;
use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::mpsc;

/// An archive may always unfold to so much.
const FREE_BYTES: u64 = 64 << 20;
/// Beyond that, to so many times its own size.
const RATIO_LIMIT: u64 = 200;
/// Directories in each other.
const DEPTH_LIMIT: usize = 64;
const PATH_LIMIT_BYTES: usize = 4096;
const CHUNK_BYTES: usize = 256 << 10;
/// The commit is the same for the same files: it has no author's name and no time of its own.
const COMMIT: &str = "feature done\ncommit refs/heads/main\n\
    committer Journeyman <journeyman@localhost> 946684800 +0000\ndata 9\nUploaded\n\n";

/// Whether the file begins as a git bundle does.
pub(super) async fn is_bundle(file: &Path) -> Result<bool, RepositoryError> {
    let file = file.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let mut head = Vec::new();
        File::open(file)?.take(16).read_to_end(&mut head)?;
        Ok::<bool, io::Error>(head.starts_with(b"# v2 git bundle\n") || head.starts_with(b"# v3 git bundle\n"))
    });
    let read = read.await.map_err(io::Error::other).and_then(|read| read);
    read.map_err(io_error("reading an upload"))
}

/// Makes the files of the tar.gz at `file` one commit on `refs/heads/main` of `repository`.
pub(super) async fn import(file: &Path, repository: &Path, limits: Limits) -> Result<(), RepositoryError> {
    let (sender, receiver) = mpsc::channel(8);
    let file: PathBuf = file.to_owned();
    let unpack = tokio::task::spawn_blocking(move || {
        let file = File::open(&file).map_err(io_error("reading an upload"))?;
        Importer { sender, pending: Vec::new(), limits, files: 0 }.run(file)
    });
    let imported = Git::new(Some(repository), ["fast-import", "--quiet", "--done", "--date-format=raw", "--force"])
        .timeout(Duration::from_secs(600))
        .talk(Some(Input::Chunks(receiver)), |mut stdout| async move {
            tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await.map(drop).map_err(GitFailure::Io)
        })
        .await;
    match unpack.await {
        // its own reason is the better one: git only says that its input ended early
        Ok(Err(refused)) => Err(refused),
        Ok(Ok(())) => imported.map_err(own_failure("importing an archive")),
        Err(cut_off) => Err(io_error("reading an upload")(io::Error::other(cut_off))),
    }
}

/// Whether `archive` is a tar.gz that could be imported; it is read to its end and nothing is kept of it.
pub(super) async fn check(archive: impl Read + Send + 'static, limits: Limits) -> Result<(), RepositoryError> {
    let (sender, mut receiver) = mpsc::channel(8);
    let read =
        tokio::task::spawn_blocking(move || Importer { sender, pending: Vec::new(), limits, files: 0 }.run(archive));
    while receiver.recv().await.is_some() {}
    read.await.map_err(|cut_off| io_error("reading an upload")(io::Error::other(cut_off)))?
}

struct Importer {
    sender: mpsc::Sender<Vec<u8>>,
    pending: Vec<u8>,
    limits: Limits,
    files: usize,
}

impl Importer {
    fn run(mut self, file: impl Read) -> Result<(), RepositoryError> {
        let compressed = Arc::new(AtomicU64::new(0));
        let file = Counting { inner: file, count: Arc::clone(&compressed) };
        let unfolded = Unfolding {
            inner: MultiGzDecoder::new(BufReader::with_capacity(CHUNK_BYTES, file)),
            compressed,
            bytes: 0,
            limit: self.limits.bytes,
        };
        let mut archive = tar::Reader::new(BufReader::with_capacity(CHUNK_BYTES, unfolded));
        self.pending.extend_from_slice(COMMIT.as_bytes());
        while let Some(entry) = archive.next_entry().map_err(unreadable)? {
            let Some(path) = clean(&entry.path)? else { continue };
            let refuse = |why: &str| RepositoryError::Unusable { reason: format!("the archive {why}: {path:?}") };
            match entry.kind {
                Kind::Directory => continue,
                Kind::File { executable } => {
                    let mode = if executable { "100755" } else { "100644" };
                    self.head(&format!("M {mode} inline {}\ndata {}\n", quote(&path), entry.size));
                    let mut left = entry.size;
                    while left > 0 {
                        left -= archive
                            .read_content(&mut self.pending, left.min(CHUNK_BYTES as u64))
                            .map_err(unreadable)?;
                        self.flush_if_full()?;
                    }
                    self.pending.push(b'\n');
                }
                Kind::SymbolicLink => {
                    let target = str::from_utf8(&entry.link).map_err(|_| refuse("has an unreadable link"))?;
                    if leaves(&path, target) {
                        return Err(refuse("has a link that leaves it"));
                    }
                    self.head(&format!("M 120000 inline {}\ndata {}\n{target}\n", quote(&path), target.len()));
                }
                Kind::HardLink => {
                    let target = clean(&entry.link)?.ok_or_else(|| refuse("has a link that leaves it"))?;
                    self.head(&format!("C {} {}\n", quote(&target), quote(&path)));
                }
                Kind::Other => return Err(refuse("has a device or other special file")),
            }
            self.files += 1;
            if self.files > self.limits.files {
                let what = format!("the archive has more than {} files", self.limits.files);
                return Err(RepositoryError::TooLarge { what });
            }
            self.flush_if_full()?;
        }
        if self.files == 0 {
            return Err(RepositoryError::Unusable { reason: "the archive has no files".to_owned() });
        }
        self.head("done\n");
        self.flush()
    }

    fn head(&mut self, line: &str) {
        self.pending.extend_from_slice(line.as_bytes());
    }

    fn flush_if_full(&mut self) -> Result<(), RepositoryError> {
        if self.pending.len() >= CHUNK_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), RepositoryError> {
        // git went away: why is in its own failure
        let gone = |_| RepositoryError::Unusable { reason: "the archive could not be imported".to_owned() };
        self.sender.blocking_send(std::mem::take(&mut self.pending)).map_err(gone)
    }
}

/// The path within the tree; `None` for the root itself and what is below a `.git`.
fn clean(path: &[u8]) -> Result<Option<String>, RepositoryError> {
    let shown: String = String::from_utf8_lossy(path).chars().take(200).collect();
    let refuse = |why: &str| RepositoryError::Unusable { reason: format!("the archive has a path {why}: {shown:?}") };
    let path = str::from_utf8(path).map_err(|_| refuse("that is not UTF-8"))?;
    if path.starts_with('/') {
        return Err(refuse("that is absolute"));
    }
    if path.len() > PATH_LIMIT_BYTES || path.chars().any(char::is_control) {
        return Err(refuse("that is too long or has control characters"));
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return Err(refuse("that leaves it"));
    }
    if parts.len() > DEPTH_LIMIT {
        return Err(refuse("that is too deep"));
    }
    if parts.is_empty() || parts.iter().any(|part| is_git_directory(part.as_bytes())) {
        return Ok(None);
    }
    Ok(Some(parts.join("/")))
}

/// Whether the target of the link at `path` is outside the tree, as far as the texts tell.
fn leaves(path: &str, target: &str) -> bool {
    let mut depth = path.matches('/').count();
    if target.is_empty() || target.starts_with('/') || target.len() > PATH_LIMIT_BYTES {
        return true;
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." if depth == 0 => return true,
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    false
}

/// A path as git-fast-import(1) reads it.
fn quote(path: &str) -> String {
    format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""))
}

fn unreadable(error: io::Error) -> RepositoryError {
    match error.kind() {
        io::ErrorKind::FileTooLarge => RepositoryError::TooLarge { what: error.to_string() },
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            RepositoryError::Unusable {
                reason: format!("the upload is neither a git bundle nor a whole tar.gz ({error})"),
            }
        }
        _ => io_error("reading an upload")(error),
    }
}

struct Counting<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// What comes out of the decompressor, held to the caps.
struct Unfolding<R> {
    inner: R,
    compressed: Arc<AtomicU64>,
    bytes: u64,
    limit: u64,
}

impl<R: Read> Read for Unfolding<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes += count as u64;
        let ratio = self.compressed.load(Ordering::Relaxed).saturating_mul(RATIO_LIMIT).max(FREE_BYTES);
        if self.bytes > self.limit {
            let what = format!("the archive unpacks to more than {} MiB", self.limit >> 20);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
        }
        if self.bytes > ratio {
            let what = format!("the archive unpacks to more than {RATIO_LIMIT} times its size");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
        }
        Ok(count)
    }
}
