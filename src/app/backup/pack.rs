//! The file: entries in and out, packed on a thread of their own, a few pieces at a time.

use super::Place;
use crate::{clock, service::archive::tar, workspace::tar::Reader as TarReader};
use anyhow::{Context, bail};
use bytes::Bytes;
use flate2::{Compression, bufread::MultiGzDecoder, write::GzEncoder};
use std::{
    fs::{self, File, Permissions},
    io::{self, BufReader, BufWriter, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};
use tokio::{sync::mpsc, task::JoinHandle};

/// Pieces under way between the two sides.
const PIECES: usize = 16;
const PIECE_BYTES: u64 = 256 << 10;
const BUFFER_BYTES: usize = 1 << 20;

#[derive(Debug)]
enum Piece {
    Entry { name: String, size: u64 },
    Bytes(Bytes),
}

/// Writes a backup. One that is dropped before its end leaves no file.
#[derive(Debug)]
pub(super) struct Writer {
    pieces: mpsc::Sender<Piece>,
    written: JoinHandle<io::Result<()>>,
    /// Where it is until it is whole, and where it belongs.
    file: Option<(PathBuf, PathBuf)>,
    left: u64,
}

impl Writer {
    pub(super) fn start(place: &Place) -> anyhow::Result<Self> {
        let (out, file): (Box<dyn Write + Send>, _) = match place {
            Place::Standard => (Box::new(io::stdout()), None),
            Place::File(path) => {
                if path.exists() {
                    bail!("{} is there already: name another file", path.display());
                }
                let mut name = path.file_name().context("a backup needs a file's name")?.to_owned();
                name.push(".part");
                let part = path.with_file_name(name);
                let made = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part);
                let made = made.with_context(|| format!("{} cannot be written", part.display()))?;
                made.set_permissions(Permissions::from_mode(0o600))?;
                (Box::new(made), Some((part, path.clone())))
            }
        };
        let (pieces, incoming) = mpsc::channel(PIECES);
        let written = tokio::task::spawn_blocking(move || write(out, incoming));
        Ok(Self { pieces, written, file, left: 0 })
    }

    /// Begins an entry whose content of so many bytes follows.
    pub(super) async fn entry(&mut self, name: impl Into<String>, size: u64) -> anyhow::Result<()> {
        self.left = size;
        self.send(Piece::Entry { name: name.into(), size }).await
    }

    pub(super) async fn bytes(&mut self, bytes: Bytes) -> anyhow::Result<()> {
        self.left = self.left.checked_sub(bytes.len() as u64).context("an entry is longer than it said")?;
        self.send(Piece::Bytes(bytes)).await
    }

    pub(super) async fn whole(&mut self, name: impl Into<String>, content: Bytes) -> anyhow::Result<()> {
        self.entry(name, content.len() as u64).await?;
        self.bytes(content).await
    }

    async fn send(&mut self, piece: Piece) -> anyhow::Result<()> {
        if self.pieces.send(piece).await.is_ok() {
            return Ok(());
        }
        // It has ended before its time: its error says why.
        (&mut self.written).await?.context("the backup cannot be written")?;
        bail!("the backup cannot be written")
    }

    /// The file is on the disk, whole, under its name.
    pub(super) async fn finish(mut self) -> anyhow::Result<()> {
        let (closed, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.pieces, closed));
        (&mut self.written).await?.context("the backup cannot be written")?;
        let Some((part, path)) = self.file.take() else { return Ok(()) };
        File::open(&part)?.sync_all()?;
        fs::rename(&part, &path).with_context(|| format!("{} cannot be written", path.display()))?;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(File::open(directory)?.sync_all()?)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some((part, _)) = self.file.take() {
            let _ = fs::remove_file(part);
        }
    }
}

fn write(out: impl Write, mut pieces: mpsc::Receiver<Piece>) -> io::Result<()> {
    let mut out = GzEncoder::new(BufWriter::with_capacity(BUFFER_BYTES, out), Compression::fast());
    let (mut padding, now) = (0, clock::now().0.unix_timestamp().unsigned_abs());
    let zeros = [0; tar::BLOCK_BYTES];
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Piece::Entry { name, size } => {
                out.write_all(&zeros[..padding])?;
                padding = tar::padding(size);
                out.write_all(&tar::header(&name, size, 0o600, now)?)?;
            }
            Piece::Bytes(bytes) => out.write_all(&bytes)?,
        }
    }
    out.write_all(&zeros[..padding])?;
    out.write_all(&zeros)?;
    out.write_all(&zeros)?;
    out.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?.flush()
}

/// Reads a backup, entry by entry.
#[derive(Debug)]
pub(super) struct Reader {
    pieces: mpsc::Receiver<io::Result<Piece>>,
    /// The entry that comes next.
    next: Option<(String, u64)>,
    /// Of the present one.
    left: u64,
}

impl Reader {
    pub(super) fn start(place: &Place) -> anyhow::Result<Self> {
        let input: Box<dyn Read + Send> = match place {
            Place::Standard => Box::new(io::stdin()),
            Place::File(path) => {
                Box::new(File::open(path).with_context(|| format!("{} cannot be read", path.display()))?)
            }
        };
        let (sender, pieces) = mpsc::channel(PIECES);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = read(input, &sender) {
                let _ = sender.blocking_send(Err(error));
            }
        });
        Ok(Self { pieces, next: None, left: 0 })
    }

    /// The name and size of the next entry; none at the end of the file.
    pub(super) async fn entry(&mut self) -> anyhow::Result<Option<(String, u64)>> {
        while self.piece().await?.is_some() {}
        if self.next.is_none() {
            self.take().await?;
        }
        let next = self.next.take();
        self.left = next.as_ref().map_or(0, |(_, size)| *size);
        Ok(next)
    }

    /// The next piece of the present entry; none at its end.
    pub(super) async fn piece(&mut self) -> anyhow::Result<Option<Bytes>> {
        if self.left == 0 || self.next.is_some() {
            return Ok(None);
        }
        let piece = self.take().await?.context("the backup is cut short")?;
        self.left = self.left.checked_sub(piece.len() as u64).context("an entry is longer than it said")?;
        Ok(Some(piece))
    }

    /// All of the present entry, which has at most `limit` bytes.
    pub(super) async fn whole(&mut self, limit: u64) -> anyhow::Result<Vec<u8>> {
        if self.left > limit {
            bail!("an entry of the backup is too large");
        }
        let mut whole = Vec::new();
        while let Some(piece) = self.piece().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }

    async fn take(&mut self) -> anyhow::Result<Option<Bytes>> {
        match self.pieces.recv().await.transpose().context("the backup cannot be read")? {
            Some(Piece::Bytes(bytes)) => Ok(Some(bytes)),
            Some(Piece::Entry { name, size }) => {
                self.next = Some((name, size));
                Ok(None)
            }
            None => Ok(None),
        }
    }
}

fn read(input: impl Read, pieces: &mpsc::Sender<io::Result<Piece>>) -> io::Result<()> {
    let input = MultiGzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, input));
    let mut archive = TarReader::new(BufReader::with_capacity(BUFFER_BYTES, input));
    while let Some(entry) = archive.next_entry()? {
        let name = String::from_utf8(entry.path).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        if pieces.blocking_send(Ok(Piece::Entry { name, size: entry.size })).is_err() {
            return Ok(());
        }
        let mut left = entry.size;
        while left > 0 {
            let mut piece = Vec::new();
            left -= archive.read_content(&mut piece, PIECE_BYTES.min(left))?;
            if pieces.blocking_send(Ok(Piece::Bytes(piece.into()))).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}
