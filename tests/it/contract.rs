//! Small promises to those who call and watch over the service, each seen from outside.

use crate::support::{
    replayed::{export, fold},
    service::{Ground, call, plan, say},
};
use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use std::{io::Write, net::TcpListener, time::Duration};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A ustar archive of one file with this name.
fn archive(name: &str) -> Vec<u8> {
    let mut head = [0_u8; 512];
    head[..name.len()].copy_from_slice(name.as_bytes());
    head[100..107].copy_from_slice(b"0000644");
    head[124..135].copy_from_slice(b"00000000002");
    head[148..156].copy_from_slice(b"        ");
    head[156] = b'0';
    head[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    head[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let mut whole = head.to_vec();
    whole.extend_from_slice(b"1\n");
    whole.resize(512 * 4, 0);
    gzip(&whole)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_could_be_no_repository_is_refused_when_it_comes() {
    let ground = Ground::new(&json!({ "sequence": [say("Done.")] })).await;
    let service = ground.start().await;
    let api = service.api();
    let upload = async |body: Vec<u8>| {
        let url = format!("{}/v1/uploads", api.base);
        let answer = api.http.post(url).bearer_auth(&api.key).body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<serde_json::Value>().await.unwrap())
    };
    let (status, made) = upload(archive("a.txt")).await;
    assert_eq!((status, &made["kind"]), (201, &json!("tar_gz")), "{made:#}");
    let whole = archive("a.txt");
    for (what, body) in [
        ("is neither", gzip(b"plain text")),
        ("is neither", whole[..whole.len() / 2].to_vec()),
        ("leaves it", archive("../evil")),
        ("absolute", archive("/abs")),
        ("has no files", gzip(&[0; 1024])),
    ] {
        let (status, answer) = upload(body).await;
        assert_eq!((status, &answer["code"]), (422, &json!("invalid")), "{what}: {answer:#}");
        assert!(answer["errors"][0]["detail"].as_str().unwrap().contains(what), "{what}: {answer:#}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_have_a_listener_of_their_own_where_one_is_set() {
    let mut ground = Ground::new(&json!({ "sequence": [say("Done.")] })).await;
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    ground.variables.push(("JOURNEYMAN_METRICS_LISTEN".to_owned(), free.to_string()));
    let service = ground.start().await;
    let api = service.api();
    assert_eq!(api.get("/metrics").await.0, 404);
    let figures = reqwest::get(format!("http://{free}/metrics")).await.unwrap().text().await.unwrap();
    assert!(figures.contains("journeyman_"), "{figures}");
    assert_eq!(reqwest::get(format!("http://{free}/healthz")).await.unwrap().text().await.unwrap(), "ok\n");
    assert_eq!(reqwest::get(format!("http://{free}/v1/tasks")).await.unwrap().status().as_u16(), 404);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_null_body_is_none_and_a_plan_changes_nothing() {
    let ground = Ground::new(&json!({ "sequence": [plan(), say("That is the plan.")] })).await;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&json!({ "request": "plan it", "mode": "plan", "checks": ["true"] })).await;
    let task = api.rest(&id).await;
    assert_eq!((&task["status"], &task["result"]["verdict"]), (&json!("succeeded"), &json!("no_change")), "{task:#}");
    assert_eq!(api.post(&format!("/v1/tasks/{id}/retry"), &json!(null)).await.0, 202);
    tokio::time::timeout(Duration::from_secs(60), api.until(&id, |task| task["run"] == 2)).await.unwrap();
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_names_the_calls_that_it_has_cut_off() {
    let script =
        json!({ "sequence": [plan(), call("shell", json!({ "command": "sleep 300" })), say("It was cut off.")] });
    let ground = Ground::new(&script).await;
    let service = ground.start().await;
    let id = service.api().create(&json!({ "request": "wait", "checks": [] })).await;
    service.api().met(&id, "tool.started", 2).await;
    service.stop().await;
    let service = ground.start().await;
    let api = service.api();
    let task = api.rest(&id).await;
    assert_eq!(task["status"], "succeeded", "{task:#}");
    let events = api.events(&id).await;
    let recovered = events.iter().find(|event| event["kind"] == "recovered").unwrap();
    assert_eq!(recovered["data"], json!({ "after": "drain", "interrupted": ["call_2_0"] }), "{events:#?}");
    assert_eq!(fold(&export(&api, &id, "").await).difference, None);
    service.stop().await;
}
