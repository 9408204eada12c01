//! One pass over checks on one tree: a clean copy laid out when it is first needed, with a sandbox of
//! its own, open until the pass ends. What failed is run again on a new one.

use super::{
    clean::Clean,
    journal::Halt,
    laying::{self, Laying, Opening, Whose},
    network::Proxy,
};
use crate::{
    checks, clock,
    domain::{
        check::{Check, CheckRun},
        event::TreeDelta,
    },
    egress::Access,
    workspace::{Workspace, WorkspaceError},
};
use std::time::Duration;

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

/// The time for validation, counted from when the verdict is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    allowed: Duration,
    since: clock::Stopwatch,
}

impl Budget {
    pub(super) fn start(allowed: Duration) -> Self {
        Self { allowed, since: clock::Stopwatch::start() }
    }

    fn left(&self) -> Duration {
        self.allowed.saturating_sub(self.since.elapsed())
    }
}

pub(super) struct Pass {
    clean: Clean,
    tree: Tree,
    /// From the base.
    delta: TreeDelta,
    budget: Budget,
    low_priority: bool,
    open: Option<Workspace>,
    /// Of the open workspace: what checks with a network are let through.
    access: Option<Access>,
    /// Listens once a check has asked for it, and is shut but while one runs that does.
    proxy: Option<Proxy>,
}

impl Pass {
    pub(super) fn new(clean: &Clean, tree: Tree, delta: TreeDelta, budget: Budget, low_priority: bool) -> Self {
        Self { clean: clean.clone(), tree, delta, budget, low_priority, open: None, access: None, proxy: None }
    }

    /// Runs a check; one that the time does not reach could not run.
    pub(super) async fn run(&mut self, check: &Check) -> Result<CheckRun, Halt> {
        let left = self.budget.left();
        if left.is_zero() {
            return Ok(checks::not_reached(self.budget.allowed));
        }
        let (mut run, output) = self.command(check, left).await?;
        run.log_blob = Some(self.clean.deps.keep(self.clean.team, self.clean.task, output).await?);
        Ok(run)
    }

    /// Runs a measure; with the figure that it gave.
    pub(super) async fn figure(&mut self, check: &Check) -> Result<(CheckRun, Option<f64>), Halt> {
        let left = self.budget.left();
        if left.is_zero() {
            return Ok((checks::not_reached(self.budget.allowed), None));
        }
        let (mut run, output) = self.command(check, left).await?;
        let figure = checks::figure(check, &run, &output);
        run.log_blob = Some(self.clean.deps.keep(self.clean.team, self.clean.task, output).await?);
        Ok((run, figure))
    }

    /// Runs a check that failed again on the same tree, laid out anew: what the first run left behind, in its files or
    /// its home, is no part of the tree. None where too little time is left. The log is both runs'.
    pub(super) async fn again(&mut self, check: &Check, first: &CheckRun) -> Result<Option<CheckRun>, Halt> {
        let left = self.budget.left();
        if left < Duration::from_millis(first.duration_ms) {
            return Ok(None);
        }
        self.close().await;
        let (mut run, output) = self.command(check, left).await?;
        let said = format!("\n[run again on the same tree, unchanged: {}]\n", check.command);
        let whole = format!("{}{said}{}", first.log, run.log);
        checks::tail(&whole).clone_into(&mut run.log);
        let deps = &self.clean.deps;
        let before = match &first.log_blob {
            // A baseline that another task kept may have lost its log since.
            Some(blob) => deps.kept(self.clean.team, blob).await.ok(),
            None => None,
        };
        let before = before.unwrap_or_else(|| first.log.clone().into());
        let both = [before.as_ref(), said.as_bytes(), &output].concat();
        run.log_blob = Some(deps.keep(self.clean.team, self.clean.task, both).await?);
        Ok(Some(run))
    }

    /// Redacted.
    async fn command(&mut self, check: &Check, left: Duration) -> Result<(CheckRun, Vec<u8>), Halt> {
        let workspace = self.workspace().await?;
        let ran = match self.try_command(&workspace, check, left).await {
            // Nothing was decided yet: on a copy that is laid out anew it runs as it would have.
            Err(WorkspaceError::Gone { why }) => {
                tracing::warn!(task.id = %self.clean.task, "the workspace died under a check: {why}");
                self.close().await;
                let workspace = self.workspace().await?;
                self.try_command(&workspace, check, left).await?
            }
            other => other?,
        };
        let checks::Ran { mut run, output } = ran;
        let redactor = &self.clean.redactor;
        run.log = redactor.redact_known(&run.log).into_owned();
        Ok((run, redactor.redact_known_bytes(&output).into_owned()))
    }

    /// With the way out open for as long as a check runs that asks for it.
    async fn try_command(
        &mut self,
        workspace: &Workspace,
        check: &Check,
        left: Duration,
    ) -> Result<checks::Ran, WorkspaceError> {
        let env = if check.network { self.connect(workspace).await? } else { Vec::new() };
        let ran = checks::run(workspace, check, &env, left, &self.clean.base.tracked(), None).await;
        if let Some(proxy) = &self.proxy {
            proxy.shut();
        }
        ran
    }

    /// Opens the way out, if there is one; the variables that lead to it.
    async fn connect(&mut self, workspace: &Workspace) -> Result<Vec<(String, String)>, WorkspaceError> {
        let Some(access) = &self.access else { return Ok(Vec::new()) };
        let proxy = match &self.proxy {
            Some(proxy) => proxy,
            None => self.proxy.insert(Proxy::listen(workspace, access.clone()).await?),
        };
        proxy.open();
        Ok(access.environment())
    }

    async fn workspace(&mut self) -> Result<Workspace, Halt> {
        if let Some(workspace) = &self.open {
            return Ok(workspace.clone());
        }
        let Clean { deps, team, task, base, outfit, network, .. } = &self.clean;
        let directory = deps.sandboxes.directory(*task).clean_copy(self.tree.name());
        self.access = network.access(deps, *team, *task).await?;
        let access = self.access.as_ref();
        let opening = Opening { directory, access, env: Vec::new(), low_priority: self.low_priority };
        let whose = Whose { team: *team, task: *task, uses: network.uses() };
        let laying = Laying { deps, whose, base, delta: &self.delta, outfit };
        let workspace = laying.further(opening).await?;
        outfit.begin(deps, &workspace).await;
        self.open = Some(workspace.clone());
        Ok(workspace)
    }

    /// Removes the copy; the pass can go on with a new one.
    pub(super) async fn close(&mut self) {
        self.proxy = None;
        let Some(workspace) = self.open.take() else { return };
        workspace.close().await;
        let directory = self.clean.deps.sandboxes.directory(self.clean.task).clean_copy(self.tree.name());
        // What stays is removed before the next clean copy, or with the task.
        let _ = laying::remove(directory).await;
    }
}
