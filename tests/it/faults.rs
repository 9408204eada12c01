//! Tests of what breaks around a task: models, the database, the workspace, the repository.

use crate::support::service::{Api, Ground, TestService, call, git, plan, say};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use std::time::{Duration, Instant};

const FILES: &[(&str, &str)] = &[("calc.py", "def add(a, b):\n    return a - b\n")];

async fn ground(script: &Value) -> (Ground, TestService, Api) {
    let ground = Ground::new(script).await;
    ground.repositories.make("calc", FILES);
    let service = ground.start().await;
    let api = service.api();
    (ground, service, api)
}

fn request(ground: &Ground) -> Value {
    let url = format!("file://{}", ground.repositories.path().join("calc").display());
    json!({ "request": "mend add", "mode": "answer", "repository": { "url": url } })
}

/// Runs one task whose first reply is faulty; the task and its log.
async fn with_fault(fault: &Value) -> (Value, Vec<Value>) {
    let first = json!({ "text": "Looking.", "calls": [{ "tool": "list_files", "arguments": {} }], "fault": fault });
    let (ground, service, api) = ground(&json!({ "sequence": [first, say("Done.")] })).await;
    let id = api.create(&request(&ground)).await;
    let task = api.rest(&id).await;
    let events = api.events(&id).await;
    service.stop().await;
    (task, events)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_fails_once_is_asked_again_and_the_log_tells_of_it() {
    for fault in [
        json!({ "kind": "status", "status": 429, "retry_after_seconds": 0.2, "times": 1 }),
        json!({ "kind": "status", "status": 500, "times": 1 }),
        json!({ "kind": "cut", "after_events": 2, "times": 1 }),
        json!({ "kind": "no_mark", "times": 1 }),
        json!({ "kind": "invalid_json", "times": 1 }),
        json!({ "kind": "html", "times": 1 }),
        json!({ "kind": "error_event", "after_events": 1, "code": "server_error", "message": "boom", "times": 1 }),
    ] {
        let (task, events) = with_fault(&fault).await;
        assert_eq!(task["status"], "succeeded", "{fault}: {task:#} {events:#?}");
        assert_eq!(events.iter().filter(|e| e["kind"] == "model.retried").count(), 1, "{fault}: {events:#?}");
        assert_eq!(task["usage"]["turns"], 2, "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_rejects_ends_the_task_with_the_right_code() {
    for (fault, code) in [
        (json!({ "kind": "status", "status": 401, "message": "bad key" }), "model_rejected"),
        (json!({ "kind": "status", "status": 400, "message": "bad request" }), "model_rejected"),
        (json!({ "kind": "context_length_exceeded" }), "model_rejected"),
    ] {
        let (task, events) = with_fault(&fault).await;
        assert_eq!(task["status"], "failed", "{fault}: {events:#?}");
        assert_eq!(task["error"]["code"], code, "{fault}: {task:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_model_calls_wrongly_is_told_to_it_and_the_task_goes_on() {
    let script = json!({ "sequence": [
        json!({ "calls": [
            { "tool": "no_such_tool", "arguments": {} },
            { "tool": "read_file", "arguments": { "file": "calc.py" } },
            { "tool": "read_file", "arguments": "{not json" },
        ] }),
        plan(),
        call("edit", json!({ "path": "calc.py", "old": "a * b", "new": "a + b" })),
        say("Done."),
    ] });
    let (ground, service, api) = ground(&script).await;
    let mut body = request(&ground);
    body["mode"] = json!("change");
    let id = api.create(&body).await;
    let task = api.rest(&id).await;
    let events = api.events(&id).await;
    let answers: Vec<_> = events
        .iter()
        .filter(|e| e["kind"] == "tool.completed")
        .map(|e| (e["data"]["outcome"].as_str().unwrap(), e["data"]["output"].as_str().unwrap()))
        .collect();
    assert_eq!(task["status"], "succeeded", "{task:#} {events:#?}");
    let told: Vec<_> = answers.iter().map(|(outcome, _)| *outcome).collect();
    assert_eq!(told, ["error", "error", "error", "ok", "error"], "{answers:#?}");
    assert!(answers[1].1.contains("path"), "{answers:#?}");
    assert!(answers[4].1.contains("a - b"), "the nearest lines are shown: {answers:#?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_and_cut_replies_are_nudged_and_never_taken_for_the_end() {
    let script = json!({ "sequence": [
        json!({ "text": "half", "cut": true, "fault": { "kind": "empty", "times": 1 } }), say("Whole."),
    ] });
    let (ground, service, api) = ground(&script).await;
    let id = api.create(&request(&ground)).await;
    let task = api.rest(&id).await;
    assert_eq!(task["result"]["answer"], "Whole.", "{task:#}");
    service.stop().await;

    let script = json!({ "sequence": [json!({ "text": "x", "fault": "empty" })] });
    let (ground, service, api) = self::ground(&script).await;
    let id = api.create(&request(&ground)).await;
    let task = api.rest(&id).await;
    assert_eq!(task["error"]["code"], "stuck", "{task:#}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn losing_the_database_again_and_again_loses_nothing() {
    let echo = |n: usize| call("shell", json!({ "command": format!("echo {n}; sleep 0.1") }));
    let sequence: Vec<_> = (0..12).map(echo).chain([say("Done.")]).collect();
    let (ground, service, api) = ground(&json!({ "sequence": sequence })).await;
    let id = api.create(&request(&ground)).await;
    let since = Instant::now();
    let mut cuts = 0;
    let mut connection = PgConnection::connect(&ground.database).await.unwrap();
    while since.elapsed() < Duration::from_secs(3) {
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        connection.execute(cut).await.unwrap();
        cuts += 1;
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    assert!(cuts > 5);
    let task = api.rest(&id).await;
    let events = api.events(&id).await;
    assert_eq!(task["status"], "succeeded", "{task:#} {events:#?}");
    let outputs: Vec<_> = events.iter().filter(|e| e["kind"] == "tool.completed").collect();
    assert_eq!(outputs.len(), 12, "{events:#?}");
    let seqs: Vec<_> = events.iter().map(|e| e["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, (1..=seqs.len() as i64).collect::<Vec<_>>());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_killed_from_outside_is_told_and_opened_again() {
    let script = json!({ "sequence": [
        call("shell", json!({ "command": "echo kept > kept.txt; sleep 30" })),
        call("shell", json!({ "command": "cat kept.txt" })),
        say("Done."),
    ] });
    let (ground, service, api) = ground(&script).await;
    let id = api.create(&request(&ground)).await;
    let since = Instant::now();
    // execd's command line names its instance; the sandbox of this task is the one that sleeps.
    let killed = loop {
        if let Some(pid) = sleeping_below_execd() {
            break pid;
        }
        assert!(since.elapsed() < Duration::from_secs(20), "{:#?}", api.events(&id).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let done = std::process::Command::new("kill").args(["-KILL", &killed.to_string()]).status().unwrap();
    assert!(done.success());
    let task = api.rest(&id).await;
    let events = api.events(&id).await;
    assert_eq!(task["status"], "succeeded", "{task:#} {events:#?}");
    let outputs: Vec<_> = events
        .iter()
        .filter(|e| e["kind"] == "tool.completed")
        .map(|e| (e["data"]["outcome"].as_str().unwrap(), e["data"]["output"].as_str().unwrap()))
        .collect();
    assert_eq!(outputs[0].0, "interrupted", "{outputs:#?}");
    assert!(outputs[1].1.contains("kept"), "the working copy survived: {outputs:#?}");
    service.stop().await;
}

/// The execd whose command sleeps for thirty seconds.
fn sleeping_below_execd() -> Option<u32> {
    let command_line = |pid: u32| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let parent = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok()
    };
    let pids =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    for pid in pids {
        if command_line(pid) == b"sleep\x0030\x00" {
            let mut above = parent(pid)?;
            while above > 1 {
                if String::from_utf8_lossy(&command_line(above)).contains("execd") {
                    return Some(above);
                }
                above = parent(above)?;
            }
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_repository_does_nothing_to_the_server() {
    let script = json!({ "sequence": [
        plan(),
        call("shell", json!({ "command": "git config core.fsmonitor 'touch /tmp/owned'; git config core.hooksPath /workspace/hooks; mkdir -p hooks; printf '#!/bin/sh\\ntouch /tmp/owned\\n' > hooks/post-checkout; chmod +x hooks/post-checkout; rm -rf .git/objects/info/alternates; ln -s /etc/passwd stolen; sed -i 's/a - b/a + b/' calc.py" })),
        say("Done."),
    ] });
    let ground = Ground::new(&script).await;
    let url = ground.repositories.make("hostile", &[FILES[0], (".gitattributes", "*.py filter=evil\n"), ("link", "x")]);
    let path = ground.repositories.path().join("hostile");
    std::fs::remove_file(path.join("link")).unwrap();
    std::os::unix::fs::symlink("/etc/shadow", path.join("link")).unwrap();
    git(
        &path,
        &[
            "-c",
            "user.name=T",
            "-c",
            "user.email=t@example.com",
            "commit",
            "--quiet",
            "--all",
            "--message",
            "a link out",
        ],
    );
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&json!({ "request": "mend", "repository": { "url": url }, "checks": ["python3 -c 'import calc; assert calc.add(2, 3) == 5'"] })).await;
    let task = api.rest(&id).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#}");
    let patch = api.text(&format!("/v1/tasks/{id}/patch")).await.1;
    assert!(patch.contains("+    return a + b") && !patch.contains("root:"), "{patch}");
    assert!(!std::path::Path::new("/tmp/owned").exists());
    service.stop().await;
}
