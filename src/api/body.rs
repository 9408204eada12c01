//! Bodies: JSON read strictly, with a pointer to what is wrong.

use super::error::{ApiError, FieldError};
use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};
use bytes::BytesMut;
use http_body_util::BodyExt;
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::Value;
use serde_path_to_error::Segment;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

/// Bytes of a JSON body, at most.
pub(crate) const JSON_BODY_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of a body that is too large which are read all the same, and the time for them.
const LET_GO_BYTES_MAX: usize = 64 << 20;
const LET_GO_WITHIN: Duration = Duration::from_secs(20);

/// A JSON object as `T`, with what is needed to recognise the same body again.
pub(crate) struct Body<T> {
    pub(crate) value: T,
    raw: Bytes,
}

/// Bodies may hold secrets.
impl<T> std::fmt::Debug for Body<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").field("bytes", &self.raw.len()).finish_non_exhaustive()
    }
}

impl<T> Body<T> {
    /// The body in one spelling: the order of keys and white space do not matter.
    pub(crate) fn canonical(&self) -> Vec<u8> {
        canonical(&self.raw)
    }
}

impl<S, T> FromRequest<S> for Body<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::unsupported("application/json"));
        }
        let raw = raw(request, JSON_BODY_BYTES_MAX).await?;
        Ok(Self { value: parse(&raw)?, raw })
    }
}

/// A request that says nothing more.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// As [`Body`], but a request without a body is the default.
#[derive(Debug)]
pub(crate) struct OptionalBody<T> {
    pub(crate) value: T,
    raw: Bytes,
}

impl<T> OptionalBody<T> {
    pub(crate) fn canonical(&self) -> Vec<u8> {
        canonical(&self.raw)
    }
}

impl<S, T> FromRequest<S> for OptionalBody<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Default,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let json = is_json(request.headers());
        let raw = raw(request, JSON_BODY_BYTES_MAX).await?;
        if raw.is_empty() {
            return Ok(Self { value: T::default(), raw });
        }
        if !json {
            return Err(ApiError::unsupported("application/json"));
        }
        if raw.trim_ascii() == b"null" {
            return Ok(Self { value: T::default(), raw: Bytes::new() });
        }
        Ok(Self { value: parse(&raw)?, raw })
    }
}

fn canonical(raw: &[u8]) -> Vec<u8> {
    let Ok(mut value) = serde_json::from_slice::<Value>(raw) else { return raw.to_vec() };
    value.sort_all_objects();
    serde_json::to_vec(&value).unwrap_or_else(|_| raw.to_vec())
}

/// A client that asks before it sends (RFC 9110, 10.1.1) and says that it is too much.
fn asks_for_too_much(headers: &HeaderMap, limit_bytes: usize) -> bool {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    headers.contains_key(header::EXPECT) && length.is_some_and(|length| length > limit_bytes as u64)
}

/// The body, of which no more is held than it may have. What a client still sends beyond that is read and let go, within
/// bounds: who is answered while he sends may never read the answer.
pub(crate) async fn raw(request: Request, limit_bytes: usize) -> Result<Bytes, ApiError> {
    let too_large = || ApiError::too_large(limit_bytes as u64);
    if asks_for_too_much(request.headers(), limit_bytes) {
        return Err(too_large());
    }
    let mut body = request.into_body();
    let (mut held, mut size) = (BytesMut::new(), 0);
    let late = Instant::now() + LET_GO_WITHIN;
    loop {
        let frame = if size <= limit_bytes {
            body.frame().await
        } else {
            timeout_at(late, body.frame()).await.map_err(|_| too_large())?
        };
        match frame {
            None if size <= limit_bytes => return Ok(held.freeze()),
            None => return Err(too_large()),
            Some(Err(_)) => return Err(ApiError::new(StatusCode::BAD_REQUEST, "bad_request", "the body broke off")),
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { continue };
                size += data.len();
                if size <= limit_bytes {
                    held.extend_from_slice(&data);
                } else if size > LET_GO_BYTES_MAX {
                    return Err(too_large());
                }
            }
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Reads an object as `T`. The pointer of an error is that of the field, also where the field is
/// missing or unknown.
pub(crate) fn parse<T: DeserializeOwned>(raw: &[u8]) -> Result<T, ApiError> {
    refuse_nul(raw)?;
    let mut json = serde_json::Deserializer::from_slice(raw);
    let mut track = serde_path_to_error::Track::new();
    let read = crate::service::input::object(serde_path_to_error::Deserializer::new(&mut json, &mut track));
    let value = read.map_err(|error: serde_json::Error| {
        // A value of the wrong type can look like a mistake of syntax to serde: JSON that is sound
        // is told by its field.
        match serde_json::from_slice::<IgnoredAny>(raw) {
            Ok(_) => field_error(&track.path(), &error),
            Err(error) => ApiError::field("", format!("the body is not JSON: {error}")),
        }
    })?;
    json.end().map_err(|error| ApiError::field("", without_place(&error.to_string())))?;
    Ok(value)
}

fn field_error(path: &serde_path_to_error::Path, error: &serde_json::Error) -> ApiError {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => push(&mut pointer, &index.to_string()),
            Segment::Map { key } => push(&mut pointer, key),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    let detail = without_place(&error.to_string());
    for mark in ["missing field `", "unknown field `", "duplicate field `"] {
        if let Some(name) = detail.strip_prefix(mark).and_then(|rest| rest.split('`').next()) {
            let mut wanted = String::new();
            push(&mut wanted, name);
            if !pointer.ends_with(&wanted) {
                pointer.push_str(&wanted);
            }
        }
    }
    ApiError::field(pointer, detail)
}

/// One step of a JSON pointer (RFC 6901).
pub(crate) fn push(pointer: &mut String, step: &str) {
    pointer.push('/');
    pointer.push_str(&step.replace('~', "~0").replace('/', "~1"));
}

fn without_place(message: &str) -> String {
    message.rfind(" at line ").map_or(message, |at| &message[..at]).to_owned()
}

/// Postgres holds no NUL in texts, and no name or text needs one.
fn refuse_nul(raw: &[u8]) -> Result<(), ApiError> {
    let escaped = raw.windows(6).any(|window| window == b"\\u0000");
    if !escaped && !raw.contains(&0) {
        return Ok(());
    }
    let Ok(value) = serde_json::from_slice::<Value>(raw) else { return Ok(()) };
    let mut errors = Vec::new();
    find_nul(&value, &mut String::new(), &mut errors);
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid(errors)) }
}

fn find_nul(value: &Value, pointer: &mut String, errors: &mut Vec<FieldError>) {
    let length = pointer.len();
    match value {
        Value::String(text) if text.contains('\0') => {
            errors.push(FieldError::new(pointer.clone(), "may not contain NUL characters"));
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                push(pointer, &index.to_string());
                find_nul(item, pointer, errors);
                pointer.truncate(length);
            }
        }
        Value::Object(fields) => {
            for (key, item) in fields {
                push(pointer, key);
                if key.contains('\0') {
                    errors.push(FieldError::new(pointer.clone(), "may not contain NUL characters"));
                }
                find_nul(item, pointer, errors);
                pointer.truncate(length);
            }
        }
        _ => {}
    }
}
