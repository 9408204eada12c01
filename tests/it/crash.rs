//! Tests of recovery: a crash at every step boundary, real `kill -9`, a second replica, drains.

use crate::support::{
    calculator::{self, request, ten_turns},
    failpoint::each_at_its_own_boundary,
    process::Process,
    service::second_data_dir,
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// What a conversation comes to, without what only tells of the recovery.
fn transcript(events: &[Value]) -> Vec<(String, String, String)> {
    let duration = regex::Regex::new(r" in (under 1|\d+) s\b").unwrap();
    let word = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    events
        .iter()
        .filter_map(|event| {
            let data = &event["data"];
            match event["kind"].as_str().unwrap() {
                "tool.completed" => Some((word(&data["call"]), word(&data["outcome"]), word(&data["output"]))),
                "message.assistant" => Some(("says".to_owned(), String::new(), word(&data["text"]))),
                "checks.completed" => Some(("checks".to_owned(), word(&data["verdict"]), String::new())),
                _ => None,
            }
        })
        .map(|(what, how, text)| {
            // Durations differ from run to run.
            let text = duration.replace_all(&text, " in SECONDS");
            let text = text
                .lines()
                .filter(|line| !line.to_lowercase().contains("duration") && !line.contains(" ms"))
                .collect::<Vec<_>>()
                .join("\n");
            (what, how, text)
        })
        .collect()
}

fn assert_sound(events: &[Value], calm: &[(String, String, String)], what: &str) {
    let found = transcript(events);
    assert_eq!(found.len(), calm.len(), "{what}: {events:#?}");
    for (found, calm) in found.iter().zip(calm) {
        if found.1 == "interrupted" {
            assert!(found.2.contains("interrupted") && found.2.contains("outcome unknown"), "{what}: {found:?}");
            assert_eq!(found.0, calm.0);
        } else {
            assert_eq!(found, calm, "{what}");
        }
    }
    let mut answers: BTreeMap<&str, u32> = BTreeMap::new();
    for event in events.iter().filter(|e| e["kind"] == "tool.completed") {
        *answers.entry(event["data"]["call"].as_str().unwrap()).or_default() += 1;
    }
    assert!(answers.values().all(|n| *n == 1), "{what}: {answers:?}");
    let seqs: Vec<_> = events.iter().map(|e| e["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, (1..=seqs.len() as i64).collect::<Vec<_>>(), "{what}");
    assert_eq!(events.last().unwrap()["kind"], "task.status", "{what}");
}

fn assert_prefixes(requests: &[Value], task: &str) {
    let bodies: Vec<_> = requests.iter().map(|r| &r["body"]).filter(|b| b["prompt_cache_key"] == task).collect();
    for pair in bodies.windows(2) {
        assert_eq!(pair[0]["instructions"], pair[1]["instructions"]);
        assert_eq!(pair[0]["tools"], pair[1]["tools"]);
        let (before, after) = (pair[0]["input"].as_array().unwrap(), pair[1]["input"].as_array().unwrap());
        assert_eq!(before[..], after[..before.len().min(after.len())], "{task}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_step_boundary_changes_nothing_but_what_tells_of_it() {
    let (failpoint, seen) = each_at_its_own_boundary();
    let ground = calculator::ground(&ten_turns()).await;
    let service = ground.start_with(ground.data.path(), Some(failpoint)).await;
    let api = service.api();
    let calm_id = api.create(&request(&ground)).await;
    let calm = api.rest(&calm_id).await;
    assert_eq!(calm["result"]["verdict"], "verified", "{calm:#}");
    let calm_events = api.events(&calm_id).await;
    let calm_transcript = transcript(&calm_events);
    assert_eq!(calm["usage"]["turns"], 10);

    let mut crashes = 0;
    loop {
        // Some at a time, until one lives to its end without having met its boundary.
        let mut ids = Vec::new();
        for _ in 0..8 {
            ids.push(api.create(&request(&ground)).await);
        }
        let mut undisturbed = 0;
        for id in &ids {
            let task = api.rest(id).await;
            let events = api.events(id).await;
            let (at, crashed) = seen.lock().unwrap()[&id.parse().unwrap()];
            let what = format!("crashed at boundary {at}: {crashed}");
            assert_eq!(task["status"], "succeeded", "{what} {task:#} {events:#?}");
            assert_eq!(task["result"]["verdict"], "verified", "{what} {task:#}");
            assert_sound(&events, &calm_transcript, &what);
            let recovered = events.iter().filter(|e| e["kind"] == "recovered").count();
            if crashed {
                crashes += 1;
                assert!(recovered <= 1, "{what}");
            } else {
                undisturbed += 1;
                assert_eq!(recovered, 0, "{what}");
            }
        }
        let requests = ground.model.requests().await;
        for id in &ids {
            assert_prefixes(&requests, id);
        }
        if undisturbed > 0 {
            break;
        }
    }
    assert!(crashes >= 25, "only {crashes} boundaries were met");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_is_taken_up_by_its_successor_at_once() {
    let ground = calculator::ground(&ten_turns()).await;
    for (kind, count) in
        [("brief.ready", 1), ("model.started", 3), ("tool.started", 4), ("model.completed", 6), ("checks.started", 1)]
    {
        let process = Process::start(&ground, ground.data.path());
        let id = process.api.create(&request(&ground)).await;
        process.api.met(&id, kind, count).await;
        process.kill();
        let next = Process::start(&ground, ground.data.path());
        let since = Instant::now();
        let task = next.api.rest(&id).await;
        let events = next.api.events(&id).await;
        assert_eq!(task["result"]["verdict"], "verified", "killed at {kind} {count}: {task:#} {events:#?}");
        assert!(since.elapsed() < Duration::from_secs(14), "the old lease was waited for: {:?}", since.elapsed());
        let turns = events.iter().filter(|e| e["kind"] == "model.completed").count();
        assert_eq!(turns, 10, "killed at {kind} {count}: {events:#?}");
        assert_prefixes(&ground.model.requests().await, &id);
        next.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_replica_goes_on_when_the_lease_has_run_out() {
    let mut ground = calculator::ground(&ten_turns()).await;
    ground.variables.push(("JOURNEYMAN_LEASE_TTL_SECONDS".to_owned(), "3".to_owned()));
    let first = Process::start(&ground, ground.data.path());
    let id = first.api.create(&request(&ground)).await;
    first.api.met(&id, "tool.completed", 4).await;
    first.kill();
    let killed = Instant::now();
    let (_dir, data_dir) = second_data_dir();
    let second = ground.start_with(&data_dir, None).await;
    let api = second.api();
    let task = api.rest(&id).await;
    let events = api.events(&id).await;
    let recovered: Vec<_> = events.iter().filter(|e| e["kind"] == "recovered").collect();
    assert!(task["result"]["verdict"] == "verified", "{task:#} {events:#?}");
    // The first may have ended the task in the moment before it was killed; then there is nothing to take up.
    assert_eq!(recovered.len(), 1, "{events:#?}");
    assert_eq!(recovered[0]["data"]["after"], "host_loss");
    assert!(killed.elapsed() < Duration::from_secs(20));
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_parks_the_task_and_the_next_start_goes_on() {
    let ground = calculator::ground(&ten_turns()).await;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&request(&ground)).await;
    api.met(&id, "tool.completed", 2).await;
    let since = Instant::now();
    service.stop().await;
    assert!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
    let service = ground.start().await;
    let api = service.api();
    let task = api.rest(&id).await;
    let events = api.events(&id).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#} {events:#?}");
    let after: Vec<_> = events.iter().filter(|e| e["kind"] == "recovered").map(|e| &e["data"]["after"]).collect();
    assert_eq!(after, ["drain"], "{events:#?}");
    service.stop().await;
}
