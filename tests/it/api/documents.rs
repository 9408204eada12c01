//! The OpenAPI document, its page, and what machines read.

use super::harness::{ADMIN, server};
use journeyman::api;
use std::collections::BTreeSet;

#[tokio::test]
async fn the_committed_document_is_the_codes() {
    let committed = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.yaml")).unwrap();
    let made = api::yaml_document();
    if committed != made {
        let place = concat!(env!("CARGO_TARGET_TMPDIR"), "/openapi.yaml");
        std::fs::write(place, &made).unwrap();
        let line = committed.lines().zip(made.lines()).position(|(one, other)| one != other);
        panic!("openapi.yaml differs from line {line:?} on: run `journeyman openapi > openapi.yaml`, or take {place}");
    }
}

#[test]
fn every_operation_says_what_it_takes_and_answers() {
    let document = api::document();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let place = format!("{method} {path}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{place}");
            assert!(operation["summary"].as_str().is_some_and(|text| text.len() > 5), "{place}");
            let responses = operation["responses"].as_object().unwrap();
            // What is for browsers sends them on.
            assert!(responses.keys().any(|status| status.starts_with(['2', '3'])), "{place}");
            assert!(responses.contains_key("default"), "{place}");
            for part in path.split('/').filter_map(|part| part.strip_prefix('{')) {
                let name = part.trim_end_matches('}');
                let parameters = operation["parameters"].as_array().unwrap();
                assert!(parameters.iter().any(|parameter| parameter["name"] == name), "{place}: {name}");
            }
        }
    }
    assert!(ids.len() > 35, "{}", ids.len());
}

#[test]
fn the_words_of_enums_are_those_on_the_wire() {
    let document = api::document();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for word in schema["enum"].as_array().into_iter().flatten() {
            let word = word.as_str().unwrap();
            assert!(!word.contains(char::is_uppercase), "{name}: {word}");
        }
    }
    let status = &document["components"]["schemas"]["Status"]["enum"];
    assert_eq!(status, &serde_json::json!(["queued", "running", "waiting", "succeeded", "failed", "cancelled"]));
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(value: &serde_json::Value, document: &serde_json::Value, lost: &mut BTreeSet<String>) {
        match value {
            serde_json::Value::Object(fields) => {
                if let Some(reference) = fields.get("$ref").and_then(|reference| reference.as_str())
                    && document.pointer(reference.trim_start_matches('#')).is_none()
                {
                    lost.insert(reference.to_owned());
                }
                fields.values().for_each(|field| walk(field, document, lost));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| walk(item, document, lost)),
            _ => {}
        }
    }
    let document = api::document();
    let mut lost = BTreeSet::new();
    walk(&document, &document, &mut lost);
    assert!(lost.is_empty(), "{lost:?}");
    let parts = ["openapi", "info", "security", "tags", "paths", "components"];
    assert!(document.as_object().unwrap().keys().all(|part| parts.contains(&part.as_str())), "all parts are written");
}

#[tokio::test]
async fn the_page_of_the_document_takes_nothing_from_elsewhere() {
    let server = server().await;
    let page = server.get("/docs", "").await.expect(200);
    let policy = page.header("content-security-policy").unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let mut text = String::from_utf8(page.bytes).unwrap();
    for asset in ["/docs/docs.js", "/docs/docs.css"] {
        assert!(text.contains(asset));
    }
    for asset in ["/docs/docs.js", "/docs/docs.css"] {
        text.push_str(&String::from_utf8(server.get(asset, "").await.expect(200).bytes).unwrap());
    }
    assert!(!text.contains("http://") && !text.contains("https://"), "nothing from elsewhere");
    assert!(!text.contains("innerHTML"));
    let yaml = server.get("/openapi.yaml", "").await.expect(200);
    assert_eq!(String::from_utf8(yaml.bytes).unwrap(), api::yaml_document());
    assert_eq!(server.get("/openapi.json", "").await.expect(200).json(), api::document());
}

#[tokio::test]
async fn metrics_count_requests_by_route_and_never_by_id() {
    let server = server().await;
    let id = server.task(ADMIN, "x").await;
    server.get(&format!("/v1/tasks/{id}"), ADMIN).await.expect(200);
    let text = String::from_utf8(server.get("/metrics", "").await.expect(200).bytes).unwrap();
    assert!(text.contains("route=\"/v1/tasks/{id}\""), "{text}");
    assert!(!text.contains(&id.to_string()));
}
