//! The loop: one thread that waits for everything at once and does nothing that could block.

use crate::{
    calls::Calls,
    connection::{Connection, Heard},
    disk,
    door::{Door, Guest},
    entry::{self, Pipes},
    run::RunKey,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::Pid,
};
use std::{
    io,
    os::fd::{AsFd, FromRawFd, OwnedFd},
    path::Path,
    time::Instant,
};

const ROOT: &str = "/workspace";

/// What an fd that has something to say is to us.
#[derive(Clone, Copy)]
enum Source {
    Server,
    ToServer,
    Door,
    /// Somebody at the door, by his place there.
    Unproven(usize),
    Children,
    Threads,
    Output(RunKey),
    Stdin(RunKey),
    Leftover(usize),
    Listener(usize),
    Relay(u32),
}

/// How a turn ended.
enum Turn {
    On,
    /// The server says that it is over.
    Over,
    /// The server hung up, gives no sign of life, or said what makes no sense.
    Lost(io::Result<()>),
    /// The server has come, again or for the first time.
    Came(OwnedFd),
}

/// Serves on stdin and stdout until the server hangs up or says so. As the first process of its
/// namespace it takes everything that runs there with it.
pub(crate) fn serve(owner: Option<(u32, u32)>) -> Result<(), String> {
    let children = child_signals().map_err(|error| format!("signals: {error}"))?;
    let pipes = entry::enter(owner).map_err(|error| format!("giving up privileges: {error}"))?;
    let mut calls = calls(Vec::new())?;
    let mut connection = Connection::new(Some(pipes), None);
    entry::silence_stderr().map_err(|error| format!("stderr: {error}"))?;
    let ended = loop {
        match turn(&children, None, &mut connection, &mut calls).map_err(|error| error.to_string())? {
            Turn::On | Turn::Came(_) => {}
            Turn::Over => break Ok(()),
            Turn::Lost(result) => break result,
        }
    };
    calls.runs.kill_all(execd::message::RunOutcome::Signalled(9));
    ended.map_err(|error| error.to_string())
}

/// Serves whoever comes to the door called `name` and is the guest, one at a time and the newest,
/// until it is told that it is over or has been alone for too long. `environment`: of every command, under what the
/// server says.
pub(crate) fn listen(name: &str, guest: Guest, environment: Vec<(String, String)>) -> Result<(), String> {
    let children = child_signals().map_err(|error| format!("signals: {error}"))?;
    entry::enter_container().map_err(|error| format!("giving up privileges: {error}"))?;
    let mut calls = calls(environment)?;
    let threads = calls.workers.numbers().ok_or("there are no threads")?;
    crate::seccomp::install(threads).map_err(|error| format!("the filter of system calls: {error}"))?;
    let mut door = Door::open(name, guest).map_err(|error| format!("{name}: {error}"))?;
    let mut connection = Connection::new(None, None);
    loop {
        let turn = turn(&children, Some(&mut door), &mut connection, &mut calls).map_err(|error| error.to_string())?;
        match turn {
            Turn::On => {}
            Turn::Over => break,
            Turn::Lost(_) => {
                calls.disconnect();
                connection = Connection::new(None, None);
                door.left();
            }
            Turn::Came(socket) => {
                let output = rustix::io::fcntl_dupfd_cloexec(&socket, 10).map_err(|error| error.to_string())?;
                calls.disconnect();
                calls.runs.served_by(carrier(&socket));
                connection = Connection::new(Some(Pipes { input: socket, output }), calls.beat());
            }
        }
        if door.until().is_some_and(|until| Instant::now() >= until) {
            break;
        }
    }
    calls.runs.kill_all(execd::message::RunOutcome::Signalled(9));
    Ok(())
}

/// The process at the other end, where it is of this one's user and namespace: what ends all of that user would end it, too.
fn carrier(socket: &OwnedFd) -> Option<Pid> {
    let peer = rustix::net::sockopt::socket_peercred(socket).ok()?;
    (peer.uid == rustix::process::geteuid() && peer.pid != rustix::process::getpid()).then_some(peer.pid)
}

fn calls(environment: Vec<(String, String)>) -> Result<Calls, String> {
    let root = Path::new(ROOT);
    std::env::set_current_dir(root).map_err(|error| format!("{ROOT}: {error}"))?;
    Calls::new(root, environment).map_err(|error| format!("threads: {error}"))
}

/// Waits for something and does what it asks for. An error is the machine's, not the server's.
fn turn(
    children: &OwnedFd,
    mut door: Option<&mut Door>,
    connection: &mut Connection,
    calls: &mut Calls,
) -> io::Result<Turn> {
    if !connection.lives(Instant::now()) {
        return Ok(Turn::Lost(Err(io::Error::new(io::ErrorKind::TimedOut, "the server gives no sign of life"))));
    }
    if let Err(error) = connection.write() {
        return Ok(Turn::Lost(Err(error)));
    }
    let ready = wait(children, door.as_deref(), connection, calls)?;
    let mut heard = Vec::new();
    for source in ready {
        match source {
            Source::Server => match connection.read(&mut heard) {
                Ok(true) => {}
                Ok(false) => return Ok(Turn::Lost(Ok(()))),
                Err(error) => return Ok(Turn::Lost(Err(error))),
            },
            Source::ToServer => {}
            Source::Door => {
                if let Some(socket) = door.as_mut().and_then(|door| door.answer()) {
                    return Ok(Turn::Came(socket));
                }
            }
            Source::Unproven(index) => {
                if let Some(socket) = door.as_mut().and_then(|door| door.hear(index)) {
                    return Ok(Turn::Came(socket));
                }
            }
            Source::Children => {
                let _ = rustix::io::read(children, &mut [0; 1024]);
            }
            Source::Threads => calls.collect(connection),
            Source::Output(key) => calls.runs.readable(key, calls.output_limit_bytes(), connection),
            Source::Stdin(key) => calls.runs.writable(key),
            Source::Leftover(index) => drain(&mut calls.runs.leftovers, index),
            Source::Listener(index) => calls.relays.accept(index, connection),
            Source::Relay(stream) => {
                calls.relays.readable(stream, connection);
                calls.relays.writable(stream, connection);
            }
        }
    }
    calls.runs.reap();
    for heard in heard {
        match heard {
            Heard::Request { stream, json, attached } => calls.request(stream, json, attached, connection),
            Heard::Cancel(stream) => calls.cancel(stream, connection),
            Heard::Data(stream, bytes) => calls.relays.data(stream, &bytes, connection),
            Heard::End(stream) => calls.relays.end(stream, connection),
            Heard::Shutdown => return Ok(Turn::Over),
        }
    }
    calls.runs.advance(connection);
    calls.look_at_disk(Instant::now());
    Ok(Turn::On)
}

/// Waits until something is ready, or it is time to look again. Leftovers come last first, so
/// that one can be removed without moving those still to come.
fn wait(children: &OwnedFd, door: Option<&Door>, connection: &Connection, calls: &Calls) -> io::Result<Vec<Source>> {
    let mut fds = vec![
        (Source::Children, PollFd::new(children, PollFlags::IN)),
        (Source::Threads, PollFd::from_borrowed_fd(calls.workers.wake(), PollFlags::IN)),
    ];
    if let Some(input) = connection.input() {
        fds.push((Source::Server, PollFd::from_borrowed_fd(input, PollFlags::IN)));
    }
    if let Some(output) = connection.output() {
        fds.push((Source::ToServer, PollFd::from_borrowed_fd(output, PollFlags::OUT)));
    }
    if let Some(door) = door {
        // Last first, so that one can be turned away without moving those still to come.
        let unproven = door.unproven().rev();
        fds.extend(unproven.map(|(index, socket)| (Source::Unproven(index), PollFd::new(socket, PollFlags::IN))));
        fds.push((Source::Door, PollFd::new(&door.listener, PollFlags::IN)));
    }
    for (key, fd, stdin) in calls.runs.watched() {
        let (source, flags) =
            if stdin { (Source::Stdin(key), PollFlags::OUT) } else { (Source::Output(key), PollFlags::IN) };
        fds.push((source, PollFd::new(fd, flags)));
    }
    for (index, fd) in calls.runs.leftovers.iter().enumerate().rev() {
        fds.push((Source::Leftover(index), PollFd::new(fd, PollFlags::IN)));
    }
    for (index, listener) in calls.relays.listeners(connection).enumerate() {
        fds.push((Source::Listener(index), PollFd::new(listener, PollFlags::IN)));
    }
    for (stream, socket, read, write) in calls.relays.watched(connection) {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, read);
        flags.set(PollFlags::OUT, write);
        if !flags.is_empty() {
            fds.push((Source::Relay(stream), PollFd::from_borrowed_fd(socket.as_fd(), flags)));
        }
    }
    let timeout = timeout(door, connection, calls);
    let (sources, mut fds): (Vec<Source>, Vec<PollFd<'_>>) = fds.into_iter().unzip();
    match poll(&mut fds, timeout.as_ref()) {
        Ok(_) => {
            let ready = sources.into_iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
            Ok(ready.map(|(source, _)| source).collect())
        }
        Err(Errno::INTR) => Ok(Vec::new()),
        Err(errno) => Err(errno.into()),
    }
}

/// `None`: nothing happens by itself.
fn timeout(door: Option<&Door>, connection: &Connection, calls: &Calls) -> Option<Timespec> {
    let now = Instant::now();
    let look = calls.runs.next_look(now).into_iter().chain(door.and_then(Door::until)).chain(connection.due()).min();
    let look = look.map(|at| at.saturating_duration_since(now));
    let disk = calls.runs.is_anything_alive().then_some(disk::LOOK_EVERY);
    let wait = look.into_iter().chain(disk).min()?;
    Some(Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: wait.subsec_nanos().into() })
}

/// Reads on what nobody waits for any more, until its writers are gone.
fn drain(leftovers: &mut Vec<OwnedFd>, index: usize) {
    if let Some(fd) = leftovers.get(index)
        && !matches!(rustix::io::read(fd, &mut [0; 16 * 1024]), Ok(1..) | Err(Errno::AGAIN | Errno::INTR))
    {
        leftovers.swap_remove(index);
    }
}

/// An fd that is readable when a child has ended; the signal itself is held back in this process.
fn child_signals() -> io::Result<OwnedFd> {
    #[expect(unsafe_code, reason = "rustix has no signalfd: four plain calls on a set that lives here")]
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

/// Undoes, in a child that is about to become a command, what [`child_signals`] holds back.
pub(crate) fn unblock_signals() -> io::Result<()> {
    #[expect(unsafe_code, reason = "rustix has no sigprocmask: two plain calls on a set that lives here")]
    let result = unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut())
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
