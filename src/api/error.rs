//! Errors as HTTP says them: RFC 9457 problem details, one shape for all that goes wrong.
//!
//! A detail names what the caller sent and the mend; it never holds SQL, paths of the host or
//! secrets. What is our fault is logged here, once, and answered with its request id alone.

use super::request_id;
use crate::{auth::AuthError, service};
use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

pub(crate) use crate::service::FieldError;

/// When there may be room in a queue that was full.
const QUEUE_RETRY_AFTER_SECONDS: u32 = 10;

/// The body of every answer that is no success (`application/problem+json`, RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// `urn:journeyman:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: &'static str,
    pub status: u16,
    /// What is wrong with this request, for people.
    pub detail: String,
    /// A word that programs may rely on.
    pub code: &'static str,
    /// The same as the header `X-Request-Id`.
    pub request_id: Uuid,
    /// What is wrong, field by field; only for bodies and queries.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Facts that belong to the code: `state` of a 409, `oldest_seq` of a 410,
    /// `of`, `depth` and `cap` of a full queue, `violated-policies` of a rate.
    #[serde(flatten)]
    #[schema(inline, value_type = Object)]
    pub facts: Map<String, Value>,
}

/// An answer that is no success.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    facts: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), errors: Vec::new(), facts: Map::new(), headers: Vec::new() }
    }

    /// The one answer to what does not exist and to what this principal may not see.
    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here that you may see")
    }

    /// A request with a session's cookie that another site's page may have made.
    pub(crate) fn forged() -> Self {
        let detail = "send the cookie journeyman_csrf's value as the header X-CSRF-Token with what changes something";
        Self::new(StatusCode::FORBIDDEN, "csrf", detail)
    }

    /// The credential held when the request came, and does no longer.
    pub(crate) fn ended() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", "the credential no longer holds")
            .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    pub(crate) fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] if one.pointer.is_empty() => one.detail.clone(),
            [one] => format!("{}: {}", one.pointer, one.detail),
            many => format!("{} fields are not valid", many.len()),
        };
        Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail) }
    }

    pub(crate) fn field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError { pointer: pointer.into(), detail: detail.into() }])
    }

    pub(crate) fn too_large(limit_bytes: u64) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", format!("the body may have at most {limit_bytes} bytes"))
    }

    pub(crate) fn unsupported(expected: &str) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            format!("the body's Content-Type must be {expected}"),
        )
    }

    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the service failed; the request id finds the reason in its log",
        )
    }

    pub(crate) fn unavailable(detail: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
            .with_header(header::RETRY_AFTER, HeaderValue::from(retry_after_seconds))
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn with_fact(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }
}

impl From<service::Error> for ApiError {
    fn from(error: service::Error) -> Self {
        use service::Error;
        match error {
            Error::NotFound => Self::not_found(),
            Error::Forbidden(detail) => Self::new(StatusCode::FORBIDDEN, "forbidden", detail),
            Error::Invalid(errors) => Self::invalid(errors),
            Error::Conflict { code, detail, state } => {
                let error = Self::new(StatusCode::CONFLICT, code, detail);
                match state {
                    Some(state) => error.with_fact("state", state),
                    None => error,
                }
            }
            Error::IdempotencyMismatch => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "this Idempotency-Key was used with another body",
            ),
            Error::InFlight => {
                Self::new(StatusCode::CONFLICT, "in_flight", "a request with this Idempotency-Key is still being done")
                    .with_header(header::RETRY_AFTER, HeaderValue::from(1))
            }
            Error::Expired(detail) => Self::new(StatusCode::GONE, "expired", detail),
            Error::BelowFloor { oldest_seq } => {
                Self::new(StatusCode::GONE, "log_expired", "the log is kept only from oldest_seq on")
                    .with_fact("oldest_seq", oldest_seq)
            }
            Error::TooLarge { limit_bytes } => Self::too_large(limit_bytes),
            Error::NotAvailable(detail) => Self::new(StatusCode::NOT_IMPLEMENTED, "not_available", detail),
            Error::TooMany { detail, retry_after_seconds } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many", detail)
                    .with_header(header::RETRY_AFTER, HeaderValue::from(retry_after_seconds))
            }
            Error::QueueFull { of, depth, cap } => {
                let whose = if of == "team" { "your team has" } else { "the task's owner has" };
                let detail =
                    format!("{whose} {depth} tasks in the queue, and {cap} may wait: come again once some have begun");
                Self::new(StatusCode::TOO_MANY_REQUESTS, "queue_full", detail)
                    .with_header(header::RETRY_AFTER, HeaderValue::from(QUEUE_RETRY_AFTER_SECONDS))
                    .with_fact("of", of)
                    .with_fact("depth", depth)
                    .with_fact("cap", cap)
            }
            Error::Unavailable(reason) => {
                tracing::warn!(error = %reason, "the database cannot be reached");
                Self::unavailable("the service cannot reach its database just now", 2)
            }
            Error::Internal(reason) => {
                tracing::error!(error = %reason, "request failed");
                Self::internal()
            }
        }
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Missing | AuthError::Refused(_) => {
                Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", error.to_string())
                    .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
            }
            AuthError::NoTeam => Self::new(StatusCode::FORBIDDEN, "no_team", error.to_string()),
            AuthError::NotInTeam | AuthError::UnknownTeam => {
                Self::new(StatusCode::FORBIDDEN, "unknown_team", error.to_string())
            }
            AuthError::Removed => Self::new(StatusCode::FORBIDDEN, "removed", error.to_string()),
            AuthError::NoKeySet => Self::unavailable(error.to_string(), 5),
            AuthError::Store(error) => service::Error::from(error).into(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = Problem {
            kind: format!("urn:journeyman:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: self.detail,
            code: self.code,
            request_id: request_id::current(),
            errors: self.errors,
            facts: self.facts,
        };
        let mut response = (self.status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in self.headers {
            headers.insert(name, value);
        }
        response
    }
}
