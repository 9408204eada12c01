//! Recorded tasks folded again: the same log comes out, and the first event that is another is named.

use crate::support::{
    calculator::{self, request, served, ten_turns},
    replayed::{export, fold},
    service::{call, plan, say},
};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use journeyman::{
    domain::{BlobHash, Event, TaskId, Timestamp, event::Record},
    runner::replay::{Recorded, Replayed, replay},
};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    path::Path,
    process::{Command, Output},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

fn lines(file: &[u8]) -> Vec<Value> {
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn file(lines: &[Value]) -> Vec<u8> {
    let mut file = GzEncoder::new(Vec::new(), Compression::fast());
    for line in lines {
        writeln!(file, "{line}").unwrap();
    }
    file.finish().unwrap()
}

fn command(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_journeyman")).env_remove("JOURNEYMAN_URL").args(arguments).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_folds_to_the_same_log_from_the_server_and_from_its_file() {
    let ground = calculator::ground(&ten_turns()).await;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&request(&ground)).await;
    assert_eq!(api.rest(&id).await["result"]["verdict"], "verified");
    let exported = export(&api, &id, "").await;
    let replayed = fold(&exported);
    assert_eq!(replayed.difference, None);
    assert_eq!((replayed.turns, replayed.runs, replayed.prompts), (10, 1, 10), "{replayed:?}");
    assert_eq!(replayed.events, replayed.decided + replayed.outside);
    assert!(replayed.decided > 20 && replayed.unknown_prompts == 0, "{replayed:?}");

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("task.jsonl.gz");
    std::fs::write(&path, &exported).unwrap();
    let from_file = command(&["task", "replay", path.to_str().unwrap(), "--json"]);
    let said: Value = serde_json::from_slice(&from_file.stdout).unwrap();
    assert_eq!((from_file.status.code(), &said["task"], &said["turns"]), (Some(0), &json!(id), &json!(10)), "{said:#}");
    assert_eq!(said["difference"], Value::Null);
    let from_server = tokio::task::spawn_blocking({
        let (id, base, key) = (id.clone(), api.base.clone(), api.key.clone());
        move || command(&["task", "replay", &id, "--url", &base, "--key", &key])
    });
    let from_server = from_server.await.unwrap();
    let said = String::from_utf8(from_server.stdout).unwrap();
    assert!(from_server.status.success() && said.contains("the same") && said.contains("10 prompts"), "{said}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_event_that_the_loop_would_not_write_is_named() {
    let edit = call("edit", json!({ "path": "calc.py", "old": "a - b", "new": "a + b" }));
    let script = json!({ "sequence": [edit.clone(), plan(), edit, say("Mended.")] });
    let ground = calculator::ground(&script).await;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&request(&ground)).await;
    assert_eq!(api.rest(&id).await["result"]["verdict"], "verified");
    let whole = lines(&export(&api, &id, "").await);
    assert_eq!(fold(&file(&whole)).difference, None);

    let at = |kind: &str, nth: usize| {
        let found = whole.iter().enumerate().filter(|(_, line)| line["event"]["kind"] == kind);
        found.map(|(at, _)| at).nth(nth).unwrap()
    };
    // What is changed, and the kind of the event at which the loop goes another way.
    let cases: [(usize, &str, Value, &str); 9] = [
        (at("tool.completed", 0), "/event/data/output", json!("denied: no"), "tool.completed"),
        (at("tool.completed", 0), "/event/turn", json!(7), "tool.completed"),
        (at("task.phase", 0), "/event/data/phase", json!("generation"), "task.phase"),
        (at("plan.updated", 0), "/event/data/planning/steps/0/step", json!("Mend nothing"), "plan.updated"),
        (at("model.started", 1), "/event/data/absorbed", json!([2]), "model.started"),
        (at("checks.completed", 0), "/event/data/verdict", json!("broken_before"), "task.result"),
        (at("task.result", 0), "/event/data/result/verdict", json!("unverified"), "task.result"),
        (at("model.completed", 1), "/event/data/cache/prefix/items/0", json!("0123456789abcdef"), "model.completed"),
        (at("memory.used", 0), "/event/kind", json!("message.developer"), "message.developer"),
    ];
    for (line, pointer, value, kind) in cases {
        let mut changed = whole.clone();
        if pointer == "/event/kind" {
            changed[line]["event"]["data"] = json!({ "text": "Go on." });
            changed[line]["event"]["private"] = Value::Null;
        }
        *changed[line].pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}: {}", whole[line])) = value;
        let found = fold(&file(&changed)).difference.unwrap_or_else(|| panic!("{pointer} is not missed"));
        assert_eq!(found.recorded["kind"], kind, "{pointer}: {found:#?}");
        assert!(found.seq >= line as i64, "{pointer}: {found:#?}");
    }
    // An event that is not there any more, and one after the end.
    let mut shorter = whole.clone();
    let gone = at("tool.completed", 1);
    shorter.remove(gone);
    let mut number = 0;
    for line in shorter.iter_mut().filter(|line| line["event"].is_object()) {
        number += 1;
        line["event"]["seq"] = json!(number);
    }
    shorter[0]["events"] = json!(number);
    assert!(fold(&file(&shorter)).difference.is_some());

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("changed.jsonl.gz");
    let mut changed = whole.clone();
    changed[at("tool.completed", 0)]["event"]["data"]["output"] = json!("denied: no");
    std::fs::write(&path, file(&changed)).unwrap();
    let done = command(&["task", "replay", path.to_str().unwrap()]);
    let said = String::from_utf8(done.stdout).unwrap();
    let seq = changed[at("tool.completed", 0)]["event"]["seq"].to_string();
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("another at event {seq}")) && said.contains("plan first"), "{said}");
    for (what, words) in [("nothing/here.gz", "is no file"), ("some-task", "JOURNEYMAN_URL")] {
        let done = command(&["task", "replay", what]);
        let error = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(2), "{error}");
        assert!(error.contains(words), "{what}: {error}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redacted_task_folds_again_as_far_as_it_has_words() {
    let script = json!({ "sequence": [
        call("ask_user", json!({ "questions": [{ "question": "Really?" }] })),
        plan(),
        call("shell", json!({ "command": "printf 'def add(a, b):\\n    return a + b\\n' > calc.py" })),
        json!({ "text": "I will now run the tests:" }),
        say("Mended."),
    ] });
    let (ground, service, api) = served(&script).await;
    let url = format!("file://{}", ground.repositories.path().join("calc").display());
    let id = api.create(&json!({ "request": "mend add", "repository": { "url": url }, "checks": ["true"] })).await;
    assert_eq!(api.rest(&id).await["waiting_for"], "input");
    let (_, pending) = api.get(&format!("/v1/tasks/{id}/approvals")).await;
    let approval = pending["data"][0]["id"].as_str().unwrap();
    let answer = json!({ "decision": "answer", "answers": ["yes"] });
    assert_eq!(api.post(&format!("/v1/tasks/{id}/approvals/{approval}"), &answer).await.0, 200);
    let task = api.until(&id, |task| task["status"] == "succeeded").await;
    assert_eq!(fold(&export(&api, &id, "").await).difference, None, "{task:#}");
    let replayed = fold(&export(&api, &id, "?redact=true").await);
    assert_eq!(replayed.difference, None);
    assert!(replayed.without_words > 0 && replayed.prompts == 0, "{replayed:?}");
    assert_eq!(replayed.unknown_because.as_deref(), Some("the log was redacted"));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_decided_just_before_the_time_was_up_and_written_after_is_no_difference() {
    let script = json!({ "sequence": [say("I will now run the tests:"), say("It subtracts.")] });
    let (ground, service, api) = served(&script).await;
    let url = format!("file://{}", ground.repositories.path().join("calc").display());
    let id =
        api.create(&json!({ "request": "what does add do?", "mode": "answer", "repository": { "url": url } })).await;
    assert_eq!(api.rest(&id).await["status"], "succeeded");
    let mut log = lines(&export(&api, &id, "").await);
    service.stop().await;
    // The commit that nudges, the last that is left, stands where two hours have passed since the run began.
    let of =
        |log: &[Value], kind: &str| log.iter().find(|line| line["event"]["kind"] == kind).unwrap()["event"].clone();
    let nudged = of(&log, "message.developer")["at"].clone();
    let last = log.iter().rposition(|line| line["event"]["at"] == nudged).unwrap();
    let seq = log[last]["event"]["seq"].clone();
    assert_eq!(log[last]["event"]["kind"], "model.started");
    log.retain(|line| line["event"]["seq"].as_i64().is_none_or(|at| at <= seq.as_i64().unwrap()));
    log[0]["events"] = seq;
    let began = log.iter().find(|line| line["event"]["data"]["status"] == "running").unwrap()["event"]["at"].clone();
    let began = OffsetDateTime::parse(began.as_str().unwrap(), &Rfc3339).unwrap();
    let late = (began + time::Duration::milliseconds(7_200_100)).format(&Rfc3339).unwrap();
    for line in log.iter_mut().filter(|line| line["event"]["at"] == nudged) {
        line["event"]["at"] = json!(late);
    }
    let replayed = fold(&file(&log));
    assert_eq!(replayed.difference, None);
    assert!(replayed.decided > 5, "{replayed:?}");
}

/// A golden log, whose contents are not kept.
fn golden(text: &str) -> Replayed {
    let record = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let number = |name: &str| line[name].as_u64().unwrap();
        let at: Timestamp = serde_json::from_value(line["at"].clone()).unwrap();
        let task: TaskId = serde_json::from_value(line["task"].clone()).unwrap();
        let data = serde_json::from_value(json!({ "kind": line["kind"], "data": line["data"] })).unwrap();
        let (seq, run, turn) = (number("seq") as i64, number("run") as u32, number("turn") as u32);
        let private = serde_json::from_value(line["private"].clone()).unwrap();
        Record { event: Event { seq, task, run, turn, at, data }, private }
    };
    let records: Vec<Record> = text.lines().map(record).collect();
    let contents = |_: &BlobHash| None;
    replay(&Recorded { records: &records, contents: &contents, blank: None })
}

#[test]
fn logs_of_earlier_builds_fold_again_or_say_where_the_loop_was_another() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden/v1");
    // Criteria of results had no evidence then.
    for (name, differs) in [("limited", None), ("question", None), ("recovered", None), ("refined", Some(50))] {
        let text = std::fs::read_to_string(directory.join(format!("{name}.jsonl"))).unwrap();
        let replayed = golden(&text);
        let seq = replayed.difference.as_ref().map(|difference| difference.seq);
        assert_eq!(seq, differs, "{name}: {replayed:#?}");
        // Whatever stands behind its end.
        let rows: Vec<&str> = text.lines().collect();
        for length in 1..rows.len() {
            golden(&rows[..length].join("\n"));
            let without = [&rows[..length], &rows[length + 1..]].concat().join("\n");
            golden(&without);
        }
    }
}

#[test]
fn logs_in_which_clocks_crashes_and_people_met_fold_to_themselves() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden/races");
    let mut logs = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let replayed = fold(&std::fs::read(&path).unwrap());
        assert_eq!(replayed.difference, None, "{}", path.display());
        logs += 1;
    }
    assert!(logs >= 7, "{logs}");
}
