//! `execd connect`: what an engine attaches to. It carries bytes between its stdin and stdout and the
//! door of the execd in the same workspace, and knows nothing of what they mean.

use crate::door;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    process::DumpableBehavior,
};
use std::{io, os::fd::AsFd};

const READ_BYTES: usize = 64 * 1024;

/// Ends when either end does.
pub(crate) fn connect(name: &str) -> Result<(), String> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|error| error.to_string())?;
    let socket = door::knock(name).map_err(|error| format!("{name}: {error}"))?;
    carry(&socket).map_err(|error| error.to_string())
}

fn carry(socket: impl AsFd) -> io::Result<()> {
    let (stdin, stdout) = (rustix::stdio::stdin(), rustix::stdio::stdout());
    let mut bytes = vec![0; READ_BYTES];
    loop {
        let mut fds = [PollFd::from_borrowed_fd(stdin, PollFlags::IN), PollFd::new(&socket, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let [from_server, from_execd] = fds.map(|fd| !fd.revents().is_empty());
        // Both ends read whatever else they do, so that none of these writes waits for the other.
        if from_server && !pass(stdin, &socket, &mut bytes)? {
            return Ok(());
        }
        if from_execd && !pass(&socket, stdout, &mut bytes)? {
            return Ok(());
        }
    }
}

/// Passes on what there is; `false`: there will be no more.
fn pass(from: impl AsFd, to: impl AsFd, bytes: &mut [u8]) -> io::Result<bool> {
    let count = match rustix::io::read(from, &mut *bytes) {
        Err(Errno::INTR | Errno::AGAIN) => return Ok(true),
        result => result?,
    };
    let mut rest = &bytes[..count];
    while !rest.is_empty() {
        match rustix::io::write(&to, rest) {
            Err(Errno::INTR) => {}
            result => rest = &rest[result?..],
        }
    }
    Ok(count > 0)
}
