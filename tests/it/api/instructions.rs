//! A team's instructions: set by admins, read by the team, every version kept.

use super::harness::{ADMIN, server};
use journeyman::domain::Role;
use reqwest::Method;
use serde_json::{Value, json};

const PATH: &str = "/v1/instructions";

#[tokio::test]
async fn every_change_of_instructions_is_a_version_that_stays() {
    let server = server().await;
    let put = async |key: &str, body: Value| server.send(server.request(Method::PUT, PATH, key).json(&body)).await;
    let none = server.get(PATH, ADMIN).await.expect(200).json();
    assert_eq!((&none["version"], &none["text"], &none["author"]), (&json!(0), &json!(""), &Value::Null));
    server.get(&format!("{PATH}?version=1"), ADMIN).await.expect(404);

    let first = put(ADMIN, json!({ "text": " Use tabs.\n", "replaces": 0 })).await.expect(200).json();
    assert_eq!((&first["version"], &first["text"]), (&json!(1), &json!("Use tabs.")));
    assert!(first["author"]["name"].is_string() && first["created_at"].is_string(), "{first}");
    let second = put(ADMIN, json!({ "text": "Use spaces." })).await.expect(200).json();
    assert_eq!(second["version"], 2);
    let late = put(ADMIN, json!({ "text": "Mine.", "replaces": 1 })).await.expect(409).json();
    assert_eq!((&late["code"], &late["state"]), (&json!("version_conflict"), &json!("2")), "{late}");

    assert_eq!(server.get(PATH, ADMIN).await.expect(200).json(), second);
    assert_eq!(server.get(&format!("{PATH}?version=1"), ADMIN).await.expect(200).json(), first);
    let page = server.get(&format!("{PATH}/versions?limit=1"), ADMIN).await.expect(200).json();
    assert_eq!(page["data"], json!([second]));
    let cursor = page["next_cursor"].as_str().unwrap();
    let page = server.get(&format!("{PATH}/versions?limit=1&cursor={cursor}"), ADMIN).await.expect(200).json();
    assert_eq!((&page["data"], &page["next_cursor"]), (&json!([first]), &Value::Null));
    for (body, pointer) in [
        (json!({}), "/text"),
        (json!({ "text": "x".repeat((16 << 10) + 1) }), "/text"),
        (json!({ "text": "a\u{0}b" }), "/text"),
        (json!({ "text": "x", "replaces": -1 }), "/replaces"),
        (json!({ "text": "x", "layer": "team" }), "/layer"),
    ] {
        assert_eq!(put(ADMIN, body.clone()).await.pointers(), [pointer], "{body}");
    }
}

#[tokio::test]
async fn instructions_are_seen_by_their_team_and_set_by_its_admins() {
    let server = server().await;
    let put =
        async |key: &str| server.send(server.request(Method::PUT, PATH, key).json(&json!({ "text": "Ours." }))).await;
    let (_, member) = server.user("default", "mia", Role::Member, None).await;
    let (_, viewer) = server.user("default", "vera", Role::Viewer, None).await;
    let (_, stranger) = server.user("strangers", "sam", Role::Admin, None).await;
    put(ADMIN).await.expect(200);
    for key in [&member, &viewer] {
        put(key).await.expect(403);
        assert_eq!(server.get(PATH, key).await.expect(200).json()["text"], "Ours.");
    }
    assert_eq!(server.get(PATH, &stranger).await.expect(200).json()["version"], 0);
    server.get(&format!("{PATH}?version=1"), &stranger).await.expect(404);
    assert_eq!(server.get(&format!("{PATH}/versions"), &stranger).await.expect(200).json()["data"], json!([]));
    assert_eq!(put(&stranger).await.expect(200).json()["version"], 1, "versions are counted in each team");
    assert_eq!(
        server.get(&format!("{PATH}/versions"), ADMIN).await.expect(200).json()["data"].as_array().unwrap().len(),
        1
    );
}
