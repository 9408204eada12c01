//! Checks on clean copies: a tree laid out afresh, a sandbox of its own, the commands in order. The
//! working copy of the task has no part in it.

use super::{
    Deps, copy,
    journal::{Halt, patiently},
};
use crate::{
    checks, clock,
    domain::{
        BlobHash, TaskId, TeamId,
        check::{Check, CheckRun, Obstacle},
        event::TreeDelta,
    },
    store::baselines,
    workspace::{Workspace, repository::Base},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Which tree a clean copy holds; names its directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tree {
    Base,
    Final,
    /// The final tree with the base's test files put back.
    PutBack,
}

impl Tree {
    fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Final => "final",
            Self::PutBack => "put-back",
        }
    }
}

/// Runs a task's checks on clean copies.
#[derive(Clone)]
pub(super) struct Clean {
    pub(super) deps: Arc<Deps>,
    pub(super) team: TeamId,
    pub(super) task: TaskId,
    pub(super) base: Base,
    /// For one pass over the checks.
    pub(super) allowed: Duration,
}

/// What each check gave; none for one that the time did not reach.
pub(super) type Runs = Vec<Option<CheckRun>>;

impl Clean {
    /// Runs the checks on a tree that has changed, in order, within the time for validation.
    pub(super) async fn run(&self, tree: Tree, delta: &TreeDelta, checks: &[Check]) -> Result<Runs, Halt> {
        self.pass(tree, delta, checks, false).await
    }

    /// What the checks give on the base alone. What was run before, by whatever task of the team, is
    /// not run again; what another runs just now is waited for.
    pub(super) async fn baseline(&self, checks: &[Check], low_priority: bool) -> Result<Runs, Halt> {
        self.pass(Tree::Base, &TreeDelta::default(), checks, low_priority).await
    }

    async fn pass(&self, tree: Tree, delta: &TreeDelta, checks: &[Check], low_priority: bool) -> Result<Runs, Halt> {
        let mut pass = Pass { clean: self, tree, low_priority, started: clock::Stopwatch::start(), open: None };
        let mut runs = Vec::with_capacity(checks.len());
        let mut result = Ok(());
        for check in checks {
            let run =
                if tree == Tree::Base { self.on_base(&mut pass, check).await } else { pass.run(delta, check).await };
            match run {
                Ok(run) => runs.push(run),
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        pass.end().await;
        result.map(|()| runs)
    }

    async fn on_base(&self, pass: &mut Pass<'_>, check: &Check) -> Result<Option<CheckRun>, Halt> {
        let key = self.key(check);
        let one = self.deps.baselines.of(self.team, &key);
        let _running = one.lock().await;
        if let Some(run) = patiently(&self.deps.cut, || baselines::get(&self.deps.store, self.team, &key)).await? {
            return Ok(Some(run));
        }
        let run = pass.run(&TreeDelta::default(), check).await?;
        if let Some(run) = run.as_ref().filter(|run| lasts(run)) {
            patiently(&self.deps.cut, || baselines::put(&self.deps.store, self.team, &key, run)).await?;
        }
        Ok(run)
    }

    /// Base tree, command and what else shapes a check's run.
    fn key(&self, check: &Check) -> String {
        let shape =
            serde_json::json!([self.base.tree, check.command, check.workdir, check.timeout_seconds, check.network]);
        BlobHash::of(shape.to_string().as_bytes()).0
    }
}

/// One pass over checks on one tree, with its sandbox once it is needed.
struct Pass<'a> {
    clean: &'a Clean,
    tree: Tree,
    low_priority: bool,
    started: clock::Stopwatch,
    open: Option<Workspace>,
}

impl Pass<'_> {
    async fn run(&mut self, delta: &TreeDelta, check: &Check) -> Result<Option<CheckRun>, Halt> {
        let left = self.clean.allowed.saturating_sub(self.started.elapsed());
        if left.is_zero() {
            return Ok(None);
        }
        if self.open.is_none() {
            self.open = Some(self.open(delta).await?);
        }
        let Some(workspace) = &self.open else { return Ok(None) };
        let deps = &self.clean.deps;
        let checks::Ran { mut run, output } = checks::run(workspace, check, left, None).await?;
        let scrubbed = deps.redactor.redact_known_bytes(&output).into_owned();
        run.log = deps.redactor.redact_known(&run.log).into_owned();
        run.log_blob = Some(deps.keep(self.clean.team, scrubbed).await?);
        Ok(Some(run))
    }

    async fn open(&self, delta: &TreeDelta) -> Result<Workspace, Halt> {
        let Clean { deps, team, task, base, .. } = self.clean;
        let directory = deps.sandboxes.directory(*task).clean_copy(self.tree.name());
        copy::lay_out(deps, *team, *task, base, delta, &directory).await?;
        copy::open(deps, *task, base, directory, self.low_priority).await
    }

    async fn end(self) {
        let Some(workspace) = self.open else { return };
        workspace.close().await;
        let directory = self.clean.deps.sandboxes.directory(self.clean.task).clean_copy(self.tree.name());
        // What stays is removed before the next clean copy, or with the task.
        let _ = tokio::fs::remove_dir_all(directory).await;
    }
}

/// Whether a run on the base says something of the base, and not of the moment.
fn lasts(run: &CheckRun) -> bool {
    !matches!(run.obstacle, Some(Obstacle::TimeLimit | Obstacle::Killed | Obstacle::Workspace))
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
