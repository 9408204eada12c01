//! Endpoints that are slow or dead hold up neither others nor tasks, and a replica that stops holds up nothing either.

use super::{endpoint, ground, logged, receiver::Receiver, task, told};
use axum::{http::StatusCode, response::IntoResponse};
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn dead_and_slow_endpoints_hold_up_no_other_and_no_task() {
    // As few places as there are dead endpoints: they must not have them all.
    let ground = ground(&[
        ("JOURNEYMAN_WEBHOOKS_AT_ONCE", "24"),
        ("JOURNEYMAN_WEBHOOK_TIMEOUT_SECONDS", "20"),
        ("JOURNEYMAN_WEBHOOK_RETRY_SECONDS", "3600"),
    ])
    .await;
    let service = ground.start().await;
    let api = service.api();
    let hanging = Receiver::slow(|_, _| (Duration::from_secs(600), StatusCode::OK.into_response())).await;
    let refusing = Receiver::answering(|_, _| StatusCode::INTERNAL_SERVER_ERROR.into_response()).await;
    let live = Receiver::start().await;
    let dead = endpoint(&api, &hanging.url, json!(["*"])).await;
    endpoint(&api, &refusing.url, json!(["*"])).await;
    let well = endpoint(&api, &live.url, json!(["*"])).await;
    let since = Instant::now();
    for _ in 0..4 {
        let id = task(&api).await;
        well.settled(&api).await;
        let logged = logged(&api, &id, |_| true).await;
        assert!(logged.iter().all(|one| told(&live).contains(one)), "{logged:?}");
    }
    assert!(since.elapsed() < Duration::from_secs(19), "nobody has waited for the dead one: {:?}", since.elapsed());
    assert!(hanging.count() <= 2, "{} requests hang", hanging.count());
    assert!(dead.deliveries(&api).await.iter().all(|one| one["state"] == "pending"));
    // A stop does not wait for what hangs, and loses nothing of it.
    let since = Instant::now();
    service.stop().await;
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
}

/// Each of them has few places before it has answered once: a team does not have all of them by many endpoints.
#[tokio::test(flavor = "multi_thread")]
async fn many_endpoints_that_hang_leave_room_for_others() {
    let ground = ground(&[
        ("JOURNEYMAN_WEBHOOKS_AT_ONCE", "16"),
        ("JOURNEYMAN_WEBHOOK_TIMEOUT_SECONDS", "30"),
        ("JOURNEYMAN_WEBHOOK_RETRY_SECONDS", "3600"),
    ])
    .await;
    let service = ground.start().await;
    let api = service.api();
    let live = Receiver::start().await;
    let well = endpoint(&api, &live.url, json!(["*"])).await;
    task(&api).await;
    well.settled(&api).await;
    let hanging = Receiver::slow(|_, _| (Duration::from_secs(600), StatusCode::OK.into_response())).await;
    for _ in 0..5 {
        endpoint(&api, &hanging.url, json!(["*"])).await;
    }
    let since = Instant::now();
    for _ in 0..3 {
        task(&api).await;
        well.settled(&api).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    assert!(since.elapsed() < Duration::from_secs(25), "nobody has waited for them: {:?}", since.elapsed());
    assert!(hanging.count() <= 10, "{} requests hang", hanging.count());
    service.stop().await;
}
