//! `journeyman outline`: the parsers, for the service, which starts them in a throwaway sandbox.

use super::Exit;
use std::io::{self, BufWriter, Write};

/// Reads one batch from stdin and writes what the parsers find to stdout.
pub(super) fn outline() -> anyhow::Result<Exit> {
    let mut output = BufWriter::new(io::stdout().lock());
    parsers::answer(io::stdin().lock(), &mut output)?;
    output.flush()?;
    Ok(Exit::Done)
}
