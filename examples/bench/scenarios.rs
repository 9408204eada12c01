//! What is measured of the service.

use super::{
    floor::Floor,
    report::{Report, median, quantile},
    stand::{LARGE, LONG, Stand, now_us},
};
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

pub(crate) fn at_rest(stand: &Stand, report: &mut Report) {
    report.add("memory at rest", stand.memory_mib(), "MiB");
}

/// From sending POST to the arrival of the first model request, one at a time, warm mirror.
pub(crate) async fn first_request(stand: &Stand, report: &mut Report) {
    let task = stand.create("one", "large").await;
    stand.end(&task).await;
    let mut taken = Vec::new();
    for _ in 0..15 {
        stand.forget().await;
        let since = now_us();
        let task = stand.create("one", "large").await;
        stand.end(&task).await;
        let asked = stand.asked().await;
        taken.push((asked[0]["at_us"].as_f64().unwrap() - since) / 1e3);
    }
    report.at_most("POST to first model request, 2,000 files", median(&mut taken), "ms", 150.0);
}

/// The same with a commit that was never seen: it is fetched, its code parsed, the brief made whole.
pub(crate) async fn first_request_of_a_new_base(stand: &Stand, report: &mut Report) {
    let task = stand.create("one", "larger").await;
    stand.end(&task).await;
    let mut taken = Vec::new();
    for _ in 0..5 {
        stand.commit("larger");
        stand.forget().await;
        let since = now_us();
        let task = stand.create("one", "larger").await;
        stand.end(&task).await;
        let asked = stand.asked().await;
        taken.push((asked[0]["at_us"].as_f64().unwrap() - since) / 1e3);
    }
    report.at_most("POST to first model request, new commit of 5,000 files", median(&mut taken), "ms", 2_000.0);
}

/// From the end of each reply to the arrival of the next request, in milliseconds, of one task.
async fn between_turns(stand: &Stand, scenario: &str, turns: usize) -> Vec<f64> {
    stand.forget().await;
    let task = stand.create(scenario, "small").await;
    stand.end(&task).await;
    let asked = stand.asked().await;
    assert_eq!(asked.len(), turns, "each turn asks once");
    asked
        .windows(2)
        .map(|pair| (pair[1]["at_us"].as_f64().unwrap() - pair[0]["ended_at_us"].as_f64().unwrap()) / 1e3)
        .collect()
}

/// 500 turns, each with 4 KiB of output: about 2 MB go out with the last requests.
pub(crate) async fn turns_of_a_large_task(stand: &Stand, report: &mut Report) {
    let mut between = between_turns(stand, "large", LARGE).await;
    let last = median(&mut between.split_off(LARGE - 12));
    report.at_most("overhead of a turn, at turn 500 of 2 MB", last, "ms", 25.0);
}

pub(crate) async fn turns_of_a_long_task(stand: &Stand, report: &mut Report) {
    let between = between_turns(stand, "long", LONG).await;
    let around = |turn: usize| median(&mut between[turn.saturating_sub(5)..(turn + 5).min(between.len())].to_vec());
    let (early, middle, late) = (around(5), around(50), around(300));
    report.at_most("overhead of a turn, at turn 5", early, "ms", 15.0);
    report.at_most("overhead of a turn, at turn 50", middle, "ms", 15.0);
    report.at_most("overhead of a turn, at turn 300", late, "ms", 15.0);
    report.at_most("turn 300 against turn 5", late / early, "×", 1.3);
}

pub(crate) async fn tasks_at_once(stand: &Stand, tasks: usize, report: &mut Report) {
    stand.forget().await;
    let (idle, cpu) = (stand.memory_mib(), stand.cpu_seconds());
    let since = Instant::now();
    let sent = now_us();
    let mut ids = Vec::new();
    for _ in 0..tasks {
        ids.push(stand.create("ten", "small").await);
    }
    let mut peak: f64 = 0.0;
    for id in &ids {
        peak = peak.max(stand.memory_mib());
        stand.end(id).await;
    }
    let seconds = since.elapsed().as_secs_f64();
    let turns = (tasks * 10) as f64;
    let asked = stand.asked().await;
    let what = |figure: &str| format!("{tasks} tasks of ten turns at once: {figure}");
    if tasks >= 100 {
        report.at_least(what("turns a second"), turns / seconds, "/s", 120.0);
        report.at_most(what("CPU of the service a turn"), (stand.cpu_seconds() - cpu) * 1e3 / turns, "ms", 6.0);
        report.at_most(what("memory of the service"), peak, "MiB", 300.0);
    } else {
        report.add(what("turns a second"), turns / seconds, "/s");
        report.add(what("CPU of the service a turn"), (stand.cpu_seconds() - cpu) * 1e3 / turns, "ms");
    }
    report.add(what("memory above rest, a task"), (peak - idle).max(0.0) / tasks as f64, "MiB");
    // Every task's first request gets the same line of the script.
    let first = &asked[0]["line"];
    let mut first_lines: Vec<f64> =
        asked.iter().filter(|r| r["line"] == *first).map(|r| (r["at_us"].as_f64().unwrap() - sent) / 1e6).collect();
    if first_lines.len() == tasks {
        let last = quantile(&mut first_lines, 1.0);
        if tasks == 100 {
            report.at_most(what("the last first request"), last, "s", 5.0);
        } else {
            report.add(what("the last first request"), last, "s");
        }
    }
}

/// GET of a task and of a list, against the bare route, in turns.
pub(crate) async fn reads(stand: &Stand, floor: &Floor, report: &mut Report) {
    let list = stand.get("/v1/tasks?limit=1").await;
    let id = list["data"][0]["id"].as_str().unwrap().to_owned();
    let team = list["data"][0]["team"]["id"].as_str().unwrap().to_owned();
    let bare = format!("http://{}/tasks/{team}/{id}", floor.address);
    let (mut ours, mut floors, mut lists) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..3 {
        floors.push(rate(|| stand.http.get(&bare)).await);
        ours.push(rate(|| stand.request(reqwest::Method::GET, &format!("/v1/tasks/{id}"))).await);
        lists.push(rate(|| stand.request(reqwest::Method::GET, "/v1/tasks?limit=20")).await);
    }
    let (ours, floors) = (median(&mut ours), median(&mut floors));
    report.add("floor: bare axum + sqlx route, the same transaction", floors, "/s");
    report.add("GET /v1/tasks/{id}", ours, "/s");
    report.at_least("GET /v1/tasks/{id} against the bare route", ours / floors, "×", 0.6);
    report.add("GET /v1/tasks?limit=20", median(&mut lists), "/s");
    let (mut ours, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..500 {
        floors.push(one(stand.http.get(&bare)).await);
        ours.push(one(stand.request(reqwest::Method::GET, &format!("/v1/tasks/{id}"))).await);
    }
    let above = median(&mut ours) - median(&mut floors);
    report.at_most("GET /v1/tasks/{id}, authorisation included, above the bare route", above, "ms", 1.0);
}

/// Milliseconds of one request alone.
async fn one(request: reqwest::RequestBuilder) -> f64 {
    let since = Instant::now();
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success());
    answer.bytes().await.unwrap();
    since.elapsed().as_secs_f64() * 1e3
}

/// Requests a second with 16 connections for two seconds.
async fn rate(request: impl Fn() -> reqwest::RequestBuilder) -> f64 {
    let since = Instant::now();
    let lasting = Duration::from_secs(2);
    let one = || async {
        let mut done = 0u32;
        while since.elapsed() < lasting {
            let answer = request().send().await.unwrap();
            assert!(answer.status().is_success());
            answer.bytes().await.unwrap();
            done += 1;
        }
        done
    };
    let all = futures::future::join_all((0..16).map(|_| one())).await;
    f64::from(all.iter().sum::<u32>()) / since.elapsed().as_secs_f64()
}

/// From an event's commit to its arrival, with watchers spread over 50 tasks (or one).
pub(crate) async fn watched(stand: &Stand, floor: &Floor, watchers: usize, report: &mut Report) {
    let tasks = watchers.min(50);
    let before = floor.commits().await;
    let mut ids = Vec::new();
    for _ in 0..tasks {
        ids.push(stand.create("ten", "small").await);
    }
    let (sender, mut delays) = mpsc::unbounded_channel();
    let watching = (0..watchers).map(|watcher| watch(stand, ids[watcher % tasks].clone(), sender.clone()));
    let all = futures::future::join_all(watching);
    drop(sender);
    let collecting = async {
        let mut all = Vec::new();
        while let Some(delay) = delays.recv().await {
            all.push(delay);
        }
        all
    };
    let (_, mut taken) = tokio::join!(all, collecting);
    let commits = floor.commits().await - before;
    let what = |figure: &str| format!("SSE, {watchers} watchers of {tasks} tasks: {figure}");
    report.add(what("commit to client, median"), median(&mut taken), "ms");
    if watchers == 1_000 {
        report.at_most(what("commit to client, p99"), quantile(&mut taken, 0.99), "ms", 150.0);
    } else {
        report.add(what("commit to client, p99"), quantile(&mut taken, 0.99), "ms");
    }
    report.add(what("transactions of the database"), commits as f64, "");
}

/// Watches a task to its end; tells the delay of each event that was committed while watching.
async fn watch(stand: &Stand, task: String, delays: mpsc::UnboundedSender<f64>) {
    let connected = now_us();
    let mut answer = stand
        .request(reqwest::Method::GET, &format!("/v1/tasks/{task}/events"))
        .header("accept", "text/event-stream")
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
    let subscribed = now_us();
    let mut buffer = Vec::new();
    while let Ok(Some(piece)) = answer.chunk().await {
        let arrived = now_us();
        buffer.extend_from_slice(&piece);
        while let Some(end) = buffer.windows(2).position(|pair| pair == b"\n\n") {
            let frame: Vec<u8> = buffer.drain(..end + 2).collect();
            let frame = String::from_utf8_lossy(&frame);
            let Some(data) = frame.lines().find_map(|line| line.strip_prefix("data:")) else { continue };
            let Ok(event) = serde_json::from_str::<Value>(data.trim()) else { continue };
            let Some(at) = event["at"].as_str() else { continue };
            let at = time::OffsetDateTime::parse(at, &time::format_description::well_known::Rfc3339).unwrap();
            let committed = at.unix_timestamp_nanos() as f64 / 1e3;
            if committed > subscribed.max(connected) {
                delays.send((arrived - committed) / 1e3).unwrap();
            }
        }
    }
}
