//! What is sent and how it is signed: the specification's own example, each request by the verifier, rotation.

use super::{
    endpoint, logged,
    receiver::{Receiver, signed},
    served, sql, task, told,
};
use journeyman::jobs::signature;
use serde_json::{Value, json};

/// The example that the libraries of Standard Webhooks are tested with.
#[test]
fn the_published_example_gets_the_published_signature() {
    let (secret, id) = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek");
    let body = r#"{"test": 2432232314}"#;
    let published = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    assert_eq!(signature(secret, id, 1_614_265_330, body).as_deref(), Some(published));
    assert_eq!(signed(secret, id, "1614265330", body.as_bytes()), published, "the verifier of the tests");
    assert_eq!(signature("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", id, 1, body), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_that_is_wanted_is_sent_once_signed_and_without_words() {
    let (_ground, service, api) = served().await;
    let (all, some) = (Receiver::start().await, Receiver::start().await);
    let everything = endpoint(&api, &all.url, json!(["*"])).await;
    let filtered = endpoint(&api, &some.url, json!(["task.*", "message.assistant"])).await;
    let id = task(&api).await;
    everything.settled(&api).await;
    filtered.settled(&api).await;
    assert_eq!(told(&all), logged(&api, &id, |_| true).await);
    let wanted = |kind: &str| kind.starts_with("task.") || kind == "message.assistant";
    assert_eq!(told(&some), logged(&api, &id, wanted).await);
    let events = api.events(&id).await;
    let team = api.get(&format!("/v1/tasks/{id}")).await.1["team"]["id"].clone();
    for (receiver, secret) in [(&all, &everything.secret), (&some, &filtered.secret)] {
        let received = receiver.received();
        assert_eq!(received.len(), told(receiver).len(), "each is sent once");
        for one in received {
            assert!(one.is_signed_by(secret), "{one:?}");
            assert_eq!(one.header("content-type"), "application/json");
            assert!(one.body.len() < 1_000 && !String::from_utf8_lossy(&one.body).contains("private"), "{one:?}");
            let (json, data) = (one.json(), one.json()["data"].clone());
            let event = events.iter().find(|event| event["seq"] == data["seq"]).unwrap();
            assert_eq!(
                (&json["type"], &data["team"], &data["task"]),
                (&event["kind"], &team, &event["task"]),
                "{json}"
            );
            assert_eq!((&data["run"], &data["turn"]), (&event["run"], &event["turn"]), "{json}");
            let at = |value: &Value| {
                let format = &time::format_description::well_known::Rfc3339;
                time::OffsetDateTime::parse(value.as_str().unwrap(), format).unwrap()
            };
            assert_eq!(at(&json["timestamp"]), at(&event["at"]), "{json}");
            if json["type"] == "task.status" {
                assert_eq!(data["status"], event["data"]["status"]);
            }
        }
    }
    let ids: Vec<String> = all.received().iter().map(|one| one.id().to_owned()).collect();
    let listed = everything.deliveries(&api).await;
    assert_eq!(listed.len(), ids.len());
    for one in listed {
        assert!(ids.iter().any(|id| one["id"] == id.as_str()), "{one:#}");
        assert_eq!(
            (&one["state"], &one["attempts"], &one["status_code"]),
            (&json!("delivered"), &json!(1), &json!(204))
        );
        assert_eq!(one["payload"]["type"], one["type"], "{one:#}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_secret_signs_along_for_a_day() {
    let (ground, service, api) = served().await;
    let receiver = Receiver::start().await;
    let endpoint = endpoint(&api, &receiver.url, json!(["task.status"])).await;
    let (status, rotated) = api.post(&format!("{}/rotate_secret", endpoint.path), &json!({})).await;
    assert_eq!(status, 200, "{rotated:#}");
    let new = rotated["secret"].as_str().unwrap();
    assert!(
        new.starts_with("whsec_") && new != endpoint.secret && rotated["previous_ends_at"].is_string(),
        "{rotated}"
    );
    endpoint.test(&api).await;
    let both = receiver.met(1).await.remove(0);
    assert!(both.is_signed_by(&endpoint.secret) && both.is_signed_by(new));
    assert_eq!(both.header("webhook-signature").split(' ').count(), 2);
    assert!(both.header("webhook-signature").starts_with(&signed(
        new,
        both.id(),
        both.header("webhook-timestamp"),
        &both.body
    )));
    let ends =
        "UPDATE webhook_secrets SET ends_at = now() - interval '1 second' WHERE endpoint = $1 AND ends_at IS NOT NULL";
    sql(&ground, ends, &endpoint.id).await;
    endpoint.test(&api).await;
    let one = receiver.met(2).await.remove(1);
    assert!(one.is_signed_by(new) && !one.is_signed_by(&endpoint.secret));
    service.stop().await;
}
