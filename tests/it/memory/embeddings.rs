//! Vectors over HTTP: memories get theirs in the background, a task's start waits for little, and what is wrong with the
//! server fails no task.

use super::{
    recall::House,
    set::{embed_all, embeddings},
};
use crate::support::{
    calculator,
    service::{ScriptedModel, say},
};
use journeyman::{
    domain::memory::{EmbeddingOutcome, EmbeddingUse},
    llm::{Client, ClientSettings, Embedder, ModelError},
    memory::Recall,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn server(script: Value) -> ScriptedModel {
    ScriptedModel::start(&json!({ "embeddings": script }))
}

async fn came(server: &ScriptedModel) -> Vec<Value> {
    let root = server.url.trim_end_matches("/v1");
    let answer: Value = reqwest::get(format!("{root}/embeddings")).await.unwrap().json().await.unwrap();
    answer["data"].as_array().unwrap().clone()
}

fn embedder(server: &ScriptedModel) -> Embedder {
    Embedder {
        model: "hashing".to_owned(),
        url: server.url.parse().unwrap(),
        key: None,
        dimensions: None,
        price_usd: 2.0,
        timeout: Duration::from_secs(5),
        retries: 2,
    }
}

#[tokio::test]
async fn vectors_are_of_length_one_and_all_of_one_dimension_or_make_no_sense() {
    let faults = json!([
        { "contains": "short", "fault": "length" }, { "contains": "none", "fault": "empty" },
        { "contains": "page", "fault": "html" }, { "contains": "half", "fault": "invalid_json" },
        { "contains": "busy", "fault": "status=503; times=2" }, { "contains": "bad", "fault": "400" },
    ]);
    let server = server(json!({ "dimensions": 32, "faults": faults }));
    let client = Client::new(ClientSettings::default()).unwrap();
    let embed = async |embedder: &Embedder, text: &str| client.embed(embedder, &[text, "another text"]).await;
    let usual = embedder(&server);
    let embedded = embed(&usual, "two words").await.unwrap();
    for vector in &embedded.vectors {
        assert_eq!(vector.len(), 32);
        assert!((vector.iter().map(|number| number * number).sum::<f32>() - 1.0).abs() < 1e-5);
    }
    assert_eq!((embedded.usage.input_tokens, embedded.cost_usd), (6, 12e-6));
    embed(&usual, "busy at first").await.unwrap();
    assert!(matches!(embed(&usual, "bad").await, Err(ModelError::Rejected { .. })));
    let once = Embedder { retries: 0, ..usual.clone() };
    for text in ["none", "page", "half"] {
        assert!(matches!(embed(&once, text).await, Err(ModelError::Nonsense { .. })), "{text}");
    }
    let wanted = Embedder { dimensions: Some(32), ..once.clone() };
    let error = embed(&wanted, "short").await.unwrap_err().to_string();
    assert!(error.contains("16 numbers where 32 are wanted"), "{error}");
    assert!(client.embed(&usual, &[]).await.is_err() && client.embed(&usual, &["x"; 65]).await.is_err());
}

#[tokio::test]
async fn memories_get_vectors_in_the_background_again_when_their_text_or_the_model_changes() {
    let server = server(json!({}));
    let house = House::new().await;
    for number in 0..70 {
        house.keep(&format!("Memory {number} of many"), |_| {}).await;
    }
    let first = embeddings(&server.url, "first");
    embed_all(&house.store, &first).await;
    let count = |came: &[Value]| came.iter().map(|one| one["input"].as_array().unwrap().len()).sum::<usize>();
    assert_eq!(count(&came(&server).await), 70);
    embed_all(&house.store, &first).await;
    assert_eq!(count(&came(&server).await), 70, "what has a vector is not asked for again");
    let new = house.keep("Gherkins are green", |_| {}).await;
    house.edit(new, "Gherkins are yellow").await;
    embed_all(&house.store, &first).await;
    assert_eq!(count(&came(&server).await), 71);
    house.edit(new, "Gherkins are blue").await;
    embed_all(&house.store, &first).await;
    assert_eq!(came(&server).await.last().unwrap()["input"], json!(["Gherkins are blue"]));
    let second = embeddings(&server.url, "second");
    embed_all(&house.store, &second).await;
    assert_eq!(count(&came(&server).await), 72 + 71);
    // A process that has learnt of the other model at its start compares no vectors of both.
    let recalled = Recall::new(1_500, Some(second)).recall(&house.store, house.wanted("gherkins")).await.unwrap();
    assert_eq!(recalled.memories[0].text, "Gherkins are blue");
}

#[tokio::test]
async fn one_text_that_the_server_refuses_keeps_no_other_from_its_vector() {
    let server = server(json!({ "faults": [{ "contains": "poison", "fault": "413" }] }));
    let house = House::new().await;
    house.keep("Gherkins are green", |_| {}).await;
    house.keep("This is poison", |_| {}).await;
    let embeddings = embeddings(&server.url, "hashing");
    embed_all(&house.store, &embeddings).await;
    let before = came(&server).await.len();
    embed_all(&house.store, &embeddings).await;
    assert_eq!(came(&server).await.len(), before, "it is not asked for again");
    let recalled = Recall::new(1_500, Some(embeddings)).recall(&house.store, house.wanted("poison")).await.unwrap();
    assert_eq!(recalled.memories[0].text, "This is poison", "its words find it");
}

#[tokio::test]
async fn a_server_that_hangs_or_fails_costs_a_start_little_and_the_event_tells() {
    let faults = json!([
        { "contains": "hang", "fault": "hang_before" }, { "contains": "fail", "fault": "500" },
    ]);
    let server = server(json!({ "faults": faults }));
    let house = House::new().await;
    house.keep("Gherkins are green", |_| {}).await;
    let outcome = |used: &Option<EmbeddingUse>| used.as_ref().unwrap().outcome;
    let recall = Recall::new(1_500, Some(embeddings(&server.url, "hashing")));
    let begun = Instant::now();
    let recalled = recall.recall(&house.store, house.wanted("hang the gherkins")).await.unwrap();
    assert_eq!(outcome(&recalled.embeddings), EmbeddingOutcome::Late);
    assert_eq!(recalled.memories.len(), 1);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    for _ in 0..3 {
        let recalled = recall.recall(&house.store, house.wanted("fail the gherkins")).await.unwrap();
        assert_ne!(outcome(&recalled.embeddings), EmbeddingOutcome::Used);
    }
    // By now it rests: nobody waits for it.
    let before = came(&server).await.len();
    let recalled = recall.recall(&house.store, house.wanted("gherkins")).await.unwrap();
    assert_eq!((outcome(&recalled.embeddings), recalled.memories.len()), (EmbeddingOutcome::Failed, 1));
    assert_eq!(came(&server).await.len(), before);
}

#[tokio::test]
async fn a_task_is_found_by_the_vector_of_its_request_and_pays_for_it() {
    let script = json!({
        "embeddings": { "vectors": { "gherkins": "AQAAAA==", "cucumbers": "AQAAAA==", "Pickles are green": "AQAAAA==" } },
        "sequence": [say("They are green, says [M1].")],
    });
    let mut ground = calculator::ground(&script).await;
    ground.variables = vec![
        ("JOURNEYMAN_EMBEDDINGS_URL".to_owned(), ground.model.url.clone()),
        ("JOURNEYMAN_EMBEDDINGS_MODEL".to_owned(), "hashing".to_owned()),
        ("JOURNEYMAN_EMBEDDINGS_PRICE_USD".to_owned(), "1000000".to_owned()),
    ];
    let service = ground.start().await;
    let api = service.api();
    let repository = format!("file://{}", ground.repositories.path().join("calc").display());
    let (status, _) = api.post("/v1/memories", &json!({ "text": "Pickles are green", "repository": repository })).await;
    assert_eq!(status, 201);
    let ask = async |request: &str| {
        let body = json!({ "request": request, "repository": { "url": repository }, "mode": "answer" });
        let task = api.create(&body).await;
        api.rest(&task).await;
        let events = api.events(&task).await;
        let used = events.into_iter().find(|event| event["kind"] == "memory.used").unwrap();
        (task, used["data"].clone())
    };
    let (first, used) = ask("gherkins").await;
    assert_eq!(used["embeddings"]["outcome"], "used", "{used:#}");
    assert_eq!((&used["embeddings"]["model"], &used["embeddings"]["cost_usd"]), (&json!("hashing"), &json!(2.0)));
    let (second, used) = ask("cucumbers").await;
    assert_eq!(used["tasks"][0]["task"], json!(first), "{used:#}");
    assert!(used["tasks"][0]["reason"].as_str().unwrap().contains("close in meaning (1.00)"));
    let (_, usage) = api.get("/v1/usage?group_by=model").await;
    let row = usage["data"].as_array().unwrap().iter().find(|row| row["group"] == "hashing").unwrap();
    assert_eq!(
        (&row["tasks"], &row["input_tokens"], &row["cost_usd"]),
        (&json!(2), &json!(5), &json!(5.0)),
        "{usage:#}"
    );
    // The model of the loop has no price, so the whole is not known.
    let (_, task) = api.get(&format!("/v1/tasks/{second}")).await;
    assert_eq!(task["usage"]["cost_usd"], Value::Null);
    service.stop().await;
}
