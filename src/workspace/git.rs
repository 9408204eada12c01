//! The one way in which the server runs git: fixed arguments, an emptied environment, no configuration but its
//! own, in its own process group with a time limit.
//!
//! Never on a directory that a workspace could have written. What git says on stderr is kept as
//! the reason, scrubbed of credentials and of this host's paths.

use super::{
    credential::{Handed, KEY_SECONDS, key_text},
    repository::RepositoryError,
};
use crate::secrets::{Redactor, Secret};
use std::{
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// The most of git's stderr that is read, and the most of it that is told.
const STDERR_LIMIT_BYTES: usize = 64 << 10;
const REASON_LIMIT_CHARS: usize = 600;
/// How often a growing directory is measured.
const MEASURE_EVERY: Duration = Duration::from_millis(100);

/// Faults of history that hosts accept and that harm nobody: real repositories have them.
const HARMLESS_FAULTS: [&str; 9] = [
    "zeroPaddedFilemode",
    "badTimezone",
    "badDate",
    "badDateOverflow",
    "badEmail",
    "missingEmail",
    "missingNameBeforeEmail",
    "missingSpaceBeforeDate",
    "missingSpaceBeforeEmail",
];

const NO_AGENT: &str =
    "ssh-agent is not on the service's host: install OpenSSH's client (Debian: apt-get install openssh-client)";

/// How a git command failed.
#[derive(Debug)]
pub(super) enum GitFailure {
    /// git could not be started or spoken to.
    Io(io::Error),
    TimedOut,
    /// It wrote more than it may.
    TooLarge,
    /// Its own words, scrubbed.
    Failed {
        reason: String,
    },
    /// What it gave is not taken.
    Refused(RepositoryError),
}

impl From<io::Error> for GitFailure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// For a command whose failure is no fault of the remote.
pub(super) fn own_failure(doing: &'static str) -> impl Fn(GitFailure) -> RepositoryError {
    move |failure| match failure {
        GitFailure::Io(error) => io_error(doing)(error),
        GitFailure::TimedOut => RepositoryError::Git { doing, reason: "it took too long".to_owned() },
        GitFailure::TooLarge => RepositoryError::TooLarge { what: format!("{doing} gave more than is taken") },
        GitFailure::Failed { reason } => RepositoryError::Git { doing, reason },
        GitFailure::Refused(refused) => refused,
    }
}

/// The machine's own trouble while `doing`.
pub(super) fn io_error(doing: &'static str) -> impl Fn(io::Error) -> RepositoryError {
    move |source| RepositoryError::Io { doing, source: Arc::new(source) }
}

/// What the host's git says of itself.
pub async fn version() -> Result<String, RepositoryError> {
    let output = Git::new(None, ["--version"]).timeout(Duration::from_secs(10)).output().await;
    match output {
        Ok(output) => Ok(String::from_utf8_lossy(&output).trim().to_owned()),
        Err(_) => Err(RepositoryError::Git {
            doing: "running git",
            reason: "install git on this host (Debian: apt-get install git)".to_owned(),
        }),
    }
}

/// One git command to be.
pub(super) struct Git {
    command: Command,
    config: Vec<(String, OsString)>,
    timeout: Duration,
    output_limit_bytes: usize,
    measured: Option<(PathBuf, u64)>,
    also_good: Option<i32>,
    hidden: Vec<String>,
    redactor: Redactor,
    handed: Option<Handed>,
    key: Option<Secret>,
}

impl Git {
    /// `git <arguments>`; `repository` is a bare repository of the server's own.
    pub(super) fn new<I, S>(repository: Option<&Path>, arguments: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        Self::made(repository, "git", arguments.into_iter().map(|argument| argument.as_ref().to_owned()))
    }

    /// `git <arguments>` beside an agent that holds `key` and ends with it.
    pub(super) fn with_key<I, S>(repository: Option<&Path>, arguments: I, key: Secret, handed: Handed) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        // The key comes on stdin, which git does not need.
        let script = format!(
            "ssh-add -q -t {KEY_SECONDS} - || exit 125; git \"$@\" </dev/null; code=$?; \
             kill \"$SSH_AGENT_PID\"; exit $code"
        );
        let mut all: Vec<OsString> = vec!["-a".into(), handed.socket().into()];
        all.extend(["sh", "-c", &script, "git"].map(OsString::from));
        all.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        let mut git = Self::made(repository, "ssh-agent", all.into_iter());
        (git.key, git.handed) = (Some(key), Some(handed));
        git
    }

    fn made(repository: Option<&Path>, program: &str, arguments: impl Iterator<Item = OsString>) -> Self {
        #[expect(clippy::disallowed_methods, reason = "workspace starts processes")]
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs([
                ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
                ("HOME", "/nonexistent"),
                ("LC_ALL", "C"),
                ("TZ", "UTC"),
                ("GIT_CONFIG_NOSYSTEM", "1"),
                ("GIT_CONFIG_GLOBAL", "/dev/null"),
                ("GIT_ATTR_NOSYSTEM", "1"),
                ("GIT_TERMINAL_PROMPT", "0"),
                ("GIT_OPTIONAL_LOCKS", "0"),
                ("GIT_NO_LAZY_FETCH", "1"),
                ("GIT_NO_REPLACE_OBJECTS", "1"),
                ("GIT_PROTOCOL_FROM_USER", "0"),
                ("GIT_ALLOW_PROTOCOL", ""),
            ])
            .current_dir("/")
            .process_group(0)
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(repository) = repository {
            command.env("GIT_DIR", repository);
        }
        let mut config: Vec<(String, OsString)> = [
            ("core.hooksPath", "/dev/null"),
            ("core.fsmonitor", "false"),
            ("core.attributesFile", "/dev/null"),
            ("core.excludesFile", "/dev/null"),
            ("core.sharedRepository", "0644"),
            ("core.quotePath", "false"),
            ("credential.helper", ""),
            ("transfer.fsckObjects", "true"),
            ("fetch.unpackLimit", "1"),
            ("transfer.unpackLimit", "1"),
            ("fastimport.unpackLimit", "1"),
            ("fetch.recurseSubmodules", "false"),
            ("submodule.recurse", "false"),
            ("gc.auto", "0"),
            ("maintenance.auto", "false"),
            ("http.followRedirects", "false"),
            ("http.lowSpeedLimit", "1000"),
            ("http.lowSpeedTime", "30"),
        ]
        .map(|(key, value)| (key.to_owned(), value.into()))
        .into();
        config.extend(HARMLESS_FAULTS.map(|fault| (format!("fetch.fsck.{fault}"), "ignore".into())));
        let hidden = repository.map(|path| path.display().to_string()).into_iter().collect();
        let timeout = Duration::from_secs(60);
        Self {
            command,
            config,
            timeout,
            output_limit_bytes: 64 << 20,
            measured: None,
            also_good: None,
            hidden,
            redactor: Redactor::default(),
            handed: None,
            key: None,
        }
    }

    /// Keeps what the command was handed for as long as it runs.
    pub(super) fn handing(mut self, handed: Handed) -> Self {
        self.handed = Some(handed);
        self
    }

    /// Takes more than what looks like a credential out of every reason.
    pub(super) fn redact(mut self, redactor: Redactor) -> Self {
        self.redactor = redactor;
        self
    }

    pub(super) fn config(mut self, key: &str, value: impl Into<OsString>) -> Self {
        self.config.push((key.to_owned(), value.into()));
        self
    }

    pub(super) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    pub(super) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// An exit code besides 0 that is an answer and no failure.
    pub(super) fn also_good(mut self, code: i32) -> Self {
        self.also_good = Some(code);
        self
    }

    /// Ends the command with [`GitFailure::TooLarge`] when stdout is longer.
    pub(super) fn output_limit(mut self, bytes: usize) -> Self {
        self.output_limit_bytes = bytes;
        self
    }

    /// Ends the command with [`GitFailure::TooLarge`] when files below `directory` come to more than `bytes`.
    pub(super) fn measure(mut self, directory: PathBuf, bytes: u64) -> Self {
        self.measured = Some((directory, bytes));
        self
    }

    /// A text that no reason may show, such as a path of this host.
    pub(super) fn hide(mut self, text: impl Into<String>) -> Self {
        self.hidden.push(text.into());
        self
    }

    /// Runs to the end and gives stdout.
    pub(super) async fn output(self) -> Result<Vec<u8>, GitFailure> {
        let limit = self.output_limit_bytes;
        self.talk(None, |stdout| async move {
            let mut bytes = Vec::new();
            stdout.take(limit as u64 + 1).read_to_end(&mut bytes).await?;
            if bytes.len() > limit { Err(GitFailure::TooLarge) } else { Ok(bytes) }
        })
        .await
    }

    /// Runs with `input` on stdin while `consume` reads stdout. The command is killed when `consume` fails,
    /// the time is up, or the caller goes away.
    pub(super) async fn talk<T, F, R>(mut self, mut input: Option<Input>, consume: F) -> Result<T, GitFailure>
    where
        F: FnOnce(ChildStdout) -> R,
        R: Future<Output = Result<T, GitFailure>>,
    {
        self.command.env("GIT_CONFIG_COUNT", self.config.len().to_string());
        for (index, (key, value)) in self.config.iter().enumerate() {
            self.command.env(format!("GIT_CONFIG_KEY_{index}"), key).env(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        if let Some(key) = self.key.take() {
            input = Some(Input::Bytes(key_text(&key)));
        }
        if input.is_some() {
            self.command.stdin(Stdio::piped());
        }
        let mut child = self.command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound if self.handed.is_some() => GitFailure::Failed { reason: NO_AGENT.to_owned() },
            _ => GitFailure::Io(error),
        })?;
        let mut group = Group::of(&child);
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("git has no stdout"))?;
        let stderr = child.stderr.take().ok_or_else(|| io::Error::other("git has no stderr"))?;
        let stdin = child.stdin.take();
        let consumed = async {
            match consume(stdout).await {
                // what git says is the better reason than a stream that ended early
                Err(GitFailure::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Err(error)),
                other => other.map(Ok),
            }
        };
        let work = async {
            let write = async { feed(stdin, input).await.map_err(GitFailure::Io) };
            let said = async { Ok(read_some(stderr).await) };
            let (consumed, (), said) = tokio::try_join!(consumed, write, said)?;
            let status = child.wait().await?;
            let good = status.success() || (self.also_good.is_some() && status.code() == self.also_good);
            match consumed {
                Ok(value) if good => Ok(value),
                Err(error) if good => Err(GitFailure::Io(error)),
                _ => Err(GitFailure::Failed { reason: reason(&said, &self.hidden, &self.redactor) }),
            }
        };
        let result = tokio::select! {
            result = work => result,
            () = tokio::time::sleep(self.timeout) => Err(GitFailure::TimedOut),
            () = grows_beyond(self.measured.as_ref()) => Err(GitFailure::TooLarge),
        };
        if result.is_ok() {
            group.disarm();
        }
        result
    }
}

/// What a command gets on stdin.
pub(super) enum Input {
    Bytes(Vec<u8>),
    Chunks(tokio::sync::mpsc::Receiver<Vec<u8>>),
}

/// A command's process group, which is killed when this is dropped.
struct Group(Option<rustix::process::Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed())))
    }

    fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // gone already: nothing to kill
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

/// Writes the input to the end and closes the pipe. A command that stopped reading says why itself.
async fn feed(pipe: Option<ChildStdin>, input: Option<Input>) -> io::Result<()> {
    let Some(mut pipe) = pipe else { return Ok(()) };
    let written = match input {
        Some(Input::Bytes(bytes)) => pipe.write_all(&bytes).await,
        Some(Input::Chunks(mut chunks)) => {
            let mut result = Ok(());
            while let Some(chunk) = chunks.recv().await {
                result = pipe.write_all(&chunk).await;
                if result.is_err() {
                    break;
                }
            }
            result
        }
        None => Ok(()),
    };
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Reads to the end and keeps the last part.
async fn read_some(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut chunk = vec![0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut chunk).await {
        kept.extend_from_slice(&chunk[..count]);
        if kept.len() > 2 * STDERR_LIMIT_BYTES {
            kept.drain(..kept.len() - STDERR_LIMIT_BYTES);
        }
    }
    kept
}

/// Ends when the files directly in `directory` come to more than the limit; never without one.
async fn grows_beyond(measured: Option<&(PathBuf, u64)>) {
    let Some((directory, limit)) = measured else { return std::future::pending().await };
    loop {
        tokio::time::sleep(MEASURE_EVERY).await;
        let directory = directory.clone();
        let size = tokio::task::spawn_blocking(move || size_of(&directory)).await.unwrap_or_default();
        if size > *limit {
            return;
        }
    }
}

/// The sum of the sizes of the files directly in `directory`, in bytes.
pub(super) fn size_of(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

/// What git said, in a line that may be shown: without credentials, control characters and this
/// host's paths.
fn reason(stderr: &[u8], hidden: &[String], redactor: &Redactor) -> String {
    let text = redactor.redact_bytes(stderr);
    let text = String::from_utf8_lossy(&text);
    let telling = |line: &&str| {
        ["fatal:", "error:", "remote:", "ssh:", "ERROR:", "! ["].iter().any(|prefix| line.starts_with(prefix))
            || line.contains("Permission denied")
            || line.contains("Host key verification failed")
    };
    let lines: Vec<&str> = text.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut told: Vec<&str> = lines.iter().copied().filter(|line| telling(line)).collect();
    if told.is_empty() {
        told = lines;
    }
    let mut text = told.join("; ");
    for hide in hidden.iter().filter(|hide| hide.len() > 1) {
        text = text.replace(hide.as_str(), "…");
    }
    let text: String = scrub_credentials(&text).chars().filter(|c| !c.is_control()).take(REASON_LIMIT_CHARS).collect();
    if text.is_empty() { "git gave no reason".to_owned() } else { text }
}

/// Replaces what stands between `://` and `@`.
fn scrub_credentials(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        out.push_str(before);
        let authority = after.find(|c: char| c == '/' || c.is_whitespace() || c == '\'').unwrap_or(after.len());
        rest = match after[..authority].rfind('@') {
            Some(at) => {
                out.push_str("***");
                &after[at..]
            }
            None => after,
        };
    }
    out.push_str(rest);
    out
}
