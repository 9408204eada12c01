//! Streams: resumed exactly, live pieces between, closed at the end.

use super::harness::{ADMIN, Server, server};
use crate::support::stream::{Seen, Stream};
use journeyman::{
    domain::{EventData, Role},
    events::Hub,
};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

async fn open(server: &Server, path: &str, last_event_id: Option<i64>) -> (Response, Stream) {
    let mut request = server.request(Method::GET, path, ADMIN).header("accept", "text/event-stream");
    if let Some(id) = last_event_id {
        request = request.header("last-event-id", id.to_string());
    }
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let headers = answer.headers().clone();
    let stream = Stream::of(answer);
    let mut head = http::Response::new("");
    *head.headers_mut() = headers;
    (Response::from(head), stream)
}

fn ids(seen: &[Seen]) -> Vec<i64> {
    seen.iter().filter_map(|seen| seen.id).collect()
}

#[tokio::test]
async fn a_stream_gives_the_log_then_what_comes_and_closes_at_the_end() {
    let server = server().await;
    let id = server.task(ADMIN, "x").await;
    let worker = server.run().await;
    let path = format!("/v1/tasks/{id}/events");
    let (answer, mut stream) = open(&server, &path, None).await;
    let header = |name: &str| answer.headers().get(name).unwrap().to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "text/event-stream");
    assert_eq!((header("cache-control").as_str(), header("x-accel-buffering").as_str()), ("no-store", "no"));
    assert!(answer.headers().contains_key("x-request-id"));
    for (seq, kind) in [(1, "task.created"), (2, "task.status"), (3, "task.status")] {
        let seen = stream.next().await.unwrap();
        assert_eq!((seen.id, seen.event.as_str(), &seen.data["seq"]), (Some(seq), kind, &json!(seq)));
        assert_eq!((&seen.data["kind"], &seen.data["task"]), (&json!(kind), &json!(id)));
    }
    server.hub.live(id, "message.delta", &json!({ "text": "Hel" }));
    let live = stream.next().await.unwrap();
    assert_eq!((live.id, live.event.as_str()), (None, "message.delta"));
    worker.say(1, EventData::MessageAssistant { text: "Hello\n\nthere".into(), author: "m".into() }).await;
    assert_eq!(stream.next().await.unwrap().data["data"]["text"], "Hello\n\nthere");
    worker.succeed().await;
    assert_eq!(ids(&stream.rest().await), [5]);
    let page = server.get(&path, ADMIN).await.json();
    let (_, again) = open(&server, &path, None).await;
    let streamed: Vec<Value> = again.rest().await.into_iter().map(|seen| seen.data).collect();
    assert_eq!(page["data"], json!(streamed), "stream and page tell the same");
}

/// Asks again until it is so.
async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let asking = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asking).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test]
async fn live_pieces_reach_the_watchers_of_another_replica() {
    let server = server().await;
    let id = server.task(ADMIN, "x").await;
    let worker = server.run().await;
    let other = Hub::new(server.store.clone());
    let stop = CancellationToken::new();
    let (relaying, until) = (other.clone(), stop.clone());
    let relay = tokio::spawn(async move { relaying.relay_pieces(until).await });
    let driving = other.driving(id);
    assert!(!other.is_watched(id), "nobody watches yet");

    let (_, mut stream) = open(&server, &format!("/v1/tasks/{id}/events"), None).await;
    for _ in 1..=3 {
        stream.next().await.unwrap();
    }
    eventually("the other replica hears of the watcher", || other.is_watched(id)).await;
    let last = worker.say(1, EventData::Reasoning { summary: "hm".into() }).await;
    other.wrote(worker.lease.team, id, last);
    assert_eq!(stream.next().await.unwrap().id, Some(4));
    for text in ["Hel", "lo"] {
        other.live(id, "message.delta", &json!({ "text": text }));
    }
    for text in ["Hel", "lo"] {
        let live = stream.next().await.unwrap();
        assert_eq!((live.id, live.event.as_str(), &live.data["data"]["text"]), (None, "message.delta", &json!(text)));
    }
    // A piece that a later event has overtaken is left out.
    worker.say(1, EventData::MessageAssistant { text: "Hello".into(), author: "m".into() }).await;
    assert_eq!(stream.next().await.unwrap().id, Some(5));
    other.live(id, "message.delta", &json!({ "text": "late" }));
    drop(driving);
    assert!(!other.is_watched(id), "who no longer drives the task has nothing to send");
    worker.succeed().await;
    assert_eq!(ids(&stream.rest().await), [6]);
    stop.cancel();
    relay.await.unwrap();
}

#[tokio::test]
async fn who_begins_to_watch_sees_a_run_that_was_just_woken() {
    let server = server().await;
    let id = server.task(ADMIN, "x").await;
    let path = format!("/v1/tasks/{id}/events");
    let worker = server.run().await;
    // Others have watched all the while: what they know is shared.
    let (_, first) = open(&server, &path, None).await;
    worker.succeed().await;
    assert_eq!(ids(&first.rest().await), [1, 2, 3, 4]);
    for run in 2..=4 {
        let (_, before) = open(&server, &path, None).await;
        let seen = ids(&before.rest().await);
        let answer = server.post(&format!("/v1/tasks/{id}/messages"), ADMIN, &json!({ "text": "go on" })).await;
        assert_eq!(answer.status, 202);
        // At once: the stream must not close at the end that it knew.
        let (_, mut stream) = open(&server, &path, None).await;
        let worker = server.run().await;
        worker.succeed().await;
        let mut now = Vec::new();
        while let Some(event) = stream.next().await {
            now.extend(event.id);
        }
        assert!(now.len() > seen.len() + 2, "run {run}: {seen:?}, then {now:?}");
        assert_eq!(now, (1..=now.len() as i64).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn many_who_begin_to_watch_share_what_was_read() {
    let server = server().await;
    let id = server.task(ADMIN, "x").await;
    let worker = server.run().await;
    let path = format!("/v1/tasks/{id}/events");
    let mut streams = Vec::new();
    for _ in 0..40 {
        let (_, mut stream) = open(&server, &path, None).await;
        for seq in 1..=3 {
            assert_eq!(stream.next().await.unwrap().id, Some(seq));
        }
        streams.push(stream);
    }
    worker.succeed().await;
    for stream in streams {
        assert_eq!(ids(&stream.rest().await), [4]);
    }
    // One that was deleted is gone for watchers too, whatever was known of it.
    assert_eq!(server.delete(&format!("/v1/tasks/{id}"), ADMIN).await.status, 204);
    let gone = server.request(Method::GET, &path, ADMIN).header("accept", "text/event-stream").send().await.unwrap();
    assert_eq!(gone.status().as_u16(), 404);
}

#[tokio::test]
async fn a_stream_resumes_exactly_where_it_broke_off() {
    let server = server().await;
    let id = server.task(ADMIN, "x").await;
    let worker = server.run().await;
    let path = format!("/v1/tasks/{id}/events");
    let writing = async {
        for turn in 1..=120 {
            worker.say(turn, EventData::Reasoning { summary: format!("thought {turn}") }).await;
        }
        worker.succeed().await;
    };
    let reading = async {
        let mut seen: Vec<i64> = Vec::new();
        // Each connection is dropped after a few events, at another place each time.
        for round in 1.. {
            let (_, mut stream) = open(&server, &path, seen.last().copied()).await;
            for _ in 0..=(round * 7 % 23) {
                match stream.next().await {
                    Some(event) => seen.extend(event.id),
                    None => return seen,
                }
            }
        }
        seen
    };
    let ((), seen) = tokio::join!(writing, reading);
    assert_eq!(seen, (1..=124).collect::<Vec<_>>());
    let (_, from_query) = open(&server, &format!("{path}?after=120"), None).await;
    assert_eq!(ids(&from_query.rest().await), [121, 122, 123, 124]);
    let (_, header_wins) = open(&server, &format!("{path}?after=0"), Some(122)).await;
    assert_eq!(ids(&header_wins.rest().await), [123, 124]);
    let (_, at_the_end) = open(&server, &path, Some(124)).await;
    assert_eq!(at_the_end.rest().await, []);
}

#[tokio::test]
async fn a_stream_that_follows_stays_open_past_the_end() {
    let server = server().await;
    let id = server.task(ADMIN, "x").await;
    server.post(&format!("/v1/tasks/{id}/cancel"), ADMIN, &json!({})).await.expect(202);
    let (_, mut stream) = open(&server, &format!("/v1/tasks/{id}/events?follow=true"), Some(4)).await;
    let next = async { stream.next().await.unwrap() };
    let say =
        async { server.post(&format!("/v1/tasks/{id}/messages"), ADMIN, &json!({ "text": "more" })).await.expect(202) };
    let (seen, _) = tokio::join!(next, say);
    assert_eq!((seen.id, seen.event.as_str()), (Some(5), "message.user"));
}

#[tokio::test]
async fn an_earlier_end_does_not_close_the_stream_of_a_task_that_runs_again() {
    let server = server().await;
    let id = server.task(ADMIN, "x").await;
    let path = format!("/v1/tasks/{id}");
    server.run().await.succeed().await;
    server.post(&format!("{path}/messages"), ADMIN, &json!({ "text": "more" })).await.expect(202);
    let (_, mut stream) = open(&server, &format!("{path}/events"), None).await;
    for seq in 1..=6 {
        assert_eq!(stream.next().await.unwrap().id, Some(seq));
    }
    let cancel = async { server.post(&format!("{path}/cancel"), ADMIN, &json!({})).await.expect(202) };
    let (rest, _) = tokio::join!(stream.rest(), cancel);
    assert_eq!(ids(&rest), [7, 8]);
}

#[tokio::test]
async fn below_the_kept_log_the_oldest_seq_is_told() {
    let server = server().await;
    let id = server.task(ADMIN, "x").await;
    let worker = server.run().await;
    worker.succeed().await;
    let mut connection = PgConnection::connect(&server.url).await.unwrap();
    sqlx::query("DELETE FROM task_events WHERE seq < 3").execute(&mut connection).await.unwrap();
    let path = format!("/v1/tasks/{id}/events");
    let request = server.request(Method::GET, &path, ADMIN).header("accept", "text/event-stream");
    let gone = server.send(request).await.expect(410).json();
    assert_eq!((&gone["code"], &gone["oldest_seq"]), (&json!("log_expired"), &json!(3)));
    assert_eq!(server.get(&path, ADMIN).await.expect(410).json()["oldest_seq"], 3);
    let (_, kept) = open(&server, &path, Some(2)).await;
    assert_eq!(ids(&kept.rest().await), [3, 4]);
    let bad = server.request(Method::GET, &path, ADMIN).header("accept", "text/event-stream");
    server.send(bad.header("last-event-id", "x")).await.expect(422);
}

#[tokio::test]
async fn a_board_gets_a_snapshot_and_then_its_teams_changes() {
    let server = server().await;
    let (_, stranger) = server.user("strangers", "sam", Role::Member, None).await;
    let id = server.task(ADMIN, "one").await;
    let (_, mut stream) = open(&server, "/v1/events", None).await;
    let snapshot = stream.next().await.unwrap();
    assert_eq!((snapshot.id, snapshot.event.as_str()), (None, "snapshot"));
    assert_eq!(snapshot.data["data"][0]["id"], json!(id));
    server.task(&stranger, "not yours").await;
    let second = server.task(ADMIN, "two").await;
    // The tail of the log may tell of the first once more.
    let seen = loop {
        let seen = stream.next().await.unwrap();
        if seen.data["id"] != json!(id) {
            break seen;
        }
    };
    assert_eq!((seen.event.as_str(), &seen.data["id"]), ("task", &json!(second)));
    server.post(&format!("/v1/tasks/{id}/cancel"), ADMIN, &json!({})).await.expect(202);
    let seen = loop {
        let seen = stream.next().await.unwrap();
        if seen.data["id"] == json!(id) {
            break seen;
        }
    };
    assert_eq!(seen.data["status"], "cancelled");
    server.delete(&format!("/v1/tasks/{id}"), ADMIN).await.expect(204);
    let seen = loop {
        let seen = stream.next().await.unwrap();
        if seen.event == "task.deleted" {
            break seen;
        }
    };
    assert_eq!(seen.data, json!({ "id": id }));
    server.get("/v1/events?after=1", ADMIN).await.expect(422);
}

#[tokio::test]
async fn a_commit_of_another_replica_reaches_the_stream() {
    let (server, url) = {
        let server = server().await;
        let url = server.url.clone();
        (server, url)
    };
    let id = server.task(ADMIN, "x").await;
    let (_, mut stream) = open(&server, &format!("/v1/tasks/{id}/events"), Some(2)).await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::query(
        "WITH head AS (UPDATE task_heads SET last_seq = 3 WHERE task = $1 RETURNING team)
         INSERT INTO task_events (team, task, seq, run, turn, at, kind, data)
         SELECT team, $1, 3, 1, 0, now(), 'reasoning', '{\"summary\":\"from afar\"}' FROM head",
    )
    .bind(id.0)
    .execute(&mut connection)
    .await
    .unwrap();
    assert_eq!(stream.next().await.unwrap().data["data"]["summary"], "from afar");
}
