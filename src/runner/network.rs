//! Workspaces' way to the network: the proxy beside each, what it was used for, and people's leave for more.
//!
//! execd listens on the workspace's loopback and carries what comes over its pipe; [`crate::egress`] judges it.
//! A proxy ends with its workspace.

use super::{
    Deps,
    drive::Driver,
    journal::{Flow, Halt, patiently},
    vault::VaultError,
};
use crate::{
    agent::Session,
    domain::{
        EnvironmentId, EventData, TaskId, TeamId,
        approval::ApprovalKind,
        network::HostPattern,
        task::NetworkPolicy,
        tool::{ToolCall, ToolOutcome},
    },
    egress::{self, Access, BrokerSecret, NewAccess, Taken, Used},
    workspace::{Connections, RelayedStream, Workspace, WorkspaceError},
};
use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// What one connection holds of bytes on their way, each way.
const PIPE_BYTES: usize = 64 * 1024;
/// How long a program may take to hang up after the proxy has.
const LINGER: Duration = Duration::from_secs(5);

/// What a task has used of the network, by its own policy and by that of its environment's setup.
#[derive(Clone, Debug, Default)]
pub(super) struct Uses {
    task: Used,
    setup: Used,
}

impl Uses {
    /// Of a task that goes on: what it has used counts on.
    pub(super) fn of(session: &Session) -> Self {
        Self { task: Used::after(session.network_bytes), setup: Used::default() }
    }
}

/// What a task's workspaces may reach, as its session has it.
#[derive(Clone, Debug)]
pub(super) struct Network {
    pub(super) policy: NetworkPolicy,
    asks: bool,
    uses: Uses,
    used: Used,
    /// Whose broker's secrets go out with requests.
    environment: Option<EnvironmentId>,
}

impl Network {
    pub(super) fn of(session: &Session, uses: &Uses) -> Self {
        let trusted = !session.spec.source.untrusted;
        let environment = session.spec.pinned.as_ref().filter(|_| trusted).map(|pinned| pinned.id);
        let (uses, used) = (uses.clone(), uses.task.clone());
        Self { policy: session.network(), asks: session.spec.asks_for_network(), uses, used, environment }
    }

    /// What an environment's setup may reach, whatever its tasks may.
    pub(super) fn of_setup(policy: NetworkPolicy, uses: &Uses) -> Self {
        Self { policy, asks: false, uses: uses.clone(), used: uses.setup.clone(), environment: None }
    }

    pub(super) fn uses(&self) -> &Uses {
        &self.uses
    }

    /// The way out of one workspace; none where it may reach nothing.
    pub(super) async fn access(&self, deps: &Deps, team: TeamId, task: TaskId) -> Result<Option<Access>, Halt> {
        let (policy, asks, used) = (self.policy.clone(), self.asks, self.used.clone());
        let secrets = match self.environment {
            Some(environment) => broker_secrets(deps, team, task, environment).await?,
            None => Vec::new(),
        };
        let access = deps.egress.access(NewAccess { policy, secrets, asks, used });
        Ok(access.map_err(|error| WorkspaceError::Setup {
            what: format!("the workspace's network could not be set up: {error}"),
            mend: "see the log".to_owned(),
        })?)
    }
}

async fn broker_secrets(
    deps: &Deps,
    team: TeamId,
    task: TaskId,
    environment: EnvironmentId,
) -> Result<Vec<BrokerSecret>, Halt> {
    let opened = patiently(&deps.cut, || async {
        match deps.vault.broker_secrets(team, task, environment).await {
            Ok(secrets) => Ok(Ok(secrets)),
            Err(VaultError::Seal(error)) => Ok(Err(error)),
            Err(VaultError::Store(error)) => Err(error),
        }
    });
    Ok(opened.await?.map_err(|error| WorkspaceError::Refused { why: error.to_string() })?)
}

/// Writes the certificates that a workspace over `directory` is to trust beside it; what to mount, if any.
pub(super) async fn bundle(access: &Access, directory: &Path) -> Result<Option<(PathBuf, PathBuf)>, Halt> {
    let Some(bundle) = access.bundle() else { return Ok(None) };
    let place = directory.with_extension("certificates");
    let write = async {
        tokio::fs::write(&place, bundle).await?;
        // The task's own user reads it through the mount.
        tokio::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o644)).await
    };
    write.await.map_err(Halt::Disk)?;
    Ok(Some((place, PathBuf::from(egress::BUNDLE))))
}

/// The proxy beside one workspace. It ends with the workspace; while it is shut, connections are cut.
#[derive(Clone, Debug, Default)]
pub(super) struct Proxy {
    /// Ends what was begun while it was open.
    open: Arc<Mutex<Option<CancellationToken>>>,
}

impl Proxy {
    /// Begins to listen in the workspace, shut.
    pub(super) async fn listen(workspace: &Workspace, access: Access) -> Result<Self, WorkspaceError> {
        workspace.listen(egress::PORT).await?;
        let proxy = Self::default();
        // Not waited for: it holds the pipe alone, and ends when that does.
        tokio::spawn(carry(workspace.connections(), access, proxy.clone()));
        Ok(proxy)
    }

    pub(super) fn open(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(CancellationToken::new());
    }

    /// Cuts what is open; further connections are cut at once.
    pub(super) fn shut(&self) {
        if let Some(open) = self.open.lock().unwrap_or_else(PoisonError::into_inner).take() {
            open.cancel();
        }
    }

    fn window(&self) -> Option<CancellationToken> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn carry(connections: Connections, access: Access, proxy: Proxy) {
    let mut served = JoinSet::new();
    loop {
        tokio::select! {
            next = connections.next() => match next {
                Ok(stream) => {
                    if let Some(window) = proxy.window().filter(|_| stream.port == egress::PORT) {
                        let access = access.clone();
                        served.spawn(async move { window.run_until_cancelled(converse(stream, &access)).await });
                    }
                }
                Err(_) => return,
            },
            Some(_) = served.join_next() => {}
        }
    }
}

/// Serves one connection of the workspace.
async fn converse(stream: RelayedStream, access: &Access) {
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    let (mut from_proxy, mut to_proxy) = tokio::io::split(far);
    let over = CancellationToken::new();
    let outbound = async {
        let mut bytes = vec![0; 16 * 1024];
        loop {
            match from_proxy.read(&mut bytes).await {
                Ok(count) if count > 0 => stream.write(&bytes[..count]).await?,
                _ => break,
            }
        }
        stream.end();
        Ok::<_, WorkspaceError>(())
    };
    let inbound = async {
        loop {
            let bytes = stream.read().await?;
            // The proxy may have heard enough; what it says still goes out.
            let gone = if bytes.is_empty() { to_proxy.shutdown().await } else { to_proxy.write_all(&bytes).await };
            if bytes.is_empty() || gone.is_err() {
                return Ok::<_, WorkspaceError>(bytes.is_empty());
            }
        }
    };
    let served = async {
        let ((), ended) = tokio::join!(access.serve(near), outbound);
        over.cancel();
        ended
    };
    let heard = async {
        let hanging_up = async {
            over.cancelled().await;
            tokio::time::sleep(LINGER).await;
        };
        let inbound = async {
            let mut ended = inbound.await?;
            // What nobody hears is read until the program hangs up, lest what it was told is lost.
            while !ended {
                ended = stream.read().await?.is_empty();
            }
            Ok(())
        };
        tokio::select! {
            heard = inbound => heard,
            () = hanging_up => Ok(()),
        }
    };
    // Whichever side is cut cuts the other.
    let _ = tokio::try_join!(served, heard);
}

impl Driver {
    /// Says what was used of the network since it was last said, with the next commit.
    pub(super) fn record_network(&mut self) {
        let Uses { task, setup } = self.copy.uses().clone();
        for (used, setup) in [(setup, true), (task, false)] {
            let taken = used.take();
            if !taken.is_empty() {
                let Taken { hosts, others, bytes } = taken;
                self.journal.record(EventData::NetworkUsed { hosts, others, bytes, setup }, None);
            }
        }
    }

    /// Asks people for hosts; what the operator lets nobody reach is not asked for.
    pub(super) async fn ask_for_hosts(
        &mut self,
        call: &ToolCall,
        hosts: &[String],
        reason: &str,
    ) -> Result<Flow, Halt> {
        let patterns = NetworkPolicy::default().with(hosts).patterns();
        let beyond = patterns.iter().find(|pattern| !self.deps.egress.cap().permits(pattern));
        if let Some(beyond) = beyond {
            let text = format!(
                "denied: the operator's settings let no task reach {beyond}. Ask without it, or do without the network."
            );
            self.answer(call, ToolOutcome::Error, text);
            return Ok(Flow::On);
        }
        self.keep_changes().await?;
        if !self.journal.commit_alone().await? {
            return Ok(Flow::On);
        }
        let reached: Vec<String> = patterns.iter().map(HostPattern::to_string).collect();
        let subject = serde_json::json!({ "hosts": hosts, "reaches": reached, "reason": reason }).to_string();
        self.ask(ApprovalKind::Network, Some(call.call.clone()), &subject).await
    }
}
