//! Whole tasks by what `docker compose up` starts.

use crate::{
    attacks,
    support::{
        calculator::{BROKEN, TESTS, ten_turns},
        compose::{Stack, text},
    },
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(180);

fn request(repository: &str, checks: &[&str]) -> Value {
    let url = format!("file:///repositories/{repository}");
    json!({ "request": "mend add", "repository": { "url": url }, "checks": checks })
}

/// Waits for the end of a task, also while the service is started again; task and log.
async fn rest(stack: &Stack, id: &str) -> (Value, Vec<Value>) {
    let begun = Instant::now();
    loop {
        let (_, task) = stack.api.get(&format!("/v1/tasks/{id}")).await;
        if !matches!(task["status"].as_str(), Some("queued" | "running")) {
            return (task, stack.api.events(id).await);
        }
        assert!(begun.elapsed() < PATIENCE, "{task:#} {:#?}", stack.api.events(id).await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn verified(stack: &Stack, id: &str) -> Vec<Value> {
    let (task, events) = rest(stack, id).await;
    assert_eq!(
        (&task["status"], &task["result"]["verdict"]),
        (&json!("succeeded"), &json!("verified")),
        "{task:#} {events:#?}"
    );
    let patch = stack.api.text(&format!("/v1/tasks/{id}/patch")).await.1;
    assert!(patch.contains("+    return a + b"), "{patch}");
    let turns = events.iter().filter(|event| event["kind"] == "model.completed").count();
    assert_eq!(turns, 10, "{events:#?}");
    events
}

/// Runs every probe with what it is told here, and says which succeed.
const RUN: &str = r#"
import glob, json, os, subprocess, sys
mirrors = glob.glob("/mirrors/*") or ["/mirrors/base.git"]
told = dict(os.environ, VICTIM="1", HOST_PID="7", SERVER="7", CANARY="canary-of-the-service", SECRET="/var/lib/journeyman/canary",
    SOCKET="/var/run/docker.sock", ABSTRACT="docker", MIRROR=mirrors[0], SETUID="/usr/bin/setuid-id", TCP="8080", TCP6="8080",
    UDP="53", SHARED_MEMORY="4711")
probes = json.load(open("probes.json"))
bad = []
for name, script in probes:
    try:
        done = subprocess.run([sys.executable, "-c", script], env=told, capture_output=True, timeout=40)
        if b"SUCCEEDED" in done.stdout + done.stderr: bad.append(name)
    except subprocess.TimeoutExpired: pass
print(len(probes), "probes;", "these succeeded: " + ", ".join(bad) if bad else "none succeeded")
sys.exit(1 if bad else 0)
"#;

/// What there is beside the attacks that other backends are tried with: the rest of the container, and other containers.
fn more_probes() -> Vec<(&'static str, String)> {
    let probe = |name: &'static str, script: &str| {
        (name, format!("import os, socket, subprocess\ndef succeed(): print('SUCC' + 'EEDED', flush=True)\n{script}"))
    };
    vec![
        probe(
            "the service's process",
            "for pid in filter(str.isdigit, os.listdir('/proc')):\n    try:\n        if b'serve\\0' == open('/proc/%s/cmdline' % pid, 'rb').read()[-6:] and b'--of' not in open('/proc/%s/cmdline' % pid, 'rb').read(): succeed()\n    except OSError: pass",
        ),
        probe(
            "the database's password",
            "for pid in filter(str.isdigit, os.listdir('/proc')):\n    try:\n        if b'DATABASE_URL' in open('/proc/%s/environ' % pid, 'rb').read(): succeed()\n    except OSError: pass",
        ),
        probe("the data directory", "if os.path.exists('/var/lib/journeyman'): succeed()"),
        probe(
            "another task's files",
            "for directory, _, names in os.walk('/', followlinks=False):\n    if not directory.startswith(('/proc', '/sys')) and 'only-in-calc.txt' in names: succeed()",
        ),
        probe("the database", "socket.create_connection(('postgres', 5432), 5); succeed()"),
        probe("the model", "socket.create_connection(('model', 9000), 5); succeed()"),
        probe(
            "addresses of the containers",
            "for last in range(1, 6):\n    for net in ('172.17.0', '172.18.0', '172.19.0'):\n        s = socket.socket(); s.settimeout(0.3)\n        try:\n            s.connect(('%s.%d' % (net, last), 5432)); succeed()\n        except OSError: pass",
        ),
        probe(
            "the engine's name server",
            "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2); s.connect(('127.0.0.11', 53)); s.send(b'x' * 20); s.recv(99); succeed()",
        ),
        probe(
            "bubblewrap inside",
            "if subprocess.run(['bwrap', '--unshare-user', '--ro-bind', '/', '/', 'true'], capture_output=True).returncode == 0: succeed()",
        ),
        probe(
            "unshare inside",
            "if subprocess.run(['unshare', '--user', '--map-root-user', 'true'], capture_output=True).returncode == 0: succeed()",
        ),
        probe("a file in the container", "open('/usr/local/bin/x', 'w').close(); succeed()"),
        probe(
            "more processes than a workspace may have",
            "pids = []\ntry:\n    for _ in range(6000):\n        pid = os.fork()\n        if pid == 0:\n            import time; time.sleep(30); os._exit(0)\n        pids.append(pid)\n    succeed()\nfinally:\n    for pid in pids: os.kill(pid, 9)",
        ),
        probe(
            "more memory than a process may have",
            "x = bytearray(3 << 30); x[::4096] = b'x' * len(x[::4096]); succeed()",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_verified_through_kill_and_restart_and_nothing_gets_out_of_their_workspaces() {
    let stack = Stack::start(&ten_turns()).await;

    // What holds there, by the service's own word.
    let doctor = stack.try_compose(&["exec", "-T", "journeyman", "journeyman", "doctor"]).await;
    let said = text(&doctor);
    assert!(doctor.status.success(), "{said}");
    for line in ["✔ workspace namespaces", "✔ workspace network", "✔ workspace pids", "a sandbox opens in", "4096 MiB"]
    {
        assert!(said.contains(line), "{line}: {said}");
    }

    // What is missing without either option, and the mend.
    let profile = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/seccomp.json")).unwrap();
    let profile = format!("seccomp={profile}");
    for (security, mend) in
        [([].as_slice(), "deploy/seccomp.json"), (&[profile.as_str(), "no-new-privileges"], "systempaths=unconfined")]
    {
        let said = stack.engine.say("journeyman", &["doctor"], security).await;
        assert!(said.contains("✘ workspace") && said.contains(mend), "{security:?}: {said}");
    }

    std::fs::write(stack.repositories.path().join("calc/only-in-calc.txt"), "").unwrap();
    let first = stack.api.create(&request("calc", &["python3 -m unittest"])).await;
    verified(&stack, &first).await;

    // As `kill -9` and as an update of the image.
    for ends in [["kill", "journeyman"].as_slice(), &["stop", "journeyman"]] {
        let id = stack.api.create(&request("calc", &["python3 -m unittest"])).await;
        stack.api.met(&id, "tool.completed", 4).await;
        stack.compose(ends).await;
        stack.compose(&["start", "journeyman"]).await;
        stack.answers().await;
        verified(&stack, &id).await;
    }

    let probes = serde_json::to_string(&[attacks::probes(), more_probes()].concat()).unwrap();
    stack
        .repositories
        .make("attack", &[("calc.py", BROKEN), ("test_calc.py", TESTS), ("run.py", RUN), ("probes.json", &probes)]);
    stack
        .compose(&["exec", "-T", "journeyman", "sh", "-c", "printf canary-of-the-service > /var/lib/journeyman/canary"])
        .await;
    let beside = stack.api.create(&request("calc", &["sleep 20; python3 -m unittest"])).await;
    let id = stack.api.create(&request("attack", &["python3 -m unittest && python3 run.py"])).await;
    let events = verified(&stack, &id).await;
    let told = events.iter().rev().find(|event| event["kind"] == "checks.completed").unwrap().to_string();
    assert!(told.contains("probes; none succeeded"), "{told}");
    verified(&stack, &beside).await;
    stack.compose(&["kill"]).await;
}
