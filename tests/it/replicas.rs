//! Two replicas on one database, each with a data directory of its own: watchers of the one see what
//! the other does.

use crate::support::{
    calculator::{self, request, ten_turns},
    process::{Process, Running},
    service::{Ground, call, say, second_data_dir},
    stream::{Seed, Seen, Stream, Watcher, assert_whole},
};
use serde_json::{Value, json};
use std::time::Instant;
use tokio::sync::watch;

/// A command that prints a line every 50 ms.
fn ticks(count: u32) -> Value {
    let command = format!("for n in $(seq 1 {count}); do echo tick $n; sleep 0.05; done");
    call("shell", json!({ "command": command }))
}

fn lines(count: u32, word: &str) -> String {
    (1..=count).map(|n| format!("{word} {n}\n")).collect()
}

/// What the live pieces of one kind say, one after the other.
fn said(seen: &[Seen], kind: &str) -> String {
    seen.iter().filter(|p| p.event == kind).map(|p| p.data["data"]["text"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_does_is_seen_whole_and_live_at_a_replica_that_only_serves() {
    let seed = Seed::new();
    let words = lines(60, "thought");
    let thinks = json!({
        "text": words, "pace": { "between_ms": 30, "piece_chars": 12 }, "calls": ticks(40)["calls"],
    });
    let ground =
        Ground::new(&json!({ "sequence": [thinks, call("shell", json!({ "command": "true" })), say("Done.")] })).await;
    let serving = Process::api_only(&ground, ground.data.path());
    let task = serving.api.create(&json!({ "request": "count", "mode": "answer" })).await;
    // One who stays, and others who come and go.
    let mut stays = Stream::open(&serving.api, &task, None).await.unwrap().ok().unwrap();
    assert_eq!(stays.next().await.unwrap().event, "task.created");
    let (_address, base) = watch::channel(serving.api.base.clone());
    let watching: Vec<_> = (0..4)
        .map(|number| {
            let random = seed.random(number);
            let (base, key, task) = (base.clone(), serving.api.key.clone(), task.clone());
            tokio::spawn(Watcher { base, key, task, random }.watch())
        })
        .collect();

    let (_dir, data_dir) = second_data_dir();
    let worker = Running::worker(&ground, &data_dir);
    let seen = stays.rest().await;
    let log = serving.api.events(&task).await;
    assert_eq!(serving.api.rest(&task).await["status"], "succeeded", "{log:#?}");
    let answered = seen.iter().position(|seen| seen.event == "model.completed").unwrap();
    let (thoughts, outputs) = (said(&seen[..answered], "message.delta"), said(&seen, "tool.output"));
    let stored = seen.into_iter().filter(|seen| seen.id.is_some());
    let stored: Vec<Value> = log[..1].iter().cloned().chain(stored.map(|seen| seen.data)).collect();
    assert_whole(&stored, &log, "the watcher who stays");
    for watched in watching {
        assert_whole(&watched.await.unwrap().events, &log, "a watcher who comes and goes");
    }

    // The first pieces may come before the worker knows that somebody watches, the last may be
    // overtaken by their event: what is between comes once and in order.
    let output = log.iter().find(|e| e["kind"] == "tool.completed").unwrap()["data"]["output"].as_str().unwrap();
    for (said, whole) in [(thoughts, words.as_str()), (outputs, output)] {
        assert!(said.len() > 100 && whole.contains(&said), "{said:?} of {whole:?}");
    }
    worker.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_the_replica_that_survives_sees_its_takeover_through() {
    let seed = Seed::new();
    let mut script = ten_turns();
    // Long enough to be met in its midst, whatever the machine does besides.
    script["sequence"][2] = ticks(400);
    let mut ground = calculator::ground(&script).await;
    ground.variables.push(("JOURNEYMAN_LEASE_TTL_SECONDS".to_owned(), "3".to_owned()));
    let first = Process::start(&ground, ground.data.path());
    let task = first.api.create(&request(&ground)).await;
    first.api.until(&task, |task| task["status"] == "running").await;
    let (_dir, data_dir) = second_data_dir();
    let second = Process::start(&ground, &data_dir);

    let mut stays = Stream::open(&second.api, &task, None).await.unwrap().ok().unwrap();
    let (_address, base) = watch::channel(second.api.base.clone());
    let watching: Vec<_> = (0..3)
        .map(|number| {
            let random = seed.random(number);
            let (base, key, task) = (base.clone(), second.api.key.clone(), task.clone());
            tokio::spawn(Watcher { base, key, task, random }.watch())
        })
        .collect();
    let mut seen = Vec::new();
    loop {
        let next = stays.next().await.expect("the stream goes on");
        let met = next.event == "tool.output" && next.data["data"]["text"].as_str().unwrap().contains("tick");
        seen.push(next);
        if met {
            break;
        }
    }
    first.kill();
    let killed = Instant::now();
    seen.extend(stays.rest().await);

    let ended = second.api.rest(&task).await;
    let log = second.api.events(&task).await;
    assert_eq!(ended["result"]["verdict"], "verified", "{ended:#} {log:#?}");
    let stored: Vec<Value> = seen.into_iter().filter(|seen| seen.id.is_some()).map(|seen| seen.data).collect();
    assert_whole(&stored, &log, "the watcher who stays");
    for watched in watching {
        assert_whole(&watched.await.unwrap().events, &log, "a watcher who comes and goes");
    }
    let recovered: Vec<_> = log.iter().filter(|e| e["kind"] == "recovered").collect();
    assert_eq!(recovered.len(), 1, "{log:#?}");
    assert_eq!(recovered[0]["data"]["after"], "host_loss");
    assert_eq!(recovered[0]["data"]["interrupted"].as_array().unwrap().len(), 1);
    let cut = log.iter().find(|e| e["data"]["outcome"] == "interrupted").unwrap();
    assert!(cut["data"]["output"].as_str().unwrap().contains("outcome unknown"), "{cut}");
    assert!(killed.elapsed().as_secs() < 30, "{:?}", killed.elapsed());
}
