//! Who says nothing is asked, and taken for gone: a server that hangs, and an execd that does. No stream needs to break.

use crate::{
    backends::Frozen,
    execd::bare,
    support::{
        calculator,
        process::{Process, of_user},
        sandbox::{self, Copy, output},
        service::{call, plan, say},
    },
};
use execd::{
    frame::{self, Decoder, Kind},
    message::{Configure, Request},
};
use journeyman::workspace::{RunCommand, SandboxSettings, WorkspaceError};
use rustix::process::Pid;
use serde_json::json;
use std::{
    io::{Read, Write},
    os::unix::fs::MetadataExt,
    process::{Child, ChildStdout},
    time::{Duration, Instant},
};

const SECOND: Duration = Duration::from_secs(1);

/// A call as the server makes it.
fn request(stream: u32, request: &Request) -> Vec<u8> {
    let json = serde_json::to_vec(request).unwrap();
    let mut payload = (4 + json.len() as u32).to_le_bytes().to_vec();
    payload.extend((json.len() as u32).to_le_bytes());
    payload.extend(json);
    let mut out = Vec::new();
    frame::push(&mut out, Kind::Open, stream, &payload);
    out
}

/// The next frame's kind; none once execd has hung up.
fn next(stdout: &mut ChildStdout, decoder: &mut Decoder) -> Option<Kind> {
    loop {
        if let Some((header, _)) = decoder.next_frame().unwrap() {
            return Some(header.kind);
        }
        let mut bytes = [0; 4096];
        match stdout.read(&mut bytes).unwrap() {
            0 => return None,
            count => decoder.feed(&bytes[..count]),
        }
    }
}

fn configured(beat_ms: u64) -> (Child, ChildStdout, Decoder) {
    let mut child = bare();
    let configure = Configure { heartbeat_ms: Some(beat_ms), ..Configure::default() };
    let said = [frame::hello(), request(3, &Request::Configure(configure))].concat();
    child.stdin.as_mut().unwrap().write_all(&said).unwrap();
    let (mut stdout, mut decoder) = (child.stdout.take().unwrap(), Decoder::default());
    assert_eq!(next(&mut stdout, &mut decoder), Some(Kind::Hello));
    assert_eq!(next(&mut stdout, &mut decoder), Some(Kind::Done));
    (child, stdout, decoder)
}

#[test]
fn execd_asks_a_server_that_says_nothing_and_ends_when_it_stays_silent() {
    let (mut child, mut stdout, mut decoder) = configured(200);
    let begun = Instant::now();
    // Whoever answers is waited for.
    let mut pong = Vec::new();
    frame::push(&mut pong, Kind::Pong, 0, &[]);
    for _ in 0..6 {
        assert_eq!(next(&mut stdout, &mut decoder), Some(Kind::Ping));
        child.stdin.as_mut().unwrap().write_all(&pong).unwrap();
    }
    assert!(begun.elapsed() >= 6 * Duration::from_millis(400), "{:?}", begun.elapsed());
    let silent = Instant::now();
    for _ in 0..3 {
        assert_eq!(next(&mut stdout, &mut decoder), Some(Kind::Ping));
    }
    assert_eq!(next(&mut stdout, &mut decoder), None);
    assert!(silent.elapsed() >= Duration::from_millis(900), "{:?}", silent.elapsed());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn an_execd_that_stood_still_itself_asks_before_it_gives_its_server_up() {
    let (mut child, mut stdout, mut decoder) = configured(200);
    // bubblewrap's own process is around it.
    let outer = child.id();
    let inner = std::fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).unwrap();
    {
        let _frozen = Frozen::new(Pid::from_raw(inner.trim().parse().unwrap()).unwrap());
        std::thread::sleep(2 * SECOND);
    }
    assert_eq!(next(&mut stdout, &mut decoder), Some(Kind::Ping));
    let mut pong = Vec::new();
    frame::push(&mut pong, Kind::Pong, 0, &[]);
    child.stdin.as_mut().unwrap().write_all(&pong).unwrap();
    assert_eq!(next(&mut stdout, &mut decoder), Some(Kind::Ping));
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn who_knows_no_heartbeats_is_told_of_none() {
    let usual = serde_json::to_value(Configure::default()).unwrap();
    assert!(usual.get("heartbeat_ms").is_none(), "{usual}");
    let known: Configure = serde_json::from_value(usual).unwrap();
    assert_eq!(known, Configure::default());
}

#[tokio::test]
async fn a_workspace_whose_execd_hangs_is_lost_and_nothing_of_it_is_left() {
    let beat = Duration::from_millis(400);
    let copy = Copy::with(|data_dir| SandboxSettings { heartbeat: beat, ..sandbox::settings(data_dir) }).await;
    let workspace = copy.open().await;
    let uid = copy.sandboxes.owner_uid(copy.task).unwrap().0;
    let freeze = async {
        output(&workspace, "echo up").await;
        of_user(uid).into_iter().map(|(pid, _)| Frozen::new(pid)).collect::<Vec<_>>()
    };
    let begun = Instant::now();
    let (result, frozen) = tokio::join!(workspace.run(RunCommand::new("sleep 1000", 1000 * SECOND), None), freeze);
    let Err(WorkspaceError::Gone { why }) = result else { panic!("{result:?}") };
    assert!(why.contains("no sign of life"), "{why}");
    assert!(begun.elapsed() < 20 * SECOND, "{:?}", begun.elapsed());
    tokio::time::timeout(10 * SECOND, workspace.closed()).await.unwrap();
    assert_eq!(of_user(uid), []);
    drop(frozen);
}

#[tokio::test]
async fn a_quiet_workspace_with_much_to_say_or_nothing_outlives_many_heartbeats() {
    let beat = Duration::from_millis(100);
    let copy = Copy::with(|data_dir| SandboxSettings { heartbeat: beat, ..sandbox::settings(data_dir) }).await;
    let workspace = copy.open().await;
    assert_eq!(output(&workspace, "sleep 2; echo quiet").await, "quiet\n");
    let talks = "end=$(($(date +%s) + 2)); while [ $(date +%s) -lt $end ]; do echo word; sleep 0.02; done; echo over";
    let (sender, mut pieces) = tokio::sync::mpsc::channel(16);
    let run = workspace.run(RunCommand::new(talks, 60 * SECOND), Some(sender));
    let (ran, ()) = tokio::join!(run, async { while pieces.recv().await.is_some() {} });
    assert!(ran.unwrap().output.ends_with(b"over\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_loses_its_workspace_and_its_task_goes_on_when_it_is_back() {
    let script = json!({ "rules": [
        { "when": { "turn": 0 }, "reply": plan() },
        { "when": { "turn": 1 }, "reply": call("shell", json!({ "command": "sleep 1000", "timeout_ms": 900_000 })) },
        { "when": { "turn": 2 }, "reply": call("edit", json!({ "path": "calc.py", "old": "a - b", "new": "a + b" })) },
        { "when": {}, "reply": say("Mended.") },
    ] });
    let mut ground = calculator::ground(&script).await;
    ground.variables.push(("JOURNEYMAN_SANDBOX_HEARTBEAT_SECONDS".to_owned(), "0.4".to_owned()));
    let process = Process::start(&ground, ground.data.path());
    let id = process.api.create(&calculator::request(&ground)).await;
    process.api.met(&id, "tool.started", 2).await;
    let copy = ground.data.path().join("workspaces").join(&id).join("copy");
    let uid = std::fs::metadata(copy).unwrap().uid();
    assert!(uid != 0 && !of_user(uid).is_empty());
    {
        let _frozen = Frozen::new(Pid::from_raw(process.running.id() as i32).unwrap());
        let begun = Instant::now();
        while !of_user(uid).is_empty() {
            assert!(begun.elapsed() < 20 * SECOND, "what nobody waits for goes on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let task = process.api.rest(&id).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#} {:#?}", process.api.events(&id).await);
    let events = process.api.events(&id).await;
    let interrupted = events.iter().filter(|event| event["data"]["outcome"] == "interrupted").count();
    assert_eq!(interrupted, 1, "{events:#?}");
    process.kill();
}
