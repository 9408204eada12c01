//! Checks on clean copies: a tree laid out afresh, a sandbox of its own, the commands in order. The
//! working copy of the task has no part in it.

use super::{
    Deps,
    journal::{Halt, patiently},
    network::Network,
    outfit::Outfit,
    pass::{Budget, Pass, Tree},
};
use crate::{
    agent::verdict::order,
    checks,
    domain::{
        BlobHash, TaskId, TeamId,
        check::{Check, CheckOutcome, CheckRun},
        event::TreeDelta,
    },
    secrets::Redactor,
    store::baselines,
    workspace::{SandboxLimits, repository::Base},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Runs a task's checks on clean copies.
#[derive(Clone)]
pub(super) struct Clean {
    pub(super) deps: Arc<Deps>,
    pub(super) team: TeamId,
    pub(super) task: TaskId,
    pub(super) base: Base,
    pub(super) redactor: Arc<Redactor>,
    pub(super) outfit: Outfit,
    /// For one validation.
    pub(super) allowed: Duration,
    /// For checks that ask for it.
    pub(super) network: Network,
}

/// What each check gave, in the checks' order.
pub(super) type Runs = Vec<CheckRun>;

impl Clean {
    /// What the checks give on the base alone. What was run before, by whatever task of the team, is
    /// not run again; what another runs just now is waited for. Takes at most half of the time for
    /// validation: the other half is the change's.
    pub(super) async fn baseline(&self, checks: &[Check], low_priority: bool) -> Result<Runs, Halt> {
        let mut pass = self.base_pass(low_priority);
        let mut runs: Vec<Option<CheckRun>> = vec![None; checks.len()];
        let mut result = Ok(());
        for at in order(checks, |_| None) {
            match self.on_base(&mut pass, &checks[at], None).await {
                Ok(run) => runs[at] = run,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        pass.close().await;
        result.map(|()| runs.into_iter().flatten().collect())
    }

    pub(super) fn base_pass(&self, low_priority: bool) -> Pass {
        Pass::new(self, Tree::Base, TreeDelta::default(), Budget::start(self.allowed / 2), low_priority)
    }

    /// A check on the base, or with `first` what failed there once more.
    pub(super) async fn on_base(
        &self,
        pass: &mut Pass,
        check: &Check,
        first: Option<&CheckRun>,
    ) -> Result<Option<CheckRun>, Halt> {
        let key = self.key(check, first.is_some()).await;
        let one = self.deps.baselines.of(self.team, &key);
        let _running = one.lock().await;
        if let Some(run) = patiently(&self.deps.cut, || baselines::get(&self.deps.store, self.team, &key)).await? {
            return Ok(Some(run));
        }
        let run = match first {
            Some(first) => pass.again(check, first).await?,
            None => Some(pass.run(check).await?),
        };
        // What could not run says more of the moment than of the base.
        if let Some(run) = run.as_ref().filter(|run| run.outcome != CheckOutcome::CouldNotRun) {
            patiently(&self.deps.cut, || baselines::put(&self.deps.store, self.team, &key, run)).await?;
        }
        Ok(run)
    }

    /// Base tree, command and what else shapes a check's run: what the workspace has, and what it may use.
    async fn key(&self, check: &Check, again: bool) -> String {
        let SandboxLimits { pids, memory_bytes, cpu_percent, disk_bytes, tmp_bytes, output_bytes } = self.deps.limits;
        let programs = self.deps.sandboxes.programs().await;
        let network = if check.network { serde_json::json!(self.network.policy) } else { false.into() };
        let mut shape = serde_json::json!([
            self.base.tree,
            check.command,
            check.workdir,
            check.timeout_seconds,
            network,
            [pids, memory_bytes, cpu_percent, disk_bytes, tmp_bytes, output_bytes],
            &*programs,
        ]);
        if let Some(parts) = shape.as_array_mut() {
            parts.extend(self.outfit.digest().map(Into::into));
            // What reads the runs: names of tests are compared with those of earlier ones.
            parts.push(checks::READS.into());
            if again {
                parts.push("again on a new copy".into());
            }
        }
        BlobHash::of(shape.to_string().as_bytes()).0
    }
}

type Running = tokio::sync::Mutex<()>;

/// Baselines of one process that run beside their tasks at once.
const BESIDE_MAX: usize = 2;

/// The checks that run on bases just now, so that tasks on one base run each once, and few at once.
#[derive(Debug)]
pub struct Baselines {
    running: Mutex<HashMap<(TeamId, String), Weak<Running>>>,
    turns: Semaphore,
}

impl Default for Baselines {
    fn default() -> Self {
        Self { running: Mutex::default(), turns: Semaphore::new(BESIDE_MAX) }
    }
}

impl Baselines {
    /// Waits for a turn beside the tasks.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }

    fn of(&self, team: TeamId, key: &str) -> Arc<Running> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|_, one| one.strong_count() > 0);
        let one = running.entry((team, key.to_owned())).or_default();
        if let Some(one) = one.upgrade() {
            return one;
        }
        let new = Arc::new(Running::default());
        *one = Arc::downgrade(&new);
        new
    }
}
