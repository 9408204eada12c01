//! Successful answers: JSON that may have been stored, and those that a client may have already.

use super::error::ApiError;
use crate::service::Answer;
use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// A JSON body that is text already.
pub(crate) fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A file to be kept, that no browser shows: of this type, under this name (of letters, digits, `.`, `-`, `_`).
pub(crate) fn file(kind: &'static str, name: &str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(attached) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, attached);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The first type of `Accept` that is one of these.
pub(crate) fn accepted<'a>(headers: &HeaderMap, known: &[&'a str]) -> Option<&'a str> {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = accepted.flat_map(|value| value.split(',')).map(|one| one.split(';').next().unwrap_or("").trim());
    types.find_map(|one| known.iter().find(|known| one.eq_ignore_ascii_case(known)).copied())
}

/// A value as JSON.
pub(crate) fn value<T: Serialize>(status: StatusCode, value: &T) -> Result<Response, ApiError> {
    match serde_json::to_vec(value) {
        Ok(body) => Ok(json(status, body)),
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written as JSON");
            Err(ApiError::internal())
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let mut response = if self.body.is_empty() { status.into_response() } else { json(status, self.body) };
        let headers = response.headers_mut();
        if let Some(location) = self.location.and_then(|path| HeaderValue::from_str(&path).ok()) {
            headers.insert(header::LOCATION, location);
        }
        if self.replayed {
            headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
        }
        response
    }
}

/// A strong tag of a body.
pub(crate) fn tag_of(body: &[u8]) -> String {
    use std::fmt::Write;
    let mut tag = String::with_capacity(34);
    tag.push('"');
    for byte in &Sha256::digest(body)[..16] {
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

/// Whether the client says that it has this tag (RFC 9110, 13.1.2: compared weakly).
pub(crate) fn has_tag(headers: &HeaderMap, tag: &str) -> bool {
    let mut given = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    given.any(|list| {
        list.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
    })
}

/// The body with its tag, or 304 where the client has it.
pub(crate) fn tagged(headers: &HeaderMap, tag: &str, body: impl Into<Body>) -> Response {
    let mut response =
        if has_tag(headers, tag) { StatusCode::NOT_MODIFIED.into_response() } else { json(StatusCode::OK, body) };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("Authorization, Cookie, Journeyman-Team"));
    response
}

/// A list with a tag made from its content.
pub(crate) fn tagged_value<T: Serialize>(headers: &HeaderMap, value: &T) -> Result<Response, ApiError> {
    let body = body_of(value)?;
    Ok(tagged(headers, &tag_of(&body), body))
}

pub(crate) fn body_of<T: Serialize>(value: &T) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(value).map_err(|error| {
        tracing::error!(%error, "an answer cannot be written as JSON");
        ApiError::internal()
    })
}
