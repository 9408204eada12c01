//! The same workspaces by Podman, whose socket speaks as Docker's does.

use crate::support::{
    calculator::{self, ten_turns},
    engine::{self, BUSYBOX, HOST},
    sandbox::{Copy, output, run},
};
use journeyman::workspace::{RunCommand, RunOutcome, Sandboxes, WorkspaceError};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn workspaces_by_podman_run_end_and_are_found_again() {
    let engine = engine::podman().await;
    let copy = Copy::with(|data_dir| engine.settings(data_dir, HOST)).await;
    let weaker: Vec<_> = copy.sandboxes.capabilities().lines.into_iter().filter(|line| !line.holds).collect();
    assert!(weaker.is_empty(), "{weaker:#?}");
    let workspace = copy.open().await;
    let uid = copy.sandboxes.owner_uid(copy.task).unwrap().0;
    assert_eq!(
        output(&workspace, "id -u; pwd; touch /home/agent/x /tmp/x made; echo $HOME").await,
        format!("{uid}\n/workspace\n/home/agent\n")
    );
    assert_eq!(run(&workspace, "echo out; exit 3").await.outcome, RunOutcome::Exited(3));
    let process = workspace.start_process(RunCommand::new("sleep 1000", 1000 * SECOND)).await.unwrap();
    assert_eq!(workspace.write_stdin(process, b"", Duration::ZERO).await.unwrap().exit, None);
    let task = copy.task.to_string();
    let containers = || engine.containers(&task);
    assert_eq!(containers().await.len(), 1);
    let begun = Instant::now();
    workspace.close().await;
    assert!(begun.elapsed() < 15 * SECOND, "{:?}", begun.elapsed());
    assert_eq!(containers().await.len(), 0);
    // What an earlier server of this data directory has left.
    let left = copy.open().await;
    let next = Sandboxes::new(engine.settings(copy.data_dir.path(), BUSYBOX)).await.unwrap();
    assert_eq!(next.reap().await.unwrap(), 1);
    tokio::time::timeout(30 * SECOND, left.closed()).await.unwrap();
    let mut options = copy.options();
    options.image = Some("no-such/image".to_owned());
    let error = next.open(options).await.unwrap_err();
    assert!(matches!(error, WorkspaceError::Setup { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_done_and_verified_by_podman() {
    let engine = engine::podman().await;
    let mut ground = calculator::ground(&ten_turns()).await;
    ground.variables.extend(engine.variables(HOST));
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&calculator::request(&ground)).await;
    let task = api.until(&id, |task| !matches!(task["status"].as_str(), Some("queued" | "running"))).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#}");
    service.stop().await;
}
