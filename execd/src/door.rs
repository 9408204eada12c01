//! The private socket on which execd waits for its server, where no pipe of a parent carries the
//! protocol: a name in the abstract namespace, which belongs to the network namespace and that
//! nobody can take away or replace.
//!
//! Whoever is in the workspace can knock. The kernel says as which user, and only the one that
//! commands cannot become is let in. Where an engine makes connections as no other user than the
//! commands', or a runtime does not tell, whoever knocks has to begin with a secret that the server alone knows: execd knows its digest.

use execd::message::{PROOF_BYTES, proof_digest};
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
/// Who knock and have not said their secret yet; the oldest goes when there are more.
const UNPROVEN_MAX: usize = 16;
/// How long a workspace goes on without its server.
const ALONE: Duration = Duration::from_secs(120);

/// Who is let in.
#[derive(Debug)]
pub(crate) enum Guest {
    /// The uid that the server's connections come from.
    User(u32),
    /// Whoever says the secret of this digest first.
    Proof(String),
    /// Both. Some runtimes name the asking process' own user whoever connects (gVisor): there the secret is all.
    UserWithProof { from: u32, digest: String },
}

impl Guest {
    pub(crate) fn with_proof(from: Option<u32>, digest: &str) -> Result<Self, String> {
        if digest.len() != 40 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("a digest is 40 hex digits".to_owned());
        }
        let digest = digest.to_ascii_lowercase();
        Ok(from
            .map_or_else(|| Self::Proof(digest.clone()), |from| Self::UserWithProof { from, digest: digest.clone() }))
    }

    fn user(&self) -> Option<u32> {
        match self {
            Self::User(from) | Self::UserWithProof { from, .. } => Some(*from),
            Self::Proof(_) => None,
        }
    }

    fn digest(&self) -> Option<&str> {
        match self {
            Self::Proof(digest) | Self::UserWithProof { digest, .. } => Some(digest),
            Self::User(_) => None,
        }
    }
}

/// Somebody who knocks, and what he has said.
#[derive(Debug)]
struct Unproven {
    socket: OwnedFd,
    said: Vec<u8>,
    /// The kernel says that he is the server's user.
    is_user: bool,
}

#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) listener: OwnedFd,
    guest: Guest,
    unproven: Vec<Unproven>,
    served: bool,
    /// The first who was served was the server's user, by the kernel's word: so are all.
    users_are_told: bool,
    /// When nobody has come back by then, all is over; absent while the server is there.
    until: Option<Instant>,
}

impl Door {
    pub(crate) fn open(name: &str, guest: Guest) -> io::Result<Self> {
        if guest.user() == Some(rustix::process::geteuid().as_raw()) {
            return Err(io::Error::other("the server cannot come as the user that commands run as"));
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        bind(&listener, &address(name)?)?;
        listen(&listener, BACKLOG)?;
        let until = Some(Instant::now() + ALONE);
        Ok(Self { listener, guest, unproven: Vec::new(), served: false, users_are_told: false, until })
    }

    /// The server's connection, if it is the one that knocked.
    pub(crate) fn answer(&mut self) -> Option<OwnedFd> {
        let socket = accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK).ok()?;
        let mut is_user = false;
        if let Some(from) = self.guest.user() {
            let peer = socket_peercred(&socket).ok()?.uid.as_raw();
            is_user = peer == from;
            let untold = self.guest.digest().is_some() && !self.users_are_told;
            if !(is_user || untold && peer == rustix::process::geteuid().as_raw()) {
                if !self.served {
                    // Nobody else is there before the server has come: the runtime does not say who connects.
                    let _ = writeln!(io::stderr(), "turned away a connection of the uid {peer}");
                }
                return None;
            }
        }
        if self.guest.digest().is_none() {
            self.serves();
            return Some(socket);
        }
        if self.unproven.len() >= UNPROVEN_MAX {
            self.unproven.remove(0);
        }
        self.unproven.push(Unproven { socket, said: Vec::new(), is_user });
        None
    }

    /// Those who have to say their secret.
    pub(crate) fn unproven(&self) -> impl DoubleEndedIterator<Item = (usize, &OwnedFd)> {
        self.unproven.iter().enumerate().map(|(index, unproven)| (index, &unproven.socket))
    }

    /// Listens to one of them; the server's connection, if it is his. Those after him move up where he is turned away.
    pub(crate) fn hear(&mut self, index: usize) -> Option<OwnedFd> {
        let unproven = self.unproven.get_mut(index)?;
        // Not a byte more: what follows is for whoever serves him.
        let mut bytes = [0; PROOF_BYTES];
        let wanted = PROOF_BYTES - unproven.said.len();
        match rustix::io::read(&unproven.socket, &mut bytes[..wanted]) {
            Err(Errno::AGAIN | Errno::INTR) => return None,
            Ok(count) if count > 0 => unproven.said.extend_from_slice(&bytes[..count]),
            _ => {
                self.unproven.remove(index);
                return None;
            }
        }
        if unproven.said.len() < PROOF_BYTES {
            return None;
        }
        let Unproven { socket, said, is_user } = self.unproven.remove(index);
        if self.guest.digest() != Some(proof_digest(&said).as_str()) {
            return None;
        }
        self.users_are_told |= is_user && !self.served;
        self.serves();
        Some(socket)
    }

    fn serves(&mut self) {
        self.served = true;
        self.until = None;
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
