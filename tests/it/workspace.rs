//! Tests of workspace: real sandboxes by real bubblewrap, as root and as nobody.

use crate::support::sandbox::{Copy, EXECD_VARIABLE, execd, open, output, run, run_live, settings};
use journeyman::{
    clock,
    domain::TaskId,
    workspace::{
        FileChange, OUTPUT_LIMIT_BYTES, RunCommand, RunOutcome, SandboxLimits, Sandboxes, Workspace, WorkspaceError,
    },
};
use std::{
    collections::HashSet,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

const SECOND: Duration = Duration::from_secs(1);

async fn open_with(limits: SandboxLimits) -> (Copy, Workspace) {
    let copy = Copy::new().await;
    let mut options = copy.options();
    options.limits = limits;
    let workspace = copy.sandboxes.open(options).await.unwrap();
    (copy, workspace)
}

/// Host pids of every process of this copy's sandboxes: bubblewrap by its arguments, all that
/// descend from it, and as root whoever has the task's uid.
fn processes_of(copy: &Copy) -> Vec<u32> {
    let path = copy.path.to_string_lossy().into_owned();
    let uid = copy.sandboxes.owner_uid(copy.task).map(|(uid, _)| uid);
    let mut found = Vec::new();
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        let field = |name| status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
        let number = |name| field(name).and_then(|value| value.parse::<u32>().ok());
        // Who is dead and waits for the host's first process to notice is no process any more.
        if field("State:").is_none_or(|state| state == "Z") || pid == std::process::id() {
            continue;
        }
        parents.push((pid, number("PPid:").unwrap()));
        let arguments = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        if arguments.contains(&path) || (uid.is_some() && number("Uid:") == uid) {
            found.push(pid);
        }
    }
    loop {
        let more = |(pid, parent): &&(u32, u32)| found.contains(parent) && !found.contains(pid);
        let Some((pid, _)) = parents.iter().find(more) else { return found };
        found.push(*pid);
    }
}

#[tokio::test]
async fn a_command_gives_its_output_in_order_and_its_exit_code() {
    let (_copy, workspace) = open().await;
    let result = run(&workspace, "echo one; echo two >&2; echo three; exit 3").await;
    assert_eq!(result.outcome, RunOutcome::Exited(3));
    assert_eq!(result.output, b"one\ntwo\nthree\n");
    assert_eq!(result.omitted_bytes, 0);
    let result = run(&workspace, "kill -TERM $$").await;
    assert_eq!(result.outcome, RunOutcome::Signalled(15));
    assert_eq!(output(&workspace, "pwd; cat").await, "/workspace\n", "stdin is closed");
}

#[tokio::test]
async fn commands_run_at_once_and_do_not_wait_for_each_other() {
    let (_copy, workspace) = open().await;
    let begun = Instant::now();
    let slow = run(&workspace, "sleep 0.5; echo slow");
    let fast = async {
        let fast = output(&workspace, "echo fast").await;
        assert!(begun.elapsed() < Duration::from_millis(450), "{:?}", begun.elapsed());
        fast
    };
    let (slow, fast) = tokio::join!(slow, fast);
    assert_eq!((slow.output.as_slice(), fast.as_str()), (&b"slow\n"[..], "fast\n"));
}

#[tokio::test]
async fn a_working_directory_and_an_environment_hold_for_one_command() {
    let (_copy, workspace) = open().await;
    let mut command = RunCommand::new("mkdir -p sub; cd sub; pwd; echo $NAME", SECOND);
    command.env = vec![("NAME".to_owned(), "value".to_owned())];
    assert_eq!(workspace.run(command, None).await.unwrap().output, b"/workspace/sub\nvalue\n");
    let mut command = RunCommand::new("pwd; echo $NAME", SECOND);
    command.workdir = Some("sub".to_owned());
    assert_eq!(workspace.run(command.clone(), None).await.unwrap().output, b"/workspace/sub\n\n");
    command.workdir = Some("nowhere".to_owned());
    let error = workspace.run(command, None).await.unwrap_err();
    assert_eq!(error, WorkspaceError::NotFound { path: "nowhere".to_owned() });
}

#[tokio::test]
async fn a_timeout_kills_the_whole_session() {
    let (copy, workspace) = open().await;
    let before = processes_of(&copy).len();
    let begun = Instant::now();
    let command = RunCommand::new("echo begun; sleep 100 & sleep 100 | cat", Duration::from_millis(300));
    let result = workspace.run(command, None).await.unwrap();
    assert_eq!((result.outcome, result.output.as_slice()), (RunOutcome::TimedOut, &b"begun\n"[..]));
    assert!(begun.elapsed() < 2 * SECOND, "{:?}", begun.elapsed());
    assert_eq!(output(&workspace, "ps -eo comm= | grep -c sleep || true").await.trim(), "0");
    assert_eq!(processes_of(&copy).len(), before);
}

#[tokio::test]
async fn a_dropped_run_is_killed() {
    let (_copy, workspace) = open().await;
    let run_it = run(&workspace, "touch begun; sleep 100");
    let wait = output(&workspace, "until [ -e begun ]; do sleep 0.01; done");
    tokio::select! { _ = run_it => panic!("it sleeps"), _ = wait => {} }
    output(&workspace, "while ps -eo args= | grep -q '^sleep 100'; do sleep 0.02; done").await;
}

#[tokio::test]
async fn a_daemon_that_holds_the_pipe_does_not_hold_the_call() {
    let (_copy, workspace) = open().await;
    let result = run(&workspace, "setsid sh -c 'sleep 3; echo late; touch alive' & echo done").await;
    assert_eq!(result.output, b"done\n");
    assert!(result.duration < 2 * SECOND + SECOND / 2, "{:?}", result.duration);
    let result = run(&workspace, "until [ -e alive ]; do sleep 0.05; done").await;
    assert_eq!(result.outcome, RunOutcome::Exited(0), "its writing into the dead pipe did not kill it");
}

#[tokio::test]
async fn the_beginning_and_the_end_of_long_output_are_kept() {
    let (_copy, workspace) = open().await;
    let mut command = RunCommand::new("seq 1 2000000", 60 * SECOND);
    command.output_limit_bytes = 20_000;
    let result = workspace.run(command, None).await.unwrap();
    let whole: u64 = (1..=2_000_000_u64).map(|number| number.to_string().len() as u64 + 1).sum();
    assert_eq!(result.outcome, RunOutcome::Exited(0));
    assert_eq!(result.output.len() as u64 + result.omitted_bytes, whole);
    assert_eq!(result.omitted_at, 10_000);
    assert!(result.output.starts_with(b"1\n2\n") && result.output.ends_with(b"1999999\n2000000\n"));
}

#[tokio::test]
async fn all_of_a_mebibyte_comes_through_and_live_pieces_too() {
    let (_copy, workspace) = open().await;
    let command = RunCommand::new(format!("head -c {OUTPUT_LIMIT_BYTES} /dev/zero | tr '\\0' x"), 60 * SECOND);
    let (result, pieces) = run_live(&workspace, command).await;
    assert_eq!((result.output.len(), result.omitted_bytes), (OUTPUT_LIMIT_BYTES, 0));
    assert!(!pieces.is_empty());
    let (result, pieces) = run_live(&workspace, RunCommand::new("echo one; sleep 0.2; echo two", SECOND)).await;
    assert_eq!(result.output, b"one\ntwo\n");
    assert_eq!(pieces[0], "one\n");
}

#[tokio::test]
async fn endless_output_is_cut_off() {
    let limits = SandboxLimits { output_bytes: 8 << 20, ..SandboxLimits::default() };
    let (_copy, workspace) = open_with(limits).await;
    let result = run(&workspace, "yes").await;
    assert_eq!(result.outcome, RunOutcome::OutputLimit);
    assert_eq!(result.output.len(), OUTPUT_LIMIT_BYTES);
}

#[tokio::test]
async fn a_background_process_is_talked_to() {
    let (_copy, workspace) = open().await;
    let mut command = RunCommand::new("echo ready; while read line; do echo \"got $line\"; done; exit 7", 60 * SECOND);
    command.stdin = true;
    let process = workspace.start_process(command).await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"ready\n") {
        seen.extend(workspace.write_stdin(process, b"", Duration::from_millis(20)).await.unwrap().output);
    }
    let mut seen = workspace.write_stdin(process, b"one\n", Duration::from_millis(20)).await.unwrap().output;
    while !seen.ends_with(b"got one\n") {
        seen.extend(workspace.write_stdin(process, b"", Duration::from_millis(20)).await.unwrap().output);
    }
    workspace.kill(process).await.unwrap();
    let last = workspace.write_stdin(process, b"", 10 * SECOND).await.unwrap();
    assert_eq!(last.exit, Some(RunOutcome::Signalled(9)));
    let error = workspace.write_stdin(99, b"", SECOND).await.unwrap_err();
    assert_eq!(error, WorkspaceError::NotFound { path: "process 99".to_owned() });
}

#[tokio::test]
async fn a_look_at_a_process_returns_when_it_ends() {
    let (_copy, workspace) = open().await;
    let process = workspace.start_process(RunCommand::new("sleep 0.3; echo end; exit 4", 60 * SECOND)).await.unwrap();
    let begun = Instant::now();
    let look = workspace.write_stdin(process, b"", 30 * SECOND).await.unwrap();
    assert_eq!((look.output.as_slice(), look.exit), (&b"end\n"[..], Some(RunOutcome::Exited(4))));
    assert!(begun.elapsed() < 5 * SECOND);
    let error = workspace.write_stdin(process, b"text", SECOND).await;
    assert!(error.is_ok(), "what has ended takes no input and says so by its exit");
}

#[tokio::test]
async fn a_fork_bomb_stays_in_its_sandbox_and_the_next_command_runs() {
    let limits = SandboxLimits { pids: 60, ..SandboxLimits::default() };
    let (copy, workspace) = open_with(limits).await;
    let command = RunCommand::new("bomb() { bomb | bomb & }; bomb; sleep 100", SECOND);
    let result = workspace.run(command, None).await.unwrap();
    assert_eq!(result.outcome, RunOutcome::TimedOut);
    assert!(processes_of(&copy).len() <= 64, "{}", processes_of(&copy).len());
    assert_eq!(output(&workspace, "echo alive").await, "alive\n");
    // The same, out of reach of the session's end.
    let escaping = "python3 -c 'import os,time\nwhile True:\n  try:\n    if os.fork() == 0:\n      os.setsid(); time.sleep(1000)\n  except OSError: break'";
    run(&workspace, escaping).await;
    assert_eq!(output(&workspace, "echo alive").await, "alive\n");
}

#[tokio::test]
async fn a_memory_hog_is_killed_and_the_workspace_lives_on() {
    let limits = SandboxLimits { memory_bytes: 128 << 20, ..SandboxLimits::default() };
    let (_copy, workspace) = open_with(limits).await;
    let result = run(&workspace, "python3 -c 'x = bytearray(400 << 20); print(len(x))' 2>&1").await;
    assert_ne!(result.outcome, RunOutcome::Exited(0), "{}", String::from_utf8_lossy(&result.output));
    assert_eq!(output(&workspace, "echo alive").await, "alive\n");
}

#[tokio::test]
async fn disks_are_bounded() {
    let limits = SandboxLimits { disk_bytes: 64 << 20, tmp_bytes: 8 << 20, ..SandboxLimits::default() };
    let (_copy, workspace) = open_with(limits).await;
    for path in ["/tmp/x", "/home/agent/x", "/dev/shm/x"] {
        let result = run(&workspace, &format!("head -c 100M /dev/zero > {path}")).await;
        assert_ne!(result.outcome, RunOutcome::Exited(0), "{path}");
        output(&workspace, &format!("rm {path}")).await;
    }
    let one_file = run(&workspace, "head -c 100M /dev/zero > one; ls -l one | cut -d' ' -f5").await;
    assert!(String::from_utf8_lossy(&one_file.output).contains(&(64 << 20).to_string()));
    let filling = "for i in $(seq 1000); do head -c 8M /dev/zero > many$i; sleep 0.02; done";
    assert_eq!(run(&workspace, filling).await.outcome, RunOutcome::DiskLimit);
    assert_eq!(output(&workspace, "rm one many*; echo room").await, "room\n");
    for path in ["/x", "/etc/x", "/usr/x", "/dev/x", "/run/x", "/var/x"] {
        let result = run(&workspace, &format!("echo x > {path}")).await;
        assert_eq!(result.outcome, RunOutcome::Exited(1), "{path} must not be writable");
    }
}

#[tokio::test]
async fn there_is_no_network_but_loopback() {
    let (_copy, workspace) = open().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let probe = format!(
        "python3 - <<'E'\nimport socket\nfor host, port in (('127.0.0.1', {port}), ('169.254.169.254', 80), ('1.1.1.1', 53)):\n\
         \x20   s = socket.socket(); s.settimeout(2)\n    try:\n        s.connect((host, port)); print('reached', host)\n\
         \x20   except OSError as e: print('no')\nE\nls /sys 2>&1; cat /proc/net/dev | tail -n +3 | cut -d: -f1"
    );
    let text = output(&workspace, &probe).await;
    assert_eq!(text.matches("no\n").count(), 3, "{text}");
    assert!(!text.contains("reached"), "{text}");
    assert_eq!(text.lines().last().unwrap().trim(), "lo", "{text}");
}

#[tokio::test]
async fn nothing_of_the_host_is_seen() {
    let (copy, workspace) = open().await;
    let text = output(&workspace, "env; cat /proc/*/environ | tr '\\0' '\\n'; ls / /home /tmp; ps -e | wc -l").await;
    assert!(!text.contains("CARGO") && !text.contains("/root"), "{text}");
    for path in ["/root", "/home/agent/..", copy.data_dir.path().to_str().unwrap(), env!("CARGO_MANIFEST_DIR")] {
        let listed = run(&workspace, &format!("ls {path}")).await;
        assert!(listed.output == b"agent\n" || listed.outcome != RunOutcome::Exited(0), "{path}");
    }
    assert_eq!(output(&workspace, "id -un; echo ~").await, "agent\n/home/agent\n");
}

#[tokio::test]
async fn a_workspace_cannot_touch_another_ones() {
    let (copy, workspace) = open().await;
    let other: TaskId = clock::new_id();
    let owner = copy.sandboxes.owner_uid(other);
    if rustix::process::geteuid().is_root() {
        assert_ne!(copy.sandboxes.owner_uid(copy.task), owner, "each task has a uid of its own");
        assert_eq!(copy.sandboxes.owner_uid(other), owner, "and keeps it");
        // Even on the host, one task's user cannot enter the directory of another.
        let mut same = settings(copy.data_dir.path());
        same.uid_base = owner.unwrap().0 - 1;
        let again = Sandboxes::new(same).await.unwrap();
        assert_eq!(again.owner_uid(other), owner, "across restarts too");
    }
    let seen = run(&workspace, "find / -xdev -name copy -path '*workspaces*' 2>/dev/null").await;
    assert_eq!(seen.output, b"");
}

#[tokio::test]
async fn privileges_cannot_be_had_back() {
    let (_copy, workspace) = open().await;
    let status = output(&workspace, "cat /proc/self/status").await;
    for line in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        let value = status.lines().find_map(|status| status.strip_prefix(line)).unwrap().trim();
        // In a user namespace the bounding set is empty as well.
        assert_eq!(u64::from_str_radix(value, 16).unwrap(), 0, "{line}");
    }
    assert!(status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"), "{status}");
    for attack in [
        "unshare -U true",
        "unshare -m true",
        "unshare -n true",
        "mount -t tmpfs none /tmp",
        "nsenter -t 1 -m true",
        "python3 -c 'import os; os.unshare(os.CLONE_NEWUSER)'",
        "dmesg",
        "head -c 1 /proc/kcore",
        "echo x > /proc/sys/kernel/core_pattern",
        "chroot / true",
        "su -c true",
        "keyctl show",
    ] {
        let result = run(&workspace, attack).await;
        assert_ne!(result.outcome, RunOutcome::Exited(0), "{attack}: {}", String::from_utf8_lossy(&result.output));
    }
    let calls = "python3 - <<'E'\nimport ctypes, os\nc = ctypes.CDLL(None, use_errno=True)\n\
        for name, args in (('ptrace', (16, 1, 0, 0)), ('syscall', (425, 1, 0)), ('syscall', (321, 0, 0, 0)),\n\
        \x20       ('syscall', (250, 0, 0)), ('clone', (0, 0, 0x10000000 | 17, 0))):\n\
        \x20   if name == 'clone': r = c.syscall(56, 0x10000000 | 17, 0, 0, 0, 0)\n\
        \x20   else: r = getattr(c, name)(*args)\n    print(r, ctypes.get_errno())\nE";
    assert_eq!(output(&workspace, calls).await, "-1 1\n".repeat(5));
}

#[tokio::test]
async fn execd_cannot_be_looked_into() {
    let (_copy, workspace) = open().await;
    for probe in
        ["cat /proc/1/environ", "ls -l /proc/1/fd", "cat /proc/1/maps", "cat /proc/1/mem", "readlink /proc/1/exe"]
    {
        let result = run(&workspace, probe).await;
        let text = String::from_utf8_lossy(&result.output).into_owned();
        assert!(result.outcome != RunOutcome::Exited(0) && !text.contains('='), "{probe}: {text}");
    }
    run(&workspace, "kill -9 1; kill -STOP 1; kill -TERM 1; kill -9 -1").await;
    assert_eq!(output(&workspace, "echo alive").await, "alive\n");
}

#[tokio::test]
async fn zombies_are_reaped() {
    let (_copy, workspace) = open().await;
    output(&workspace, "for i in 1 2 3 4 5; do (setsid true &) ; done; sleep 0.1").await;
    let zombies = output(&workspace, "ps -eo stat= | grep -c Z || true").await;
    assert_eq!(zombies.trim(), "0");
}

#[tokio::test]
async fn closing_leaves_no_process_and_no_cgroup() {
    let (copy, workspace) = open().await;
    output(&workspace, "for i in 1 2 3; do setsid sleep 1000 & done; (sleep 1000 &); echo").await;
    assert!(processes_of(&copy).len() >= 5);
    let begun = Instant::now();
    workspace.close().await;
    assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());
    assert_eq!(processes_of(&copy), [0; 0]);
    let groups = Command::new("find").args(["/sys/fs/cgroup", "-name", &format!("{}.*", copy.task)]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&groups.stdout), "");
    let error = workspace.run(RunCommand::new("true", SECOND), None).await.unwrap_err();
    assert!(matches!(error, WorkspaceError::Gone { .. }), "{error}");
    let again = copy.open().await;
    assert_eq!(output(&again, "echo again").await, "again\n");
}

#[tokio::test]
async fn dropping_the_last_handle_ends_the_sandbox() {
    let (copy, workspace) = open().await;
    output(&workspace, "setsid sleep 1000 & echo").await;
    let watcher = workspace.clone();
    drop(workspace);
    assert!(!processes_of(&copy).is_empty());
    drop(watcher);
    let begun = Instant::now();
    while !processes_of(&copy).is_empty() {
        assert!(begun.elapsed() < SECOND);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn killed_from_outside_it_is_gone_and_calls_are_interrupted() {
    let (copy, workspace) = open().await;
    let kill = async {
        output(&workspace, "echo up").await;
        for pid in processes_of(&copy) {
            Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
        }
    };
    let (result, ()) = tokio::join!(workspace.run(RunCommand::new("sleep 1000", 1000 * SECOND), None), kill);
    assert!(matches!(result, Err(WorkspaceError::Gone { .. })), "{result:?}");
    tokio::time::timeout(SECOND, workspace.closed()).await.unwrap();
    assert_eq!(processes_of(&copy), [0; 0]);
}

/// `server_that_dies` is this test binary again, told by a variable what to do.
const VICTIM_VARIABLE: &str = "JOURNEYMAN_TEST_VICTIM";

#[tokio::test]
async fn server_that_dies() {
    let Some(data_dir) = std::env::var_os(VICTIM_VARIABLE) else { return };
    let sandboxes = Sandboxes::new(settings(Path::new(&data_dir))).await.unwrap();
    let task: TaskId = clock::new_id();
    let path = sandboxes.directory(task).copy();
    sandboxes.owner_uid(task);
    std::fs::create_dir_all(&path).unwrap();
    let mut copy = Copy::new().await.options();
    (copy.task, copy.copy) = (task, path);
    let workspace = sandboxes.open(copy).await.unwrap();
    output(&workspace, "setsid sleep 1000 & echo").await;
    std::fs::write(Path::new(&data_dir).join("up"), task.to_string()).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_killed_server_leaves_nothing_behind_and_a_sweep_clears_its_directories() {
    let data_dir = tempfile::tempdir().unwrap();
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "workspace::server_that_dies"])
        .env(VICTIM_VARIABLE, data_dir.path())
        .env(EXECD_VARIABLE, execd())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let up = data_dir.path().join("up");
    let begun = Instant::now();
    while !up.exists() || std::fs::read(&up).unwrap().is_empty() {
        assert!(begun.elapsed() < 60 * SECOND && server.try_wait().unwrap().is_none());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let task: TaskId = std::fs::read_to_string(&up).unwrap().parse().unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    let data = data_dir.path().canonicalize().unwrap().to_string_lossy().into_owned();
    let left = || {
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        entries
            .filter(|at| std::fs::read_to_string(at.path().join("cmdline")).is_ok_and(|line| line.contains(&data)))
            .count()
    };
    let begun = Instant::now();
    while left() > 0 {
        assert!(begun.elapsed() < SECOND, "execd did not end with its pipe");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let sandboxes = Sandboxes::new(settings(data_dir.path())).await.unwrap();
    assert!(sandboxes.directory(task).copy().exists());
    let kept = sandboxes.sweep(&HashSet::from([task])).await.unwrap();
    assert_eq!(kept.directories_removed, 0);
    let swept = sandboxes.sweep(&HashSet::new()).await.unwrap();
    assert_eq!(swept.directories_removed, 1);
    assert!(!sandboxes.directory(task).copy().exists());
}

#[tokio::test]
async fn a_sweep_leaves_open_sandboxes_alone() {
    let (copy, workspace) = open().await;
    let swept = copy.sandboxes.sweep(&HashSet::new()).await.unwrap();
    assert_eq!((swept.processes_killed, swept.directories_removed), (0, 0));
    assert_eq!(output(&workspace, "echo alive").await, "alive\n");
}

#[tokio::test]
async fn what_a_task_locked_away_from_itself_can_still_be_removed() {
    let (copy, workspace) = open().await;
    output(&workspace, "mkdir -p a/b/c; touch a/b/c/d; ln -s /etc a/link; chmod 0 a/b/c a/b a").await;
    workspace.close().await;
    copy.sandboxes.remove(copy.task).await.unwrap();
    assert!(!copy.path.exists());
}

#[tokio::test]
async fn connections_inside_are_carried_out_and_back() {
    let (_copy, workspace) = open().await;
    let port = workspace.listen(0).await.unwrap();
    let client = format!(
        "python3 - <<'E'\nimport socket\ns = socket.create_connection(('127.0.0.1', {port}))\ns.sendall(b'x' * 1000000)\n\
         s.shutdown(1)\nn = 0\nwhile d := s.recv(65536): n += len(d)\nprint(n)\nE"
    );
    let serve = async {
        let connection = workspace.accept().await.unwrap();
        assert_eq!(connection.port, port);
        let mut received = 0;
        loop {
            let bytes = connection.read().await.unwrap();
            if bytes.is_empty() {
                break;
            }
            received += bytes.len();
        }
        connection.write(&vec![b'y'; 3_000_000]).await.unwrap();
        connection.end();
        (received, connection)
    };
    let ((received, _connection), printed) = tokio::join!(serve, output(&workspace, &client));
    assert_eq!((received, printed.as_str()), (1_000_000, "3000000\n"));
}

#[tokio::test]
async fn capabilities_are_told_line_by_line() {
    let copy = Copy::new().await;
    let capabilities = copy.sandboxes.capabilities();
    let names: Vec<&str> = capabilities.lines.iter().map(|line| line.name).collect();
    assert_eq!(names, ["user", "namespaces", "network", "pids", "memory", "cpu", "disk", "output", "time"]);
    for line in capabilities.lines.iter().filter(|line| !line.holds) {
        assert!(line.detail.contains(';'), "what is weaker, and the mend: {}", line.detail);
    }
}

#[tokio::test]
async fn without_execd_the_mend_is_told() {
    let data_dir = tempfile::tempdir().unwrap();
    let mut settings = settings(data_dir.path());
    settings.execd = "/nowhere/execd".into();
    let error = Sandboxes::new(settings).await.unwrap_err();
    assert!(matches!(error, WorkspaceError::Setup { .. }), "{error:?}");
}

#[tokio::test]
async fn mirrors_are_read_only_inside() {
    let copy = Copy::new().await;
    let mirror = tempfile::tempdir().unwrap();
    std::fs::write(mirror.path().join("object"), "content").unwrap();
    std::fs::set_permissions(mirror.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut options = copy.options();
    options.mirrors = vec![(mirror.path().to_owned(), "/mirrors/base.git".into())];
    let workspace = copy.sandboxes.open(options).await.unwrap();
    assert_eq!(output(&workspace, "cat /mirrors/base.git/object").await, "content");
    assert_eq!(run(&workspace, "echo x > /mirrors/base.git/object").await.outcome, RunOutcome::Exited(1));
    let written = FileChange::Write {
        path: "/mirrors/base.git/object".to_owned(),
        content: b"x".to_vec(),
        executable: None,
        expect: journeyman::workspace::Expect::Anything,
    };
    assert!(matches!(workspace.apply(vec![written]).await, Err(WorkspaceError::Refused { .. })));
}

/// All of the above once more as a user without any rights.
#[test]
fn all_of_it_holds_for_an_unprivileged_user() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    std::fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let program = home.path().join("it");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let daemon = home.path().join("execd");
    std::fs::copy(execd(), &daemon).unwrap();
    let tested = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(&program)
        .args(["--test-threads=2", "workspace::", "execd::"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("TMPDIR", home.path())
        .env(EXECD_VARIABLE, &daemon)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&tested.stdout);
    assert!(tested.status.success(), "{told}{}", String::from_utf8_lossy(&tested.stderr));
}

#[tokio::test]
async fn the_programs_that_are_told_are_those_that_a_sandbox_finds() {
    let (copy, workspace) = open().await;
    let told = copy.sandboxes.programs().await;
    assert!(told.is_sorted() && told.len() > 100, "{}", told.len());
    let script = "for name in $(cat); do command -v -- \"$name\" >/dev/null || echo \"$name\"; done";
    let words = ["sh", "git", "python3", "make", "cargo", "node", "go", "java", "mvn", "ruby", "no-such-program"];
    let lacking = output(&workspace, &script.replace("$(cat)", &words.join(" "))).await;
    for word in words {
        let is_told = told.iter().any(|one| one == word);
        let is_there = !lacking.lines().any(|line| line == word);
        assert_eq!(is_told, is_there, "{word}");
    }
    let plain: Vec<&str> = told
        .iter()
        .map(String::as_str)
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))
        .filter(|name| Path::new("/usr/bin").join(name).exists())
        .collect();
    let lacking = output(&workspace, &script.replace("$(cat)", &plain.join(" "))).await;
    assert_eq!(lacking, "", "told and not there");
    let pytest = output(&workspace, "python3 -c 'import pytest' 2>/dev/null && echo yes || echo no").await;
    assert_eq!(pytest.trim() == "yes", told.iter().any(|name| name == "pytest"));
    let version = output(&workspace, "python3 -c 'import sys; print(\"python3@%d.%d\" % sys.version_info[:2])'").await;
    assert!(told.iter().any(|name| name == version.trim()), "{version}");
}
