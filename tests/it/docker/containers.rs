//! What one container is: what runs in it, what it may do, and how it ends.

use crate::support::{
    engine::{self, BUSYBOX, EMPTY, Engine, HOST},
    sandbox::{Copy, output, run},
};
use journeyman::workspace::{
    BackendSettings, FileChange, Pull, RunCommand, RunOutcome, SandboxLimits, Sandboxes, Workspace, WorkspaceError,
};
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

const SECOND: Duration = Duration::from_secs(1);

/// An empty working copy and its open workspace, by the engine that all tests share.
async fn open(image: &str) -> (&'static Engine, Copy, Workspace) {
    let engine = engine::shared().await;
    let copy = Copy::with(|data_dir| engine.settings(data_dir, image)).await;
    let workspace = copy.open().await;
    (engine, copy, workspace)
}

async fn containers(engine: &Engine, copy: &Copy) -> Vec<String> {
    engine.containers(&copy.task.to_string()).await
}

#[tokio::test]
async fn a_busybox_is_enough_to_run_commands_and_touch_files() {
    let (_engine, copy, workspace) = open(BUSYBOX).await;
    let result = run(&workspace, "echo one; echo two >&2; exit 3").await;
    assert_eq!((result.outcome, result.output.as_slice()), (RunOutcome::Exited(3), &b"one\ntwo\n"[..]));
    assert_eq!(output(&workspace, "pwd; echo $HOME; id -u").await, {
        let uid = copy.sandboxes.owner_uid(copy.task).unwrap().0;
        format!("/workspace\n/home/agent\n{uid}\n")
    });
    let written = FileChange::Write {
        path: "made".to_owned(),
        content: b"by the server\n".to_vec(),
        executable: None,
        expect: journeyman::workspace::Expect::Absent,
    };
    workspace.apply(vec![written]).await.unwrap();
    assert_eq!(output(&workspace, "cat made; echo more >> made").await, "by the server\n");
    assert_eq!(std::fs::read_to_string(copy.path.join("made")).unwrap(), "by the server\nmore\n");
    assert_eq!(workspace.walk().await.unwrap().changed.len(), 1);
}

#[tokio::test]
async fn a_large_output_and_many_calls_at_once_come_through() {
    let (_engine, _copy, workspace) = open(HOST).await;
    let long = output(&workspace, "seq 1 100000");
    let many = futures::future::join_all((0..20).map(|number| {
        let workspace = workspace.clone();
        async move { output(&workspace, &format!("echo {number}")).await }
    }));
    let (long, many) = tokio::join!(long, many);
    assert_eq!(long.lines().count(), 100_000);
    assert_eq!(many, (0..20).map(|number| format!("{number}\n")).collect::<Vec<_>>());
}

#[tokio::test]
async fn closing_leaves_no_container_and_so_does_dropping() {
    let (engine, copy, workspace) = open(BUSYBOX).await;
    output(&workspace, "setsid sleep 1000 & echo").await;
    assert_eq!(containers(engine, &copy).await.len(), 1);
    let begun = Instant::now();
    workspace.close().await;
    assert!(begun.elapsed() < 5 * SECOND, "{:?}", begun.elapsed());
    assert_eq!(containers(engine, &copy).await, [""; 0]);
    let again = copy.open().await;
    assert_eq!(output(&again, "echo again").await, "again\n");
    drop(again);
    let begun = Instant::now();
    while !containers(engine, &copy).await.is_empty() {
        assert!(begun.elapsed() < 10 * SECOND);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_deleted_container_is_gone_and_calls_in_it_are_interrupted() {
    let (engine, copy, workspace) = open(BUSYBOX).await;
    let delete = async {
        output(&workspace, "echo up").await;
        for name in containers(engine, &copy).await {
            engine.delete(&name).await;
        }
    };
    let (result, ()) = tokio::join!(workspace.run(RunCommand::new("sleep 1000", 1000 * SECOND), None), delete);
    assert!(matches!(result, Err(WorkspaceError::Gone { .. })), "{result:?}");
    assert!(!workspace.lives().await);
    tokio::time::timeout(10 * SECOND, workspace.closed()).await.unwrap();
}

/// Cuts the server's connection to a container: kills what the engine has attached it to.
async fn cut(engine: &Engine, name: &str) {
    let top = engine.versioned_client().await.top_processes(name, None).await.unwrap();
    let rows = top.processes.unwrap();
    let mut pids = rows.iter().filter(|row| row.iter().any(|cell| cell.contains("connect"))).map(|row| &row[1]);
    let pid = pids.next().unwrap().parse().unwrap();
    assert!(pids.next().is_none());
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_workspace_that_is_full_of_processes_is_still_connected_to() {
    let (engine, copy, _workspace) = open(HOST).await;
    let mut options = copy.options();
    options.limits.pids = 60;
    let before = containers(engine, &copy).await;
    let workspace = copy.sandboxes.open(options).await.unwrap();
    let name = containers(engine, &copy).await.into_iter().find(|name| !before.contains(name)).unwrap();
    let fill = "python3 -c 'import os,time\nwhile True:\n  try:\n    if os.fork() == 0:\n      os.setsid(); time.sleep(1000)\n  except OSError: break\nopen(\"full\", \"w\"); time.sleep(1000)'";
    let cut = async {
        let begun = Instant::now();
        while !copy.path.join("full").exists() {
            assert!(begun.elapsed() < 20 * SECOND);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        cut(engine, &name).await;
    };
    let (result, ()) = tokio::join!(workspace.run(RunCommand::new(fill, 1000 * SECOND), None), cut);
    assert!(matches!(result, Err(WorkspaceError::Gone { .. })), "{result:?}");
    assert!(workspace.lives().await);
    assert_eq!(output(&workspace, "echo alive").await, "alive\n");
}

#[tokio::test]
async fn a_lost_connection_is_made_again_and_only_calls_in_flight_are_lost_with_it() {
    let (engine, copy, workspace) = open(HOST).await;
    let process = workspace.start_process(RunCommand::new("echo begun; sleep 1000", 1000 * SECOND)).await.unwrap();
    let port = workspace.listen(0).await.unwrap();
    output(&workspace, "echo kept > file").await;
    assert_eq!(workspace.walk().await.unwrap().changed.len(), 1);
    let name = containers(engine, &copy).await.remove(0);
    let cut = async {
        output(&workspace, "until [ -e inside ]; do sleep 0.01; done").await;
        cut(engine, &name).await;
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
    assert_eq!(containers(engine, &copy).await, [name]);
}

#[tokio::test]
async fn containers_of_an_earlier_server_are_ended_and_those_of_this_one_are_not() {
    let (engine, copy, workspace) = open(BUSYBOX).await;
    // The same data directory, as the next server has it.
    let next = Sandboxes::new(engine.settings(copy.data_dir.path(), BUSYBOX)).await.unwrap();
    assert_eq!(next.reap().await.unwrap(), 1);
    assert_eq!(containers(engine, &copy).await, [""; 0]);
    assert!(!workspace.lives().await);
    let again = next.open(copy.options()).await.unwrap();
    assert_eq!(next.reap().await.unwrap(), 0);
    let swept = next.sweep(&HashSet::new()).await.unwrap();
    assert_eq!((swept.processes_killed, swept.directories_removed), (0, 0));
    assert_eq!(output(&again, "echo alive").await, "alive\n");
}

#[tokio::test]
async fn what_holds_is_told_line_by_line_after_a_look() {
    let (_engine, copy, _workspace) = open(HOST).await;
    let lines = copy.sandboxes.capabilities().lines;
    let weaker: Vec<_> = lines.iter().filter(|line| !line.holds).collect();
    assert!(weaker.is_empty(), "{weaker:#?}");
    let names: Vec<&str> = lines.iter().map(|line| line.name).collect();
    assert_eq!(
        names,
        ["user", "namespaces", "system calls", "network", "pids", "memory", "cpu", "disk", "output", "time"]
    );
}

#[tokio::test]
async fn each_image_has_programs_of_its_own() {
    let (_engine, copy, _workspace) = open(BUSYBOX).await;
    let told = copy.sandboxes.programs().await;
    assert!(told.is_sorted() && told.iter().any(|name| name == "busybox"), "{told:?}");
    assert!(!told.iter().any(|name| name == "git"));
    let told = copy.sandboxes.programs_of(Some(HOST)).await;
    for name in ["git", "python3", "bash"] {
        assert!(told.iter().any(|known| known == name), "{name} of {told:?}");
    }
    assert!(told.iter().any(|name| name.starts_with("python3@3.")), "{told:?}");
    assert_eq!(*copy.sandboxes.programs_of(Some("no-such/image")).await, [""; 0]);
}

#[tokio::test]
async fn a_workspace_is_made_from_the_image_that_it_names() {
    let (_engine, copy, _workspace) = open(BUSYBOX).await;
    let mut options = copy.options();
    options.image = Some(HOST.to_owned());
    let workspace = copy.sandboxes.open(options.clone()).await.unwrap();
    output(&workspace, "git --version && python3 --version").await;
    for (image, says) in [
        ("no-such/image", "docker pull no-such/image"),
        ("../containers/json?all=1#", "is no name of an image"),
        ("", "is no name of an image"),
        ("UPPER CASE", "is no name of an image"),
    ] {
        options.image = Some(image.to_owned());
        let error = copy.sandboxes.open(options.clone()).await.unwrap_err();
        assert!(error.to_string().contains(says), "{image}: {error}");
    }
}

#[tokio::test]
async fn limits_of_a_container_hold() {
    let (_engine, copy, _workspace) = open(HOST).await;
    let mut options = copy.options();
    options.limits = SandboxLimits {
        pids: 60,
        memory_bytes: 128 << 20,
        tmp_bytes: 8 << 20,
        disk_bytes: 32 << 20,
        ..SandboxLimits::default()
    };
    let workspace = copy.sandboxes.open(options).await.unwrap();
    let hog = run(&workspace, "python3 -c 'x = bytearray(400 << 20); print(len(x))' 2>&1").await;
    assert_ne!(hog.outcome, RunOutcome::Exited(0));
    for path in ["/tmp/x", "/var/tmp/x", "/home/agent/x"] {
        let result = run(&workspace, &format!("head -c 100000000 /dev/zero > {path}")).await;
        assert_ne!(result.outcome, RunOutcome::Exited(0), "{path}");
        output(&workspace, &format!("rm {path}")).await;
    }
    for path in ["/tmp", "/var/tmp", "/home/agent"] {
        let result = run(&workspace, &format!("cd {path}; seq 3000 | xargs touch")).await;
        assert_ne!(result.outcome, RunOutcome::Exited(0), "{path}");
        output(&workspace, &format!("rm -r {path}/*")).await;
    }
    for path in ["/x", "/etc/x", "/usr/x", "/dev/x", "/run/x", "/var/x", "/etc/hosts", "/etc/resolv.conf", "/.execd"] {
        let result = run(&workspace, &format!("echo x >> {path}")).await;
        assert_ne!(result.outcome, RunOutcome::Exited(0), "{path} must not be writable");
    }
    let filling = "for i in $(seq 1000); do head -c 4000000 /dev/zero > many$i; sleep 0.02; done";
    assert_eq!(run(&workspace, filling).await.outcome, RunOutcome::DiskLimit);
    let bomb = RunCommand::new("bomb() { bomb | bomb & }; bomb; sleep 100", SECOND);
    assert_eq!(workspace.run(bomb, None).await.unwrap().outcome, RunOutcome::TimedOut);
    assert_eq!(output(&workspace, "echo alive").await, "alive\n");
}

#[tokio::test]
async fn mirrors_and_execd_are_read_only_and_a_mirror_that_is_not_there_is_said() {
    let (_engine, copy, _workspace) = open(BUSYBOX).await;
    let mirror = engine::data_dir();
    std::fs::write(mirror.path().join("object"), "content").unwrap();
    std::fs::set_permissions(mirror.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut options = copy.options();
    options.mirrors = vec![(mirror.path().to_owned(), "/mirrors/base.git".into())];
    let workspace = copy.sandboxes.open(options.clone()).await.unwrap();
    assert_eq!(output(&workspace, "cat /mirrors/base.git/object").await, "content");
    assert_ne!(run(&workspace, "echo x > /mirrors/base.git/object").await.outcome, RunOutcome::Exited(0));
    options.mirrors = vec![("/no/such/directory".into(), "/mirrors/base.git".into())];
    let error = copy.sandboxes.open(options).await.unwrap_err().to_string();
    assert!(error.contains("must share this machine's file system"), "{error}");
}

#[tokio::test]
async fn an_image_without_a_shell_is_refused_with_the_mend() {
    let engine = engine::shared().await;
    let data_dir = engine::data_dir();
    let error = Sandboxes::new(engine.settings(data_dir.path(), EMPTY)).await.unwrap_err().to_string();
    assert!(error.contains("has no shell") && error.contains("/bin/sh"), "{error}");
    let left = std::fs::read_dir(data_dir.path().join("workspaces")).unwrap().count();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn what_an_operator_can_get_wrong_is_named_with_its_mend() {
    let engine = engine::shared().await;
    let data_dir = engine::data_dir();
    let with = |change: &dyn Fn(&mut journeyman::workspace::DockerSettings)| {
        let mut settings = engine.settings(data_dir.path(), BUSYBOX);
        if let BackendSettings::Docker(docker) = &mut settings.backend {
            docker.away_time = SECOND;
            docker.pull = Pull::Never;
            change(docker);
        }
        settings
    };
    let cases = [
        (with(&|docker| docker.image = "no/such".to_owned()), "has no image \"no/such\""),
        (with(&|docker| docker.runtime = Some("runnsc".to_owned())), "JOURNEYMAN_DOCKER_RUNTIME"),
        (with(&|docker| docker.address = "unix:///no/such.sock".parse().unwrap()), "start it"),
        (with(&|docker| docker.address = "tcp://127.0.0.1:1".parse().unwrap()), "tcp://127.0.0.1:1 is not reached"),
        (with(&|docker| docker.address = "tcp://192.0.2.1:2375".parse().unwrap()), "JOURNEYMAN_DOCKER_CERT_DIR"),
        (
            with(&|docker| {
                docker.address = "tcp://127.0.0.1:1".parse().unwrap();
                docker.cert_dir = Some("/no/such/directory".into());
            }),
            "/no/such/directory",
        ),
    ];
    for (settings, says) in cases {
        let error = Sandboxes::new(settings).await.unwrap_err();
        let WorkspaceError::Setup { .. } = error else { panic!("{error:?}") };
        assert!(error.to_string().contains(says), "{says}: {error}");
    }
    let mut settings = engine.settings(data_dir.path(), BUSYBOX);
    settings.execd = crate::support::sandbox::execd().to_owned();
    let copied = data_dir.path().join("execd");
    std::fs::copy(&settings.execd, &copied).unwrap();
    settings.execd = copied;
    let error = Sandboxes::new(settings).await.unwrap_err().to_string();
    assert!(error.contains("scripts/static-execd.sh"), "{error}");
}
