//! Gateways before a provider: their headers, parameters, and keys that are replaced.

use super::{Canned, Provider, ask_hello};
use crate::scripted::WIRES;
use journeyman::{
    domain::item::Wire,
    llm::{ApiKey, ModelError, Rejection, Retries},
};
use serde_json::json;

fn fine() -> Canned {
    let message = json!({"role": "assistant", "content": "yes"});
    Canned::json(200, &json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).to_string())
}

fn refused(status: u16, code: &str, message: &str) -> Canned {
    Canned::json(status, &json!({"error": {"message": message, "type": "x", "code": code}}).to_string())
}

#[tokio::test]
async fn the_key_goes_in_the_header_that_the_gateway_wants() {
    for (name, expected) in [("api-key", "k-123456"), ("Authorization", "Bearer k-123456"), ("x-api-key", "k-123456")] {
        for wire in WIRES {
            let provider = Provider::answering([refused(400, "x", "no")]).await;
            let mut model = provider.model(wire);
            model.key = Some(ApiKey::new("k-123456"));
            model.auth_header = Some(name.to_owned());
            ask_hello(&model).await.expect_err("it refuses all");
            let (headers, _) = &provider.seen()[0];
            assert_eq!(headers[name.to_lowercase()], expected);
            let known = ["api-key", "authorization", "x-api-key"];
            assert_eq!(known.iter().filter(|known| headers.contains_key(**known)).count(), 1, "{headers:?}");
        }
    }
    let mut model = Provider::answering([fine()]).await.model(Wire::Chat);
    model.key = Some(ApiKey::new("k"));
    model.auth_header = Some("not a header".to_owned());
    let error = ask_hello(&model).await.expect_err("unsound").to_string();
    assert!(error.contains("header not a header"), "{error}");
}

#[tokio::test]
async fn parameters_attribution_and_the_tasks_id_go_along_and_show_nowhere() {
    let provider = Provider::answering([refused(500, "x", "not with secret-version, nor https://house.example")]).await;
    let mut model = provider.model(Wire::Chat);
    model.query = [("api-version".to_owned(), "secret-version".to_owned()), ("a b".to_owned(), "&".to_owned())].into();
    model.headers = [
        ("HTTP-Referer".to_owned(), "https://house.example".to_owned()),
        ("X-Title".to_owned(), "Journeyman".to_owned()),
    ]
    .into();
    model.task_header = Some("x-task".to_owned());
    model.team_header = Some("x-team".to_owned());
    model.user_header = Some("x-user".to_owned());
    let error = ask_hello(&model).await.expect_err("an error");
    let (headers, _) = &provider.seen()[0];
    assert_eq!(headers["seen-query"], "a+b=%26&api-version=secret-version");
    assert_eq!(
        (&headers["http-referer"], &headers["x-title"]),
        (&"https://house.example".parse().expect("a value"), &"Journeyman".parse().expect("a value"))
    );
    assert_eq!((headers["x-task"].as_bytes(), headers["x-team"].as_bytes()), (&b"the-task"[..], &b"the-team"[..]));
    assert!(!headers.contains_key("x-user"), "what is not known is not said");
    let shown = format!("{error} {error:?} {model:?}");
    assert!(!shown.contains("secret-version") && !shown.contains("house.example"), "{shown}");
}

#[tokio::test]
async fn a_keys_file_is_read_again_when_it_is_replaced_or_the_key_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("key");
    let keys = |provider: &Provider| -> Vec<String> {
        let seen = provider.seen();
        seen.iter().map(|(headers, _)| headers["authorization"].to_str().expect("text").to_owned()).collect()
    };
    std::fs::write(&path, "first-key\n").expect("written");
    let provider = Provider::answering([fine()]).await;
    let mut model = provider.model(Wire::Chat);
    model.key = Some(ApiKey::in_file("first-key\n", path.clone()));
    ask_hello(&model).await.expect("a reply");
    std::fs::write(&path, "second-key-that-is-longer\n").expect("written");
    ask_hello(&model).await.expect("a reply");
    // A file that is gone or empty for a moment leaves the key.
    std::fs::write(&path, "").expect("written");
    ask_hello(&model).await.expect("a reply");
    std::fs::remove_file(&path).expect("removed");
    ask_hello(&model).await.expect("a reply");
    let second = "Bearer second-key-that-is-longer";
    assert_eq!(keys(&provider), ["Bearer first-key", second, second, second]);

    // The same size and time as before: only the refusal tells.
    std::fs::write(&path, "old-key-123").expect("written");
    let provider = Provider::answering([fine(), refused(401, "invalid_api_key", "no such key"), fine()]).await;
    let mut model = provider.model(Wire::Chat);
    model.key = Some(ApiKey::in_file("old-key-123", path.clone()));
    ask_hello(&model).await.expect("a reply");
    let before = std::fs::metadata(&path).and_then(|found| found.modified()).expect("a time");
    std::fs::write(&path, "new-key-456").expect("written");
    std::fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(before)).expect("set");
    ask_hello(&model).await.expect("a reply with the new key");
    assert_eq!(keys(&provider), ["Bearer old-key-123", "Bearer old-key-123", "Bearer new-key-456"]);

    let provider = Provider::answering([refused(401, "invalid_api_key", "no such key")]).await;
    let mut model = provider.model(Wire::Chat);
    model.retries = Retries { attempts: 3, first_delay_ms: 1, ..Retries::default() };
    model.key = Some(ApiKey::in_file("new-key-456", path));
    let error = ask_hello(&model).await.expect_err("refused");
    assert!(matches!(error, ModelError::Rejected { why: Rejection::Key, .. }), "{error:?}");
    assert_eq!(provider.seen().len(), 1, "a key that is still the same is not tried again");
}

#[tokio::test]
async fn only_a_model_that_is_not_there_or_cannot_be_had_lets_another_try() {
    let table: [(Canned, bool); 8] = [
        (refused(404, "model_not_found", "The model `x` does not exist"), true),
        (
            Canned::json(
                404,
                &json!({"type": "error", "error": {"type": "not_found_error", "message": "model: x"}}).to_string(),
            ),
            true,
        ),
        (Canned::json(404, "<html>no such page</html>"), false),
        (refused(401, "invalid_api_key", "bad key"), false),
        (refused(400, "invalid_request_error", "bad"), false),
        (refused(429, "insufficient_quota", "pay"), false),
        (refused(429, "rate_limit", "slower"), true),
        (refused(503, "x", "busy"), true),
    ];
    for (answer, expected) in table {
        let provider = Provider::answering([answer.clone()]).await;
        let error = ask_hello(&provider.model(Wire::Chat)).await.expect_err("an error");
        assert_eq!(error.lets_another_try(), expected, "{answer:?} {error:?}");
    }
}
