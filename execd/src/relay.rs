//! Bytes that are carried over execd's pipe: of connections to the workspace's loopback, where it listens, and
//! of processes whose stdin and stdout the server speaks to. Who may speak to whom is the server's decision alone.

use crate::connection::{Connection, refused};
use execd::message::{Answer, Failure, FailureKind};
use rustix::{
    io::Errno,
    net::{SendFlags, Shutdown},
};
use std::{
    collections::HashMap,
    net::{Ipv4Addr, TcpListener},
    os::{fd::OwnedFd, unix::net::UnixStream},
};

const LISTENERS_MAX: usize = 16;
const CONNECTIONS_MAX: usize = 128;
const READ_BYTES: usize = 16 * 1024;
/// What a connection may have waiting for the server before it is read on.
const QUEUE_BYTES: usize = 64 * 1024;

#[derive(Debug)]
struct Relay {
    /// A TCP or a Unix stream, not blocking.
    socket: OwnedFd,
    to_socket: Vec<u8>,
    /// The server has nothing more to say.
    server_ended: bool,
    /// The workspace has nothing more to say.
    socket_ended: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Relays {
    listeners: Vec<(TcpListener, u16)>,
    open: HashMap<u32, Relay>,
    last_stream: u32,
}

impl Relays {
    pub(crate) fn listen(&mut self, port: u16) -> Result<Answer, Failure> {
        if self.listeners.len() >= LISTENERS_MAX {
            return Err(refused("too many ports are listened on"));
        }
        let bind = || -> std::io::Result<(TcpListener, u16)> {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
            listener.set_nonblocking(true)?;
            let port = listener.local_addr()?.port();
            Ok((listener, port))
        };
        let (listener, port) = bind().map_err(|error| Failure {
            kind: FailureKind::Io,
            what: format!("port {port}"),
            why: error.to_string(),
        })?;
        self.listeners.push((listener, port));
        Ok(Answer::Listening { port })
    }

    /// Cuts all connections. Ports stay open.
    pub(crate) fn disconnect(&mut self) {
        self.open.clear();
    }

    /// Those that connections are taken from: the ones that wait in the kernel's queue wait there
    /// until there is room, and somebody to carry them to.
    pub(crate) fn listeners(&self, connection: &Connection) -> impl Iterator<Item = &TcpListener> {
        let room = self.open.len() < CONNECTIONS_MAX && connection.input().is_some();
        self.listeners.iter().filter(move |_| room).map(|(listener, _)| listener)
    }

    /// Of each connection whether it is to be read and to be written.
    pub(crate) fn watched<'a>(
        &'a self,
        connection: &'a Connection,
    ) -> impl Iterator<Item = (u32, &'a OwnedFd, bool, bool)> {
        self.open.iter().map(|(stream, relay)| {
            let read = !relay.socket_ended && connection.queued(*stream) < QUEUE_BYTES;
            (*stream, &relay.socket, read, !relay.to_socket.is_empty())
        })
    }

    pub(crate) fn accept(&mut self, index: usize, connection: &mut Connection) {
        let Some((listener, port)) = self.listeners.get(index) else { return };
        let Ok((socket, _)) = listener.accept() else { return };
        if socket.set_nonblocking(true).is_err() || socket.set_nodelay(true).is_err() {
            return;
        }
        let port = *port;
        self.open(socket.into(), port, connection);
    }

    /// Carries a stream that no port stands for; the number of its stream.
    pub(crate) fn carry(&mut self, socket: OwnedFd, connection: &mut Connection) -> u32 {
        self.open(socket, 0, connection)
    }

    fn open(&mut self, socket: OwnedFd, port: u16, connection: &mut Connection) -> u32 {
        self.last_stream = self.last_stream.wrapping_add(2).max(2);
        connection.accept(self.last_stream, port);
        let relay = Relay { socket, to_socket: Vec::new(), server_ended: false, socket_ended: false };
        self.open.insert(self.last_stream, relay);
        self.last_stream
    }

    pub(crate) fn readable(&mut self, stream: u32, connection: &mut Connection) {
        let Some(relay) = self.open.get_mut(&stream).filter(|relay| !relay.socket_ended) else { return };
        let mut bytes = [0; READ_BYTES];
        match rustix::io::read(&relay.socket, &mut bytes) {
            Ok(0) => {
                relay.socket_ended = true;
                connection.end(stream);
            }
            Ok(count) => connection.data(stream, &bytes[..count]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => {
                self.open.remove(&stream);
                connection.cut(stream);
            }
        }
        self.settle(stream, connection);
    }

    pub(crate) fn data(&mut self, stream: u32, bytes: &[u8], connection: &mut Connection) {
        if let Some(relay) = self.open.get_mut(&stream) {
            relay.to_socket.extend_from_slice(bytes);
            self.writable(stream, connection);
        }
    }

    pub(crate) fn end(&mut self, stream: u32, connection: &mut Connection) {
        if let Some(relay) = self.open.get_mut(&stream) {
            relay.server_ended = true;
            self.settle(stream, connection);
        }
    }

    pub(crate) fn writable(&mut self, stream: u32, connection: &mut Connection) {
        let Some(relay) = self.open.get_mut(&stream) else { return };
        while !relay.to_socket.is_empty() {
            match rustix::net::send(&relay.socket, &relay.to_socket, SendFlags::NOSIGNAL) {
                Ok(count) if count > 0 => {
                    relay.to_socket.drain(..count);
                    connection.took(stream, count);
                }
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                _ => {
                    self.open.remove(&stream);
                    connection.cut(stream);
                    return;
                }
            }
        }
        self.settle(stream, connection);
    }

    /// Passes the server's end on, and forgets what both have ended.
    fn settle(&mut self, stream: u32, connection: &mut Connection) {
        let Some(relay) = self.open.get(&stream) else { return };
        if relay.server_ended && relay.to_socket.is_empty() {
            let _ = rustix::net::shutdown(&relay.socket, Shutdown::Write);
            if relay.socket_ended {
                self.open.remove(&stream);
                connection.forget(stream);
            }
        }
    }

    pub(crate) fn cancel(&mut self, stream: u32, connection: &mut Connection) {
        if self.open.remove(&stream).is_some() {
            connection.forget(stream);
            connection.cut(stream);
        }
    }
}

/// Two ends of a stream: execd's own, which does not block, and a process's.
pub(crate) fn pair() -> Result<(OwnedFd, OwnedFd), Failure> {
    let pair = || {
        let (own, theirs) = UnixStream::pair()?;
        own.set_nonblocking(true)?;
        Ok::<_, std::io::Error>((own.into(), theirs.into()))
    };
    pair().map_err(|error| Failure {
        kind: FailureKind::Io,
        what: "a pair of sockets".to_owned(),
        why: error.to_string(),
    })
}
