//! `/v1/embeddings` of the scripted server: vectors that follow from the text, or those of the script.

use super::fault::{Fault, FaultKind};
use axum::{
    Json,
    body::Bytes,
    http::StatusCode,
    response::{Html, IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
};
use tokio_util::sync::CancellationToken;

/// Requests that are remembered.
const REMEMBERED: usize = 1_000;

/// What a script says of vectors.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddingScript {
    /// Of vectors that follow from the text's words: texts that share words are near to each other.
    pub dimensions: usize,
    /// In place of those: by text, a signed byte for each number, in base64.
    pub vectors: BTreeMap<String, String>,
    /// The first whose `contains` occurs in a text of the request strikes.
    pub faults: Vec<EmbeddingFault>,
}

impl Default for EmbeddingScript {
    fn default() -> Self {
        Self { dimensions: 64, vectors: BTreeMap::new(), faults: Vec::new() }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingFault {
    #[serde(default)]
    pub contains: String,
    pub fault: Fault,
}

/// The little state: requests that came, and how often faults with `times` have struck.
#[derive(Debug, Default)]
pub(super) struct Embeddings {
    came: Mutex<VecDeque<Value>>,
    struck: Mutex<BTreeMap<usize, u32>>,
}

#[derive(Deserialize)]
struct Asked {
    model: String,
    input: Input,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    One(String),
    Many(Vec<String>),
}

impl Embeddings {
    /// What came so far, oldest first.
    pub(super) fn came(&self) -> Vec<Value> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    pub(super) async fn answer(&self, script: &EmbeddingScript, body: &Bytes, shutdown: CancellationToken) -> Response {
        let Ok(Asked { model, input }) = serde_json::from_slice(body) else {
            return refused(StatusCode::BAD_REQUEST, "scripted: no model and input");
        };
        let texts = match input {
            Input::One(text) => vec![text],
            Input::Many(texts) => texts,
        };
        {
            let mut came = self.came.lock().unwrap_or_else(PoisonError::into_inner);
            came.push_back(json!({ "model": model, "input": texts }));
            if came.len() > REMEMBERED {
                came.pop_front();
            }
        }
        let fault = self.fault(script, &texts);
        let kind = fault.map(|fault| fault.kind);
        match (kind, fault) {
            (Some(FaultKind::Status), Some(fault)) => {
                let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                return refused(status, fault.message.as_deref().unwrap_or("scripted"));
            }
            (Some(FaultKind::HangBefore), _) => shutdown.cancelled().await,
            (Some(FaultKind::InvalidJson), _) => return "{\"data\": [".into_response(),
            (Some(FaultKind::Html), _) => return Html("<html><body>scripted</body></html>").into_response(),
            (Some(FaultKind::Empty), _) => return Json(json!({ "object": "list", "data": [] })).into_response(),
            _ => {}
        }
        let row = |(index, text): (usize, &String)| {
            let mut vector = script.vector(text);
            if kind == Some(FaultKind::Length) {
                vector.truncate(vector.len() / 2);
            }
            json!({ "object": "embedding", "index": index, "embedding": vector })
        };
        let data: Vec<Value> = texts.iter().enumerate().map(row).collect();
        let tokens: usize = texts.iter().map(|text| text.len().div_ceil(4)).sum();
        let mut answer = json!({ "object": "list", "model": model, "data": data });
        if kind != Some(FaultKind::NoUsage) {
            answer["usage"] = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
        }
        Json(answer).into_response()
    }

    fn fault<'a>(&self, script: &'a EmbeddingScript, texts: &[String]) -> Option<&'a Fault> {
        let holds = |rule: &EmbeddingFault| texts.iter().any(|text| text.contains(&rule.contains));
        let (at, rule) = script.faults.iter().enumerate().find(|(_, rule)| holds(rule))?;
        let mut struck = self.struck.lock().unwrap_or_else(PoisonError::into_inner);
        let times = struck.entry(at).or_default();
        *times += 1;
        Some(&rule.fault).filter(|fault| fault.times.is_none_or(|most| *times <= most))
    }
}

impl EmbeddingScript {
    fn vector(&self, text: &str) -> Vec<f32> {
        if let Some(bytes) = self.vectors.get(text).and_then(|coded| STANDARD.decode(coded).ok()) {
            return bytes.into_iter().map(|byte| f32::from(byte as i8) / 127.0).collect();
        }
        let mut vector = vec![0.0; self.dimensions.max(1)];
        for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            let hash = hash(&word.to_lowercase());
            let (at, sign) = (hash as usize % vector.len(), if hash >> 63 == 0 { 1.0 } else { -1.0 });
            vector[at] += sign;
        }
        // A text without words, or whose words cancel out, has a direction all the same.
        if vector.iter().all(|number| *number == 0.0) {
            vector[0] = 1.0;
        }
        vector
    }
}

/// FNV-1a (<http://www.isthe.com/chongo/tech/comp/fnv/>): the same on every machine.
fn hash(word: &str) -> u64 {
    word.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn refused(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": { "message": message, "type": "scripted" } }))).into_response()
}
