//! Validation: the checks on a clean copy of base plus patch, and on the base alone; the verdict
//! from what they gave; failures back to the model while it may refine.

use super::{
    change::patch_paths,
    clean::Clean,
    decisions,
    drive::Driver,
    evidence::{Judged, is_test},
    journal::{Flow, Halt},
    network::Network,
    outfit::Outfit,
};
use crate::{
    agent::{
        self, CheckpointRef,
        verdict::{Decided, Scope, scope},
    },
    clock,
    domain::{
        BlobHash, ErrorCode, EventData, Phase, Private,
        event::{Formatted, TreeDelta},
        task::PatchStat,
    },
    workspace::{WorkspaceError, checkpoint::Checkpoint, repository::Base},
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};

impl Driver {
    pub(super) async fn prepare_copy(&mut self) -> Result<(), Halt> {
        self.copy.prepare(&mut self.journal.session).await
    }

    /// Looks at the working copy now and records its tree.
    pub(super) async fn checkpoint(&mut self) -> Result<Flow, Halt> {
        if let Some(flow) = self.goes_on_elsewhere(true).await? {
            return Ok(flow);
        }
        self.prepare_copy().await?;
        match self.copy.look().await {
            Ok(found) => {
                self.record_checkpoint(found).await?;
                Ok(Flow::On)
            }
            Err(Halt::Workspace(WorkspaceError::Gone { .. })) if self.may_die_again() => Ok(Flow::On),
            Err(Halt::Workspace(error)) => self.fail(ErrorCode::WorkspaceFailed, error.to_string()).await,
            Err(other) => Err(other),
        }
    }

    /// Stores the contents first, then the event that names them.
    pub(super) async fn record_checkpoint(&mut self, found: Option<Checkpoint>) -> Result<(), Halt> {
        self.record_formatted(found, Vec::new()).await
    }

    /// The same after formatters ran; with the files that they changed.
    pub(super) async fn record_formatted(
        &mut self,
        found: Option<Checkpoint>,
        formatted: Vec<Formatted>,
    ) -> Result<(), Halt> {
        let Some(checkpoint) = found else {
            self.journal.session.looked();
            self.edited.clear();
            return Ok(());
        };
        let told = match agent::told(&formatted) {
            None => self.syntax_of(&checkpoint).await,
            told => told,
        };
        self.edited.clear();
        let delta = serde_json::to_vec(&checkpoint.delta)
            .map_err(|_| crate::store::StoreError::corrupt("task_events", "private", "a checkpoint"))?;
        let delta = Bytes::from(delta);
        let hash = BlobHash::of(&delta);
        let mut contents = checkpoint.new_blobs;
        contents.push((hash.clone(), delta));
        self.deps.keep_all(self.claimed.team, self.claimed.task, &contents).await?;
        let turn = self.journal.session.turn;
        let data = EventData::Checkpoint { turn, tree: checkpoint.tree, restored: false, formatted };
        self.journal.record(data, Some(Private::Checkpoint { delta: hash, told }));
        Ok(())
    }

    /// Puts the working copy back to a tree that was validated, or that the run began with; it is laid anew before it is used.
    pub(super) async fn restore(&mut self, best: CheckpointRef) -> Result<(), Halt> {
        self.copy.close().await;
        let turn = self.journal.session.turn;
        let CheckpointRef { tree, delta } = best;
        let data = EventData::Checkpoint { turn, tree, restored: true, formatted: Vec::new() };
        let approved = self.journal.session.keeps_changes();
        let told = Some(if approved { agent::prompt::RESTORED } else { agent::prompt::PUT_BACK }.to_owned());
        self.journal.record(data, Some(Private::Checkpoint { delta, told }));
        self.journal.commit().await
    }

    /// Looks at the working copy at a run's end, where calls may have changed it; answers whether it is known.
    pub(super) async fn look_last(&mut self) -> Result<bool, Halt> {
        if self.journal.session.briefed.is_none() || !self.journal.session.dirty {
            return Ok(true);
        }
        let looked = match self.prepare_copy().await {
            Ok(()) => self.copy.look().await,
            Err(error) => Err(error),
        };
        match looked {
            Ok(found) => self.record_checkpoint(found).await.map(|()| true),
            Err(Halt::Workspace(error)) => {
                tracing::warn!(task.id = %self.claimed.task, error = %error, "the working copy could not be looked at a last time");
                Ok(false)
            }
            Err(other) => Err(other),
        }
    }

    /// The patch to the newest checkpoint, stored, and which prohibitions it breaks. Absent where nothing was
    /// changed. It needs no workspace.
    pub(super) async fn last_patch(&mut self) -> Result<Option<(PatchStat, BlobHash, Vec<bool>)>, Halt> {
        let session = &self.journal.session;
        let Some(checkpoint) = session.checkpoint.clone().filter(|_| session.changed()) else { return Ok(None) };
        let delta = self.copy.delta(&checkpoint.delta).await?;
        let base = self.copy.base(&self.journal.session).await?;
        let (stat, blob) = self.patch(&base, &delta).await?;
        Ok(Some((stat, blob, self.broken(&base, &delta))))
    }

    /// The patch as it is when the task begins to wait. It is looked up again at an end that a worker writes: what
    /// cannot be had now is done without.
    pub(super) async fn patch_at_rest(&mut self) -> Result<Option<Private>, Halt> {
        let session = &self.journal.session;
        let Some(tree) = session.checkpoint.as_ref().map(|checkpoint| checkpoint.tree.clone()) else { return Ok(None) };
        if !session.keeps_changes() {
            return Ok(None);
        }
        match self.last_patch().await {
            Ok(patch) => Ok(patch.map(|(stat, blob, broken)| Private::Rest { tree, blob, stat, broken })),
            Err(error @ (Halt::Repository(_) | Halt::Disk(_))) => {
                tracing::warn!(task.id = %self.claimed.task, %error, "the patch could not be made before a rest");
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    pub(super) async fn patch(&self, base: &Base, delta: &TreeDelta) -> Result<(PatchStat, BlobHash), Halt> {
        let contents = self.deps.blobs.of_team(self.claimed.team);
        let patch = self.deps.repositories.patch(base, &TreeDelta::default(), delta, contents).await?;
        let blob = self.deps.keep(self.claimed.team, self.claimed.task, patch.text).await?;
        Ok((patch.stat, blob))
    }

    /// Runs the checks and records the verdict; failures go back while refinements are left. A validation that has
    /// begun has its own time, whatever is left of the run's; the `last` of a run sends nothing back.
    pub(super) async fn validate(&mut self, last: bool) -> Result<Flow, Halt> {
        self.prepare_copy().await?;
        self.format().await?;
        let Some((base, delta)) = self.copy.state().map(|(base, tree)| (base.clone(), tree.delta())) else {
            return self.fail(ErrorCode::WorkspaceFailed, "the working copy is not open").await;
        };
        let checks = self.scope(&delta);
        let cycle = self.journal.session.used.cycles + 1;
        self.journal.record(EventData::TaskPhase { phase: Phase::Validation }, None);
        let names = checks.run.iter().map(|c| c.name.clone()).collect();
        self.journal.record(EventData::ChecksStarted { cycle, checks: names }, None);
        self.journal.commit().await?;
        self.boundary()?;
        let deps = Arc::clone(&self.deps);
        let mut beside = std::mem::take(&mut self.beside);
        let judged = tokio::select! {
            judged = self.judge(&mut beside, &base, &delta, checks) => Some(judged),
            () = self.journal.cut_short() => None,
            () = self.lost.cancelled() => return Err(Halt::Fenced),
            () = async { deps.draining().cancelled_owned().await; tokio::time::sleep(super::model::DRAIN_WAITS).await } => None,
            () = deps.cut.cancelled() => return Err(Halt::Cut),
        };
        self.beside = beside;
        let Some(judged) = judged else { return Ok(Flow::On) };
        let Judged { decided, results, patch, forbidden } = match judged {
            Ok(judged) => judged,
            Err(Halt::Workspace(error)) => {
                return self.fail(ErrorCode::WorkspaceFailed, format!("the checks could not be run: {error}")).await;
            }
            Err(Halt::Repository(error)) => {
                let text = format!("the checks could not be run: {}", error.public_message());
                return self.fail(ErrorCode::WorkspaceFailed, text).await;
            }
            Err(other) => return Err(other),
        };
        let last = last || agent::wall_left(&self.journal.session, clock::now()).is_zero();
        let tree = self.journal.session.checkpoint.as_ref().map(|c| c.tree.clone());
        let Decided { verdict, reason, mut findings, weakened } = decided;
        let given = decisions::Given { verdict, results: &results, reason: &reason, forbidden: &forbidden, weakened };
        let sent_back = decisions::sent_back(&self.journal.session, last, given);
        findings.extend(agent::formatted(&self.journal.session, &delta));
        let data =
            EventData::ChecksCompleted { verdict, reason: Some(reason), checks: results, findings, tree, weakened };
        let paths = patch_paths(&base, &delta);
        self.journal.record(data, patch.map(|(_, blob)| Private::Patch { blob, forbidden, paths: Some(paths) }));
        self.journal.record_all(sent_back);
        self.journal.commit().await?;
        Ok(Flow::On)
    }

    pub(super) fn clean(&self, base: &Base) -> Clean {
        Clean {
            deps: Arc::clone(&self.deps),
            team: self.claimed.team,
            task: self.claimed.task,
            base: base.clone(),
            redactor: Arc::clone(&self.redactor),
            outfit: Outfit::of(&self.journal.session),
            allowed: Duration::from_secs(u64::from(self.journal.session.spec.limits.validation_seconds)),
            network: Network::of(&self.journal.session, self.copy.uses()),
        }
    }

    /// The checks that the change calls for. Where no packages are known, those are all.
    fn scope(&self, delta: &TreeDelta) -> Scope {
        let changed = delta.changed.iter().map(|entry| entry.path.as_str());
        let touched: Vec<&str> = changed.chain(delta.deleted.iter().map(String::as_str)).collect();
        let session = &self.journal.session;
        let packages = session.briefed.as_ref().map_or(&[][..], |briefed| &briefed.packages);
        scope(session.checks().to_vec(), packages, &touched)
    }

    /// Starts the baseline once there is something that a verdict will be about.
    pub(super) fn start_beside(&mut self) {
        let session = &self.journal.session;
        if self.beside.has_begun() || !session.changed() || session.used.cycles > 0 || session.checks().is_empty() {
            return;
        }
        let Some((base, delta)) = self.copy.state().map(|(base, tree)| (base.clone(), tree.delta())) else { return };
        let checks = self.scope(&delta).run.into_iter().filter(is_test).collect();
        self.beside.start(self.clean(&base), checks);
    }
}
