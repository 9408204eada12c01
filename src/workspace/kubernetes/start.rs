//! How a Pod comes to run, and what is in its way: the last is told in words that an operator can act on.

use super::{
    cluster::{Cluster, ClusterError},
    pod::CONTAINER,
};
use crate::workspace::WorkspaceError;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod, PodStatus};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two looks at a Pod that does not run yet: short at first, because most are soon there.
const LOOK_FIRST: Duration = Duration::from_millis(100);
const LOOK_LAST: Duration = Duration::from_secs(1);
/// What of a message of the cluster's is told.
const MESSAGE_CHARS_MAX: usize = 400;

/// Why a container waits that the node cannot make, and will not be able to.
const HOPELESS: &[&str] = &["InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError", "RunContainerError"];
/// The same, where the node tries again.
const UNFETCHED: &[&str] = &["ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable"];

/// What a look at a Pod shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// execd is there, or about to be.
    Runs,
    /// Nothing is known yet, or it is on its way.
    Comes,
    /// No node has room for it; the scheduler's words.
    Unscheduled(String),
    /// An image is not fetched; the image and the node's words.
    Unfetched { image: String, why: String },
    /// It will not run any more, or never; why.
    Over(String),
}

impl Seen {
    pub(super) fn of(pod: &Pod) -> Self {
        if pod.metadata.deletion_timestamp.is_some() {
            return Self::Over("its Pod is being deleted".to_owned());
        }
        let Some(status) = &pod.status else { return Self::Comes };
        if matches!(status.phase.as_deref(), Some("Failed" | "Succeeded")) {
            return Self::Over(ended(status));
        }
        let all = status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
        for container in all {
            if let Some(seen) = stands(container) {
                return seen;
            }
        }
        let unscheduled = status.conditions.iter().flatten().find(|condition| {
            condition.type_ == "PodScheduled"
                && condition.status == "False"
                && condition.reason.as_deref() == Some("Unschedulable")
        });
        match unscheduled {
            Some(condition) => Self::Unscheduled(shortened(condition.message.as_deref().unwrap_or("no node fits"))),
            None => Self::Comes,
        }
    }
}

/// What one container's state says of its Pod, if anything.
fn stands(container: &ContainerStatus) -> Option<Seen> {
    let state = container.state.as_ref()?;
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or_default();
        let message = shortened(waiting.message.as_deref().unwrap_or(reason));
        if HOPELESS.contains(&reason) {
            return Some(Seen::Over(format!("{reason} of the image \"{}\": {message}", container.image)));
        }
        if UNFETCHED.contains(&reason) {
            return Some(Seen::Unfetched { image: container.image.clone(), why: format!("{reason}: {message}") });
        }
        return None;
    }
    if container.name == CONTAINER && state.running.is_some() {
        return Some(Seen::Runs);
    }
    match &state.terminated {
        Some(terminated) if terminated.exit_code != 0 || container.name == CONTAINER => {
            Some(Seen::Over(exit(&container.name, state)))
        }
        _ => None,
    }
}

/// Why a Pod is at its end.
fn ended(status: &PodStatus) -> String {
    let containers = status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
    let states = containers.filter_map(|container| Some((&container.name, container.state.as_ref()?)));
    let exits = states.filter(|(_, state)| state.terminated.as_ref().is_some_and(|end| end.exit_code != 0));
    let why = exits.map(|(name, state)| exit(name, state)).next();
    match (&status.reason, &status.message) {
        (Some(reason), message) => {
            format!("its Pod was ended: {reason}: {}", shortened(message.as_deref().unwrap_or("no more is said")))
        }
        (None, _) => why.unwrap_or_else(|| "its Pod ended".to_owned()),
    }
}

fn exit(name: &str, state: &ContainerState) -> String {
    let Some(end) = &state.terminated else { return format!("its container {name} ended") };
    let why = match end.reason.as_deref() {
        Some("OOMKilled") => " for want of memory".to_owned(),
        Some("Error" | "Completed") | None => String::new(),
        Some(reason) => format!(" ({reason})"),
    };
    let said = end.message.as_deref().map(str::trim).filter(|said| !said.is_empty());
    let said = said.map(|said| format!(": {}", shortened(said.trim_start_matches("execd: ")))).unwrap_or_default();
    format!("its container {name} ended{why} with exit code {}{said}", end.exit_code)
}

/// In one line, of bounded length: a cluster's messages name every node.
fn shortened(message: &str) -> String {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = line.char_indices().nth(MESSAGE_CHARS_MAX).map_or(line.len(), |(at, _)| at);
    if end < line.len() { format!("{}…", &line[..end]) } else { line }
}

/// Why a Pod did not come to run.
#[derive(Debug)]
pub(super) enum NotStarted {
    /// Somebody took it away, as who empties a node does: another may be asked for.
    TakenAway(WorkspaceError),
    Failed(WorkspaceError),
}

impl From<WorkspaceError> for NotStarted {
    fn from(error: WorkspaceError) -> Self {
        Self::Failed(error)
    }
}

/// Waits until the Pod runs. What it says where it does not is an operator's to mend, or a user's who chose the image.
pub(super) async fn wait(cluster: &Cluster, name: &str) -> Result<(), NotStarted> {
    let settings = &cluster.settings;
    let begun = Instant::now();
    let mut unfetched_since = None;
    let mut pause = LOOK_FIRST;
    loop {
        let look = cluster.patiently(|| cluster.ask_pods(|pods| async move { pods.get(name).await })).await;
        let pod = match look {
            Ok(pod) => pod,
            Err(ClusterError::Answered { status: 404, .. }) => {
                return Err(deleted());
            }
            Err(error) => return Err(cluster.explain(&error).into()),
        };
        if pod.metadata.deletion_timestamp.is_some() {
            return Err(deleted());
        }
        let seen = Seen::of(&pod);
        match &seen {
            Seen::Runs => return Ok(()),
            Seen::Over(why) => return Err(did_not_start(why, mend(why)).into()),
            Seen::Unfetched { image, why } => {
                let since = *unfetched_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= settings.pull_time {
                    return Err(did_not_start(
                        &format!("the image \"{image}\" could not be fetched: {why}"),
                        "see that the name is right and that the cluster's nodes may fetch it \
                         (JOURNEYMAN_KUBERNETES_PULL_SECRETS)",
                    )
                    .into());
                }
            }
            Seen::Comes | Seen::Unscheduled(_) => unfetched_since = None,
        }
        if begun.elapsed() >= settings.start_time {
            return Err(late(&seen, settings.start_time).into());
        }
        sleep(pause).await;
        pause = (pause * 3 / 2).min(LOOK_LAST);
    }
}

fn deleted() -> NotStarted {
    NotStarted::TakenAway(did_not_start("somebody deleted its Pod", "see who, in the API server's audit log"))
}

fn late(seen: &Seen, allowed: Duration) -> WorkspaceError {
    let seconds = allowed.as_secs();
    match seen {
        Seen::Unscheduled(why) => did_not_start(
            &format!("no node took its Pod within {seconds} s: {why}"),
            "give the cluster room, or the workspaces smaller limits (JOURNEYMAN_SANDBOX_…), and see \
             JOURNEYMAN_KUBERNETES_NODE_SELECTOR and _TOLERATIONS",
        ),
        _ => did_not_start(
            &format!("its Pod did not run within {seconds} s"),
            "see its events (kubectl describe pod): a large image, a node without a kubelet, a scheduler that is away",
        ),
    }
}

pub(super) fn did_not_start(why: &str, mend: &str) -> WorkspaceError {
    WorkspaceError::Setup { what: format!("a workspace could not be started: {why}"), mend: mend.to_owned() }
}

/// What helps against the end of a Pod that never ran.
pub(super) fn mend(why: &str) -> &'static str {
    if why.contains("execd") && why.contains("image") || why.contains("/usr/local/bin/execd") {
        "set JOURNEYMAN_KUBERNETES_EXECD_IMAGE to the service's own image, which has execd in /usr/local/bin"
    } else if why.contains("ErrImageNeverPull") {
        "have the image on the nodes, or set JOURNEYMAN_KUBERNETES_PULL to missing or always"
    } else if why.contains("InvalidImageName") {
        "write the image as registries know it, for example registry.example.org/team/image:tag"
    } else if why.contains("Evicted") {
        "see the node's room on disk and memory, and the limits of workspaces (JOURNEYMAN_SANDBOX_…)"
    } else {
        "see the Pod's events and its node's log (kubectl describe pod)"
    }
}
