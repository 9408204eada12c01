//! Memories: kept, found, corrected and forgotten by those whom they concern.

use super::harness::{ADMIN, server};
use journeyman::{
    domain::Role,
    memory::{Recall, Wanted},
};
use serde_json::{Value, json};

const REPOSITORY: &str = "https://example.org/a.git";

#[tokio::test]
async fn a_memory_is_kept_changed_and_forgotten() {
    let server = server().await;
    let body = json!({ "text": "Run make check", "kind": "convention", "repository": REPOSITORY });
    let made = server.post("/v1/memories", ADMIN, &body).await.expect(201);
    let memory = made.json();
    assert_eq!(
        (&memory["scope"], &memory["state"], &memory["origin"]),
        (&json!("user_repository"), &json!("active"), &json!("user"))
    );
    assert_eq!((&memory["used"], &memory["evidence"]), (&json!(0), &Value::Null));
    let path = format!("/v1/memories/{}", made.id());
    assert_eq!(server.get(&path, ADMIN).await.expect(200).json(), memory);
    let edited =
        server.patch(&path, ADMIN, &json!({ "text": "Run make ci", "state": "stale" })).await.expect(200).json();
    assert_eq!(
        (&edited["text"], &edited["state"], &edited["kind"]),
        (&json!("Run make ci"), &json!("stale"), &json!("convention"))
    );
    let listed = async |query: &str| {
        server.get(&format!("/v1/memories?{query}"), ADMIN).await.expect(200).json()["data"].as_array().unwrap().len()
    };
    assert_eq!(listed("state=stale&kind=convention").await, 1);
    assert_eq!(listed(&format!("repository={REPOSITORY}")).await, 1);
    assert_eq!(listed("state=active").await + listed("scope=user").await, 0);
    server.delete(&path, ADMIN).await.expect(204);
    server.get(&path, ADMIN).await.expect(404);
    for (body, pointer) in [
        (json!({}), "/text"),
        (json!({ "text": " " }), "/text"),
        (json!({ "text": "x".repeat(1_001) }), "/text"),
        (json!({ "text": "a\u{0}" }), "/text"),
        (json!({ "text": "x", "kind": "rumour" }), "/kind"),
        (json!({ "text": "x", "scope": "world" }), "/scope"),
        (json!({ "text": "x", "scope": "team_repository" }), "/repository"),
        (json!({ "text": "x", "scope": "user", "repository": REPOSITORY }), "/repository"),
        (json!({ "text": "x", "state": "active" }), "/state"),
    ] {
        assert_eq!(server.post("/v1/memories", ADMIN, &body).await.pointers(), [pointer], "{body}");
    }
    for (body, pointer) in
        [(json!({}), "/query"), (json!({ "query": "x", "limit": 0 }), "/limit"), (json!({ "query": "" }), "/query")]
    {
        assert_eq!(server.post("/v1/memories/search", ADMIN, &body).await.pointers(), [pointer], "{body}");
    }
}

#[tokio::test]
async fn ones_own_memories_are_nobody_elses_and_the_teams_are_everybodys() {
    let server = server().await;
    let (_, bob) = server.user("default", "bob", Role::Member, None).await;
    let own = server.post("/v1/memories", ADMIN, &json!({ "text": "I like tabs" })).await.expect(201).id();
    let team = json!({ "text": "We like spaces", "scope": "team_repository", "repository": REPOSITORY });
    let team = server.post("/v1/memories", ADMIN, &team).await.expect(201).id();
    server.get(&format!("/v1/memories/{own}"), &bob).await.expect(404);
    server.get(&format!("/v1/memories/{team}"), &bob).await.expect(200);
    server.delete(&format!("/v1/memories/{team}"), &bob).await.expect(403);
    let found =
        server.post("/v1/memories/search", &bob, &json!({ "query": "what do we like" })).await.expect(200).json();
    assert_eq!(found["data"].as_array().unwrap().len(), 1);
    assert_eq!(found["data"][0]["memory"]["id"], json!(team));
    assert!(found["data"][0]["score"].as_f64().unwrap() > 0.0);
    assert!(found["data"][0]["reason"].as_str().unwrap().contains("like"));
    let bobs = json!({ "text": "Bob's way", "scope": "team_repository", "repository": REPOSITORY });
    let bobs = server.post("/v1/memories", &bob, &bobs).await.expect(201).id();
    server.delete(&format!("/v1/memories/{bobs}"), ADMIN).await.expect(204);
}

#[tokio::test]
async fn a_search_finds_as_recall_does() {
    let server = server().await;
    let body = json!({ "text": "Baskets deadlocked under load", "repository": REPOSITORY });
    let id = server.post("/v1/memories", ADMIN, &body).await.expect(201).id();
    let found = async |query: &str, repository: Option<&str>| {
        let body = json!({ "query": query, "repository": repository });
        let answer = server.post("/v1/memories/search", ADMIN, &body).await.expect(200).json();
        let ids: Vec<Value> =
            answer["data"].as_array().unwrap().iter().map(|hit| hit["memory"]["id"].clone()).collect();
        ids
    };
    // Other forms, words that stand for each other, misspelt ones; the repository by another address, or none.
    for query in ["a deadlock of two baskets", "what is in the cart?", "deadlok"] {
        for repository in [None, Some(REPOSITORY), Some("git@example.org:a")] {
            assert_eq!(found(query, repository).await, [json!(id)], "{query} {repository:?}");
        }
    }
    assert_eq!(found("a deadlock of two baskets", Some("https://example.org/b.git")).await, Vec::<Value>::new());
    assert_eq!(found("nothing of the kind", None).await, Vec::<Value>::new());
    server.patch(&format!("/v1/memories/{id}"), ADMIN, &json!({ "state": "stale" })).await.expect(200);
    assert_eq!(found("a deadlock of two baskets", None).await, Vec::<Value>::new());
    server.patch(&format!("/v1/memories/{id}"), ADMIN, &json!({ "state": "active" })).await.expect(200);
    assert_eq!(found("a deadlock of two baskets", None).await, [json!(id)]);
    server.delete(&format!("/v1/memories/{id}"), ADMIN).await.expect(204);
    assert_eq!(found("a deadlock of two baskets", None).await, Vec::<Value>::new());
}

#[tokio::test]
async fn recall_chooses_what_fits_the_task() {
    let server = server().await;
    let keep = async |body: Value| server.post("/v1/memories", ADMIN, &body).await.expect(201).id();
    keep(json!({ "text": "The cafeteria closes at two" })).await;
    let preference = keep(json!({ "text": "Prefer small commits", "kind": "preference" })).await;
    let matching = keep(json!({ "text": "The parser of dates lives in dates.py" })).await;
    let convention = keep(json!({ "text": "Use make check", "repository": REPOSITORY })).await;
    keep(json!({ "text": "The parser is generated", "repository": "https://example.org/other.git" })).await;
    let me = server.get("/v1/me", ADMIN).await.json();
    let id = |value: &Value| value["id"].as_str().unwrap().parse().unwrap();
    let wanted = Wanted {
        team: journeyman::domain::TeamId(id(&me["team"])),
        user: journeyman::domain::UserId(id(&me["user"])),
        task: journeyman::domain::TaskId(journeyman::clock::new_id()),
        repository: Some("git@example.org:a"),
        request: "Repair the parser of dates",
        window_tokens: 128_000,
        on_default: true,
        file: &|_| None,
    };
    let recalled = Recall::new(1_500, None).recall(&server.store, wanted).await.unwrap();
    let chosen: Vec<String> = recalled.memories.iter().map(|memory| memory.memory.to_string()).collect();
    assert_eq!(chosen, [matching.clone(), preference, convention]);
    assert!(recalled.text.contains("- [M3] Use make check\n"), "{}", recalled.text);
    // 15 tokens are 60 bytes: room for one line.
    let one = Recall::new(15, None).recall(&server.store, wanted).await.unwrap();
    assert_eq!(one.memories.iter().map(|memory| memory.memory.to_string()).collect::<Vec<_>>(), [matching]);
    assert_eq!(Recall::new(0, None).recall(&server.store, wanted).await.unwrap().text, "");
}
