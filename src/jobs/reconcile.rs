//! The reconcilers' loop: deadlines every second, the rest more rarely.

use super::retention::{Retention, Round};
use crate::{
    clock,
    domain::ApprovalId,
    queue::Queue,
    store::{Store, StoreError, audit, baselines, budgets, deadlines, memory_learning, switches},
    workspace::Sandboxes,
};
use std::{collections::HashSet, time::Duration};
use tokio_util::sync::CancellationToken;

/// Approvals read at a time.
const OVERDUE_MAX: u32 = 100;
/// Holds of a budget settled in one round, at most.
const FORGOTTEN_MAX: u32 = 100;
/// How often the object store is looked through.
const LISTED_EVERY: Duration = Duration::from_secs(6 * 3_600);
/// Entries of the audit log removed in one round, at most.
const AUDIT_TRIMMED_MAX: u32 = 5_000;
/// Tasks woken at a time.
const WOKEN_MAX: u32 = 100;
/// Runs on bases kept for each team.
const BASELINES_KEPT: u32 = 2_000;
/// Memories that grow stale in one round, at most.
const DECAYED_MAX: usize = 200;
/// Approvals that cannot be resolved and of which it is remembered that they were told of.
const BROKEN_REMEMBERED: usize = 1_000;

#[derive(Clone, Copy, Debug)]
pub struct ReconcilerSettings {
    pub deadlines_every: Duration,
    pub sweep_every: Duration,
    /// How long the working copies of resting tasks are kept.
    pub copies_kept: Duration,
    /// How long entries of the audit log are kept.
    pub audit_kept: Duration,
    /// How long a memory that was learnt may stay unused; absent: for ever.
    pub memories_idle: Option<Duration>,
}

#[derive(Clone, Debug)]
pub struct Reconciler {
    store: Store,
    queue: Queue,
    sandboxes: Sandboxes,
    retention: Retention,
    settings: ReconcilerSettings,
}

impl Reconciler {
    pub fn new(
        store: Store,
        queue: Queue,
        sandboxes: Sandboxes,
        retention: Retention,
        settings: ReconcilerSettings,
    ) -> Self {
        Self { store, queue, sandboxes, retention, settings }
    }

    /// Runs until `stop`; what fails is tried again in the next round.
    pub async fn run(&self, stop: CancellationToken) {
        let mut deadlines = tokio::time::interval(self.settings.deadlines_every);
        let mut sweeps = tokio::time::interval(self.settings.sweep_every);
        let mut listings = tokio::time::interval(LISTED_EVERY);
        let mut broken = HashSet::new();
        loop {
            let done = tokio::select! {
                () = stop.cancelled() => return,
                _ = deadlines.tick() => self.deadlines(&mut broken).await,
                _ = sweeps.tick() => self.sweep().await,
                _ = listings.tick() => {
                    self.list().await;
                    Ok(())
                }
            };
            if let Err(error) = done {
                tracing::warn!(error = %error, "a reconciler could not do its round");
            }
        }
    }

    /// Wakes what a switch held that is lifted, and lets the defaults of overdue approvals hold. One that cannot be
    /// resolved is told of once, and holds up none of the others.
    async fn deadlines(&self, broken: &mut HashSet<ApprovalId>) -> Result<(), StoreError> {
        if switches::wake(&self.store, WOKEN_MAX).await? > 0 {
            self.queue.wake();
        }
        let mut after = None;
        loop {
            let overdue = deadlines::overdue(&self.store, after, OVERDUE_MAX).await?;
            for one in &overdue {
                match deadlines::resolve_by_default(&self.store, *one).await {
                    Ok(()) => {}
                    Err(error) if error.is_transient() => return Err(error),
                    Err(error) => {
                        if broken.len() < BROKEN_REMEMBERED && broken.insert(one.approval) {
                            tracing::error!(task.id = %one.task, approval.id = %one.approval, error = %error, "the default of an overdue approval cannot hold");
                        }
                    }
                }
            }
            if !overdue.is_empty() {
                self.queue.wake();
            }
            if overdue.len() < OVERDUE_MAX as usize {
                return Ok(());
            }
            after = overdue.last().map(|one| one.approval);
        }
    }

    /// Looks for objects that crashes have left.
    async fn list(&self) {
        match self.retention.sweep_objects().await {
            Ok(0) => {}
            Ok(objects) => tracing::info!(objects, "removed objects that no row names"),
            Err(error) => tracing::warn!(%error, "the object store could not be looked through"),
        }
    }

    /// Removes working copies that nobody wants and what is kept for a while only.
    async fn sweep(&self) -> Result<(), StoreError> {
        deadlines::forget_old(&self.store).await?;
        budgets::settle_forgotten(&self.store, FORGOTTEN_MAX).await?;
        baselines::trim(&self.store, BASELINES_KEPT).await?;
        super::deliveries::trim(&self.store).await?;
        audit::trim(&self.store, self.settings.audit_kept, AUDIT_TRIMMED_MAX).await?;
        if let Some(idle) = self.settings.memories_idle {
            let ids: Vec<uuid::Uuid> = (0..DECAYED_MAX).map(|_| clock::new_id()).collect();
            let decayed = memory_learning::decay(&self.store, idle, &ids).await?;
            if !decayed.is_empty() {
                tracing::info!(memories = decayed.len(), "memories that nobody used have grown stale");
            }
        }
        match self.retention.round().await {
            Ok(round) if round != Round::default() => {
                tracing::info!(tasks = round.tasks, blobs = round.blobs, objects = round.objects, "let old things go");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "what is old could not be let go"),
        }
        let kept = i64::try_from(self.settings.copies_kept.as_secs()).unwrap_or(i64::MAX);
        let mut live: HashSet<_> = deadlines::with_copies(&self.store, kept).await?.into_iter().collect();
        live.extend(self.queue.held());
        match self.sandboxes.sweep(&live).await {
            Ok(swept) if swept.directories_removed + swept.processes_killed > 0 => {
                tracing::info!(
                    directories = swept.directories_removed,
                    processes = swept.processes_killed,
                    "swept workspaces"
                );
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(error = %error, "workspaces could not be swept"),
        }
        Ok(())
    }
}
