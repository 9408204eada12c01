//! `journeyman run` from words to a patch, as a process, on real components.

use crate::support::{
    sandbox::execd,
    service::{Ground, git},
};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// Adds `hello.txt` and says so.
fn hello() -> Value {
    let plan = json!({ "plan": [{ "step": "greet", "status": "in_progress" }] });
    let patch = json!({ "patch": "*** Begin Patch\n*** Add File: hello.txt\n+hello\n*** End Patch\n" });
    let calls =
        [json!({ "tool": "update_plan", "arguments": plan }), json!({ "tool": "apply_patch", "arguments": patch })];
    json!({ "sequence": [{ "calls": calls }, { "text": "There is a greeting now.", "repeat": 9 }] })
}

/// A local repository; its path.
fn checkout(ground: &Ground) -> PathBuf {
    let url = ground.repositories.make("local", &[("readme", "one\n")]);
    PathBuf::from(url.trim_start_matches("file://"))
}

/// The command as a user has it, with this ground's database, data directory and model.
fn journeyman(ground: &Ground, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_journeyman"));
    command
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap())
        .env("HOME", ground.data.path())
        .env("DATABASE_URL", &ground.database)
        .env("JOURNEYMAN_DATA_DIR", ground.data.path())
        .env("JOURNEYMAN_MODEL", "scripted")
        .env("JOURNEYMAN_MODEL_API", "responses")
        .env("JOURNEYMAN_MODEL_URL", &ground.model.url)
        .env("JOURNEYMAN_EXECD", execd())
        // As compose files have them that nobody has set.
        .env("JOURNEYMAN_CONFIG", "")
        .env("JOURNEYMAN_URL", "")
        .stdin(Stdio::null());
    command
}

async fn output(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Each line of JSON output.
fn lines(output: &Output) -> Vec<Value> {
    text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_its_own_server_is_told_in_json_and_is_only_good_when_verified() {
    let ground = Ground::new(&hello()).await;
    let repository = checkout(&ground);
    let repository = repository.to_str().unwrap();
    let arguments = ["run", "greet", "--repo", repository, "--json", "--require", "verified", "--apply"];

    let done = output(journeyman(&ground, &arguments)).await;
    let all = lines(&done);
    assert_eq!(done.status.code(), Some(1), "nothing was checked: {}", text(&done.stderr));
    let (result, events) = all.split_last().unwrap();
    let seqs: Vec<i64> = events.iter().map(|event| event["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, (1..=seqs.len() as i64).collect::<Vec<_>>(), "every event once and in order");
    assert_eq!((&result["kind"], &result["data"]["exit_code"]), (&json!("run.result"), &json!(1)));
    assert_eq!(result["data"]["task"]["result"]["verdict"], "unverified");
    assert!(result["data"]["patch"].as_str().unwrap().contains("+hello"));
    assert!(!Path::new(repository).join("hello.txt").exists(), "what is not verified is not applied");

    let mut checked = arguments.to_vec();
    checked.extend(["--check", "test -f hello.txt"]);
    let done = output(journeyman(&ground, &checked)).await;
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    assert_eq!(lines(&done).last().unwrap()["data"]["applied"], true);
    assert_eq!(std::fs::read_to_string(Path::new(repository).join("hello.txt")).unwrap(), "hello\n");
    assert_eq!(git(Path::new(repository), &["status", "--porcelain"]).trim(), "?? hello.txt");

    // The first admin is still to be made, by a service whose start somebody sees.
    let service = ground.start().await;
    let (status, me) = service.api().get("/v1/me").await;
    assert_eq!((status, &me["role"]), (200, &json!("admin")), "{me}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_uses_the_server_that_holds_the_data_directory() {
    let ground = Ground::new(&hello()).await;
    let repository = checkout(&ground);
    let service = ground.start().await;
    let run = ["run", "greet", "--repo", repository.to_str().unwrap(), "--check", "test -f hello.txt"];
    let done = output(journeyman(&ground, &run)).await;
    let told = text(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{told}{}", text(&done.stderr));
    assert!(told.contains("✎ hello.txt  +1  new file") && told.contains("✔ Verified"), "{told}");
    assert!(!told.contains('\u{1b}'), "plain in a pipe: {told}");

    // The same task, by the commands for a server's tasks.
    let id = told.lines().find_map(|line| line.strip_prefix("task ")).unwrap();
    let at = ["--url", &service.base];
    let key = std::fs::read_to_string(ground.data.path().join("local-key")).unwrap();
    for (arguments, words) in [
        (vec!["task", "list", "--status", "succeeded"], "✔ verified"),
        (vec!["task", "show", id], "There is a greeting now."),
        (vec!["task", "watch", id], "✔ Verified"),
        (vec!["task", "patch", id], "+++ b/hello.txt\n"),
    ] {
        let mut command = journeyman(&ground, &[&arguments[..], &at].concat());
        command.env("JOURNEYMAN_KEY", key.trim());
        let done = output(command).await;
        let shown = text(&done.stdout);
        assert!(done.status.success() && shown.contains(words), "{arguments:?}: {shown}{}", text(&done.stderr));
    }
    let refused = output(journeyman(&ground, &["task", "list", "--url", &service.base, "--key", "jm_wrong"])).await;
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("JOURNEYMAN_KEY"), "{}", text(&refused.stderr));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_cancels_the_task_and_ends_with_130() {
    let sleep = json!({ "tool": "shell", "arguments": { "command": "sleep 50" } });
    let ground = Ground::new(&json!({ "sequence": [{ "calls": [sleep] }] })).await;
    let mut command = journeyman(&ground, &["run", "wait", "--no-repo", "--json"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
    let ended = tokio::task::spawn_blocking(move || {
        let started = told.by_ref().map(Result::unwrap).find(|line| line.contains("\"tool.started\""));
        assert!(started.is_some(), "the command starts");
        let pid = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let last = told.map(Result::unwrap).last().unwrap();
        (child.wait().unwrap(), last)
    });
    let (status, last) = ended.await.unwrap();
    let last: Value = serde_json::from_str(&last).unwrap();
    assert_eq!((status.code(), &last["data"]["task"]["status"]), (Some(130), &json!("cancelled")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_ends_verified_and_leaves_nothing_behind() {
    let place = tempfile::tempdir().unwrap();
    // The demo's database and sandboxes run as other users when it is started as root.
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/run.sh"));
    command
        .env("JOURNEYMAN_BIN", env!("CARGO_BIN_EXE_journeyman"))
        .env("JOURNEYMAN_EXECD", execd())
        .env("TMPDIR", place.path())
        .stdin(Stdio::null());
    for name in ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "JOURNEYMAN_MODEL_URL"] {
        command.env_remove(name);
    }
    let done = output(command).await;
    let told = text(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{told}{}", text(&done.stderr));
    let mut rest = told.as_str();
    for words in [
        "FAILED (failures=4)",
        "✘ python3 -m unittest -v  4 of 20 fail → 3 of 20 fail",
        "test_a_weight_of_zero_gets_nothing  (new)",
        "Refinement",
        "✔ Verified",
        "4 of 20 fail → 20 tests pass",
        "✔ Applied to the checkout",
    ] {
        let at = rest.find(words).unwrap_or_else(|| panic!("{words:?} is missing, or too early, in {told}"));
        rest = &rest[at..];
    }
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "nothing is left");
}
