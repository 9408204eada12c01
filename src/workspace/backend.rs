//! What makes sandboxes: bubblewrap on this host, or a container engine. Each gives a stream of
//! bytes to the execd inside and something that can be ended; all else is the same.

use super::{
    Capabilities, OpenSandbox, WorkspaceError,
    bubblewrap::{self, Bubblewrap, Outer},
};
use execd::message::Configure;
use std::sync::Arc;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    sync::watch,
    time::{Duration, timeout},
};

/// What of a complaint is kept.
const COMPLAINT_LIMIT_BYTES: u64 = 4096;

pub(super) type Reader = Box<dyn AsyncRead + Send + Unpin>;
pub(super) type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// Bytes from execd and to it.
pub(super) struct Pipe {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
}

/// A sandbox whose execd has not been heard yet.
pub(super) struct Started {
    pub(super) pipe: Pipe,
    pub(super) body: Body,
    /// Tells why it does not start, if it does not.
    pub(super) complaint: Option<Reader>,
    /// To be set to true when nothing of it is left.
    pub(super) ended: watch::Sender<bool>,
}

/// What a sandbox is to this host.
#[derive(Debug)]
pub(super) enum Body {
    Process(Outer),
}

#[derive(Debug)]
pub(super) enum Backend {
    Bubblewrap(Bubblewrap),
}

impl Backend {
    pub(super) fn capabilities(&self) -> Capabilities {
        match self {
            Self::Bubblewrap(bubblewrap) => bubblewrap.capabilities(),
        }
    }

    /// Programs that every sandbox has.
    pub(super) async fn programs(&self) -> Arc<[String]> {
        match self {
            Self::Bubblewrap(bubblewrap) => bubblewrap.programs().await,
        }
    }

    /// `owner`: the task's own uid and gid, where the server is root. With what execd is to be told first.
    pub(super) async fn start(
        &self,
        open: OpenSandbox,
        owner: Option<(u32, u32)>,
    ) -> Result<(Started, Configure), WorkspaceError> {
        match self {
            Self::Bubblewrap(bubblewrap) => {
                let configure = bubblewrap.configure(&open);
                Ok((bubblewrap.start(open, owner).await?, configure))
            }
        }
    }

    /// The bubblewrap of this machine, for what runs in a sandbox and is no task's.
    pub(super) fn bubblewrap(&self) -> &Bubblewrap {
        match self {
            Self::Bubblewrap(bubblewrap) => bubblewrap,
        }
    }

    /// Ends what runs of sandboxes that are not open; how many processes or containers.
    pub(super) async fn sweep(&self) -> Result<u32, WorkspaceError> {
        match self {
            Self::Bubblewrap(bubblewrap) => bubblewrap.sweep().await,
        }
    }

    /// Why a sandbox did not start: what it said if it said anything, else `why`.
    pub(super) async fn explain(&self, complaint: Option<Reader>, why: &str) -> WorkspaceError {
        let mut said = Vec::new();
        if let Some(complaint) = complaint {
            let mut complaint = complaint.take(COMPLAINT_LIMIT_BYTES);
            let _ = timeout(Duration::from_secs(1), complaint.read_to_end(&mut said)).await;
        }
        let said = String::from_utf8_lossy(&said);
        match self {
            Self::Bubblewrap(_) => bubblewrap::explain(said.trim(), why),
        }
    }
}

impl Body {
    /// Ends what is left of it.
    pub(super) async fn bury(self) {
        match self {
            Self::Process(outer) => outer.bury().await,
        }
    }
}

impl From<Outer> for Body {
    fn from(outer: Outer) -> Self {
        Self::Process(outer)
    }
}

pub(super) fn complain(said: &str, why: &str, mend: &str) -> WorkspaceError {
    let what = format!("a sandbox could not be started: {}", if said.is_empty() { why } else { said });
    WorkspaceError::Setup { what, mend: mend.to_owned() }
}

pub(super) fn setup(error: impl std::fmt::Display) -> WorkspaceError {
    complain("", &error.to_string(), "see the log")
}
