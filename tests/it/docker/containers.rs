//! What one container is: what runs in it, what it may do, and how it ends.

use crate::{
    backends::{Machines, sandboxes},
    support::{
        engine::{self, BUSYBOX, EMPTY, Engine, HOST},
        sandbox::{Copy, output, run},
    },
};
use journeyman::workspace::{
    BackendSettings, FileChange, Pull, RunCommand, RunOutcome, SandboxLimits, Sandboxes, Workspace, WorkspaceError,
};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// An empty working copy and its open workspace, by the engine that all tests share.
async fn open(image: &str) -> (&'static Engine, Copy, Workspace) {
    let engine = engine::shared().await;
    let (copy, workspace) = sandboxes::open(engine, image).await;
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
    sandboxes::a_large_output_and_many_calls_at_once_come_through(engine::shared().await).await;
}

#[tokio::test]
async fn closing_leaves_no_container_and_so_does_dropping() {
    sandboxes::closing_leaves_none_and_so_does_dropping(engine::shared().await).await;
}

#[tokio::test]
async fn a_deleted_container_is_gone_and_calls_in_it_are_interrupted() {
    sandboxes::one_that_is_taken_away_is_gone_and_calls_in_it_are_interrupted(engine::shared().await).await;
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
        engine.cut(&name).await;
    };
    let (result, ()) = tokio::join!(workspace.run(RunCommand::new(fill, 1000 * SECOND), None), cut);
    assert!(matches!(result, Err(WorkspaceError::Gone { .. })), "{result:?}");
    assert!(workspace.lives().await);
    assert_eq!(output(&workspace, "echo alive").await, "alive\n");
}

#[tokio::test]
async fn a_lost_connection_is_made_again_and_only_calls_in_flight_are_lost_with_it() {
    let engine = engine::shared().await;
    sandboxes::a_lost_connection_is_made_again_and_only_calls_in_flight_are_lost_with_it(engine).await;
}

#[tokio::test]
async fn containers_of_an_earlier_server_are_ended_and_those_of_this_one_are_not() {
    let engine = engine::shared().await;
    sandboxes::those_of_an_earlier_server_are_ended_and_those_of_this_one_are_not(engine).await;
}

#[tokio::test]
async fn what_holds_is_told_line_by_line_after_a_look() {
    let weaker = sandboxes::what_holds_is_told_line_by_line_after_a_look(engine::shared().await).await;
    assert_eq!(weaker, [""; 0]);
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

#[tokio::test]
async fn a_container_whose_execd_hangs_is_lost_and_ended() {
    sandboxes::one_whose_execd_hangs_is_lost_and_ended(engine::shared().await).await;
}

#[tokio::test]
async fn a_container_behind_an_engine_that_hangs_ends_its_calls_and_is_found_again() {
    // One of its own: others wait for the shared one.
    let engine = Engine::new().await;
    sandboxes::one_whose_keeper_hangs_ends_its_calls_and_is_found_again(&engine).await;
}

#[tokio::test]
async fn a_container_that_is_full_of_processes_makes_room_and_stays_connected() {
    sandboxes::one_that_is_full_of_processes_makes_room_and_stays_connected(engine::shared().await).await;
}
