//! One request to a forge and its answer.

use super::{ForgeAccess, ForgeError, ForgeKind};
use crate::net::{CheckedClient, Fetched, fetch};
use reqwest::{Method, RequestBuilder};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use url::Url;

/// The most that is read of one answer: a page of a hundred comments.
const ANSWER_LIMIT_BYTES: usize = 8 << 20;
const REASON_CHARS_MAX: usize = 300;

#[derive(Clone, Debug)]
pub(super) struct Exchange {
    access: ForgeAccess,
    client: CheckedClient,
    /// The API is at the other address.
    otherwise: Arc<AtomicBool>,
}

impl Exchange {
    pub(super) fn new(access: ForgeAccess, client: CheckedClient) -> Self {
        Self { access, client, otherwise: Arc::default() }
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, ForgeError> {
        match self.got(path, query).await {
            Err(ForgeError::Rejected { status: 404, .. })
                if self.access.otherwise.is_some() && !self.otherwise.swap(true, Ordering::Relaxed) =>
            {
                let found = self.got(path, query).await;
                self.otherwise.store(found.is_ok(), Ordering::Relaxed);
                found
            }
            found => found,
        }
    }

    async fn got<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> Result<T, ForgeError> {
        let mut url = self.url(path)?;
        url.query_pairs_mut().extend_pairs(query);
        read(&self.send(self.request(Method::GET, &url)?).await?)
    }

    /// Sends JSON, and reads what came of it.
    pub(super) async fn send_json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: &Value,
    ) -> Result<T, ForgeError> {
        let url = self.url(path)?;
        read(&self.send(self.request(method, &url)?.json(body)).await?)
    }

    /// The parts of a path, each quoted by itself: a project's name may hold slashes.
    fn url(&self, path: &[&str]) -> Result<Url, ForgeError> {
        let bare = self.access.otherwise.as_ref().filter(|_| self.otherwise.load(Ordering::Relaxed));
        let mut url = bare.unwrap_or(&self.access.api).clone();
        let unusable = || ForgeError::Unreadable("its address cannot have a path".to_owned());
        url.path_segments_mut().map_err(|()| unusable())?.pop_if_empty().extend(path);
        Ok(url)
    }

    fn request(&self, method: Method, url: &Url) -> Result<RequestBuilder, ForgeError> {
        let token = self.access.token.expose();
        let request = self.client.request(method, url)?.header("user-agent", "journeyman");
        Ok(match self.access.kind {
            ForgeKind::Github => request
                .bearer_auth(token)
                .header("accept", "application/vnd.github+json")
                .header("x-github-api-version", "2022-11-28"),
            ForgeKind::Gitlab => request.header("private-token", token).header("accept", "application/json"),
            ForgeKind::Gitea => {
                request.header("authorization", format!("token {token}")).header("accept", "application/json")
            }
        })
    }

    async fn send(&self, request: RequestBuilder) -> Result<Fetched, ForgeError> {
        self.client.refuse_plain(&self.access.api).await?;
        let answer = fetch(request, ANSWER_LIMIT_BYTES).await?;
        match answer.status {
            200..=299 => Ok(answer),
            // GitHub tells of its rate limits by 403, too.
            403 if said(&answer).contains("rate limit") => Err(ForgeError::Unavailable(reason(&answer))),
            408 | 429 | 500..=599 => {
                Err(ForgeError::Unavailable(format!("it answered {}: {}", answer.status, reason(&answer))))
            }
            status @ (401 | 403) => Err(ForgeError::Refused { status, reason: reason(&answer) }),
            status => Err(ForgeError::Rejected { status, reason: reason(&answer) }),
        }
    }
}

fn read<T: DeserializeOwned>(answer: &Fetched) -> Result<T, ForgeError> {
    serde_json::from_slice(&answer.body).map_err(|error| ForgeError::Unreadable(error.to_string()))
}

fn said(answer: &Fetched) -> String {
    String::from_utf8_lossy(&answer.body).to_ascii_lowercase()
}

/// What a forge says is wrong: `message` with its `errors`, or `error`, in one line.
fn reason(answer: &Fetched) -> String {
    let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let mut words = Vec::new();
    for field in ["message", "error", "errors"] {
        texts(&value[field], &mut words);
    }
    let text: String = words.join("; ").chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect();
    if text.is_empty() { "it gave no reason".to_owned() } else { text }
}

fn texts(value: &Value, words: &mut Vec<String>) {
    match value {
        Value::String(text) => words.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| texts(value, words)),
        Value::Object(fields) => fields.values().for_each(|value| texts(value, words)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
