//! One request to a tracker's API and its answer, whichever tracker it is.

use super::{
    client::{Limited, TrackerClient},
    forge::ForgeError,
};
use crate::{
    net::{Fetched, fetch},
    secrets::Secret,
};
use http::HeaderValue;
use reqwest::{Method, RequestBuilder};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::{Arc, OnceLock};
use url::Url;

/// The most that is read of one answer: a page of a hundred comments.
const ANSWER_LIMIT_BYTES: usize = 8 << 20;
const REASON_CHARS_MAX: usize = 300;

/// An API, and what lets the service in.
#[derive(Clone, Debug)]
pub(super) struct Entrance {
    pub(super) api: Url,
    /// Where it is if it is not there.
    pub(super) otherwise: Option<Url>,
    /// The header that says who asks, and its value.
    pub(super) credential: (&'static str, Secret),
    /// What else each request has.
    pub(super) headers: &'static [(&'static str, &'static str)],
}

#[derive(Clone, Debug)]
pub(super) struct Exchange {
    entrance: Entrance,
    client: TrackerClient,
    /// Where the API has turned out to be.
    settled: Arc<OnceLock<Url>>,
}

impl Exchange {
    pub(super) fn new(entrance: Entrance, client: TrackerClient) -> Self {
        Self { entrance, client, settled: Arc::default() }
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, ForgeError> {
        self.call(Method::GET, path, query, None).await
    }

    /// Sends JSON, and reads what came of it.
    pub(super) async fn send_json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: &Value,
    ) -> Result<T, ForgeError> {
        self.call(method, path, &[], Some(body)).await
    }

    /// Asks, with JSON where there is a body, and reads what came of it.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<T, ForgeError> {
        read(&judged(self.answer(method, path, query, body).await?)?)
    }

    /// What the API answers. Where it may be at two addresses the second is asked what the first does not know: nothing was
    /// done there. It is believed where it speaks as an API does; a host's pages for people are no answer.
    async fn answer(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Fetched, ForgeError> {
        let api = &self.entrance.api;
        let Some(other) = &self.entrance.otherwise else { return self.ask(api, method, path, query, body).await };
        if let Some(settled) = self.settled.get() {
            return self.ask(settled, method, path, query, body).await;
        }
        let answer = self.ask(api, method.clone(), path, query, body).await?;
        if answer.status != 404 {
            if is_json(&answer) {
                let _ = self.settled.set(api.clone());
            }
            return Ok(answer);
        }
        let second = self.ask(other, method, path, query, body).await?;
        match second.status {
            // What is wrong for now says nothing of where the API is.
            408 | 429 | 500..=599 => Ok(second),
            404 => Ok(answer),
            _ if is_json(&second) => {
                let _ = self.settled.set(other.clone());
                Ok(second)
            }
            _ => Ok(answer),
        }
    }

    /// Asks GitHub's GraphQL, which stands beside its REST API: `/graphql`, or `/api/graphql` where that is `/api/v3`. What it
    /// says is wrong comes with status 200.
    pub(super) async fn graphql(&self, body: &Value) -> Result<Value, ForgeError> {
        let mut api = self.settled.get().unwrap_or(&self.entrance.api).clone();
        let path = api.path().trim_end_matches('/').trim_end_matches("/v3").to_owned();
        api.set_path(&format!("{path}/graphql"));
        let answer: Value = read(&judged(self.ask(&api, Method::POST, &[], &[], Some(body)).await?)?)?;
        match answer.pointer("/errors/0/message").and_then(Value::as_str) {
            Some(said) => {
                Err(ForgeError::Rejected { status: 200, reason: said.chars().take(REASON_CHARS_MAX).collect() })
            }
            None => Ok(answer),
        }
    }

    /// Sends JSON to the API's own address; the answer as it is, whatever its status.
    pub(super) async fn post_raw(&self, body: &Value) -> Result<Fetched, ForgeError> {
        self.ask(&self.entrance.api, Method::POST, &[], &[], Some(body)).await
    }

    async fn ask(
        &self,
        api: &Url,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Fetched, ForgeError> {
        let mut url = below(api, path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.request(method, &url)?;
        if let Some(body) = body {
            request = request.json(body);
        }
        let limited = Limited::new(api, &self.entrance.credential.1);
        self.client.may_ask(&limited)?;
        self.client.client.vet(api).await?;
        let answer = fetch(request, ANSWER_LIMIT_BYTES).await?;
        self.client.heard(limited, &answer, || reason(&answer));
        Ok(answer)
    }

    fn request(&self, method: Method, url: &Url) -> Result<RequestBuilder, ForgeError> {
        let (name, value) = &self.entrance.credential;
        let unusable = || ForgeError::Refused { status: 401, reason: "no header can hold it".to_owned() };
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| unusable())?;
        value.set_sensitive(true);
        let request = self.client.client.request(method, url)?.header("user-agent", "journeyman").header(*name, value);
        Ok(self.entrance.headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)))
    }
}

/// The parts of a path, each quoted by itself: a project's name may hold slashes.
fn below(api: &Url, path: &[&str]) -> Result<Url, ForgeError> {
    let mut url = api.clone();
    if !path.is_empty() {
        let unusable = || ForgeError::Unreadable("its address cannot have a path".to_owned());
        url.path_segments_mut().map_err(|()| unusable())?.pop_if_empty().extend(path);
    }
    Ok(url)
}

/// The answer, where its status says that all is well.
pub(super) fn judged(answer: Fetched) -> Result<Fetched, ForgeError> {
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

pub(super) fn read<T: DeserializeOwned>(answer: &Fetched) -> Result<T, ForgeError> {
    serde_json::from_slice(&answer.body).map_err(|error| ForgeError::Unreadable(error.to_string()))
}

fn is_json(answer: &Fetched) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(&answer.body).is_ok()
}

fn said(answer: &Fetched) -> String {
    String::from_utf8_lossy(&answer.body).to_ascii_lowercase()
}

/// What a tracker says is wrong: `message` with its `errors`, `error`, or Jira's `errorMessages`, in one line.
fn reason(answer: &Fetched) -> String {
    let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let mut words = Vec::new();
    for field in ["message", "error", "errorMessages", "errors"] {
        texts(&value[field], &mut words);
    }
    in_one_line(&words.join("; "))
}

/// As much of it as an error holds.
pub(super) fn in_one_line(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect();
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
