//! What execd does to itself before it hears the server: gives up every privilege, hides its
//! memory from the workspace's other processes, and moves its pipes out of their reach.

use rustix::{
    fs::{Mode, OFlags, fcntl_setfl},
    io::fcntl_dupfd_cloexec,
    process::{DumpableBehavior, Signal},
    thread::{CapabilitySet, CapabilitySets},
};
use std::{io, os::fd::OwnedFd};

const HOME: &str = "/home/agent";

/// The two ends of the server's pipes: not blocking, and closed in every command.
#[derive(Debug)]
pub(crate) struct Pipes {
    pub(crate) input: OwnedFd,
    pub(crate) output: OwnedFd,
}

/// Must be called while there is one thread. `owner`: the uid and gid to become, where execd was
/// started as root.
pub(crate) fn enter(owner: Option<(u32, u32)>) -> io::Result<Pipes> {
    if let Some((uid, gid)) = owner {
        std::os::unix::fs::chown(HOME, Some(uid), Some(gid))?;
        become_user(uid, gid)?;
    }
    hide()?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;

    // Standard streams move to numbers that are closed on exec, and become /dev/null.
    let input = fcntl_dupfd_cloexec(rustix::stdio::stdin(), 10)?;
    let output = fcntl_dupfd_cloexec(rustix::stdio::stdout(), 10)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    fcntl_setfl(&input, OFlags::NONBLOCK)?;
    fcntl_setfl(&output, OFlags::NONBLOCK)?;
    Ok(Pipes { input, output })
}

/// As the first process of a container, which an engine has made for the task's user. The filter of system calls,
/// which bubblewrap gives it elsewhere, comes when its threads are known. Must be called while there is one thread.
pub(crate) fn enter_container() -> io::Result<()> {
    if rustix::process::geteuid().is_root() {
        return Err(io::Error::other("root is not a workspace's user"));
    }
    hide()?;
    // Whoever is orphaned comes to it, even where the engine has put a process of its own in front.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(())
}

fn hide() -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    Ok(())
}

/// stderr carries what goes wrong until the server has heard the hello; after that nobody reads.
pub(crate) fn silence_stderr() -> io::Result<()> {
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}

/// Gives up root and every capability. Must be called while there is one thread.
pub(crate) fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    use rustix::thread::{Gid, Uid};
    if uid == 0 || uid == u32::MAX || gid == 0 || gid == u32::MAX {
        return Err(io::Error::other("root is not a workspace's user"));
    }
    for capability in CapabilitySet::all().iter() {
        // Those that the kernel does not know are not there to be dropped.
        let _ = rustix::thread::remove_capability_from_bounding_set(capability);
    }
    rustix::thread::set_thread_groups(&[])?;
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(())
}
