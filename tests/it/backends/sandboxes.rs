//! What one sandbox is: what comes through to it, and how it ends.

use super::{Frozen, Machines, assert_none_is_left};
use crate::support::{
    process::of_user,
    sandbox::{Copy, output},
};
use journeyman::workspace::{RunCommand, SandboxSettings, Sandboxes, Workspace, WorkspaceError};
use std::{
    collections::HashSet,
    path::Path,
    time::{Duration, Instant},
};

const SECOND: Duration = Duration::from_secs(1);

/// An empty working copy and its open workspace.
pub(crate) async fn open(machines: &impl Machines, image: &str) -> (Copy, Workspace) {
    let copy = Copy::with(|data_dir| machines.settings(data_dir, image)).await;
    let workspace = copy.open().await;
    (copy, workspace)
}

async fn of(machines: &impl Machines, copy: &Copy) -> Vec<String> {
    machines.of_task(&copy.task.to_string()).await
}

pub(crate) async fn a_large_output_and_many_calls_at_once_come_through<M: Machines>(machines: &M) {
    let (_copy, workspace) = open(machines, M::HOST).await;
    let long = output(&workspace, "seq 1 100000");
    let many = futures::future::join_all((0..20).map(|number| {
        let workspace = workspace.clone();
        async move { output(&workspace, &format!("echo {number}")).await }
    }));
    let (long, many) = tokio::join!(long, many);
    assert_eq!(long.lines().count(), 100_000);
    assert_eq!(many, (0..20).map(|number| format!("{number}\n")).collect::<Vec<_>>());
}

pub(crate) async fn closing_leaves_none_and_so_does_dropping<M: Machines>(machines: &M) {
    let (copy, workspace) = open(machines, M::BUSYBOX).await;
    output(&workspace, "setsid sleep 1000 & echo").await;
    assert_eq!(of(machines, &copy).await.len(), 1);
    let begun = Instant::now();
    workspace.close().await;
    assert!(begun.elapsed() < 5 * SECOND, "{:?}", begun.elapsed());
    assert_eq!(of(machines, &copy).await, [""; 0]);
    let again = copy.open().await;
    assert_eq!(output(&again, "echo again").await, "again\n");
    drop(again);
    assert_none_is_left(machines, &copy.task.to_string()).await;
}

pub(crate) async fn one_that_is_taken_away_is_gone_and_calls_in_it_are_interrupted<M: Machines>(machines: &M) {
    let (copy, workspace) = open(machines, M::BUSYBOX).await;
    let take = async {
        output(&workspace, "echo up").await;
        for name in of(machines, &copy).await {
            machines.take_away(&name).await;
        }
    };
    let (result, ()) = tokio::join!(workspace.run(RunCommand::new("sleep 1000", 1000 * SECOND), None), take);
    assert!(matches!(result, Err(WorkspaceError::Gone { .. })), "{result:?}");
    assert!(!workspace.lives().await && workspace.is_gone());
    tokio::time::timeout(10 * SECOND, workspace.closed()).await.unwrap();
}

pub(crate) async fn a_lost_connection_is_made_again_and_only_calls_in_flight_are_lost_with_it<M: Machines>(
    machines: &M,
) {
    let (copy, workspace) = open(machines, M::HOST).await;
    let process = workspace.start_process(RunCommand::new("echo begun; sleep 1000", 1000 * SECOND)).await.unwrap();
    let port = workspace.listen(0).await.unwrap();
    output(&workspace, "echo kept > file").await;
    assert_eq!(workspace.walk().await.unwrap().changed.len(), 1);
    let name = of(machines, &copy).await.remove(0);
    let cut = async {
        output(&workspace, "until [ -e inside ]; do sleep 0.01; done").await;
        machines.cut(&name).await;
    };
    let (result, ()) =
        tokio::join!(workspace.run(RunCommand::new("touch inside; sleep 1000", 1000 * SECOND), None), cut);
    assert!(matches!(result, Err(WorkspaceError::Gone { .. })), "{result:?}");
    assert!(workspace.lives().await);
    assert_eq!(output(&workspace, "cat file; ps -eo args= | grep -c '^sleep 1000'").await, "kept\n1\n");
    let look = workspace.write_stdin(process, b"", Duration::ZERO).await.unwrap();
    assert_eq!((look.output.as_slice(), look.exit), (&b"begun\n"[..], None));
    let walk = workspace.walk().await.unwrap();
    assert_eq!(walk.changed.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>(), ["inside"]);
    let client =
        format!("python3 -c 'import socket; s = socket.create_connection((\"127.0.0.1\", {port})); print(s.recv(9))'");
    let serve = async {
        let connection = workspace.accept().await.unwrap();
        connection.write(b"answered").await.unwrap();
        connection.end();
        connection
    };
    let (_connection, said) = tokio::join!(serve, output(&workspace, &client));
    assert_eq!(said, "b'answered'\n");
    assert_eq!(of(machines, &copy).await, [name]);
}

/// Answers the next server, and a workspace of its own that is open.
pub(crate) async fn those_of_an_earlier_server_are_ended_and_those_of_this_one_are_not<M: Machines>(
    machines: &M,
) -> (Copy, Sandboxes, Workspace) {
    let (copy, workspace) = open(machines, M::BUSYBOX).await;
    // The same data directory, as the next server has it.
    let next = Sandboxes::new(machines.settings(copy.data_dir.path(), M::BUSYBOX)).await.unwrap();
    assert_eq!(next.reap().await.unwrap(), 1);
    assert_eq!(of(machines, &copy).await, [""; 0]);
    tokio::time::timeout(20 * SECOND, workspace.closed()).await.unwrap();
    assert!(!workspace.lives().await);
    let again = next.open(copy.options()).await.unwrap();
    assert_eq!(next.reap().await.unwrap(), 0);
    let swept = next.sweep(&HashSet::new()).await.unwrap();
    assert_eq!((swept.processes_killed, swept.directories_removed), (0, 0));
    assert_eq!(output(&again, "echo alive").await, "alive\n");
    (copy, next, again)
}

/// Names of what does not hold.
pub(crate) async fn what_holds_is_told_line_by_line_after_a_look<M: Machines>(machines: &M) -> Vec<&'static str> {
    let (copy, _workspace) = open(machines, M::HOST).await;
    let lines = copy.sandboxes.capabilities().lines;
    let names: Vec<&str> = lines.iter().map(|line| line.name).collect();
    assert_eq!(
        names,
        ["user", "namespaces", "system calls", "network", "pids", "memory", "cpu", "disk", "output", "time"]
    );
    lines.iter().filter(|line| !line.holds).map(|line| line.name).collect()
}

/// What nobody answers for is ended to make room, and whoever carries the server's connection is not.
pub(crate) async fn one_that_is_full_of_processes_makes_room_and_stays_connected<M: Machines>(machines: &M) {
    let copy = Copy::with(|data_dir| machines.settings(data_dir, M::HOST)).await;
    let mut options = copy.options();
    options.limits.pids = 60;
    let workspace = copy.sandboxes.open(options).await.unwrap();
    let fill = "import os, time\nwhile True:\n  try:\n    if os.fork() == 0:\n      os.setsid(); os.close(1); os.close(2); time.sleep(1000)\n  except OSError: break\nprint('full')";
    let full = workspace.run(RunCommand::new(format!("exec python3 -c \"{fill}\""), 30 * SECOND), None).await.unwrap();
    assert_eq!(full.output, b"full\n");
    let next = workspace.run(RunCommand::new("echo alive", 30 * SECOND), None).await;
    assert_eq!(next.unwrap().output, b"alive\n");
}

/// Quick enough for a test, and slow enough for a busy machine.
const BEAT: Duration = Duration::from_millis(400);

async fn open_with_heartbeat<M: Machines>(machines: &M) -> (Copy, Workspace) {
    let with = |data_dir: &Path| SandboxSettings { heartbeat: BEAT, ..machines.settings(data_dir, M::HOST) };
    let copy = Copy::with(with).await;
    let workspace = copy.open().await;
    (copy, workspace)
}

/// Commands of a task that sleep on this machine.
fn sleepers(copy: &Copy) -> usize {
    let uid = copy.sandboxes.owner_uid(copy.task).unwrap().0;
    of_user(uid).iter().filter(|(_, name)| name == "sleep").count()
}

pub(crate) async fn one_whose_execd_hangs_is_lost_and_ended<M: Machines>(machines: &M) {
    let (copy, workspace) = open_with_heartbeat(machines).await;
    let name = of(machines, &copy).await.remove(0);
    let freeze = async {
        output(&workspace, "echo up").await;
        Frozen::new(machines.first_process(&name).await)
    };
    let begun = Instant::now();
    let (result, frozen) = tokio::join!(workspace.run(RunCommand::new("sleep 1000", 1000 * SECOND), None), freeze);
    let Err(WorkspaceError::Gone { why }) = result else { panic!("{result:?}") };
    assert!(why.contains("no sign of life"), "{why}");
    assert!(!workspace.lives().await);
    assert!(begun.elapsed() < 60 * SECOND, "{:?}", begun.elapsed());
    tokio::time::timeout(30 * SECOND, workspace.closed()).await.unwrap();
    assert_none_is_left(machines, &copy.task.to_string()).await;
    drop(frozen);
    let again = copy.open().await;
    assert_eq!(output(&again, "echo again").await, "again\n");
}

/// Whoever carries the bytes hangs and hangs up on nobody: what the server waits for ends on both sides, and what runs in
/// the background goes on once it is back.
pub(crate) async fn one_whose_keeper_hangs_ends_its_calls_and_is_found_again<M: Machines>(machines: &M) {
    let (copy, workspace) = open_with_heartbeat(machines).await;
    let process = workspace
        .start_process(RunCommand::new("exec python3 -c 'import time; time.sleep(1000)'", 1000 * SECOND))
        .await
        .unwrap();
    let hang = async {
        while sleepers(&copy) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let frozen = Frozen::new(machines.keeper());
        let begun = Instant::now();
        while sleepers(&copy) > 0 {
            assert!(begun.elapsed() < 30 * SECOND, "a call goes on that nobody waits for");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(frozen);
    };
    let (result, ()) = tokio::join!(workspace.run(RunCommand::new("sleep 1000", 1000 * SECOND), None), hang);
    assert!(matches!(result, Err(WorkspaceError::Gone { .. })), "{result:?}");
    assert!(workspace.lives().await);
    assert_eq!(output(&workspace, "echo alive").await, "alive\n");
    assert_eq!(workspace.write_stdin(process, b"", Duration::ZERO).await.unwrap().exit, None);
}
