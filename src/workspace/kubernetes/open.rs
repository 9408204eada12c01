//! Makes Pods, connects to the execd in them, ends them, and finds those that an earlier server left.

use super::{
    cluster::{Cluster, ClusterError},
    examine,
    pod::{self, CONTAINER, DOOR, EXECD_INSIDE, LABEL_INSTANCE, LABEL_OURS, Shape},
    settings::KubernetesSettings,
    start::{self, NotStarted, Seen, did_not_start, mend},
};
use crate::workspace::{
    OpenSandbox, Workspace, WorkspaceError,
    backend::{Pipe, Started, complain, setup},
    calls::WORKSPACE,
    carried::Carrier,
    docker::ExaminedImages,
    git::size_of,
    image_names::Named,
    roll::Roll,
};
use execd::{
    carry::Limits,
    message::{Configure, PROOF_BYTES, proof_digest},
};
use k8s_openapi::api::core::v1;
use kube::api::{AttachParams, AttachedProcess, DeleteParams, ListParams, PostParams};
use std::{
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    sync::{Semaphore, oneshot},
    time::{Instant, sleep},
};

/// Pods that are asked for at once; how many then come up at once is the cluster's affair.
const STARTS_MAX: usize = 16;
/// What the websocket's ends hold.
const BUFFER_BYTES: usize = 64 * 1024;
/// How long the removal of a Pod is tried.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(10);
const REMOVAL_LOOK: Duration = Duration::from_millis(100);
/// Between two tries to make a Pod for which there is no room in the quota.
const QUOTA_LOOK: Duration = Duration::from_secs(2);
const NAMES_MAX: u32 = 3;
/// Pods that may be taken away before they run until a workspace fails.
const LOST_MAX: u32 = 2;
/// Users for Pods where the service is not root and gives none.
const USERS: u32 = 65_536;
/// Pods of one page of a list, and pages.
const PAGE: u32 = 500;
const PAGES_MAX: usize = 100;
/// Of what is brought back.
const ENTRIES_MAX: u64 = 2_000_000;

/// All Pods of one service. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::workspace) struct Kubernetes(Arc<Service>);

#[derive(Debug)]
struct Service {
    cluster: Cluster,
    /// The first of the uids that Pods get.
    uid_base: u32,
    roll: Roll,
    starts: Semaphore,
    examined: ExaminedImages,
}

/// One Pod.
#[derive(Clone)]
pub(in crate::workspace) struct Pod {
    cluster: Cluster,
    name: String,
    /// What opens execd's door.
    proof: [u8; PROOF_BYTES],
}

impl std::fmt::Debug for Pod {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pod").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Kubernetes {
    /// Asks the cluster nothing.
    pub(in crate::workspace) fn new(settings: KubernetesSettings, uid_base: u32, roll: Roll) -> Self {
        let starts = Semaphore::new(STARTS_MAX);
        let examined = ExaminedImages::new(&settings.image);
        Self(Arc::new(Service { cluster: Cluster::new(settings), uid_base, roll, starts, examined }))
    }

    /// Starts an empty Pod, with what its execd is to be told first. Cancel safe.
    pub(in crate::workspace) async fn start(
        &self,
        open: OpenSandbox,
        owner: Option<(u32, u32)>,
    ) -> Result<(Started, Configure), WorkspaceError> {
        let this = self.clone();
        let (answer, receiver) = oneshot::channel();
        // Goes on by itself: what the cluster has begun has to be ended by somebody.
        tokio::spawn(async move {
            if let Err(Ok((Started { body, ended, .. }, _))) = answer.send(this.make(&open, owner).await) {
                body.bury().await;
                let _ = ended.send(true);
            }
        });
        receiver.await.map_err(setup)?
    }

    async fn make(
        &self,
        open: &OpenSandbox,
        owner: Option<(u32, u32)>,
    ) -> Result<(Started, Configure), WorkspaceError> {
        let Service { cluster, roll, starts, .. } = &*self.0;
        let allowed = cluster.settings.allowed();
        let Named { name: image, anywhere } = allowed.named(open.image.as_deref())?;
        if let Some(reference) = &anywhere {
            allowed.look_up(reference, open.image.as_deref().unwrap_or(&image)).await?;
        }
        let carried = carried(open).await?;
        let user = owner.unwrap_or_else(|| self.any_user());
        let proof = crate::clock::random_bytes();
        let digest = proof_digest(&proof);
        let shape = Shape { name: "", image: &image, user, digest: &digest, carried: &carried };
        let mut lost = 0;
        let (pod, ended, pipe) = loop {
            let turn = starts.acquire().await.map_err(setup)?;
            let (pod, ended) = create(cluster, roll, open, &shape, proof).await?;
            drop(turn);
            let error = match pod.come_up().await {
                Ok(pipe) => break (pod, ended, pipe),
                Err(error) => error,
            };
            pod.bury().await;
            match error {
                NotStarted::TakenAway(error) if lost < LOST_MAX => {
                    lost += 1;
                    tracing::warn!(error = %error, "another Pod is asked for");
                }
                NotStarted::TakenAway(error) | NotStarted::Failed(error) => return Err(error),
            }
        };
        let started = Started { pipe, body: pod.into(), complaint: None, ended };
        Ok((started, self.configure(open)))
    }

    /// Two Pods on a node that have one share what the kernel counts by user, and nothing else.
    fn any_user(&self) -> (u32, u32) {
        let random = u32::from(u16::from_le_bytes(crate::clock::random_bytes()));
        let uid = self.0.uid_base.saturating_add(random % USERS);
        (uid, uid)
    }

    fn configure(&self, open: &OpenSandbox) -> Configure {
        let bounded = self.0.examined.bounds_memory();
        Configure {
            env: open.env.clone(),
            pids: Some(u64::from(open.limits.pids)),
            processes: u64::from(open.limits.pids),
            data_bytes: (!bounded).then_some(open.limits.memory_bytes),
            disk_bytes: open.limits.disk_bytes,
            output_bytes: open.limits.output_bytes,
            heartbeat_ms: None,
        }
    }

    /// Carries into an open workspace what it was opened over.
    pub(in crate::workspace) async fn fill(
        &self,
        workspace: &Workspace,
        copy: PathBuf,
        mirrors: Vec<(PathBuf, PathBuf)>,
    ) -> Result<(), WorkspaceError> {
        let carrier = Carrier { workspace, execd: EXECD_INSIDE };
        for (host, inside) in mirrors {
            carrier.carry_in(host, &inside).await?;
        }
        carrier.carry_in(copy, Path::new(WORKSPACE)).await.map_err(|error| match error {
            WorkspaceError::Io { what, why } if what == "starting the command" => WorkspaceError::Setup {
                what: format!("its image has no shell ({why})"),
                mend: "choose an image with /bin/sh: without one neither checks nor commands can run".to_owned(),
            },
            error => error,
        })
    }

    /// Brings what is in a working copy but its `.git` to an empty directory of this host.
    pub(in crate::workspace) async fn bring_back(
        &self,
        workspace: &Workspace,
        to: PathBuf,
        limit_bytes: u64,
    ) -> Result<(), WorkspaceError> {
        let limits = Limits { bytes: limit_bytes, entries: ENTRIES_MAX };
        let carrier = Carrier { workspace, execd: EXECD_INSIDE };
        carrier.carry_out(Path::new(WORKSPACE), ".git", to, limits).await
    }

    /// Removes Pods of this service that belong to no open workspace, and those of any that have ended; how many.
    pub(in crate::workspace) async fn sweep(&self) -> Result<u32, WorkspaceError> {
        let Service { cluster, roll, .. } = &*self.0;
        let selector = format!("{}={}", LABEL_OURS.0, LABEL_OURS.1);
        let mut strays = Vec::new();
        let mut page = ListParams::default().labels(&selector).limit(PAGE);
        for _ in 0..PAGES_MAX {
            let listing = cluster.ask_pods(|pods| {
                let page = page.clone();
                async move { pods.list(&page).await }
            });
            let listed = listing.await.map_err(|error| cluster.explain(&error))?;
            // After the list: what was entered before it was made is seen here.
            let present = roll.present().names;
            let is_stray = |pod: &v1::Pod| {
                let name = pod.metadata.name.as_ref()?;
                let instance = pod.metadata.labels.as_ref().and_then(|labels| labels.get(LABEL_INSTANCE));
                let ours = instance.is_some_and(|instance| *instance == cluster.settings.instance);
                let over = pod.status.as_ref().and_then(|status| status.phase.as_deref());
                let over = matches!(over, Some("Succeeded" | "Failed"));
                ((ours || over) && !present.contains(name)).then(|| name.clone())
            };
            strays.extend(listed.items.iter().filter_map(is_stray));
            match listed.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => break,
            }
        }
        let mut removed = 0;
        for name in strays {
            let stray = Pod { cluster: cluster.clone(), name, proof: [0; PROOF_BYTES] };
            match stray.remove().await {
                Ok(()) => removed += 1,
                Err(error) => {
                    tracing::warn!(pod = %stray.name, error = %error, "a Pod of an earlier server could not be removed");
                }
            }
        }
        Ok(removed)
    }

    /// Looks around in an open workspace whose working copy holds the file `mark` with that content alone.
    pub(in crate::workspace) async fn examine(
        &self,
        workspace: &Workspace,
        image: Option<&str>,
        mark: &str,
    ) -> Result<(), WorkspaceError> {
        let name = self.0.examined.name(image);
        let examined = examine::examine(workspace, name, mark, &self.0.cluster).await?;
        self.0.examined.insert(image, examined);
        Ok(())
    }

    /// What was seen in workspaces, by their images.
    pub(in crate::workspace) fn examined(&self) -> &ExaminedImages {
        &self.0.examined
    }
}

/// Has it made, under a name that nobody has, waiting for room in the namespace's quota.
async fn create(
    cluster: &Cluster,
    roll: &Roll,
    open: &OpenSandbox,
    shape: &Shape<'_>,
    proof: [u8; PROOF_BYTES],
) -> Result<(Pod, tokio::sync::watch::Sender<bool>), WorkspaceError> {
    let begun = Instant::now();
    let mut names = 0;
    loop {
        let random = crate::clock::random_bytes::<4>().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        let name = format!("journeyman-{}-{random}", open.task);
        let pod = Pod { cluster: cluster.clone(), name: name.clone(), proof };
        let ended = roll.enter(open.task, name, None);
        let body = pod::pod(&cluster.settings, open, &Shape { name: &pod.name, ..*shape });
        let body: v1::Pod = serde_json::from_value(body).map_err(setup)?;
        let made = cluster.patiently(|| {
            cluster.ask_pods(|pods| {
                let body = body.clone();
                async move { pods.create(&PostParams::default(), &body).await.map(drop) }
            })
        });
        let error = match made.await {
            Ok(()) => return Ok((pod, ended)),
            Err(error) => error,
        };
        match &error {
            // Asked for twice, because an answer was lost, or somebody else's.
            ClusterError::Answered { status: 409, .. } if names < NAMES_MAX => {
                names += 1;
                let _ = pod.remove().await;
            }
            ClusterError::Answered { status: 403, message, .. }
                if message.contains("exceeded quota") && begun.elapsed() < cluster.settings.start_time =>
            {
                tracing::debug!(error = %error, "a Pod waits for room in the quota");
                sleep(QUOTA_LOOK).await;
            }
            _ => {
                // It may have been made all the same: what is left of the attempt goes now, or with the next sweep.
                if matches!(error, ClusterError::Away(_) | ClusterError::Slow) {
                    let _ = pod.remove().await;
                }
                return Err(cluster.explain(&error));
            }
        }
    }
}

/// What is carried in beside the working copy, and how large it is.
async fn carried(open: &OpenSandbox) -> Result<Vec<(String, bool, u64)>, WorkspaceError> {
    let mirrors = open.mirrors.clone();
    let looking = tokio::task::spawn_blocking(move || {
        let look = |(host, inside): &(PathBuf, PathBuf)| {
            let metadata = std::fs::metadata(host)?;
            let packs = host.join("pack");
            let bytes = if metadata.is_dir() { size_of(host) + size_of(&packs) } else { metadata.len() };
            Ok((inside.to_string_lossy().into_owned(), metadata.is_dir(), bytes))
        };
        mirrors.iter().map(look).collect::<io::Result<Vec<_>>>()
    });
    looking.await.map_err(setup)?.map_err(setup)
}

impl Pod {
    /// Waits until it runs and connects to it.
    async fn come_up(&self) -> Result<Pipe, NotStarted> {
        start::wait(&self.cluster, &self.name).await?;
        self.reconnect().await.map_err(|why| did_not_start(&why, mend(&why)).into())
    }

    async fn connect(&self) -> Result<Pipe, ClusterError> {
        let parameters = AttachParams::default()
            .container(CONTAINER)
            .stdin(true)
            .stdout(true)
            .stderr(false)
            .max_stdin_buf_size(BUFFER_BYTES)
            .max_stdout_buf_size(BUFFER_BYTES);
        let command = [EXECD_INSIDE, "connect", DOOR];
        let mut process =
            self.cluster.ask_pods(|pods| async move { pods.exec(&self.name, command, &parameters).await }).await?;
        let cut = || ClusterError::Away("it did not attach".to_owned());
        let (output, mut input) = process.stdout().zip(process.stdin()).ok_or_else(cut)?;
        input.write_all(&self.proof).await.map_err(|error| ClusterError::Away(error.to_string()))?;
        let reader = Attached { output: Box::new(output), process };
        Ok(Pipe { reader: Box::new(reader), writer: Box::new(input) })
    }

    /// A new stream to the same execd; why there will be none any more.
    pub(in crate::workspace) async fn reconnect(&self) -> Result<Pipe, String> {
        let connected = self.cluster.patiently(|| async move {
            match self.end().await? {
                Some(why) => Ok(Err(why)),
                None => self.connect().await.map(Ok),
            }
        });
        connected.await.unwrap_or_else(|error| Err(format!("the cluster's API server {error}")))
    }

    /// Why it does not run any more; absent: it runs.
    async fn end(&self) -> Result<Option<String>, ClusterError> {
        match self.cluster.ask_pods(|pods| async move { pods.get(&self.name).await }).await {
            Ok(pod) => Ok(match Seen::of(&pod) {
                Seen::Over(why) => Some(why),
                _ => None,
            }),
            Err(error) if error.is_status(404) => Ok(Some("its Pod is no more".to_owned())),
            Err(error) => Err(error),
        }
    }

    /// Takes it out of the cluster. Its node ends what still runs of it, without anybody waiting.
    async fn remove(&self) -> Result<(), ClusterError> {
        let until = Instant::now() + REMOVAL_PATIENCE;
        loop {
            let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
            let removing =
                self.cluster.ask_pods(|pods| async move { pods.delete(&self.name, &at_once).await.map(drop) });
            match removing.await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_status(404) => return Ok(()),
                Err(error @ (ClusterError::Away(_) | ClusterError::Slow)) if Instant::now() < until => {
                    tracing::debug!(pod = %self.name, error = %error, "a Pod cannot be removed yet");
                }
                Err(ClusterError::Answered { status: 409 | 429 | 500.., .. }) if Instant::now() < until => {}
                Err(error) => return Err(error),
            }
            sleep(REMOVAL_LOOK).await;
        }
    }

    /// Ends it. Where the cluster is away it is left to a sweep, and to execd, which ends when nobody comes.
    pub(in crate::workspace) async fn bury(self) {
        if let Err(error) = self.remove().await {
            tracing::warn!(pod = %self.name, error = %error, "the Pod of a closed workspace could not be removed");
        }
    }
}

/// Why a workspace did not start.
pub(in crate::workspace) fn explain(said: &str, why: &str) -> WorkspaceError {
    complain(said, why, "see the Pod's events and its node's log (kubectl describe pod)")
}

/// What the server is attached to. Dropped, the connection is cut.
struct Attached {
    output: Box<dyn AsyncRead + Send + Unpin>,
    process: AttachedProcess,
}

impl AsyncRead for Attached {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_read(context, bytes)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.process.abort();
    }
}
