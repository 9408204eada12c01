//! The private socket on which execd waits for its server, where no pipe of a parent carries the
//! protocol: a name in the abstract namespace, which belongs to the network namespace and that
//! nobody can take away or replace.
//!
//! Whoever is in the workspace can knock. The kernel says as which user, and only the one that
//! commands cannot become is let in.

use rustix::{
    io::Errno,
    net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, socket_with,
        sockopt::socket_peercred,
    },
    time::Timespec,
};
use std::{
    io::{self, Write},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

const BACKLOG: i32 = 64;
/// How long a workspace goes on without its server.
const ALONE: Duration = Duration::from_secs(120);

#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) listener: OwnedFd,
    /// The uid that the server's connections come from.
    from: u32,
    served: bool,
    /// When nobody has come back by then, all is over; absent while the server is there.
    until: Option<Instant>,
}

impl Door {
    pub(crate) fn open(name: &str, from: u32) -> io::Result<Self> {
        if rustix::process::geteuid().as_raw() == from {
            return Err(io::Error::other("the server cannot come as the user that commands run as"));
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        bind(&listener, &address(name)?)?;
        listen(&listener, BACKLOG)?;
        Ok(Self { listener, from, served: false, until: Some(Instant::now() + ALONE) })
    }

    /// The server's connection, if it is the one that knocked.
    pub(crate) fn answer(&mut self) -> Option<OwnedFd> {
        let socket = accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK).ok()?;
        let peer = socket_peercred(&socket).ok()?;
        if peer.uid.as_raw() != self.from {
            if !self.served {
                // Nobody else is there before the server has come: the runtime does not say who connects.
                let _ = writeln!(io::stderr(), "turned away a connection of the uid {}", peer.uid.as_raw());
            }
            return None;
        }
        self.served = true;
        self.until = None;
        Some(socket)
    }

    /// The server is gone.
    pub(crate) fn left(&mut self) {
        self.until = Some(Instant::now() + ALONE);
    }

    pub(crate) fn until(&self) -> Option<Instant> {
        self.until
    }
}

/// Connects to the door of the execd that is, or is about to be, in this network namespace.
pub(crate) fn knock(name: &str) -> io::Result<OwnedFd> {
    let address = address(name)?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    for _ in 0..1_000 {
        match rustix::net::connect(&socket, &address) {
            // The workspace's first process has not come so far.
            Err(Errno::CONNREFUSED | Errno::AGAIN) => {
                let pause = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
                let _ = rustix::thread::nanosleep(&pause);
            }
            result => return Ok(result.map(|()| socket)?),
        }
    }
    Err(io::Error::other("nobody listens there"))
}

fn address(name: &str) -> io::Result<SocketAddrUnix> {
    Ok(SocketAddrUnix::new_abstract_name(name.as_bytes())?)
}
