//! Starts one command: a shell in a session of its own, its output on one pipe.

use crate::{connection::refused, files};
use execd::message::{Command, Configure, Failure, FailureKind};
use rustix::{
    fs::{OFlags, fcntl_setfl},
    pipe::{PipeFlags, pipe_with},
    process::{Pid, Resource, Rlimit, setrlimit},
};
use std::{
    io,
    os::{fd::OwnedFd, unix::process::CommandExt},
    path::Path,
    process::Stdio,
};

const COMMAND_LIMIT_BYTES: usize = 128 * 1024 - 1;
/// Of every command, unless the server says otherwise: nobody is there to answer, page or admire.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("CI", "1"),
    ("DEBIAN_FRONTEND", "noninteractive"),
    ("GIT_EDITOR", "true"),
    ("GIT_PAGER", "cat"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("HOME", "/home/agent"),
    ("LANG", "C.UTF-8"),
    ("LOGNAME", "agent"),
    ("NO_COLOR", "1"),
    ("PAGER", "cat"),
    ("PATH", "/usr/local/bin:/usr/bin:/bin"),
    ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
    ("PYTHONUNBUFFERED", "1"),
    ("TERM", "dumb"),
    ("TMPDIR", "/tmp"),
    ("USER", "agent"),
];

/// Of a command at least; execd's own is less.
const COMMAND_OOM_SCORE: i32 = 500;

/// A started command; nobody but execd's own reaper waits for it.
#[derive(Debug)]
pub(crate) struct Spawned {
    /// Also its process group and its session.
    pub(crate) pid: Pid,
    /// stdout and stderr, not blocking.
    pub(crate) output: OwnedFd,
    pub(crate) stdin: Option<OwnedFd>,
}

/// `talk`: what becomes its stdin and stdout; its output is then stderr alone.
pub(crate) fn spawn(
    command: &Command,
    configure: &Configure,
    root: &Path,
    talk: Option<&OwnedFd>,
) -> Result<Spawned, Failure> {
    if command.command.len() > COMMAND_LIMIT_BYTES {
        return Err(refused("the command is longer than 128 KiB: write it to a file and run that"));
    }
    let directory = match &command.workdir {
        Some(path) => files::absolute(root, path)?,
        None => root.to_owned(),
    };
    if !directory.is_dir() {
        let what = command.workdir.clone().unwrap_or_default();
        return Err(Failure { kind: FailureKind::NotFound, what, why: "no such directory".to_owned() });
    }
    start(command, configure, &directory, talk).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => refused("no more processes can be started: end some of those that run"),
        io::ErrorKind::InvalidInput => refused("the command or its environment holds a NUL byte"),
        _ => Failure { kind: FailureKind::Io, what: "starting the command".to_owned(), why: error.to_string() },
    })
}

fn start(command: &Command, configure: &Configure, directory: &Path, talk: Option<&OwnedFd>) -> io::Result<Spawned> {
    let (output, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    fcntl_setfl(&output, OFlags::NONBLOCK)?;
    let mut stdout = Stdio::from(writer.try_clone()?);
    let (stdin, stdin_pipe) = if let Some(talk) = talk {
        stdout = Stdio::from(talk.try_clone()?);
        (Stdio::from(talk.try_clone()?), None)
    } else if command.stdin {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        fcntl_setfl(&writer, OFlags::NONBLOCK)?;
        (Stdio::from(reader), Some(writer))
    } else {
        (Stdio::null(), None)
    };
    let shell = if Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" };
    let mut shell = std::process::Command::new(shell);
    shell.arg("-c").arg(&command.command).current_dir(directory).env_clear();
    shell.envs(ENVIRONMENT.iter().copied());
    let pairs = configure.env.iter().chain(&command.env).filter(|(name, _)| is_name(name));
    shell.envs(pairs.map(|(name, value)| (name, value)));
    shell.stdin(stdin).stdout(stdout).stderr(Stdio::from(writer));

    let limits = [
        (Resource::Core, Some(0)),
        (Resource::Fsize, Some(configure.disk_bytes)),
        (Resource::Nproc, configure.pids),
        (Resource::Data, configure.data_bytes),
    ];
    let prepare = move || {
        own_session()?;
        crate::serve::unblock_signals()?;
        for (resource, limit) in limits {
            if limit.is_some() {
                setrlimit(resource, Rlimit { current: limit, maximum: limit })?;
            }
        }
        Ok(())
    };
    #[expect(unsafe_code, reason = "between fork and exec it makes system calls alone: no lock, no allocation")]
    unsafe {
        shell.pre_exec(prepare);
    }
    let child = shell.spawn()?;
    let pid = Pid::from_raw(child.id().cast_signed()).ok_or_else(|| io::Error::other("no process id"))?;
    // So that the kernel, short of memory, takes a command and not execd, which a kubelet gives nearly the highest score
    // itself. It may be gone already.
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").ok().and_then(|text| text.trim().parse::<i32>().ok());
    let score = own.map_or(COMMAND_OOM_SCORE, |own| (own + 1).clamp(COMMAND_OOM_SCORE, 1_000));
    let _ = std::fs::write(format!("/proc/{}/oom_score_adj", child.id()), score.to_string());
    Ok(Spawned { pid, output, stdin: stdin_pipe })
}

/// Some kernels (gVisor's) answer this with 0 and not with a process, which rustix does not take.
fn own_session() -> io::Result<()> {
    #[expect(unsafe_code, reason = "one plain call without arguments")]
    let session = unsafe { libc::setsid() };
    if session < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}
