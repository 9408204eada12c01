//! `kill -9` while deliveries are under way: whatever dies, each endpoint hears of each event.

use super::{endpoint, ground, logged, receiver::Receiver, told};
use crate::support::{process::Process, service::Api};
use axum::{http::StatusCode, response::IntoResponse};
use serde_json::json;
use std::{collections::BTreeMap, time::Duration};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_to_processes_that_are_killed_while_they_send() {
    let ground = ground(&[("JOURNEYMAN_WEBHOOK_TIMEOUT_SECONDS", "1"), ("JOURNEYMAN_LEASE_TTL_SECONDS", "2")]).await;
    // Slow enough to be under way when the process dies; one request of ten fails at first.
    let receiver = Receiver::slow(|count, _| {
        let status = if count % 10 == 3 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        (Duration::from_millis(30), status.into_response())
    })
    .await;
    let mut process = Process::start(&ground, ground.data.path());
    let mut api = process.api.clone();
    let endpoint = endpoint(&api, &receiver.url, json!(["*"])).await;
    let mut tasks = Vec::new();
    for round in 0..3 {
        for _ in 0..4 {
            tasks.push(api.create(&json!({ "request": "say something", "mode": "answer" })).await);
        }
        receiver.met(receiver.count() + 8).await;
        process.kill();
        process = Process::start(&ground, ground.data.path());
        api = Api { base: process.api.base.clone(), ..api };
        assert_eq!(tasks.len(), 4 * (round + 1));
    }
    for id in &tasks {
        assert_eq!(api.rest(id).await["status"], "succeeded");
    }
    endpoint.settled(&api).await;
    let mut events = Vec::new();
    for id in &tasks {
        events.extend(logged(&api, id, |_| true).await);
    }
    events.sort();
    assert_eq!(told(&receiver), events, "each event has arrived");
    let mut bodies: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for one in receiver.received() {
        assert!(one.is_signed_by(&endpoint.secret));
        let body = bodies.entry(one.id().to_owned()).or_insert_with(|| one.body.to_vec());
        assert_eq!(*body, one.body.to_vec(), "what is sent again is the same to the byte");
    }
    assert_eq!(bodies.len(), events.len(), "one delivery for each event");
    process.kill();
}
