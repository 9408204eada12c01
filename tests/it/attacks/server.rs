//! Attacks on what the server itself does with a workspace: execd's protocol, its changes to files, the end of a
//! sandbox, and what is left on this machine.

use super::ground::{Backend, Ground, as_user, said};
use crate::support::{
    engine,
    sandbox::{output, run},
    service::git,
};
use bollard::exec::{CreateExecOptions, StartExecResults};
use futures::StreamExt;
use journeyman::workspace::{Expect, FileChange, RunCommand, RunOutcome, Workspace};
use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

const BOTH: [Backend; 2] = [Backend::Bubblewrap, Backend::Docker];
const SECOND: Duration = Duration::from_secs(1);

/// Speaks to execd's door; says whose greeting it got.
const KNOCK: &str = r#"
import os, socket
got = b""
for number in range(300):
    s = socket.socket(socket.AF_UNIX); s.settimeout(2)
    try:
        s.connect("\0execd")
        s.sendall([b"", b"GET / HTTP/1.1\r\n\r\n", b"\x08\0\x01\0\0\0\0\0jmexec\x01\0", os.urandom(4000)][number % 4])
        got = s.recv(100) or got
    except OSError: pass
    s.close()
    if got: break
print("SUCC" + "EEDED" if b"jmexec" in got else "nobody speaks")
"#;

fn python(script: &str) -> String {
    format!("/usr/bin/python3 - 2>&1 <<'END_OF_PROBE'\n{script}\nEND_OF_PROBE\n")
}

async fn change(workspace: &Workspace, path: &str) -> bool {
    let content = b"by the server".to_vec();
    let write = FileChange::Write { path: path.to_owned(), content, executable: None, expect: Expect::Anything };
    workspace.apply(vec![write]).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn execd_hears_nobody_but_its_server() {
    for backend in BOTH {
        let ground = Ground::new(backend).await;
        let workspace = ground.open().await;
        let beside = async {
            for number in 0..50 {
                assert_eq!(output(&workspace, &format!("echo {number}")).await, format!("{number}\n"));
            }
        };
        let knocking = python(KNOCK);
        let (said, ()) = tokio::join!(output(&workspace, &knocking), beside);
        assert_eq!(said, "nobody speaks\n", "{backend:?}");
        if backend == Backend::Docker {
            // The same words, as the user that the server's own connections come as: the server's secret is lacking.
            let few = KNOCK.replace("range(300)", "range(8)");
            let said = as_the_server(&ground, &["/usr/bin/python3", "-c", &few]).await;
            assert_eq!(said, "nobody speaks\n");
            assert_eq!(output(&workspace, "echo alive").await, "alive\n");
        }
    }
}

async fn as_the_server(ground: &Ground, command: &[&str]) -> String {
    let engine = engine::shared().await;
    let name = engine.containers(&ground.copy.task.to_string()).await.remove(0);
    let client = engine.versioned_client().await;
    let options = CreateExecOptions {
        attach_stdout: Some(true),
        cmd: Some(command.to_vec()),
        user: Some("65534:65534"),
        ..CreateExecOptions::default()
    };
    let exec = client.create_exec(&name, options).await.unwrap();
    let StartExecResults::Attached { mut output, .. } = client.start_exec(&exec.id, None).await.unwrap() else {
        panic!("it is attached")
    };
    let mut said = String::new();
    while let Some(piece) = output.next().await {
        said.push_str(&piece.unwrap().to_string());
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_to_everybody_reach_neither_execd_nor_its_connection() {
    for backend in BOTH {
        let ground = Ground::new(backend).await;
        let workspace = ground.open().await;
        let process = workspace.start_process(RunCommand::new("sleep 1000", 1000 * SECOND)).await.unwrap();
        let result = run(&workspace, "kill -9 1; kill -STOP 1; kill -TERM 1; kill -9 -1; echo after").await;
        assert_eq!(result.output, b"after\n", "{backend:?}");
        assert_eq!(output(&workspace, "echo alive").await, "alive\n");
        // Outside, a process of the same user is reached: so is the one in the background.
        let look = workspace.write_stdin(process, b"", 10 * SECOND).await.unwrap();
        assert!(look.exit.is_some(), "{backend:?}");
    }
}

/// Waits until so many processes are marked; how many there are.
async fn until_marked(mark: u32, count: usize) -> usize {
    let begun = Instant::now();
    while marked(&mark.to_string()) != count && begun.elapsed() < 5 * SECOND {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    marked(&mark.to_string())
}

/// Processes of this machine that say so in their arguments.
fn marked(mark: &str) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let arguments = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok());
    arguments.filter(|arguments| arguments.starts_with("sleep\0") && arguments.contains(mark)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn daemons_outlive_neither_their_sandbox_nor_a_timeout_that_kills_their_session() {
    let daemons =
        |mark: u32| format!("setsid sleep {mark} & (setsid sleep {mark} >/dev/null 2>&1 &) ; (sleep {mark} &); echo");
    let mut outside = as_user("sh");
    outside.args(["-c", &daemons(77_001)]);
    outside.stdout(std::process::Stdio::null());
    assert!(outside.status().unwrap().success());
    let left = until_marked(77_001, 3).await;
    Command::new("pkill").args(["-9", "-x", "-f", "sleep 77001"]).status().unwrap();
    assert_eq!(left, 3, "outside they outlive the shell that made them");
    for (backend, mark) in BOTH.into_iter().zip([77_002, 77_003]) {
        let ground = Ground::new(backend).await;
        let workspace = ground.open().await;
        output(&workspace, &daemons(mark)).await;
        assert_eq!(until_marked(mark, 3).await, 3, "{backend:?}");
        workspace.close().await;
        assert_eq!(marked(&mark.to_string()), 0, "{backend:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_swapped_while_files_are_changed_leads_nowhere_else() {
    let swap = "import os, time\nos.makedirs('real', exist_ok=True)\nos.makedirs('/home/agent/victim', exist_ok=True)\n\
        open('/home/agent/victim/file', 'w').write('untouched')\nopen('ready', 'w').close()\nend = time.time() + 4\n\
        while time.time() < end:\n    try:\n        os.symlink('/home/agent/victim', 'link'); os.rename('link', 'other')\n\
        \x20       os.unlink('other'); os.rename('real', 'other'); os.rename('other', 'real')\n    except OSError: pass\n";
    for backend in BOTH {
        let ground = Ground::new(backend).await;
        let workspace = ground.open().await;
        let changing = async {
            output(&workspace, "until [ -e ready ]; do sleep 0.01; done").await;
            let end = Instant::now() + 3 * SECOND;
            let mut tried = 0_u32;
            while Instant::now() < end {
                change(&workspace, "other/file").await;
                change(&workspace, "../home/agent/victim/file").await;
                change(&workspace, "/home/agent/victim/file").await;
                tried += 1;
            }
            tried
        };
        let swapping = python(swap);
        let (_, tried) = tokio::join!(run(&workspace, &swapping), changing);
        assert!(tried > 20, "{tried}");
        assert_eq!(output(&workspace, "cat /home/agent/victim/file").await, "untouched", "{backend:?} after {tried}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_workspace_makes_of_its_git_directory_runs_nothing_on_this_machine() {
    for backend in BOTH {
        let ground = Ground::new(backend).await;
        let marker = ground.outside.path().join("pwned");
        std::fs::set_permissions(ground.outside.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let workspace = ground.open().await;
        let plant = format!(
            "git init -q . && echo one > file && git add file
            printf '#!/bin/sh\\ntouch {0}\\n' > .git/evil; chmod +x .git/evil
            cp .git/evil .git/hooks/post-checkout; cp .git/evil .git/hooks/pre-commit
            git config core.fsmonitor \"$PWD/.git/evil\"; git config core.sshCommand \"$PWD/.git/evil\"
            git config diff.external \"$PWD/.git/evil\"; git config filter.evil.clean \"$PWD/.git/evil\"
            git config core.pager \"$PWD/.git/evil\"; git config uploadpack.packObjectsHook \"$PWD/.git/evil\"
            echo '* filter=evil' > .gitattributes; echo two > file; echo done",
            marker.display()
        );
        // On the machine the working copy lies elsewhere.
        let plant = plant.replace("$PWD", &ground.copy.path.display().to_string());
        let done = output(&workspace, &plant).await;
        assert!(done.ends_with("done\n"), "{done}");
        let walk = workspace.walk().await.unwrap();
        assert!(walk.changed.iter().any(|entry| entry.path == "file"));
        workspace.read("file", 100).await.unwrap();
        workspace.close().await;
        assert!(!marker.exists(), "{backend:?}");
        // git itself, run by the machine in that directory, would have done it.
        let copy = ground.copy.path.display().to_string();
        git(Path::new("/"), &["-c", "safe.directory=*", "-C", &copy, "config", "--list"]);
        Command::new("git").args(["-c", "safe.directory=*", "-C", &copy, "status"]).output().unwrap();
        let mut status = Command::new("git");
        status.args(["-C", &copy, "status"]).env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "safe.directory");
        said({
            status.env("GIT_CONFIG_VALUE_0", "*");
            status
        });
        assert!(marker.exists(), "{backend:?}: it was not planted well enough");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_working_copy_deeper_than_any_path_is_removed() {
    for backend in BOTH {
        let ground = Ground::new(backend).await;
        let workspace = ground.open().await;
        let deep = python("import os\nfor _ in range(20000):\n    os.mkdir('d')\n    os.chdir('d')\nprint('deep')");
        // It is ended where it takes longer than until the next look at the disk, and is deep enough then.
        let made = run(&workspace, &deep).await;
        assert!(made.output == b"deep\n" || made.outcome == RunOutcome::DiskLimit, "{backend:?}: {made:?}");
        workspace.walk().await.ok();
        workspace.close().await;
        ground.copy.sandboxes.remove(ground.copy.task).await.unwrap();
        assert!(!ground.copy.path.exists(), "{backend:?}");
    }
}
