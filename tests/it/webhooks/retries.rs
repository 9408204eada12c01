//! What becomes of what does not arrive.

use super::{endpoint, receiver::Receiver, served, sql};
use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Redirect},
};
use journeyman::{domain::webhook::DeliveryState, jobs::decide, net};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const PAUSES: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(120)];

#[test]
fn what_follows_an_attempt_is_decided_by_answer_round_and_what_is_asked() {
    let decided = |round, status, asked: Option<&str>| {
        let mut headers = HeaderMap::new();
        headers.insert("date", HeaderValue::from_static("Mon, 04 May 2026 12:00:00 GMT"));
        headers.extend(asked.map(|asked| (RETRY_AFTER, HeaderValue::from_str(asked).unwrap())));
        let decision = decide(&PAUSES, round, status, net::retry_after(&headers));
        (decision.state, decision.pause.as_secs(), decision.at_least.as_secs(), decision.gone)
    };
    let again = |pause, at_least| (DeliveryState::Pending, pause, at_least, false);
    let (done, dead) = ((DeliveryState::Delivered, 0, 0, false), (DeliveryState::Dead, 0, 0, false));
    for (round, status, asked, expected) in [
        (0, Some(200), None, done),
        (3, Some(299), None, done),
        (0, Some(302), None, again(5, 0)),
        (1, Some(404), None, again(30, 0)),
        (2, None, None, again(120, 0)),
        (3, None, None, dead),
        (9, Some(500), None, dead),
        (0, Some(410), None, (DeliveryState::Dead, 0, 0, true)),
        (0, Some(429), Some("60"), again(5, 60)),
        (0, Some(503), Some("Mon, 04 May 2026 12:01:30 GMT"), again(5, 90)),
        (0, Some(503), Some("Mon, 04 May 2026 11:00:00 GMT"), again(5, 0)),
        (0, Some(503), Some("4000000000"), again(5, 21_600)),
        (0, Some(503), Some("soon"), again(5, 0)),
        (0, Some(500), Some("60"), again(5, 0)),
    ] {
        assert_eq!(decided(round, status, asked), expected, "{round} {status:?} {asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_tried_again_under_the_same_id_with_the_same_bytes() {
    let (_ground, service, api) = served().await;
    let receiver = Receiver::answering(|count, _| match count {
        0 => (StatusCode::INTERNAL_SERVER_ERROR, "not now\u{0}, sk-0123456789abcdef0123").into_response(),
        1 => Redirect::temporary("/elsewhere").into_response(),
        _ => StatusCode::OK.into_response(),
    })
    .await;
    let endpoint = endpoint(&api, &receiver.url, json!(["*"])).await;
    let id = endpoint.test(&api).await;
    let done = endpoint.until(&api, &id, "delivered").await;
    assert_eq!(
        (&done["attempts"], &done["status_code"], &done["error"]),
        (&json!(3), &json!(200), &Value::Null),
        "{done:#}"
    );
    let received = receiver.received();
    assert_eq!(received.len(), 3, "a redirect is not followed");
    assert!(
        received.iter().all(|one| one.id() == id && one.body == received[0].body && one.is_signed_by(&endpoint.secret))
    );
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_arrives_is_dead_until_it_is_sent_again_by_hand() {
    let (_ground, service, api) = served().await;
    let receiver = Receiver::answering(|count, _| match count {
        0..=3 => (StatusCode::IM_A_TEAPOT, format!("the key is sk-0123456789abcdef0123; {}", "x".repeat(9_000)))
            .into_response(),
        _ => StatusCode::OK.into_response(),
    })
    .await;
    let endpoint = endpoint(&api, &receiver.url, json!(["*"])).await;
    let id = endpoint.test(&api).await;
    let dead = endpoint.until(&api, &id, "dead").await;
    assert_eq!((&dead["attempts"], &dead["status_code"]), (&json!(4), &json!(418)), "{dead:#}");
    let answer = dead["answer"].as_str().unwrap();
    assert!(answer.starts_with("the key is ***; xxx") && answer.len() == 1_000, "{dead:#}");
    assert!(dead["next_attempt_at"].is_null() && dead["finished_at"].is_string(), "{dead:#}");
    let (_, failing) = api.get(&endpoint.path).await;
    assert!(failing["failing_since"].is_string(), "{failing:#}");
    let (status, again) = api.post(&format!("{}/deliveries/{id}/redeliver", endpoint.path), &json!({})).await;
    assert_eq!((status, &again["state"]), (202, &json!("pending")), "{again:#}");
    let done = endpoint.until(&api, &id, "delivered").await;
    assert_eq!(done["attempts"], 5, "{done:#}");
    let received = receiver.received();
    assert!(received.iter().all(|one| one.id() == id && one.body == received[0].body));
    api.until_at(&endpoint.path, |endpoint| endpoint["failing_since"].is_null()).await;
    // One that has arrived can be sent again too.
    api.post(&format!("{}/deliveries/{id}/redeliver", endpoint.path), &json!({})).await;
    receiver.met(6).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_gone_is_disabled_and_others_hear_of_it() {
    let (_ground, service, api) = served().await;
    let gone = Receiver::answering(|_, _| StatusCode::GONE.into_response()).await;
    let other = Receiver::start().await;
    let hears = endpoint(&api, &other.url, json!(["webhook_endpoint.*"])).await;
    let leaving = endpoint(&api, &gone.url, json!(["*"])).await;
    let id = leaving.test(&api).await;
    leaving.until(&api, &id, "dead").await;
    let disabled = api.until_at(&leaving.path, |endpoint| endpoint["enabled"] == false).await;
    assert_eq!(disabled["disabled_reason"], "gone", "{disabled:#}");
    let told = other.met(1).await.remove(0);
    assert!(told.is_signed_by(&hears.secret));
    let json = told.json();
    assert_eq!(json["type"], "webhook_endpoint.disabled");
    assert_eq!((&json["data"]["webhook_endpoint"], &json["data"]["reason"]), (&json!(leaving.id), &json!("gone")));
    let (_, log) = api.get("/v1/audit_log?action=webhook_endpoint.disabled").await;
    let entry = &log["data"][0];
    assert_eq!((&entry["actor"]["kind"], &entry["subject"]["id"]), (&json!("service"), &json!(leaving.id)), "{log:#}");
    // It hears of nothing more until it is enabled.
    super::task(&api).await;
    assert_eq!((gone.count(), leaving.deliveries(&api).await.len()), (1, 1));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_fails_for_days_is_disabled_with_its_next_failure() {
    let (ground, service, api) = served().await;
    let mended = Arc::new(AtomicBool::new(false));
    let well = Arc::clone(&mended);
    let receiver = Receiver::answering(move |_, _| match well.load(Ordering::SeqCst) {
        true => StatusCode::OK.into_response(),
        false => StatusCode::BAD_GATEWAY.into_response(),
    })
    .await;
    let endpoint = endpoint(&api, &receiver.url, json!(["*"])).await;
    let first = endpoint.test(&api).await;
    endpoint.until(&api, &first, "dead").await;
    let (_, failing) = api.get(&endpoint.path).await;
    assert!(failing["enabled"] == true && failing["failing_since"].is_string(), "{failing:#}");
    let days = "UPDATE webhook_endpoints SET failing_since = now() - interval '121 hours' WHERE id = $1";
    sql(&ground, days, &endpoint.id).await;
    let second = endpoint.test(&api).await;
    let disabled = api.until_at(&endpoint.path, |endpoint| endpoint["enabled"] == false).await;
    assert_eq!(disabled["disabled_reason"], "failing", "{disabled:#}");
    assert!(disabled["disabled_at"].is_string(), "{disabled:#}");
    assert_eq!(endpoint.delivery(&api, &second).await["state"], "pending");
    // What waits goes on once it is enabled.
    mended.store(true, Ordering::SeqCst);
    let enabled = api.http.patch(format!("{}{}", api.base, endpoint.path)).bearer_auth(&api.key);
    let enabled: Value = enabled.json(&json!({ "enabled": true })).send().await.unwrap().json().await.unwrap();
    assert!(enabled["disabled_reason"].is_null() && enabled["failing_since"].is_null(), "{enabled:#}");
    endpoint.until(&api, &second, "delivered").await;
    service.stop().await;
}
