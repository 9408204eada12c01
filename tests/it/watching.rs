//! Watchers of tasks that run to their end while the server is killed and drained under them.

use crate::support::{
    calculator::{self, request, ten_turns},
    process::Process,
    stream::{Seed, Stream, Watcher, assert_whole},
};
use rand::Rng;
use std::time::Duration;
use tokio::sync::watch;

const TASKS: usize = 3;
const WATCHERS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_and_goes_sees_every_event_once_though_the_server_is_killed_and_drained() {
    let seed = Seed::new();
    let mut random = seed.random(0);
    let mut script = ten_turns();
    // Slow enough that there is a midst.
    script["pace"]["first_byte_ms"] = 300.into();
    let ground = calculator::ground(&script).await;
    let mut process = Process::start(&ground, ground.data.path());
    let (address, base) = watch::channel(process.api.base.clone());
    let mut tasks = Vec::new();
    for _ in 0..TASKS {
        tasks.push(process.api.create(&request(&ground)).await);
    }
    let mut watching = Vec::new();
    for number in 0..TASKS * WATCHERS {
        let watcher = Watcher {
            base: base.clone(),
            key: process.api.key.clone(),
            task: tasks[number % TASKS].clone(),
            random: seed.random(1 + number as u64),
        };
        watching.push(tokio::spawn(watcher.watch()));
    }

    for (drained, from) in [(false, 0), (false, 2), (true, 4), (false, 6)] {
        process.api.answered(&tasks[0], from + random.random_range(1..3)).await;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..100))).await;
        if drained {
            assert!(process.running.drain().await.success());
        } else {
            process.kill();
        }
        process = Process::start(&ground, ground.data.path());
        address.send(process.api.base.clone()).unwrap();
    }

    let mut logs = Vec::new();
    for task in &tasks {
        let ended = process.api.rest(task).await;
        let log = process.api.events(task).await;
        assert_eq!(ended["result"]["verdict"], "verified", "{ended:#} {log:#?}");
        assert_eq!(ended["last_seq"], log.last().unwrap()["seq"]);
        logs.push(log);
    }
    let mut connections = 0;
    for (number, watched) in watching.into_iter().enumerate() {
        let watched = watched.await.unwrap();
        assert_whole(&watched.events, &logs[number % TASKS], &format!("watcher {number}"));
        connections += watched.connections;
    }
    assert!(connections > (TASKS * WATCHERS * 5) as u32, "{connections} connections are too few to tell anything");
    let after: Vec<_> =
        logs.iter().flatten().filter(|e| e["kind"] == "recovered").map(|e| &e["data"]["after"]).collect();
    assert!(after.iter().any(|a| *a == "drain") && after.iter().any(|a| *a == "crash"), "{after:?}");

    for (task, log) in tasks.iter().zip(&logs) {
        let last = log.last().unwrap()["seq"].as_i64();
        let stream = Stream::open(&process.api, task, last).await.unwrap().ok().unwrap();
        assert_eq!(stream.rest().await, [], "whoever has seen the end is told nothing more");
    }
}
