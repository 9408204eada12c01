//! More than may be used: each in a workspace of small limits of its own, after which the next command runs.

use super::{
    Attack,
    Uncontrolled::User,
    ground::{Backend, Ground, SUCCESS},
};
use crate::support::sandbox::run;
use journeyman::workspace::SandboxLimits;
use std::time::{Duration, Instant};

const ATTACKS: &[Attack] = &[
    Attack {
        name: "more processes",
        probe: r#"
pids = []
try:
    for _ in range(200):
        pid = os.fork()
        if pid == 0:
            time.sleep(20)
            os._exit(0)
        pids.append(pid)
    succeed()
finally:
    for pid in pids: os.kill(pid, 9)
"#,
        works: User,
    },
    Attack {
        name: "more threads",
        probe: r#"
import threading
stop = threading.Event()
for _ in range(200): threading.Thread(target=stop.wait, daemon=True).start()
succeed()
stop.set()
"#,
        works: User,
    },
    Attack {
        name: "more memory in one process",
        probe: "x = bytearray(400 << 20)\nx[::4096] = b'x' * len(x[::4096])\nsucceed()",
        works: User,
    },
    Attack {
        name: "more memory in many processes",
        probe: r#"
ends = []
for _ in range(8):
    ours, theirs = os.pipe()
    if os.fork() == 0:
        x = bytearray(60 << 20)
        x[::4096] = b"x" * len(x[::4096])
        os.write(theirs, b"y")
        time.sleep(3)
        os._exit(0)
    os.close(theirs)
    ends.append(ours)
if all(os.read(end, 1) == b"y" for end in ends): succeed()
"#,
        works: User,
    },
    Attack {
        name: "more in /tmp",
        probe: r#"
name = "/tmp/jm-attack-%d" % os.getpid()
try:
    with open(name, "wb") as file:
        for _ in range(60): file.write(b"x" * (1 << 20))
    succeed()
finally: os.unlink(name)
"#,
        works: User,
    },
    Attack {
        name: "more in the home directory",
        probe: r#"
os.chdir("/home/agent" if os.path.isdir("/home/agent") else ".")
with open("large", "wb") as file:
    for _ in range(60): file.write(b"x" * (1 << 20))
succeed()
"#,
        works: User,
    },
    Attack {
        name: "more in shared memory",
        probe: r#"
name = "/dev/shm/jm-attack-%d" % os.getpid()
try:
    with open(name, "wb") as file:
        for _ in range(200): file.write(b"x" * (1 << 20))
    succeed()
finally: os.unlink(name)
"#,
        works: User,
    },
    Attack {
        name: "one file larger than all",
        probe: "open('sparse', 'wb').truncate(1 << 40); succeed()",
        works: User,
    },
    Attack {
        name: "many files",
        probe: r#"
for number in range(200):
    with open("file%d" % number, "wb") as file: file.write(b"x" * (1 << 20))
    time.sleep(0.06)
succeed()
"#,
        works: User,
    },
    Attack {
        name: "many files, deeper than a path can say",
        probe: r#"
for _ in range(40):
    os.mkdir("d" * 200)
    os.chdir("d" * 200)
for number in range(200):
    with open("file%d" % number, "wb") as file: file.write(b"x" * (1 << 20))
    time.sleep(0.06)
succeed()
"#,
        works: User,
    },
    Attack {
        name: "endless output",
        probe: r#"
for _ in range(64): sys.stdout.write("x" * (1 << 20) + "\n")
succeed()
"#,
        works: User,
    },
];

fn small() -> SandboxLimits {
    SandboxLimits {
        pids: 60,
        memory_bytes: 128 << 20,
        tmp_bytes: 8 << 20,
        disk_bytes: 32 << 20,
        output_bytes: 4 << 20,
        ..SandboxLimits::default()
    }
}

async fn try_all(backend: Backend) {
    let ground = Ground::new(backend).await;
    let mut wrong = Vec::new();
    for attack in ATTACKS {
        let outside = ground.outside(attack);
        if !outside.contains(SUCCESS) {
            wrong.push(format!("{}: it does not work even outside: {outside:.500}", attack.name));
        }
        let workspace = ground.open_with(small()).await;
        let inside = ground.inside(&workspace, attack).await;
        if inside.contains(SUCCESS) {
            wrong.push(format!("{}: it SUCCEEDED", attack.name));
        }
        // What an attack has left alive may still take what there is, and the next command with it.
        let begun = Instant::now();
        while run(&workspace, "rm -rf /workspace/*; echo alive").await.output != b"alive\n" {
            assert!(begun.elapsed() < Duration::from_secs(5), "{backend:?}: nothing runs after {}", attack.name);
        }
        workspace.close().await;
    }
    assert!(wrong.is_empty(), "{backend:?}:\n{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_in_bubblewrap_and_the_next_command_runs() {
    try_all(Backend::Bubblewrap).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_in_a_container_and_the_next_command_runs() {
    try_all(Backend::Docker).await;
}
