//! Headers of tar (ustar, POSIX.1-2001), for archives that are written as they are read.

use std::io;

/// Headers and contents are filled up to so many bytes.
pub const BLOCK_BYTES: usize = 512;
/// What a header can say of a size: eleven octal digits.
const SIZE_MAX: u64 = 0o777_7777_7777;

/// The header of a file whose content follows, filled up with zeros to whole blocks.
///
/// # Errors
/// Where name or size do not fit into one.
pub fn header(name: &str, size: u64, mode: u32, modified_unix_seconds: u64) -> io::Result<[u8; BLOCK_BYTES]> {
    let unfit = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{what} does not fit into a tar"));
    if size > SIZE_MAX {
        return Err(unfit("a size"));
    }
    let (prefix, rest) = split(name).ok_or_else(|| unfit(name))?;
    let mut block = [0; BLOCK_BYTES];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, rest.as_bytes());
    put(100, format!("{:07o}", mode & 0o7777).as_bytes());
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{size:011o}").as_bytes());
    put(136, format!("{:011o}", modified_unix_seconds.min(SIZE_MAX)).as_bytes());
    // The sum is taken with blanks in its own place.
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    put(345, prefix.as_bytes());
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(block)
}

/// Zeros after a content of so many bytes.
pub fn padding(size: u64) -> usize {
    (size.next_multiple_of(BLOCK_BYTES as u64) - size) as usize
}

/// A name of up to 100 bytes, or one in two parts at a slash.
fn split(name: &str) -> Option<(&str, &str)> {
    if name.len() <= 100 {
        return Some(("", name));
    }
    name.match_indices('/')
        .map(|(at, _)| (&name[..at], &name[at + 1..]))
        .find(|(prefix, rest)| prefix.len() <= 155 && rest.len() <= 100 && !rest.is_empty())
}
