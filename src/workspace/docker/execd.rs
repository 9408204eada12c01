//! The execd for containers, which know no library of this host's: it has to be linked statically.

use crate::workspace::WorkspaceError;
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

const INTERPRETER: u32 = 3;
/// Program headers that are looked at; a linker makes about a dozen.
const HEADERS_MAX: u16 = 64;

/// `execd` itself where it needs no library, else the `execd-static` beside it.
pub(in crate::workspace) fn find_static(execd: &Path) -> Result<PathBuf, WorkspaceError> {
    let beside = execd.with_file_name("execd-static");
    for path in [execd, &beside] {
        if is_static(path).unwrap_or(false) {
            return Ok(path.to_owned());
        }
    }
    Err(WorkspaceError::Setup {
        what: format!(
            "{} needs this machine's libraries, which containers do not have, and there is no execd-static beside it",
            execd.display()
        ),
        mend: "build it: scripts/static-execd.sh (or `make build`, which does), or name one by JOURNEYMAN_EXECD"
            .to_owned(),
    })
}

/// Whether an executable is loaded by nobody but the kernel: it names no interpreter (ELF, 64 bit,
/// the byte order of this machine).
fn is_static(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut header = [0; 64];
    file.read_exact(&mut header)?;
    if !header.starts_with(b"\x7fELF\x02") {
        return Ok(false);
    }
    let half = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
    let (size, count) = (usize::from(half(54)), half(56).min(HEADERS_MAX));
    let mut offset = [0; 8];
    offset.copy_from_slice(&header[32..40]);
    let mut table = vec![0; size * usize::from(count)];
    io::Seek::seek(&mut file, io::SeekFrom::Start(u64::from_ne_bytes(offset)))?;
    file.read_exact(&mut table)?;
    let kinds =
        table.chunks_exact(size.max(4)).map(|entry| u32::from_ne_bytes([entry[0], entry[1], entry[2], entry[3]]));
    Ok(!kinds.into_iter().any(|kind| kind == INTERPRETER))
}
