//! What makes sandboxes: bubblewrap on this host, a container engine, or a cluster. Each gives a stream of
//! bytes to the execd inside and something that can be ended; all else is the same.

#[cfg(feature = "kubernetes")]
use super::kubernetes::{self, Kubernetes, Pod};
use super::{
    Capabilities, OpenSandbox, Workspace, WorkspaceError,
    bubblewrap::{self, Bubblewrap, Outer},
    docker::{self, Container, Docker},
};
use execd::message::Configure;
use std::{path::Path, sync::Arc};
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
    Container(Container),
    #[cfg(feature = "kubernetes")]
    Pod(Pod),
}

#[derive(Debug)]
pub(super) enum Backend {
    Bubblewrap(Bubblewrap),
    Docker {
        docker: Docker,
        /// For what runs in a sandbox and is no task's, where this machine has it.
        bubblewrap: Option<Bubblewrap>,
    },
    #[cfg(feature = "kubernetes")]
    Kubernetes {
        kubernetes: Kubernetes,
        /// As with an engine.
        bubblewrap: Option<Bubblewrap>,
    },
}

impl Backend {
    pub(super) fn capabilities(&self) -> Capabilities {
        match self {
            Self::Bubblewrap(bubblewrap) => bubblewrap.capabilities(),
            Self::Docker { docker, .. } => docker.examined().capabilities(),
            #[cfg(feature = "kubernetes")]
            Self::Kubernetes { kubernetes, .. } => kubernetes.examined().capabilities(),
        }
    }

    /// Programs that every sandbox has, or each of an image; absent: they are not known yet.
    pub(super) async fn programs(&self, image: Option<&str>) -> Option<Arc<[String]>> {
        match self {
            Self::Bubblewrap(bubblewrap) => Some(bubblewrap.programs().await),
            Self::Docker { docker, .. } => docker.examined().programs(image),
            #[cfg(feature = "kubernetes")]
            Self::Kubernetes { kubernetes, .. } => kubernetes.examined().programs(image),
        }
    }

    /// Looks whether a workspace that was opened to be tried is fit. Its working copy holds the file
    /// `mark` with that content.
    pub(super) async fn examine(
        &self,
        workspace: &Workspace,
        image: Option<&str>,
        mark: &str,
    ) -> Result<(), WorkspaceError> {
        match self {
            Self::Bubblewrap(_) => Ok(()),
            Self::Docker { docker, .. } => docker.examine(workspace, image, mark).await,
            #[cfg(feature = "kubernetes")]
            Self::Kubernetes { kubernetes, .. } => kubernetes.examine(workspace, image, mark).await,
        }
    }

    /// Working copies are directories of this host while they are open, too, and stay when they are not.
    pub(super) fn keeps_copies(&self) -> bool {
        match self {
            Self::Bubblewrap(_) | Self::Docker { .. } => true,
            #[cfg(feature = "kubernetes")]
            Self::Kubernetes { .. } => false,
        }
    }

    /// What is made in a workspace is a file of this host, and somebody else says whose.
    pub(super) fn may_map_users(&self) -> bool {
        matches!(self, Self::Docker { .. })
    }

    /// Carries into a workspace what it was opened over, where it does not see it.
    #[cfg_attr(
        not(feature = "kubernetes"),
        expect(clippy::unused_async, reason = "who shares this host's files has nothing to carry")
    )]
    pub(super) async fn fill(&self, workspace: &Workspace, open: OpenSandbox) -> Result<(), WorkspaceError> {
        match self {
            Self::Bubblewrap(_) | Self::Docker { .. } => {
                let _ = (workspace, open);
                Ok(())
            }
            #[cfg(feature = "kubernetes")]
            Self::Kubernetes { kubernetes, .. } => kubernetes.fill(workspace, open.copy, open.mirrors).await,
        }
    }

    #[cfg_attr(
        not(feature = "kubernetes"),
        expect(clippy::unused_async, reason = "who shares this host's files has nothing to bring")
    )]
    /// Brings what is in a workspace's copy but its `.git` to `copy` on this host, where it is not there already: what
    /// was there is replaced. At most so many bytes.
    pub(super) async fn bring_back(
        &self,
        workspace: &Workspace,
        copy: &Path,
        limit_bytes: u64,
    ) -> Result<(), WorkspaceError> {
        match self {
            Self::Bubblewrap(_) | Self::Docker { .. } => {
                let _ = (workspace, copy, limit_bytes);
                Ok(())
            }
            #[cfg(feature = "kubernetes")]
            Self::Kubernetes { kubernetes, .. } => {
                let directory = copy.to_owned();
                let fresh = move || super::remove_tree(&directory).and_then(|()| std::fs::create_dir_all(&directory));
                tokio::task::spawn_blocking(fresh).await.map_err(setup)?.map_err(setup)?;
                kubernetes.bring_back(workspace, copy.to_owned(), limit_bytes).await
            }
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
            Self::Docker { docker, .. } => docker.start(open, owner).await,
            #[cfg(feature = "kubernetes")]
            Self::Kubernetes { kubernetes, .. } => kubernetes.start(open, owner).await,
        }
    }

    /// What sandboxes of an image are made from at the moment, by content; nothing where there are no images.
    ///
    /// # Errors
    /// Where it is not here, or cannot be asked for.
    pub(super) async fn made_from(&self, image: Option<&str>) -> Result<Option<String>, WorkspaceError> {
        match self {
            Self::Bubblewrap(_) => Ok(None),
            Self::Docker { docker, .. } => docker.image_id(image).await.map(Some),
            // Nothing is kept ready there.
            #[cfg(feature = "kubernetes")]
            Self::Kubernetes { .. } => Ok(None),
        }
    }

    /// The bubblewrap of this machine, for what runs in a sandbox and is no task's.
    pub(super) fn bubblewrap(&self) -> Option<&Bubblewrap> {
        match self {
            Self::Bubblewrap(bubblewrap) => Some(bubblewrap),
            Self::Docker { bubblewrap, .. } => bubblewrap.as_ref(),
            #[cfg(feature = "kubernetes")]
            Self::Kubernetes { bubblewrap, .. } => bubblewrap.as_ref(),
        }
    }

    /// Ends what runs of sandboxes that are not open; how many processes or containers.
    pub(super) async fn sweep(&self) -> Result<u32, WorkspaceError> {
        let processes = match self.bubblewrap() {
            Some(bubblewrap) => bubblewrap.sweep().await?,
            None => 0,
        };
        match self {
            Self::Bubblewrap(_) => Ok(processes),
            Self::Docker { docker, .. } => Ok(processes + docker.sweep().await?),
            #[cfg(feature = "kubernetes")]
            Self::Kubernetes { kubernetes, .. } => Ok(processes + kubernetes.sweep().await?),
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
            Self::Docker { .. } => docker::explain(said.trim(), why),
            #[cfg(feature = "kubernetes")]
            Self::Kubernetes { .. } => kubernetes::explain(said.trim(), why),
        }
    }
}

impl Body {
    /// Whether a lost stream can be made again while it lives.
    pub(super) fn outlives_its_pipe(&self) -> bool {
        !matches!(self, Self::Process(_))
    }

    /// A new stream to the same execd; why there will be none any more.
    pub(super) async fn reconnect(&self) -> Result<Pipe, String> {
        match self {
            Self::Process(_) => Err("its first process ended".to_owned()),
            Self::Container(container) => container.reconnect().await,
            #[cfg(feature = "kubernetes")]
            Self::Pod(pod) => pod.reconnect().await,
        }
    }

    /// Ends what is left of it.
    pub(super) async fn bury(self) {
        match self {
            Self::Process(outer) => outer.bury().await,
            Self::Container(container) => container.bury().await,
            #[cfg(feature = "kubernetes")]
            Self::Pod(pod) => pod.bury().await,
        }
    }
}

impl From<Outer> for Body {
    fn from(outer: Outer) -> Self {
        Self::Process(outer)
    }
}

#[cfg(feature = "kubernetes")]
impl From<Pod> for Body {
    fn from(pod: Pod) -> Self {
        Self::Pod(pod)
    }
}

impl From<Container> for Body {
    fn from(container: Container) -> Self {
        Self::Container(container)
    }
}

pub(super) fn complain(said: &str, why: &str, mend: &str) -> WorkspaceError {
    let what = format!("a sandbox could not be started: {}", if said.is_empty() { why } else { said });
    WorkspaceError::Setup { what, mend: mend.to_owned() }
}

pub(super) fn setup(error: impl std::fmt::Display) -> WorkspaceError {
    complain("", &error.to_string(), "see the log")
}
