//! The vectors that are kept beside the evaluation set are those that the model makes, which scripts/setup.sh --tests fetches.

use super::set::{Set, fixtures};
use crate::support::fetched;
use base64::{Engine, engine::general_purpose::STANDARD};
use journeyman::{llm, memory::Quantised};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

#[tokio::test]
async fn the_kept_vectors_are_those_of_the_model() {
    let model = fetched::model();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/embeddings.py");
    let mut server = Command::new("/usr/bin/python3")
        .arg(script)
        .args(["serve", "--listen", "127.0.0.1:0", "--model"])
        .arg(&model)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("http"), "scripts/embeddings.py does not start: run scripts/setup.sh --tests");
    let set = Set::read("held_out");
    let memories = set.memories.iter().step_by(40).map(|memory| memory.text.as_str());
    let texts: Vec<&str> =
        memories.chain(set.requests.iter().step_by(60).map(|request| request.text.as_str())).collect();
    let client = llm::Client::new(llm::ClientSettings::default()).unwrap();
    let embedder = llm::Embedder {
        model: "all-MiniLM-L6-v2".to_owned(),
        url: line.trim().parse().unwrap(),
        key: None,
        dimensions: Some(384),
        price_usd: 0.1,
        timeout: Duration::from_secs(60),
        retries: 0,
    };
    let made = client.embed(&embedder, &texts).await;
    server.kill().unwrap();
    server.wait().unwrap();
    let made = made.unwrap();
    assert!(made.usage.input_tokens > texts.len() as u64 && made.cost_usd > 0.0);
    let kept: Value =
        serde_json::from_str(&std::fs::read_to_string(fixtures().join("held_out_vectors.json")).unwrap()).unwrap();
    for (text, vector) in texts.iter().zip(&made.vectors) {
        let bytes = STANDARD.decode(kept["vectors"][*text].as_str().unwrap()).unwrap();
        let kept: Vec<f32> = bytes.into_iter().map(|byte| f32::from(byte as i8)).collect();
        let cosine = Quantised::of(vector).unwrap().cosine(&Quantised::of(&kept).unwrap());
        assert!(cosine > 0.999, "{text}: {cosine}");
    }
}
