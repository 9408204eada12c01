//! The task's working copy and the sandbox over it: laid out once, kept while the task runs, looked
//! at after calls that may have changed it.
//!
//! A copy that survived a crash is used as it is; it is laid anew from the last checkpoint only
//! where it is gone or a retry goes back.

use super::{
    BlobError, Deps, OriginError,
    journal::Halt,
    laying::{self, Laying, Opening, Whose},
    network::{Network, Proxy, Uses},
    origin,
    outfit::Outfit,
    secret::Hidden,
};
use crate::{
    agent::Session,
    domain::{
        BlobHash, Oid, TaskId, TeamId,
        check::{Finding, FindingKind, Severity},
        event::TreeDelta,
    },
    egress::Access,
    store::{StoreError, jobs::Claimed},
    workspace::{
        FILE_LIMIT_BYTES, LeftOut, LeftOutReason, Workspace, WorkspaceError,
        checkpoint::{Checkpoint, CheckpointError, TreeState},
        repository::Base,
    },
};
use std::{io, path::PathBuf, sync::Arc};
use tokio::task::JoinHandle;

/// Files of which people are told that no patch holds them.
const LEFT_OUT_MAX: usize = 20;

pub(super) struct Copy {
    deps: Arc<Deps>,
    /// Hides the task's own secrets in what is kept of its files.
    hidden: Arc<Hidden>,
    team: TeamId,
    task: TaskId,
    base: Option<Base>,
    tree: Option<TreeState>,
    workspace: Option<Workspace>,
    opening: Option<JoinHandle<Result<Workspace, Halt>>>,
    /// The open workspace was walked since it was opened.
    looked: bool,
    /// It was lost with its workspace, of which the log does not tell yet.
    lost: bool,
    /// Files that the last walk saw and could not take, and so no patch holds.
    left_out: Vec<LeftOut>,
    /// What the task used of the network.
    uses: Uses,
}

impl Copy {
    pub(super) fn new(deps: Arc<Deps>, claimed: &Claimed, session: &Session, hidden: Arc<Hidden>) -> Self {
        Self {
            deps,
            hidden,
            team: claimed.team,
            task: claimed.task,
            base: None,
            tree: None,
            workspace: None,
            opening: None,
            looked: false,
            lost: false,
            left_out: Vec::new(),
            uses: Uses::of(session),
        }
    }

    /// Hides these from now on in what is kept of the task's files.
    pub(super) fn hide(&mut self, hidden: Arc<Hidden>) {
        self.hidden = hidden;
    }

    pub(super) fn uses(&self) -> &Uses {
        &self.uses
    }

    /// Whether the copy of an earlier driver is still here.
    pub(super) async fn survives(&self) -> bool {
        self.deps.sandboxes.keeps_copies() && tokio::fs::try_exists(self.directory()).await.unwrap_or(false)
    }

    /// Whether the copy was lost with its workspace and nobody was told. `waits`: where the connection to it is being made
    /// again, until that is known.
    pub(super) async fn is_lost(&mut self, waits: bool) -> bool {
        if let Some(workspace) = &self.workspace
            && if waits { !workspace.lives().await } else { workspace.is_gone() }
        {
            self.give_up().await;
        }
        self.lost
    }

    pub(super) fn loss_is_told(&mut self) {
        self.lost = false;
    }

    /// Ends a workspace that cannot be used any more.
    async fn give_up(&mut self) {
        self.close().await;
        self.lost |= !self.survives().await;
    }

    /// Starts to open the workspace, unless it is open or opening: the base as the session knows
    /// it, the tree of its newest checkpoint.
    pub(super) async fn prepare(&mut self, session: &mut Session) -> Result<(), Halt> {
        if let Some(workspace) = &self.workspace
            && !workspace.lives().await
        {
            self.give_up().await;
        }
        if self.workspace.is_some() || self.opening.is_some() {
            return Ok(());
        }
        let base = self.base(session).await?;
        let delta = match &session.checkpoint {
            Some(checkpoint) => self.delta(&checkpoint.delta).await?,
            None => TreeDelta::default(),
        };
        let relay = std::mem::take(&mut session.relay);
        let network = Network::of(session, &self.uses);
        self.start(base, delta, relay, Outfit::of(session), network);
        Ok(())
    }

    /// Starts with a base that was just resolved.
    pub(super) fn start(&mut self, base: Base, delta: TreeDelta, relay: bool, outfit: Outfit, network: Network) {
        self.tree = Some(TreeState::from(&base, &delta).hiding(&self.hidden.own));
        self.base = Some(base.clone());
        self.looked = false;
        let (deps, team, task, directory) = (Arc::clone(&self.deps), self.team, self.task, self.directory());
        self.opening = Some(tokio::spawn(async move {
            let present = tokio::fs::try_exists(&directory).await.map_err(Halt::Disk)?;
            let access = network.access(&deps, team, task).await?;
            let env = access.as_ref().map(Access::environment).unwrap_or_default();
            let opening = Opening { directory, access: access.as_ref(), env, low_priority: false };
            let workspace = if relay || !present || !deps.sandboxes.keeps_copies() {
                let whose = Whose { team, task, uses: network.uses() };
                let laying = Laying { deps: &deps, whose, base: &base, delta: &delta, outfit: &outfit };
                laying.fresh(opening).await?
            } else {
                laying::open(&deps, task, &base, opening, &outfit).await?
            };
            if let Some(access) = access {
                Proxy::listen(&workspace, access).await?.open();
            }
            outfit.begin(&deps, &workspace).await;
            Ok(workspace)
        }));
    }

    /// The open workspace; waits where it is opening. [`Copy::prepare`] comes first.
    pub(super) async fn workspace(&mut self) -> Result<Workspace, Halt> {
        if let Some(workspace) = &self.workspace {
            return Ok(workspace.clone());
        }
        let Some(opening) = self.opening.as_mut() else {
            return Err(WorkspaceError::Gone { why: "it is not open".to_owned() }.into());
        };
        let opened = opening.await.map_err(|error| Halt::Disk(io::Error::other(error)));
        self.opening = None;
        let workspace = opened??;
        self.workspace = Some(workspace.clone());
        Ok(workspace)
    }

    /// The workspace, where it is open already.
    pub(super) fn open_workspace(&self) -> Option<&Workspace> {
        self.workspace.as_ref()
    }

    pub(super) fn looked(&self) -> bool {
        self.looked
    }

    /// Looks at the working copy; answers what a checkpoint needs where its tree has changed.
    pub(super) async fn look(&mut self) -> Result<Option<Checkpoint>, Halt> {
        let workspace = self.workspace().await?;
        let walk = match workspace.walk().await {
            Ok(walk) => walk,
            Err(error) => {
                self.give_up().await;
                return Err(error.into());
            }
        };
        self.left_out.clone_from(&walk.left_out);
        let Some(tree) = self.tree.as_mut() else { return Ok(None) };
        match tree.absorb(walk, &workspace).await {
            Ok(found) => {
                self.looked = true;
                Ok(found)
            }
            // What was walked is not said again by this workspace.
            Err(error) => {
                self.give_up().await;
                Err(unusable(error))
            }
        }
    }

    /// What people are told of files that no patch holds; sockets and devices are none.
    pub(super) fn left_out(&self) -> Vec<Finding> {
        let why = |left: &LeftOut| match left.why {
            LeftOutReason::TooLarge => Some(format!("it is larger than {} MiB", FILE_LIMIT_BYTES >> 20)),
            LeftOutReason::Name => Some("its name is not UTF-8".to_owned()),
            LeftOutReason::Unreadable => Some("it cannot be read".to_owned()),
            LeftOutReason::Repository => Some("it is a repository of its own".to_owned()),
            LeftOutReason::Special => None,
        };
        let told = self.left_out.iter().filter_map(|left| Some((left, why(left)?)));
        told.take(LEFT_OUT_MAX)
            .map(|(left, why)| {
                let message = format!("the patch does not hold `{}`: {why}", left.path);
                Finding::new(FindingKind::LeftOut, Severity::Warning, message).at(left.path.clone(), None)
            })
            .collect()
    }

    /// The base as the session knows it.
    pub(super) async fn base(&mut self, session: &Session) -> Result<Base, Halt> {
        match &self.base {
            Some(base) => Ok(base.clone()),
            None => self.resolve(session, session.briefed.as_ref().and_then(|b| b.commit.as_ref())).await,
        }
    }

    /// The base and the tree as last looked at.
    pub(super) fn state(&self) -> Option<(&Base, &TreeState)> {
        self.base.as_ref().zip(self.tree.as_ref())
    }

    /// Ends the sandbox; nothing of it runs when this returns. The copy stays.
    pub(super) async fn close(&mut self) {
        if let Some(opening) = self.opening.take()
            && let Ok(Ok(workspace)) = opening.await
        {
            workspace.close().await;
        }
        if let Some(workspace) = self.workspace.take() {
            workspace.close().await;
        }
        self.looked = false;
    }

    /// The difference from the base that a checkpoint recorded.
    pub(super) async fn delta(&self, blob: &BlobHash) -> Result<TreeDelta, Halt> {
        let bytes = self.deps.kept(self.team, blob).await?;
        Ok(serde_json::from_slice(&bytes).map_err(|_| StoreError::corrupt("blobs", "content", &blob.0))?)
    }

    /// Finds out what the task's ref means now, or opens the commit that is known.
    pub(super) async fn resolve(&self, session: &Session, commit: Option<&Oid>) -> Result<Base, Halt> {
        let source = session.spec.repository.as_ref();
        match origin::base(&self.deps.repositories, &self.deps.blobs, self.team, source, commit).await {
            Ok(base) => Ok(base),
            Err(OriginError::Repository(error)) => Err(error.into()),
            Err(OriginError::Blob(BlobError::Store(error))) => Err(error.into()),
            Err(OriginError::Blob(BlobError::Disk(error))) => Err(Halt::Disk(error)),
        }
    }

    fn directory(&self) -> PathBuf {
        self.deps.sandboxes.directory(self.task).copy()
    }
}

/// What a walk said cannot be recorded: the workspace's fault, not the machine's.
fn unusable(error: CheckpointError) -> Halt {
    match error {
        CheckpointError::Workspace(error) => error.into(),
        other => WorkspaceError::Refused { why: other.to_string() }.into(),
    }
}
