//! A server at an address: streamable HTTP, see
//! <https://modelcontextprotocol.io/specification/2025-06-18/basic/transports>. Each message is a POST of its own; what
//! comes back is one message, or a stream of them.
//!
//! No redirect is followed, nothing is sent twice, and no stream is kept open for what a server might want to
//! say by itself: a list that changes in mid-task changes nothing.

use super::stdio::MESSAGE_BYTES_MAX;
use crate::net::{CheckedClient, NetError};
use bytes::Bytes;
use futures::{
    StreamExt,
    stream::{BoxStream, SelectAll, unfold},
};
use reqwest::{Method, Response, header};
use rmcp::{
    RoleClient,
    model::{ErrorData, JsonRpcMessage, RequestId, ServerResult},
    service::{RxJsonRpcMessage, TxJsonRpcMessage},
    transport::Transport,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};
use url::Url;

/// Answers that wait to be read.
const ANSWERS_MAX: usize = 64;
/// What is read of the body of an error.
const ERROR_BYTES_MAX: usize = 2_000;
/// An answer is given up so much after its call.
const GRACE: Duration = Duration::from_secs(5);
const SESSION: &str = "mcp-session-id";
const VERSION: &str = "mcp-protocol-version";

type Message = RxJsonRpcMessage<RoleClient>;

pub(super) struct HttpTransport {
    shared: Arc<Shared>,
    answers: mpsc::Receiver<BoxStream<'static, Message>>,
    sender: mpsc::Sender<BoxStream<'static, Message>>,
    streams: SelectAll<BoxStream<'static, Message>>,
}

struct Shared {
    client: CheckedClient,
    url: Url,
    headers: BTreeMap<String, String>,
    timeout: Duration,
    /// What the server gave at the beginning.
    state: Mutex<State>,
}

#[derive(Clone, Default)]
struct State {
    session: Option<String>,
    version: Option<String>,
}

impl HttpTransport {
    pub(super) fn new(client: CheckedClient, url: &Url, headers: &BTreeMap<String, String>, timeout: Duration) -> Self {
        let (sender, answers) = mpsc::channel(ANSWERS_MAX);
        let state = Mutex::default();
        let shared = Shared { client, url: url.clone(), headers: headers.clone(), timeout, state };
        Self { shared: Arc::new(shared), answers, sender, streams: SelectAll::new() }
    }
}

impl Transport<RoleClient> for HttpTransport {
    type Error = HttpError;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), HttpError>> + Send + 'static {
        let (shared, sender) = (Arc::clone(&self.shared), self.sender.clone());
        async move {
            let awaited = match &item {
                JsonRpcMessage::Request(request) => Some(request.id.clone()),
                _ => None,
            };
            let until = Instant::now() + shared.timeout + GRACE;
            let response = timeout_at(until, shared.post(&item)).await.map_err(|_| HttpError::TimedOut)??;
            let answer = answers(Arc::clone(&shared), response, awaited, until);
            sender.send(answer).await.map_err(|_| HttpError::Closed)
        }
    }

    async fn receive(&mut self) -> Option<Message> {
        loop {
            tokio::select! {
                Some(answer) = self.answers.recv() => self.streams.push(answer),
                Some(message) = self.streams.next(), if !self.streams.is_empty() => return Some(message),
            }
        }
    }

    async fn close(&mut self) -> Result<(), HttpError> {
        if let Some(request) =
            self.shared.request(Method::DELETE).ok().filter(|_| self.shared.state().session.is_some())
        {
            // A courtesy: a server forgets sessions by itself too.
            let _ = timeout(GRACE, request.send()).await;
        }
        Ok(())
    }
}

impl Shared {
    fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn request(&self, method: Method) -> Result<reqwest::RequestBuilder, HttpError> {
        let mut request = self.client.request(method, &self.url)?;
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let State { session, version } = self.state();
        if let Some(session) = session {
            request = request.header(SESSION, session);
        }
        if let Some(version) = version {
            request = request.header(VERSION, version);
        }
        Ok(request)
    }

    async fn post(&self, message: &TxJsonRpcMessage<RoleClient>) -> Result<Response, HttpError> {
        let request = self.request(Method::POST)?.header(header::ACCEPT, "application/json, text/event-stream");
        let response = request.json(message).send().await.map_err(|error| HttpError::Request(error.without_url()))?;
        let status = response.status();
        if !status.is_success() {
            let mut body = response.bytes_stream();
            let mut text = Vec::new();
            while let (true, Some(Ok(bytes))) = (text.len() < ERROR_BYTES_MAX, body.next().await) {
                text.extend_from_slice(&bytes);
            }
            let text = String::from_utf8_lossy(&text);
            let text: String = text.chars().filter(|c| !c.is_control()).take(300).collect();
            return Err(HttpError::Status { status: status.as_u16(), text });
        }
        if let Some(session) = response.headers().get(SESSION).and_then(|value| value.to_str().ok()) {
            self.state.lock().unwrap_or_else(PoisonError::into_inner).session = Some(session.to_owned());
        }
        Ok(response)
    }

    /// Reads a message; of the first answer, the version that was agreed on.
    fn message(&self, bytes: &[u8]) -> Option<Message> {
        let message: Message = match serde_json::from_slice(bytes) {
            Ok(message) => message,
            Err(error) => {
                tracing::debug!(error = %error, "an MCP server answers with what is no message");
                return None;
            }
        };
        if let JsonRpcMessage::Response(response) = &message
            && let ServerResult::InitializeResult(result) = &response.result
        {
            let version = Some(result.protocol_version.to_string());
            self.state.lock().unwrap_or_else(PoisonError::into_inner).version = version;
        }
        Some(message)
    }
}

/// The messages of one answer. A request that is not answered among them is answered with an error, so
/// that nobody waits for it.
fn answers(
    shared: Arc<Shared>,
    response: Response,
    awaited: Option<RequestId>,
    until: Instant,
) -> BoxStream<'static, Message> {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let events = kind.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/event-stream"));
    let reading = Reading { body: response.bytes_stream().boxed(), read: Vec::new(), events, until, ended: false };
    unfold((shared, reading, awaited), |(shared, mut reading, mut awaited)| async move {
        loop {
            let message = match reading.next().await {
                Ok(Some(bytes)) => shared.message(&bytes),
                Ok(None) => {
                    let id = awaited.take()?;
                    Some(unanswered(id, "it ended its answer without a result"))
                }
                Err(why) => {
                    reading.ended = true;
                    let id = awaited.take()?;
                    Some(unanswered(id, why))
                }
            };
            let Some(message) = message else { continue };
            let id = match &message {
                JsonRpcMessage::Response(response) => Some(&response.id),
                JsonRpcMessage::Error(error) => error.id.as_ref(),
                _ => None,
            };
            if id.is_some() && id == awaited.as_ref() {
                awaited = None;
            }
            return Some((message, (shared, reading, awaited)));
        }
    })
    .boxed()
}

fn unanswered(id: RequestId, why: &'static str) -> Message {
    JsonRpcMessage::error(ErrorData::internal_error(why, None), Some(id))
}

/// The body of an answer: one JSON document, or server-sent events whose data are some.
struct Reading {
    body: BoxStream<'static, Result<Bytes, reqwest::Error>>,
    read: Vec<u8>,
    events: bool,
    until: Instant,
    ended: bool,
}

impl Reading {
    /// The next document's bytes.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, &'static str> {
        loop {
            if self.events
                && let Some(data) = self.event()
            {
                if data.is_empty() {
                    continue;
                }
                return Ok(Some(data));
            }
            if self.ended {
                return Ok(None);
            }
            match timeout_at(self.until, self.body.next()).await {
                Err(_) => return Err("its answer took too long"),
                Ok(Some(Err(_))) => return Err("its answer broke off"),
                Ok(Some(Ok(bytes))) => self.read.extend_from_slice(&bytes),
                Ok(None) => {
                    self.ended = true;
                    if !self.events && !self.read.is_empty() {
                        return Ok(Some(std::mem::take(&mut self.read)));
                    }
                }
            }
            if self.read.len() > MESSAGE_BYTES_MAX {
                return Err("its answer is larger than 4 MiB");
            }
        }
    }

    /// Takes the first whole event out of what was read: its data, empty where it has none.
    fn event(&mut self) -> Option<Vec<u8>> {
        let end = |mark: &[u8]| {
            let at = self.read.windows(mark.len()).position(|window| window == mark);
            at.map(|at| at + mark.len())
        };
        let end = [end(b"\n\n"), end(b"\r\n\r\n"), end(b"\r\r")].into_iter().flatten().min()?;
        let event: Vec<u8> = self.read.drain(..end).collect();
        let lines = event.split(|byte| matches!(byte, b'\n' | b'\r'));
        let data =
            lines.filter_map(|line| line.strip_prefix(b"data:")).map(|data| data.strip_prefix(b" ").unwrap_or(data));
        Some(data.collect::<Vec<_>>().join(&b'\n'))
    }
}

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error(transparent)]
    Address(#[from] NetError),
    #[error("it cannot be reached: {0}")]
    Request(#[source] reqwest::Error),
    #[error("it answered with status {status}: {text}")]
    Status { status: u16, text: String },
    #[error("it does not answer")]
    TimedOut,
    #[error("the connection was given up")]
    Closed,
}
