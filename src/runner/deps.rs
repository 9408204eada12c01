//! What a driver works with.

use super::{
    blobs::{BlobError, Blobs},
    budget::KnownCaps,
    clean::Baselines,
    detect::DetectedSetups,
    journal::{Halt, patiently},
    learn::LearningSettings,
    secret::HiddenSets,
    skills::OperatorSkills,
    switches::Switches,
    symbols::Analyses,
    vault::Vault,
};
use crate::{
    analysis::symbols::Parsers,
    domain::{BlobHash, TaskId, TeamId, rule::CommandRule},
    egress::Egress,
    events::Hub,
    llm, mcp, memory,
    secrets::Redactor,
    store::Store,
    workspace::{Prepared, SandboxLimits, Sandboxes, repository::Repositories},
};
use bytes::Bytes;

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};
use tokio_util::sync::CancellationToken;

/// What a driver works with. One per process.
#[derive(Clone, Debug)]
pub struct Runner {
    pub(super) deps: Arc<Deps>,
}

/// The rooms that a driver uses.
pub struct Deps {
    pub store: Store,
    pub hub: Hub,
    pub client: llm::Client,
    /// By name.
    pub models: BTreeMap<String, llm::Model>,
    /// The model that reviews patches; absent: none does.
    pub reviewer: Option<String>,
    pub sandboxes: Sandboxes,
    pub repositories: Repositories,
    pub limits: SandboxLimits,
    /// Of the process's own secrets; a task's come from the vault.
    pub redactor: Arc<Redactor>,
    /// What finds memories for a task.
    pub recall: memory::Recall,
    pub vault: Vault,
    pub hidden: HiddenSets,
    pub blobs: Blobs,
    /// What an operator has stopped; with it whether the process drains.
    pub switches: Switches,
    /// Set when the process is cut off: leave everything as a crash would.
    pub cut: CancellationToken,
    /// Asked at each step boundary whether to go on; a break leaves the task as a crash would.
    /// For drills of recovery.
    pub failpoint: Option<Failpoint>,
    pub baselines: Baselines,
    /// What setups of environments have prepared on this host.
    pub prepared: Prepared,
    pub detected: DetectedSetups,
    pub parsers: Parsers,
    /// The operator's instructions for every task; empty: none.
    pub instructions: Arc<str>,
    pub mcp: mcp::Servers,
    /// The way out of workspaces.
    pub egress: Egress,
    /// Absent where the operator keeps none.
    pub skills: Option<OperatorSkills>,
    pub known_caps: KnownCaps,
    pub analyses: Analyses,
    /// The operator's rules about commands.
    pub rules: Arc<[CommandRule]>,
    /// The model that is asked before people are, where there is one.
    pub approver: Option<String>,
    pub learning: LearningSettings,
}

/// Called with the task and the number of the boundary since this claim, from 1.
pub type Failpoint = Arc<dyn Fn(TaskId, u32) -> ControlFlow<()> + Send + Sync>;

impl Deps {
    /// Stores one content for a task and answers its hash.
    pub(super) async fn keep(&self, team: TeamId, task: TaskId, content: impl Into<Bytes>) -> Result<BlobHash, Halt> {
        let content = content.into();
        let hash = BlobHash::of(&content);
        self.keep_all(team, task, &[(hash.clone(), content)]).await?;
        Ok(hash)
    }

    /// Stores contents; a database that is away is waited for.
    pub(super) async fn keep_all(
        &self,
        team: TeamId,
        task: TaskId,
        contents: &[(BlobHash, Bytes)],
    ) -> Result<(), Halt> {
        patiently(&self.cut, || async {
            match self.blobs.put(team, task, contents).await {
                Ok(()) => Ok(Ok(())),
                Err(BlobError::Store(error)) => Err(error),
                Err(BlobError::Disk(error)) => Ok(Err(Halt::Disk(error))),
            }
        })
        .await?
    }

    /// Cancelled while what runs is to be parked at its next step.
    pub(super) fn draining(&self) -> CancellationToken {
        self.switches.draining()
    }

    /// Reads a content that the log names.
    pub(super) async fn kept(&self, team: TeamId, hash: &BlobHash) -> Result<Bytes, Halt> {
        self.blobs.get(team, hash).await.map_err(Halt::Disk)
    }
}

impl Runner {
    pub fn new(deps: Deps) -> Self {
        Self { deps: Arc::new(deps) }
    }
}

impl std::fmt::Debug for Deps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deps").field("models", &self.models.keys()).finish_non_exhaustive()
    }
}
