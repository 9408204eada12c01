//! Runs one check in an open workspace.

use super::{Output, judge, reports::Reports};
use crate::{
    domain::check::{Check, CheckKind, CheckRun},
    workspace::{RunCommand, Workspace, WorkspaceError},
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// The version of what reads tests from runs: another one may give other names.
pub const READS: &str = "logs and reports";

/// What makes runners name their tests, and tell how long the slowest took, without changing what they run or
/// how they end. A command or configuration that says otherwise wins.
const TALKATIVE: &[(&str, &str)] = &[("PYTEST_ADDOPTS", "-rpfEsxX --durations=25")];

/// A check's run with its output.
#[derive(Clone, Debug)]
pub struct Ran {
    pub run: CheckRun,
    /// As much as the workspace kept (1 MiB: the two ends), for a blob.
    pub output: Vec<u8>,
}

/// Runs a check, for at most `budget` or its own timeout, with `env` besides the workspace's own; `paths` are those of
/// the base. An error is the workspace's; whatever
/// the command does is an outcome.
pub async fn run(
    workspace: &Workspace,
    check: &Check,
    env: &[(String, String)],
    budget: Duration,
    paths: &Arc<[String]>,
    live: Option<mpsc::Sender<Bytes>>,
) -> Result<Ran, WorkspaceError> {
    let own = check.timeout_seconds.map(|seconds| Duration::from_secs(seconds.into()));
    let mut command = RunCommand::new(&check.command, own.map_or(budget, |own| own.min(budget)));
    command.env = TALKATIVE.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    command.env.extend_from_slice(env);
    command.workdir.clone_from(&check.workdir);
    let reports = Reports::of(check, paths).filter(|_| check.kind == CheckKind::Test);
    if let Some(reports) = &reports {
        reports.begin(workspace).await?;
    }
    let result = workspace.run(command, live).await?;
    let reports = match reports {
        Some(reports) => reports.collect(workspace, check).await?,
        None => Vec::new(),
    };
    let (check, paths) = (check.clone(), Arc::clone(paths));
    // A log is gone through many times: other tasks are not held up by it.
    let judged = tokio::task::spawn_blocking(move || {
        let output = Output {
            outcome: result.outcome,
            output: &result.output,
            omitted_bytes: result.omitted_bytes,
            omitted_at: result.omitted_at,
            duration: result.duration,
            reports: &reports,
            paths: &paths,
        };
        Ran { run: judge(&check, &output), output: result.output }
    });
    judged.await.map_err(|error| WorkspaceError::Io {
        what: "the check's log could not be read".to_owned(),
        why: error.to_string(),
    })
}
