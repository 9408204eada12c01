//! One try of a call over HTTP.

use super::{
    Call, Live, Model, ModelError,
    decode::{self, Decode, Decoded, Progress},
    error,
    headers::{retry_after, used_up},
    rate::Gate,
    sse::SseDecoder,
};
use crate::domain::item::Wire;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// How long a reply whose completion mark has come may go on without a byte: counts may follow.
const AFTER_END: Duration = Duration::from_secs(2);
/// How long to wait for the end of a body that is complete, so that its connection can be used again.
const LINGER: Duration = Duration::from_millis(10);
/// So much of an error's body is read.
const ERROR_BYTES: usize = 64 << 10;
/// The version of the Messages wire that this speaks.
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// The headers of a request to `model` with its key as it is now.
pub(super) fn headers(model: &Model, key: Option<&str>, call: Call<'_>) -> Result<HeaderMap, ModelError> {
    let unsound = |name: &str| ModelError::rejected(format!("the setting of header {name} is no valid header"));
    let secret = |name: &str, value: &str| {
        let parsed = HeaderName::try_from(name).map_err(|_| unsound(name))?;
        let mut value = HeaderValue::from_str(value).map_err(|_| unsound(name))?;
        value.set_sensitive(true);
        Ok::<_, ModelError>((parsed, value))
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream, application/json"));
    if let Some(key) = key {
        let usual = if model.wire == Wire::Messages { "x-api-key" } else { "authorization" };
        let name = model.auth_header.as_deref().unwrap_or(usual);
        let bearer = name.eq_ignore_ascii_case("authorization");
        let (name, value) = secret(name, &if bearer { format!("Bearer {key}") } else { key.to_owned() })?;
        headers.insert(name, value);
    }
    let attribution =
        [(&model.task_header, call.by.task), (&model.team_header, call.by.team), (&model.user_header, call.by.user)];
    for (name, id) in attribution {
        let Some(name) = name.as_ref().filter(|_| !id.is_empty()) else { continue };
        let (name, value) = secret(name, id)?;
        headers.insert(name, value);
    }
    if model.wire == Wire::Messages {
        headers.insert("anthropic-version", HeaderValue::from_static(ANTHROPIC_VERSION));
    }
    for (name, value) in &model.headers {
        let (name, value) = secret(name, value)?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// Sends `request` and reads the reply of model call number `turn`. What the answer says of the
/// provider's limits holds at `gate` for everyone.
pub(super) async fn attempt(
    model: &Model,
    gate: &Gate,
    request: reqwest::RequestBuilder,
    turn: u32,
    live: &mut (dyn FnMut(Live) + Send),
) -> Result<Decoded, ModelError> {
    let wait = |ms| Duration::from_millis(ms);
    let timeouts = model.timeouts;
    let first_byte = Instant::now() + wait(timeouts.connect_ms) + wait(timeouts.first_byte_ms);
    let late = || ModelError::late(format!("no reply within {} s", timeouts.first_byte_ms.div_ceil(1_000)));
    let mut response = timeout_at(first_byte, request.send()).await.map_err(|_| late())?.map_err(|e| broken(&e))?;
    let status = response.status();
    let busy = matches!(status.as_u16(), 429 | 503 | 529);
    if let Some(delay) = busy.then(|| retry_after(response.headers())).flatten().or(used_up(response.headers())) {
        gate.hold(delay);
    }
    if !status.is_success() {
        let headers = response.headers().clone();
        let body = error_body(&mut response, wait(timeouts.idle_ms.min(10_000))).await;
        return Err(error::from_status(status, &headers, &body));
    }
    let mut body = Body::new(model, turn);
    let mut piece = match timeout_at(first_byte, response.chunk()).await {
        Err(_) => return Err(late()),
        Ok(Err(_)) => return Err(ModelError::CutOff),
        Ok(Ok(piece)) => piece,
    };
    while let Some(bytes) = piece {
        body.take(&bytes, live)?;
        let progress = body.decoder.progress();
        let idle = match progress {
            Progress::Running => wait(timeouts.idle_ms),
            Progress::Ended => AFTER_END.min(wait(timeouts.idle_ms)),
            Progress::Done => LINGER,
        };
        piece = match timeout(idle, response.chunk()).await {
            Ok(Ok(piece)) => piece,
            _ if progress != Progress::Running => None,
            Ok(Err(_)) => return Err(ModelError::CutOff),
            Err(_) => {
                return Err(ModelError::late(format!(
                    "the reply stood still for {} s",
                    timeouts.idle_ms.div_ceil(1_000)
                )));
            }
        };
        if progress == Progress::Done {
            break;
        }
    }
    body.finish(live)
}

/// The start of an error's body; what cannot be read is left out.
async fn error_body(response: &mut reqwest::Response, idle: Duration) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Ok(Some(piece))) = timeout(idle, response.chunk()).await {
        body.extend_from_slice(&piece);
        if body.len() >= ERROR_BYTES {
            body.truncate(ERROR_BYTES);
            break;
        }
    }
    body
}

/// A failure to send or to get an answer, in words without the address.
fn broken(error: &reqwest::Error) -> ModelError {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if error.is_connect() {
        let why = if error.is_timeout() { "timed out".to_owned() } else { cause.to_string() };
        return ModelError::unavailable(format!("cannot connect: {why}"));
    }
    if error.is_builder() {
        return ModelError::rejected(format!("the request cannot be made: {cause}"));
    }
    ModelError::late(format!("the connection broke before the reply: {cause}"))
}

/// A reply's body as it comes. Whether it is a stream, one JSON text or a page is told by its
/// first character, because content types cannot be relied on.
struct Body {
    decoder: Box<dyn Decode>,
    sse: SseDecoder,
    limit_bytes: usize,
    taken: usize,
    form: Form,
    events: u64,
    /// The body of [`Form::Json`], and the start of the others.
    held: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Unknown,
    Stream,
    Json,
    Page,
}

impl Body {
    fn new(model: &Model, turn: u32) -> Self {
        Self {
            decoder: decode::decoder(model.wire, turn, model.limits),
            sse: SseDecoder::new(model.limits.bytes),
            limit_bytes: model.limits.bytes,
            taken: 0,
            form: Form::Unknown,
            events: 0,
            held: Vec::new(),
        }
    }

    fn take(&mut self, bytes: &Bytes, live: &mut (dyn FnMut(Live) + Send)) -> Result<(), ModelError> {
        self.taken += bytes.len();
        if self.taken > self.limit_bytes {
            return Err(ModelError::nonsense(format!("more than {} bytes", self.limit_bytes)));
        }
        if self.form == Form::Unknown {
            self.form = match bytes.iter().find(|b| !b.is_ascii_whitespace()) {
                None => Form::Unknown,
                Some(b'{' | b'[') => Form::Json,
                Some(b'<') => Form::Page,
                Some(_) => Form::Stream,
            };
        }
        match self.form {
            Form::Unknown => Ok(()),
            Form::Stream => {
                self.hold_start(bytes);
                let (decoder, events) = (&mut self.decoder, &mut self.events);
                let mut outcome = Ok(());
                let mut each = |event: super::sse::SseEvent| {
                    *events += 1;
                    if outcome.is_ok() {
                        outcome = decoder.event(&event.data, live);
                    }
                };
                self.sse.push(bytes, &mut each).map_err(|e| ModelError::nonsense(e.to_string()))?;
                outcome
            }
            Form::Json => {
                self.held.extend_from_slice(bytes);
                Ok(())
            }
            Form::Page => {
                self.hold_start(bytes);
                Ok(())
            }
        }
    }

    fn hold_start(&mut self, bytes: &[u8]) {
        let room = 200_usize.saturating_sub(self.held.len()).min(bytes.len());
        self.held.extend_from_slice(&bytes[..room]);
    }

    fn finish(mut self, live: &mut (dyn FnMut(Live) + Send)) -> Result<Decoded, ModelError> {
        match self.form {
            Form::Unknown => return Err(ModelError::CutOff),
            Form::Page => {
                let message = format!("a page: {}", String::from_utf8_lossy(&self.held));
                return Err(ModelError::Nonsense { message, page: true });
            }
            Form::Json => {
                let body = String::from_utf8_lossy(&self.held);
                match serde_json::from_str::<serde::de::IgnoredAny>(&body) {
                    Err(error) if error.is_eof() => return Err(ModelError::CutOff),
                    Err(error) => return Err(ModelError::nonsense(format!("an answer that is no JSON: {error}"))),
                    Ok(_) => self.decoder.whole(&body)?,
                }
            }
            Form::Stream => {
                if let Some(event) = self.sse.finish() {
                    self.events += 1;
                    self.decoder.event(&event.data, live)?;
                }
                if self.events == 0 && !begins_as_stream(&self.held) {
                    return Err(ModelError::nonsense("an answer that is neither a stream nor JSON"));
                }
            }
        }
        self.decoder.finish()
    }
}

/// Whether `start` is a stream's start, however early it was cut.
fn begins_as_stream(start: &[u8]) -> bool {
    let fields: [&[u8]; 5] = [b"data:", b"event:", b"id:", b"retry:", b":"];
    let start = start.trim_ascii_start();
    fields.iter().any(|field| start.starts_with(field) || field.starts_with(start))
}
