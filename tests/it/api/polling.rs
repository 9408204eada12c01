//! Tags and long polls.

use super::harness::{ADMIN, Reply, Server, server};
use journeyman::domain::{EventData, Phase, Status, WaitingFor, task::TaskDetail};
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};

async fn poll(server: &Server, path: &str, wait: u64, tag: Option<&str>) -> Reply {
    let mut request = server.request(Method::GET, path, ADMIN).header("prefer", format!("wait={wait}"));
    if let Some(tag) = tag {
        request = request.header("if-none-match", tag);
    }
    server.send(request).await
}

#[tokio::test]
async fn what_one_has_is_not_sent_again() {
    let server = server().await;
    let id = server.task(ADMIN, "x").await;
    for path in [format!("/v1/tasks/{id}"), "/v1/tasks".into(), "/v1/memories".into(), format!("/v1/tasks/{id}/events")]
    {
        let first = server.get(&path, ADMIN).await.expect(200);
        let tag = first.header("etag").unwrap().to_owned();
        for same in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".into()] {
            let request = server.request(Method::GET, &path, ADMIN).header("if-none-match", same);
            let unchanged = server.send(request).await.expect(304);
            assert_eq!((unchanged.bytes.len(), unchanged.header("etag")), (0, Some(tag.as_str())), "{path}");
        }
        let request = server.request(Method::GET, &path, ADMIN).header("if-none-match", "\"other\"");
        server.send(request).await.expect(200);
    }
    let tag = server.get(&format!("/v1/tasks/{id}"), ADMIN).await.header("etag").unwrap().to_owned();
    server.patch(&format!("/v1/tasks/{id}"), ADMIN, &json!({ "title": "y" })).await.expect(200);
    let request = server.request(Method::GET, &format!("/v1/tasks/{id}"), ADMIN).header("if-none-match", tag);
    server.send(request).await.expect(200);
}

#[tokio::test]
async fn a_poll_is_held_until_the_task_changes() {
    let server = server().await;
    let id = server.task(ADMIN, "x").await;
    let path = format!("/v1/tasks/{id}");
    let worker = server.run().await;
    let tag = server.get(&path, ADMIN).await.header("etag").unwrap().to_owned();
    let started = Instant::now();
    let held = poll(&server, &path, 30, Some(&tag));
    let work = async {
        // One that comes later than the change is answered at once.
        tokio::time::sleep(Duration::from_millis(500)).await;
        // News that are no change of what the poll waits for.
        worker.say(1, EventData::Reasoning { summary: "hm".into() }).await;
        worker.phase(Phase::Planning).await;
    };
    let (answer, ()) = tokio::join!(held, work);
    let answer = answer.expect(200);
    assert_eq!(answer.json()["phase"], "planning");
    assert_eq!(answer.header("preference-applied"), Some("wait=30"));
    assert!(started.elapsed() < Duration::from_secs(10), "it is woken, not timed out");
}

#[tokio::test]
async fn lists_are_held_until_they_differ() {
    let server = server().await;
    let id = server.task(ADMIN, "x").await;
    let worker = server.run().await;
    let log = format!("/v1/tasks/{id}/events");
    let started = Instant::now();
    for path in [log.as_str(), "/v1/memories"] {
        let tag = server.get(path, ADMIN).await.header("etag").unwrap().to_owned();
        let held = poll(&server, path, 30, Some(&tag));
        let changed = async {
            worker.say(1, EventData::Reasoning { summary: "hm".into() }).await;
            server
                .post("/v1/memories", ADMIN, &json!({ "kind": "fact", "scope": "user", "text": "x" }))
                .await
                .expect(201);
        };
        let (answer, ()) = tokio::join!(held, changed);
        assert_eq!(answer.expect(200).header("preference-applied"), Some("wait=30"), "{path}");
    }
    assert!(started.elapsed() < Duration::from_secs(20), "they are woken, not timed out");
    let path = "/v1/approvals?state=pending";
    let tag = server.get(path, ADMIN).await.header("etag").unwrap().to_owned();
    let unchanged = poll(&server, path, 1, Some(&tag)).await.expect(304);
    assert_eq!(unchanged.header("preference-applied"), Some("wait=1"));
}

#[tokio::test]
async fn a_poll_whose_copy_is_old_is_answered_at_once() {
    let server = server().await;
    let id = server.task(ADMIN, "x").await;
    let started = Instant::now();
    poll(&server, &format!("/v1/tasks/{id}"), 30, Some("\"1\"")).await.expect(200);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_poll_waits_for_rest_or_for_the_end() {
    let server = server().await;
    let id = server.task(ADMIN, "x").await;
    let worker = server.run().await;
    let (rest, end) = (format!("/v1/tasks/{id}?until=rest"), format!("/v1/tasks/{id}?until=end"));
    let work = async {
        worker.phase(Phase::Generation).await;
        worker.status(Status::Waiting, Some(WaitingFor::Input), &TaskDetail::default()).await;
    };
    let (rested, ()) = tokio::join!(poll(&server, &rest, 30, None), work);
    assert_eq!(rested.expect(200).json()["status"], "waiting");
    let (ended, ()) = tokio::join!(poll(&server, &end, 30, None), worker.succeed());
    assert_eq!(ended.expect(200).json()["status"], "succeeded");
    let started = Instant::now();
    poll(&server, &end, 30, None).await.expect(200);
    assert!(started.elapsed() < Duration::from_secs(10), "it has ended already");
}

#[tokio::test]
async fn a_poll_whose_time_is_up_says_that_nothing_changed() {
    let server = server().await;
    let id = server.task(ADMIN, "x").await;
    let tag = server.get(&format!("/v1/tasks/{id}"), ADMIN).await.header("etag").unwrap().to_owned();
    poll(&server, &format!("/v1/tasks/{id}"), 1, Some(&tag)).await.expect(304);
    assert_eq!(poll(&server, &format!("/v1/tasks/{id}"), 1, None).await.expect(200).json()["status"], "queued");
    poll(&server, "/v1/tasks/00000000-0000-7000-8000-000000000000", 30, None).await.expect(404);
}

#[tokio::test]
async fn a_list_is_held_until_it_differs() {
    let server = server().await;
    server.task(ADMIN, "one").await;
    let tag = server.get("/v1/tasks", ADMIN).await.header("etag").unwrap().to_owned();
    let started = Instant::now();
    let (answer, _) = tokio::join!(poll(&server, "/v1/tasks", 30, Some(&tag)), server.task(ADMIN, "two"));
    assert_eq!(answer.expect(200).json()["data"].as_array().unwrap().len(), 2);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn nobody_who_waits_holds_a_connection_of_the_database() {
    let server = server().await;
    let id = server.task(ADMIN, "x").await;
    let worker = server.run().await;
    let path = format!("/v1/tasks/{id}?until=end");
    // More than the pool has.
    let polls = futures::future::join_all((0..40).map(|_| poll(&server, &path, 30, None)));
    let work = async {
        server.get("/v1/tasks", ADMIN).await.expect(200);
        worker.succeed().await;
    };
    let (answers, ()) = tokio::join!(polls, work);
    assert!(answers.into_iter().all(|answer| answer.expect(200).json()["status"] == "succeeded"));
}

#[tokio::test]
async fn a_server_that_drains_lets_nobody_wait_and_is_not_ready() {
    let server = server().await;
    let id = server.task(ADMIN, "x").await;
    server.get("/readyz", "").await.expect(200);
    let path = format!("/v1/tasks/{id}?until=end");
    let (answer, ()) = tokio::join!(poll(&server, &path, 30, None), async { server.draining.cancel() });
    answer.expect(200);
    let unready = server.get("/readyz", "").await.expect(503);
    assert!(unready.header("retry-after").is_some());
    server.get("/healthz", "").await.expect(200);
}
