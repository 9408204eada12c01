//! What one Pod is: what comes into it, what it may do, and how it ends.

use super::open;
use crate::{
    backends::sandboxes,
    support::{
        cluster::{self, BUSYBOX, HOST, NAMESPACE},
        engine::data_dir,
        sandbox::{Copy, output, run},
    },
};
use journeyman::workspace::{RunCommand, RunOutcome, SandboxLimits, WorkspaceError};
use serde_json::json;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_busybox_is_enough_and_its_environment_holds_but_for_what_is_another_user_s() {
    let (_cluster, copy, workspace) = open(BUSYBOX).await;
    let result = run(&workspace, "echo one; echo two >&2; exit 3").await;
    assert_eq!((result.outcome, result.output.as_slice()), (RunOutcome::Exited(3), &b"one\ntwo\n"[..]));
    let uid = copy.sandboxes.owner_uid(copy.task).unwrap().0;
    let said = output(&workspace, "pwd; echo $HOME $PATH $FROM_IMAGE; id -u; env | grep -c KUBERNETES || true").await;
    assert_eq!(said, format!("/workspace\n/home/agent /bin yes\n{uid}\n0\n"));
}

#[tokio::test]
async fn files_come_in_as_they_are_and_go_on_from_there() {
    let (_cluster, copy, _first) = open(HOST).await;
    copy.write("src/main.py", "print('as it was')\n");
    copy.write("large", vec![7; 5 << 20]);
    std::os::unix::fs::symlink("src/main.py", copy.path.join("link")).unwrap();
    let mirror = data_dir();
    std::fs::create_dir(mirror.path().join("pack")).unwrap();
    std::fs::write(mirror.path().join("pack/object"), "content").unwrap();
    std::fs::write(mirror.path().join("certificates"), "a certificate").unwrap();
    let mut options = copy.options();
    options.mirrors = vec![
        (mirror.path().join("pack"), "/run/mirror".into()),
        (mirror.path().join("certificates"), "/etc/journeyman/ca-certificates.crt".into()),
    ];
    let workspace = copy.sandboxes.open(options).await.unwrap();
    let said = output(
        &workspace,
        "python3 link; cat /run/mirror/object /etc/journeyman/ca-certificates.crt; wc -c < large; git init -q && git status -s | wc -l",
    )
    .await;
    assert_eq!(said, "as it was\ncontenta certificate5242880\n3\n");
    assert_eq!(workspace.walk().await.unwrap().changed.len(), 3);
    output(&workspace, "echo more > src/more; rm large; mkdir node_modules; echo dep > node_modules/dep").await;
    assert!(copy.path.join("large").exists(), "the copy on this host is as it was laid out");
    let back = copy.sandboxes.directory(copy.task).clean_copy("back");
    copy.sandboxes.bring_back(&workspace, &back, 1 << 20).await.unwrap();
    assert_eq!(std::fs::read_to_string(back.join("node_modules/dep")).unwrap(), "dep\n");
    assert!(!back.join("large").exists() && !back.join(".git").exists());
    assert_eq!(std::fs::read_link(back.join("link")).unwrap(), std::path::Path::new("src/main.py"));
    output(&workspace, "head -c 3000000 /dev/zero > node_modules/large").await;
    let error = copy.sandboxes.bring_back(&workspace, &back, 1 << 20).await.unwrap_err();
    assert!(matches!(error, WorkspaceError::Refused { .. }), "{error:?}");
    assert_eq!(output(&workspace, "echo alive").await, "alive\n");
}

#[tokio::test]
async fn a_large_output_and_many_calls_at_once_come_through() {
    sandboxes::a_large_output_and_many_calls_at_once_come_through(cluster::shared().await).await;
}

#[tokio::test]
async fn closing_leaves_no_pod_and_so_does_dropping() {
    sandboxes::closing_leaves_none_and_so_does_dropping(cluster::shared().await).await;
}

#[tokio::test]
async fn a_deleted_pod_is_gone_and_calls_in_it_are_interrupted() {
    sandboxes::one_that_is_taken_away_is_gone_and_calls_in_it_are_interrupted(cluster::shared().await).await;
}

#[tokio::test]
async fn a_lost_connection_is_made_again_and_only_calls_in_flight_are_lost_with_it() {
    let cluster = cluster::shared().await;
    sandboxes::a_lost_connection_is_made_again_and_only_calls_in_flight_are_lost_with_it(cluster).await;
}

#[tokio::test]
async fn nobody_inside_gets_through_execd_s_door() {
    let (_cluster, _copy, workspace) = open(HOST).await;
    // As the server comes, by execd's own program; with a guess; and without a word, more often than are listened to.
    let knock = r#"
import socket, subprocess
def knock(said):
    s = socket.socket(socket.AF_UNIX); s.settimeout(2); s.connect("\0execd"); s.sendall(said)
    try: return s.recv(100)
    except TimeoutError: return b"silence"
assert knock(b"x" * 32) == b"", "a guess was answered"
held = [socket.socket(socket.AF_UNIX) for _ in range(40)]
for s in held: s.connect("\0execd")
assert knock(b"") == b"silence"
ran = subprocess.run(["/.execd/execd", "connect", "execd"], input=b"y" * 64, capture_output=True, timeout=20)
assert ran.stdout == b"", ran
try: open("/.execd/execd", "rb"); print("execd can be read")
except PermissionError: pass
for name in ("mem", "fd/0", "environ", "maps"):
    try: open("/proc/1/" + name, "rb").read(1); print(name + " of execd can be read")
    except (PermissionError, OSError): pass
print("held")
"#;
    let said = output(&workspace, &format!("python3 - <<'END'\n{knock}\nEND")).await;
    assert_eq!(said, "held\n");
    assert_eq!(output(&workspace, "echo alive").await, "alive\n");
}

#[tokio::test]
async fn pods_of_an_earlier_server_are_ended_and_those_of_this_one_are_not() {
    let cluster = cluster::shared().await;
    let (_copy, _next, again) =
        sandboxes::those_of_an_earlier_server_are_ended_and_those_of_this_one_are_not(cluster).await;
    // Another service in the namespace leaves it alone, and takes away what has ended, whose ever it was.
    let other = Copy::with(|data_dir| cluster.settings(data_dir, BUSYBOX)).await;
    assert_eq!(other.sandboxes.reap().await.unwrap(), 0);
    let ended = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "ended", "namespace": NAMESPACE, "labels": {
            "app.kubernetes.io/managed-by": "journeyman", "journeyman-instance": "of-nobody",
        } },
        "spec": { "restartPolicy": "Never", "containers": [{
            "name": "workspace", "image": BUSYBOX, "imagePullPolicy": "Never", "command": ["/bin/true"],
        }] },
    });
    cluster.make(&ended, "").await;
    let begun = Instant::now();
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/ended");
    while cluster.get(&path).await["status"]["phase"] != "Succeeded" {
        assert!(begun.elapsed() < 60 * SECOND);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(other.sandboxes.reap().await.unwrap(), 1);
    assert_eq!(output(&again, "echo alive").await, "alive\n");
}

#[tokio::test]
async fn what_holds_is_told_line_by_line_after_a_look() {
    // This kubelet sets no limit of processes: it would do so with cgroups of its own, which it is not given here.
    let weaker = sandboxes::what_holds_is_told_line_by_line_after_a_look(cluster::shared().await).await;
    assert_eq!(weaker, ["pids"]);
}

#[tokio::test]
async fn each_image_has_programs_of_its_own() {
    let (_cluster, copy, _workspace) = open(HOST).await;
    let told = copy.sandboxes.programs_of(Some(BUSYBOX)).await;
    assert!(told.is_sorted() && told.iter().any(|name| name == "busybox"), "{told:?}");
}

#[tokio::test]
async fn limits_of_a_pod_hold() {
    let (_cluster, copy, _workspace) = open(HOST).await;
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
    for path in ["/x", "/etc/x", "/usr/x", "/dev/x", "/run/x", "/var/x", "/.execd/x", "/.execd/execd"] {
        let result = run(&workspace, &format!("echo x >> {path}")).await;
        assert_ne!(result.outcome, RunOutcome::Exited(0), "{path} must not be writable");
    }
    let filling = "for i in $(seq 1000); do head -c 4000000 /dev/zero > many$i; sleep 0.02; done";
    match workspace.run(RunCommand::new(filling, 60 * SECOND), None).await {
        Ok(filled) => assert_eq!(filled.outcome, RunOutcome::DiskLimit),
        // Why there is no other connection says more than that there was none any more.
        Err(error) => panic!("{error}: {:?}", workspace.run(RunCommand::new("true", SECOND), None).await),
    }
    output(&workspace, "rm -f many*").await;
    let bomb = RunCommand::new("bomb() { bomb | bomb & }; bomb; sleep 100", SECOND);
    assert_eq!(workspace.run(bomb, None).await.unwrap().outcome, RunOutcome::TimedOut);
    assert_eq!(output(&workspace, "echo alive").await, "alive\n");
}

#[tokio::test]
async fn a_pod_whose_execd_hangs_is_lost_and_ended() {
    sandboxes::one_whose_execd_hangs_is_lost_and_ended(cluster::shared().await).await;
}

#[tokio::test]
async fn a_pod_behind_an_api_server_that_hangs_ends_its_calls_and_is_found_again() {
    sandboxes::one_whose_keeper_hangs_ends_its_calls_and_is_found_again(cluster::shared().await).await;
}

#[tokio::test]
async fn a_pod_that_is_full_of_processes_makes_room_and_stays_connected() {
    sandboxes::one_that_is_full_of_processes_makes_room_and_stays_connected(cluster::shared().await).await;
}
