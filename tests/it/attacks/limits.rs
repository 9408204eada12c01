//! More than may be used: each in a workspace of small limits of its own, after which the next command runs.

use super::{
    Attack,
    Uncontrolled::User,
    ground::{Backend, Ground, SUCCESS},
};
use crate::support::sandbox::{output, run};
use journeyman::workspace::{RunCommand, SandboxLimits, Workspace};
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
        name: "many files without a name",
        probe: r#"
files = []
for number in range(200):
    with open("file", "wb") as file:
        files.append(os.dup(file.fileno()))
        os.unlink("file")
        file.write(b"x" * (1 << 20))
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

pub(super) async fn try_all(backend: Backend) {
    let ground = Ground::new(backend).await;
    let mut wrong = Vec::new();
    for attack in ATTACKS.iter().filter(|attack| backend.is_tried_with(attack)) {
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

/// Left behind by a command that has ended: they fill the disk while nobody waits for anything.
const DAEMONS: &[(&str, &str)] = &[
    ("files", "head -c 4000000 /dev/zero > f$i"),
    ("names", "mkdir d$i; (cd d$i; seq 400 | xargs touch)"),
    ("files without a name", "head -c 4000000 /dev/zero > f; exec 9<f; sleep 1000 <&9 & rm f"),
    ("what cannot be listed", "mkdir -p closed; chmod 300 closed; head -c 4000000 /dev/zero > closed/f$i"),
];

async fn try_daemons(backend: Backend) {
    let ground = Ground::new(backend).await;
    for (name, fill) in DAEMONS {
        let workspace = ground.open_with(SandboxLimits { pids: 200, ..small() }).await;
        let daemon = format!(
            "setsid -f sh -c 'i=0; while [ $i -lt 1000 ]; do {fill}; i=$((i+1)); echo $i > /tmp/count; sleep 0.02; done' \
             >/dev/null 2>&1 </dev/null; echo left"
        );
        assert_eq!(run(&workspace, &daemon).await.output, b"left\n");
        // Nobody asks for anything until it is over with it.
        let ended = ground.until_nobody_lives(Duration::from_secs(60)).await;
        assert!(ended, "{backend:?}: {name}: it goes on");
        let count = String::from_utf8(run(&workspace, "cat /tmp/count").await.output).unwrap();
        // Empty where it was killed while it wrote that.
        let count: u32 = count.trim().parse().unwrap_or_default();
        assert!(count < 500, "{backend:?}: {name}: it came to {count}");
        // What waits for nothing lives on where the disk does not grow.
        output(&workspace, "chmod -R 700 .; find . -mindepth 1 -delete").await;
        assert_eq!(run(&workspace, "setsid -f sleep 1000; echo again").await.output, b"again\n");
        workspace.close().await;
    }
}

/// Others fill the file system meanwhile: a workspace of which everything can be measured is not blamed.
async fn try_the_neighbours(backend: Backend) {
    let ground = Ground::new(backend).await;
    let workspace = ground.open_with(small()).await;
    let neighbour = ground.copy.data_dir.path().join("neighbour");
    let work = "exec 9>open; rm open; (sleep 1; true) & head -c 1000000 /dev/zero >&9; sleep 3; echo done";
    let fill = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        tokio::fs::write(&neighbour, vec![7; 100 << 20]).await.unwrap();
    };
    let (result, ()) = tokio::join!(run(&workspace, work), fill);
    assert_eq!(result.output, b"done\n", "{backend:?}: {result:?}");
    workspace.close().await;
}

/// Files without a byte in them, of which only Docker's directories in memory have a bound of their own. Where there is
/// none, the memory of the workspace has to hold them.
const EMPTY_FILES: Attack = Attack {
    name: "more files in memory than memory has",
    probe: r#"
import shutil, tempfile
top = tempfile.mkdtemp(dir="/tmp")
try:
    for directory in range(300):
        os.mkdir("%s/%d" % (top, directory))
        for number in range(1000): os.mknod("%s/%d/%d" % (top, directory, number))
    succeed()
finally: shutil.rmtree(top)
"#,
    works: User,
};

async fn try_empty_files(backend: Backend) {
    let ground = Ground::new(backend).await;
    let outside = ground.outside(&EMPTY_FILES);
    assert!(outside.contains(SUCCESS), "it does not work even outside: {outside:.500}");
    let workspace = ground.open_with(small()).await;
    // The kernel may take execd, when nothing else is left to take, and the workspace with it.
    let inside = ground.try_inside(&workspace, &EMPTY_FILES).await;
    assert!(inside.as_ref().is_ok_and(|said| !said.contains(SUCCESS)) || inside.is_err(), "{backend:?}: {inside:?}");
    let next = runs(&workspace).await;
    assert!(next || !workspace.lives().await, "{backend:?}: nothing runs after it");
    workspace.close().await;
    let again = ground.open_with(small()).await;
    assert_eq!(run(&again, "echo again").await.output, b"again\n");
}

/// Whether a command runs.
async fn runs(workspace: &Workspace) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        match workspace.run(RunCommand::new("echo alive", Duration::from_secs(5)), None).await {
            Ok(ran) if ran.output == b"alive\n" => return true,
            Ok(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(_) => return false,
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn what_neighbours_take_of_the_disk_ends_nothing_here() {
    try_the_neighbours(Backend::Bubblewrap).await;
    try_the_neighbours(Backend::Docker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_in_memory_are_bounded_in_bubblewrap_by_the_workspace_s_own() {
    try_empty_files(Backend::Bubblewrap).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_in_memory_are_bounded_in_a_container() {
    try_empty_files(Backend::Docker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_in_memory_are_bounded_in_a_container_of_podman_by_the_workspace_s_own() {
    try_empty_files(Backend::Podman).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_fills_the_disk_is_killed_in_bubblewrap_while_no_command_runs() {
    try_daemons(Backend::Bubblewrap).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_fills_the_disk_is_killed_in_a_container_while_no_command_runs() {
    try_daemons(Backend::Docker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_in_bubblewrap_and_the_next_command_runs() {
    try_all(Backend::Bubblewrap).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_in_a_container_and_the_next_command_runs() {
    try_all(Backend::Docker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_in_a_container_of_podman_and_the_next_command_runs() {
    try_all(Backend::Podman).await;
}
