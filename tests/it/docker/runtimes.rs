//! Containers by another runtime: gVisor, whose kernel is a program of its own.

use crate::support::{
    engine::{self, BUSYBOX, HOST, RUNSC},
    sandbox::{Copy, output, run},
};
use journeyman::workspace::{BackendSettings, RunCommand, WorkspaceError};
use std::time::Duration;

/// Speaks to execd's door as the task's own user, which this runtime takes for whoever it asks.
const KNOCK: &str = "python3 - <<'E'
import os, socket
got = b''
for words in (b'', b'\\x08\\0\\x01\\0\\0\\0\\0\\0jmexec\\x01\\0', os.urandom(32), os.urandom(4000)):
    s = socket.socket(socket.AF_UNIX); s.settimeout(1)
    try:
        s.connect('\\0execd'); s.sendall(words); got = s.recv(100) or got
    except OSError: pass
print('nobody speaks' if not got else got)
E";

#[tokio::test(flavor = "multi_thread")]
async fn gvisor_runs_workspaces_and_lets_nobody_speak_to_execd_but_the_server() {
    let engine = engine::with_gvisor().await;
    let copy = Copy::with(|data_dir| {
        let mut settings = engine.settings(data_dir, BUSYBOX);
        if let BackendSettings::Docker(docker) = &mut settings.backend {
            docker.runtime = Some(RUNSC.to_owned());
        }
        settings
    })
    .await;
    let mut options = copy.options();
    options.image = Some(HOST.to_owned());
    let workspace = copy.sandboxes.open(options).await.unwrap();
    assert_eq!(
        output(
            &workspace,
            "echo inside > file; cat file; cat /proc/version | grep -c gVisor || true; git --version | cut -c1-3"
        )
        .await
        .lines()
        .next(),
        Some("inside")
    );
    assert_eq!(std::fs::read_to_string(copy.path.join("file")).unwrap(), "inside\n");
    assert_eq!(output(&workspace, KNOCK).await, "nobody speaks\n");
    // Lost and made again.
    let container = engine.containers(&copy.task.to_string()).await.remove(0);
    let result = workspace.run(RunCommand::new("sleep 1", Duration::from_secs(20)), None);
    assert!(result.await.is_ok());
    assert_eq!(engine.containers(&copy.task.to_string()).await, [container]);
    assert_ne!(
        run(&workspace, "mount -t tmpfs none /tmp; exit $?").await.outcome,
        journeyman::workspace::RunOutcome::Exited(0)
    );
    workspace.close().await;
    assert!(matches!(workspace.read("file", 10).await, Err(WorkspaceError::Gone { .. })));
}
