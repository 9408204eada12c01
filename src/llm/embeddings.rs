//! Vectors of texts, from a server that speaks OpenAI's `/v1/embeddings`
//! (<https://platform.openai.com/docs/api-reference/embeddings>).

use super::{
    ApiKey, Client, ModelError,
    error::{self, from_status},
};
use crate::domain::usage::TokenUsage;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;
use serde_json::json;
use std::{fmt, time::Duration};
use tokio::time::{sleep, timeout};
use url::Url;

/// Texts of one request, at most.
pub const TEXTS_MAX: usize = 64;
/// Characters of one text that are sent: beyond what embedding models read, in any language.
pub const TEXT_CHARS_MAX: usize = 8_000;
/// Numbers of a vector, at most.
pub const DIMENSIONS_MAX: usize = 4_096;
/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 32 << 20;
const CONNECT: Duration = Duration::from_secs(5);

/// A model that makes vectors, and how it is reached.
#[derive(Clone)]
pub struct Embedder {
    /// The server's name for it.
    pub model: String,
    /// Base, `…/v1`, to which `/embeddings` is added.
    pub url: Url,
    pub key: Option<ApiKey>,
    /// Asked for where the model can be cut to it; what comes must have as many.
    pub dimensions: Option<usize>,
    /// US dollars per million tokens.
    pub price_usd: f64,
    /// One try as a whole.
    pub timeout: Duration,
    /// Tries after the first.
    pub retries: u32,
}

impl fmt::Debug for Embedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedder").field("model", &self.model).field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

/// Vectors in the order of the texts, each of length 1 and all of the same dimension.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    pub vectors: Vec<Vec<f32>>,
    /// What the server counted; none where it does not.
    pub usage: TokenUsage,
    pub cost_usd: f64,
}

impl Client {
    /// The vectors of at most [`TEXTS_MAX`] texts. What may pass is tried again, as often as the settings allow.
    ///
    /// # Errors
    /// As for a model's call; an answer with other than one sound vector for each text makes no sense.
    pub async fn embed(&self, embedder: &Embedder, texts: &[&str]) -> Result<Embedded, ModelError> {
        if texts.is_empty() || texts.len() > TEXTS_MAX {
            return Err(ModelError::rejected(format!("from 1 to {TEXTS_MAX} texts can be embedded at once")));
        }
        let cut = |text: &&str| text.chars().take(TEXT_CHARS_MAX).collect::<String>();
        let mut body = json!({
            "model": embedder.model,
            "input": texts.iter().map(cut).collect::<Vec<_>>(),
            "encoding_format": "float",
        });
        if let Some(dimensions) = embedder.dimensions {
            body["dimensions"] = json!(dimensions);
        }
        let body = Bytes::from(body.to_string());
        let mut attempt = 0;
        loop {
            match self.try_embed(embedder, body.clone(), texts.len()).await {
                Ok(embedded) => return Ok(embedded),
                Err(error) if error.may_pass() && attempt < embedder.retries => {
                    let asked = match &error {
                        ModelError::Unavailable { retry_after, .. } => *retry_after,
                        _ => None,
                    };
                    let delay = asked.unwrap_or(Duration::from_millis(250 << attempt.min(6)));
                    if delay > embedder.timeout {
                        return Err(error);
                    }
                    attempt += 1;
                    tracing::debug!(embeddings.attempt = attempt, error = %error, "asking for vectors again");
                    sleep(delay).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn try_embed(&self, embedder: &Embedder, body: Bytes, texts: usize) -> Result<Embedded, ModelError> {
        if let Some(key) = &embedder.key {
            key.refresh().await;
        }
        let key = embedder.key.as_ref().map(ApiKey::expose);
        let secrets = error::secrets(key.as_deref(), std::iter::empty());
        let late = || ModelError::late(format!("no vectors within {} ms", embedder.timeout.as_millis()));
        let sent = timeout(embedder.timeout, self.send(embedder, key.as_deref(), body));
        let answer = sent.await.unwrap_or_else(|_| Err(late())).map_err(|error| error.scrubbed(&secrets))?;
        embedder.read(&answer, texts).map_err(|error| error.scrubbed(&secrets))
    }

    async fn send(&self, embedder: &Embedder, key: Option<&str>, body: Bytes) -> Result<Vec<u8>, ModelError> {
        let mut url = embedder.url.clone();
        url.set_path(&format!("{}/embeddings", url.path().trim_end_matches('/')));
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(key) = key {
            let unsound = |_| ModelError::rejected("the key of [embeddings] is no valid header");
            let mut value = HeaderValue::from_str(&format!("Bearer {key}")).map_err(unsound)?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        let http = self.http(CONNECT.as_millis() as u64)?;
        let broken = |error: reqwest::Error| ModelError::late(error.without_url().to_string());
        let mut response = http.post(url).headers(headers).body(body).send().await.map_err(broken)?;
        let mut answer = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(broken)? {
            if answer.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(ModelError::nonsense(format!("more than {ANSWER_BYTES_MAX} bytes")));
            }
            answer.extend_from_slice(&piece);
        }
        if response.status().is_success() {
            return Ok(answer);
        }
        Err(from_status(response.status(), response.headers(), &answer))
    }
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Row>,
    #[serde(default)]
    usage: Option<Counted>,
}

#[derive(Deserialize)]
struct Row {
    index: usize,
    embedding: Vec<f32>,
}

#[derive(Deserialize)]
struct Counted {
    #[serde(default)]
    prompt_tokens: u64,
}

impl Embedder {
    fn read(&self, answer: &[u8], texts: usize) -> Result<Embedded, ModelError> {
        let Answer { data, usage } = serde_json::from_slice(answer)
            .map_err(|error| ModelError::nonsense(format!("an answer that holds no vectors: {error}")))?;
        let mut vectors = vec![Vec::new(); texts];
        for Row { index, embedding } in data {
            match vectors.get_mut(index) {
                Some(place) if place.is_empty() => *place = embedding,
                _ => return Err(ModelError::nonsense(format!("a vector for no text: index {index}"))),
            }
        }
        let dimension = self.dimensions.unwrap_or(vectors[0].len());
        for vector in &mut vectors {
            if vector.len() != dimension || !(1..=DIMENSIONS_MAX).contains(&dimension) {
                let found = vector.len();
                return Err(ModelError::nonsense(format!("a vector of {found} numbers where {dimension} are wanted")));
            }
            let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
            if !length.is_finite() || length <= f32::EPSILON {
                return Err(ModelError::nonsense("a vector without a direction"));
            }
            for number in vector.iter_mut() {
                *number /= length;
            }
        }
        let tokens = usage.map_or(0, |usage| usage.prompt_tokens);
        let usage = TokenUsage { input_tokens: tokens, ..TokenUsage::default() };
        Ok(Embedded { vectors, usage, cost_usd: tokens as f64 * self.price_usd / 1e6 })
    }
}
