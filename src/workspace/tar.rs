//! Reads tar as a stream: ustar, GNU long names, pax paths and sizes (POSIX.1-2001, GNU tar's manual).
//!
//! Only what a source archive needs; it writes no file and trusts no length: names and pax records are
//! capped, and checksums are checked.

use std::io::{self, Read};

const BLOCK_BYTES: usize = 512;
/// Long names and pax records.
const META_LIMIT_BYTES: u64 = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File { executable: bool },
    Directory,
    SymbolicLink,
    HardLink,
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub path: Vec<u8>,
    pub link: Vec<u8>,
    pub kind: Kind,
    /// Of the content; 0 for all but files.
    pub size: u64,
}

#[derive(Debug)]
pub struct Reader<R> {
    inner: R,
    /// Of the present entry's content, and the padding after it.
    left: u64,
    padding: u64,
}

/// What the records before an entry say of it.
#[derive(Default)]
struct Overrides {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl<R: Read> Reader<R> {
    pub fn new(inner: R) -> Self {
        Self { inner, left: 0, padding: 0 }
    }

    /// The next entry, skipping what was not read of the last one. `None` at the end.
    pub fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        let mut overrides = Overrides::default();
        loop {
            self.skip()?;
            let mut block = [0; BLOCK_BYTES];
            if !read_block(&mut self.inner, &mut block)? || block.iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            check_sum(&block)?;
            let kind = block[156];
            let size = if matches!(kind, b'1'..=b'6') { 0 } else { number(&block[124..136])? };
            match kind {
                b'L' => overrides.path = Some(until_nul(&self.meta(size)?).to_vec()),
                b'K' => overrides.link = Some(until_nul(&self.meta(size)?).to_vec()),
                b'x' => pax(&self.meta(size)?, &mut overrides)?,
                b'g' => drop(self.meta(size)?),
                _ => return self.entry(&block, size, overrides).map(Some),
            }
        }
    }

    /// Appends up to `count` bytes of the present entry's content to `into` and says how many.
    pub fn read_content(&mut self, into: &mut Vec<u8>, count: u64) -> io::Result<u64> {
        let count = count.min(self.left);
        let read = self.inner.by_ref().take(count).read_to_end(into)? as u64;
        self.left -= read;
        if read < count { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(read) }
    }

    fn entry(&mut self, block: &[u8; BLOCK_BYTES], size: u64, overrides: Overrides) -> io::Result<Entry> {
        let path = overrides.path.unwrap_or_else(|| {
            let name = until_nul(&block[..100]);
            let prefix = if block[257..].starts_with(b"ustar\0") { until_nul(&block[345..500]) } else { &[] };
            if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
        });
        let link = overrides.link.unwrap_or_else(|| until_nul(&block[157..257]).to_vec());
        let mode = number(&block[100..108])?;
        let kind = match block[156] {
            b'0' | 0 | b'7' if path.ends_with(b"/") => Kind::Directory,
            b'0' | 0 | b'7' => Kind::File { executable: mode & 0o100 != 0 },
            b'1' => Kind::HardLink,
            b'2' => Kind::SymbolicLink,
            b'5' => Kind::Directory,
            _ => Kind::Other,
        };
        let size = if matches!(kind, Kind::File { .. }) { overrides.size.unwrap_or(size) } else { size };
        self.expect(size);
        Ok(Entry { path, link, kind, size: if matches!(kind, Kind::File { .. }) { size } else { 0 } })
    }

    fn expect(&mut self, size: u64) {
        self.left = size;
        self.padding = size.next_multiple_of(BLOCK_BYTES as u64) - size;
    }

    fn meta(&mut self, size: u64) -> io::Result<Vec<u8>> {
        if size > META_LIMIT_BYTES {
            return Err(invalid("a name in it is too long"));
        }
        self.expect(size);
        let mut bytes = Vec::new();
        self.read_content(&mut bytes, size)?;
        Ok(bytes)
    }

    fn skip(&mut self) -> io::Result<()> {
        let count = self.left + self.padding;
        let skipped = io::copy(&mut self.inner.by_ref().take(count), &mut io::sink())?;
        (self.left, self.padding) = (0, 0);
        if skipped < count { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

/// False at the end of the stream.
fn read_block(inner: &mut impl Read, block: &mut [u8; BLOCK_BYTES]) -> io::Result<bool> {
    let mut filled = 0;
    while filled < BLOCK_BYTES {
        match inner.read(&mut block[filled..])? {
            0 if filled == 0 => return Ok(false),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
    Ok(true)
}

fn check_sum(block: &[u8; BLOCK_BYTES]) -> io::Result<()> {
    let sum: u64 =
        block.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) }).sum();
    if number(&block[148..156])? == sum { Ok(()) } else { Err(invalid("a header's checksum is wrong")) }
}

/// Octal text, or big-endian bytes where the first bit is set.
fn number(field: &[u8]) -> io::Result<u64> {
    if field.first().is_some_and(|first| first & 0x80 != 0) {
        let (first, rest) = (u64::from(field[0] & 0x7f), &field[1..]);
        let fits = first == 0 && rest.iter().rev().skip(8).all(|byte| *byte == 0);
        let number = rest.iter().fold(first, |number, byte| number << 8 | u64::from(*byte));
        return if fits && i64::try_from(number).is_ok() { Ok(number) } else { Err(invalid("a number is too large")) };
    }
    let text = str::from_utf8(until_nul(field)).unwrap_or("?").trim();
    if text.is_empty() {
        return Ok(0);
    }
    u64::from_str_radix(text, 8).map_err(|_| invalid("a number is no number"))
}

/// `<length> <key>=<value>\n`, repeated.
fn pax(mut records: &[u8], overrides: &mut Overrides) -> io::Result<()> {
    let broken = || invalid("a pax record is broken");
    while !records.is_empty() {
        let space = records.iter().position(|byte| *byte == b' ').ok_or_else(broken)?;
        let length: usize =
            str::from_utf8(&records[..space]).ok().and_then(|text| text.parse().ok()).ok_or_else(broken)?;
        let record = records.get(space + 1..length).and_then(|record| record.strip_suffix(b"\n")).ok_or_else(broken)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(broken)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        match key {
            b"path" => overrides.path = Some(value.to_vec()),
            b"linkpath" => overrides.link = Some(value.to_vec()),
            b"size" => {
                let size = str::from_utf8(value).ok().and_then(|text| text.parse().ok()).ok_or_else(broken)?;
                overrides.size = Some(size).filter(|size| i64::try_from(*size).is_ok());
            }
            _ => {}
        }
        records = &records[length..];
    }
    Ok(())
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
