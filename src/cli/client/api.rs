//! Requests and their answers.

use super::Follow;
use crate::{
    cli::{
        screen::clean,
        view::{ApprovalView, TaskView},
    },
    clock,
};
use reqwest::{Method, Response, StatusCode, header};
use serde_json::Value;
use std::{fmt::Write, time::Duration};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Uploads take as long as the line needs for 256 MiB.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(30 * 60);
const APPROVALS_PAGE: usize = 100;
const APPROVALS_PAGES_MAX: usize = 100;
/// How often a request that may be repeated is sent, in all.
const ATTEMPTS_MAX: u32 = 4;
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// Why a request gave nothing; the caller tells people, or tries again where that helps.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("cannot reach the server at {base}: {reason}")]
    Unreachable { base: String, reason: String },
    #[error("the server refused this ({status}): {detail}")]
    Refused { status: u16, code: String, detail: String, retry_after: Option<Duration> },
    #[error("the server's answer is not what this client understands: {0}")]
    Nonsense(String),
}

impl ApiError {
    /// Whether the same request may well succeed a little later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => matches!(status, 429 | 500 | 502..=504),
            Self::Nonsense(_) => false,
        }
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// One server with one credential. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Api {
    http: reqwest::Client,
    pub(super) base: String,
    key: Option<String>,
}

impl Api {
    /// `base` is what stands before `/v1`; proxies of the environment are used but for this
    /// machine's own addresses.
    pub fn new(base: &str, key: Option<String>) -> anyhow::Result<Self> {
        let base = base.trim_end_matches('/');
        let base = base.strip_suffix("/v1").unwrap_or(base).to_owned();
        let parsed = url::Url::parse(&base).map_err(|error| anyhow::anyhow!("{base:?} is not a URL: {error}"))?;
        anyhow::ensure!(
            matches!(parsed.scheme(), "http" | "https") && parsed.has_host(),
            "{base:?} is not a URL of a server: it should look like http://127.0.0.1:8080"
        );
        let local = match parsed.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the command line's own client, for the server that its user names"
        )]
        let builder = reqwest::Client::builder();
        let builder = if local { builder.no_proxy() } else { builder };
        let http = builder
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .user_agent(concat!("journeyman-cli/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, base, key: key.filter(|key| !key.is_empty()) })
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    /// Whether the server answers `GET /healthz` with 200, asked once.
    pub async fn healthy(&self) -> Result<(), ApiError> {
        self.send(self.request(Method::GET, "/healthz", &[]).timeout(HEALTH_TIMEOUT)).await.map(drop)
    }

    /// The answer to a GET, as JSON. Tried again while the server is passing busy.
    pub async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value, ApiError> {
        let response = self.get_response(path, query).await?;
        json(response).await
    }

    /// The answer to a GET, as text.
    pub async fn get_text(&self, path: &str, query: &[(&str, String)]) -> Result<String, ApiError> {
        let response = self.get_response(path, query).await?;
        let bytes = response.bytes().await.map_err(|error| self.unreachable(error))?;
        String::from_utf8(bytes.into()).map_err(|error| ApiError::Nonsense(error.to_string()))
    }

    /// A POST that creates or acts: sent with an `Idempotency-Key`, so that a lost answer can be
    /// asked for again without acting twice.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        let key = clock::new_id::<uuid::Uuid>().to_string();
        let make = || {
            self.request(Method::POST, path, &[]).header("idempotency-key", &key).timeout(REQUEST_TIMEOUT).json(body)
        };
        json(self.send_patiently(make).await?).await
    }

    /// Uploads a git bundle; the answer is its id.
    pub async fn upload_bundle(&self, bundle: Vec<u8>) -> Result<String, ApiError> {
        let bundle = bytes::Bytes::from(bundle);
        let make = || {
            self.request(Method::POST, "/v1/uploads", &[])
                .header(header::CONTENT_TYPE, "application/octet-stream")
                .timeout(UPLOAD_TIMEOUT)
                .body(bundle.clone())
        };
        let answer = json(self.send_patiently(make).await?).await?;
        let id = answer.get("id").and_then(Value::as_str).map(str::to_owned);
        id.ok_or_else(|| ApiError::Nonsense("an upload without an id".into()))
    }

    /// A task as one file.
    pub async fn export(&self, task: &str, redact: bool) -> Result<Vec<u8>, ApiError> {
        let query = [("redact", redact.to_string())];
        let path = format!("/v1/tasks/{}/export", segment(task));
        let response = self.get_response(&path, &query).await?;
        Ok(response.bytes().await.map_err(|error| self.unreachable(error))?.into())
    }

    /// Makes a task of such a file.
    pub async fn import(&self, file: Vec<u8>) -> Result<Value, ApiError> {
        let file = bytes::Bytes::from(file);
        let key = clock::new_id::<uuid::Uuid>().to_string();
        let make = || {
            self.request(Method::POST, "/v1/tasks/import", &[])
                .header("idempotency-key", &key)
                .header(header::CONTENT_TYPE, "application/gzip")
                .timeout(UPLOAD_TIMEOUT)
                .body(file.clone())
        };
        json(self.send_patiently(make).await?).await
    }

    pub async fn task(&self, task: &str) -> Result<TaskView, ApiError> {
        read_task(self.get(&format!("/v1/tasks/{}", segment(task)), &[]).await?)
    }

    /// The patch; empty where the task has none.
    pub async fn patch(&self, task: &str, query: &[(&str, String)]) -> Result<String, ApiError> {
        self.get_text(&format!("/v1/tasks/{}/patch", segment(task)), query).await
    }

    /// Does something to a task: `cancel`, `messages`, `approvals/…`
    pub async fn act(&self, task: &str, what: &str, body: &Value) -> Result<Value, ApiError> {
        self.post(&format!("/v1/tasks/{}/{what}", segment(task)), body).await
    }

    /// What a task waits for somebody to decide.
    pub async fn pending_approvals(&self, task: &str) -> Result<Vec<ApprovalView>, ApiError> {
        let path = format!("/v1/tasks/{}/approvals", segment(task));
        let mut query = vec![("limit", APPROVALS_PAGE.to_string())];
        let mut pending = Vec::new();
        for _ in 0..APPROVALS_PAGES_MAX {
            let page = self.get(&path, &query).await?;
            let rows = page.get("data").cloned().unwrap_or_default();
            let all: Vec<ApprovalView> =
                serde_json::from_value(rows).map_err(|error| ApiError::Nonsense(error.to_string()))?;
            pending.extend(all.into_iter().filter(|approval| approval.decision.is_none()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            query.truncate(1);
            query.push(("cursor", next.to_owned()));
        }
        Ok(pending)
    }

    /// Follows a task's events after this seq.
    pub fn follow(&self, task: &str, after: i64, beyond_end: bool) -> Follow {
        Follow::new(self.clone(), task.to_owned(), after, beyond_end)
    }

    async fn get_response(&self, path: &str, query: &[(&str, String)]) -> Result<Response, ApiError> {
        self.send_patiently(|| self.request(Method::GET, path, query).timeout(REQUEST_TIMEOUT)).await
    }

    pub(super) fn request(&self, method: Method, path: &str, query: &[(&str, String)]) -> reqwest::RequestBuilder {
        let mut url = format!("{}{path}", self.base);
        for (at, (name, value)) in query.iter().enumerate() {
            let _ = write!(url, "{}{name}={}", if at == 0 { '?' } else { '&' }, segment(value));
        }
        let request = self.http.request(method, url);
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// Sends until an answer is there that will not pass, at most [`ATTEMPTS_MAX`] times.
    async fn send_patiently(&self, make: impl Fn() -> reqwest::RequestBuilder) -> Result<Response, ApiError> {
        let mut attempt = 1;
        loop {
            let error = match self.send(make()).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            if attempt >= ATTEMPTS_MAX || !error.is_passing() {
                return Err(error);
            }
            let pause = error.retry_after().unwrap_or(Duration::from_millis(200) * 3_u32.pow(attempt - 1));
            tokio::time::sleep(pause.min(RETRY_AFTER_MAX)).await;
            attempt += 1;
        }
    }

    pub(super) async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response, ApiError> {
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        if response.status().is_success() { Ok(response) } else { Err(refusal(response).await) }
    }

    pub(super) fn unreachable(&self, error: reqwest::Error) -> ApiError {
        let error = error.without_url();
        let mut reason = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            reason = error.to_string();
            cause = error.source();
        }
        ApiError::Unreachable { base: self.base.clone(), reason }
    }
}

/// A task out of an answer.
pub fn read_task(answer: Value) -> Result<TaskView, ApiError> {
    serde_json::from_value(answer).map_err(|error| ApiError::Nonsense(error.to_string()))
}

async fn json(response: Response) -> Result<Value, ApiError> {
    if response.status() == StatusCode::NO_CONTENT {
        return Ok(Value::Null);
    }
    let bytes = response.bytes().await.map_err(|error| ApiError::Nonsense(error.without_url().to_string()))?;
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&bytes).map_err(|error| ApiError::Nonsense(error.to_string()))
}

/// Problem details (RFC 9457) as one line: the detail, then each field that is wrong.
async fn refusal(response: Response) -> ApiError {
    let status = response.status();
    let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let problem: Value = serde_json::from_slice(&response.bytes().await.unwrap_or_default()).unwrap_or_default();
    let text = |field: &str| problem.get(field).and_then(Value::as_str).map(str::to_owned);
    let mut detail = text("detail")
        .or_else(|| text("title"))
        .unwrap_or_else(|| status.canonical_reason().unwrap_or("no reason given").to_lowercase());
    for error in problem.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let of = |field: &str| error.get(field).and_then(Value::as_str).unwrap_or_default();
        // Some details repeat what is wrong with the first field.
        if !detail.contains(of("detail")) {
            let _ = write!(detail, "; {}: {}", of("pointer"), of("detail"));
        }
    }
    if status == StatusCode::UNAUTHORIZED {
        detail.push_str(" (the key comes from JOURNEYMAN_KEY or --key)");
    }
    ApiError::Refused {
        status: status.as_u16(),
        code: text("code").unwrap_or_default(),
        detail: clean(&detail),
        retry_after: retry_after.map(Duration::from_secs),
    }
}

/// What a person typed, as one segment of a path.
pub(super) fn segment(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
