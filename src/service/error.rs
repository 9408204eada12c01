//! What a use case can answer instead of doing it, told apart by what the caller says of it.

use crate::store::StoreError;
use serde::Serialize;
use utoipa::ToSchema;

/// What is wrong with one field of a body or one parameter of a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// A JSON pointer (RFC 6901) into the body, or `/` and the parameter's name.
    pub pointer: String,
    pub detail: String,
}

impl FieldError {
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not there, or this principal may not see it: the same to the outside.
    #[error("not found")]
    NotFound,
    #[error("forbidden: {0}")]
    Forbidden(String),
    #[error("{} fields are not valid", .0.len())]
    Invalid(Vec<FieldError>),
    /// Not in this state; `state` says which.
    #[error("{detail}")]
    Conflict { code: &'static str, detail: String, state: Option<String> },
    #[error("the idempotency key was used with another body")]
    IdempotencyMismatch,
    /// Another request with the same idempotency key is being done.
    #[error("a request with this idempotency key is being done")]
    InFlight,
    /// Its deadline has passed.
    #[error("{0}")]
    Expired(String),
    /// The log is no longer kept so far back.
    #[error("the log begins at {oldest_seq}")]
    BelowFloor { oldest_seq: i64 },
    #[error("larger than {limit_bytes} bytes")]
    TooLarge { limit_bytes: u64 },
    /// This build or this deployment cannot do it.
    #[error("{0}")]
    NotAvailable(String),
    #[error("{detail}")]
    TooMany { detail: String, retry_after_seconds: u32 },
    /// As many tasks wait as may; of a user or of his team.
    #[error("the queue of the {of} is full")]
    QueueFull { of: &'static str, depth: i64, cap: i64 },
    /// The same call may succeed a little later.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// A fault of ours; never shown.
    #[error("internal: {0}")]
    Internal(String),
}

impl Error {
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(pointer, detail)])
    }

    pub(crate) fn internal(reason: impl std::fmt::Display) -> Self {
        Self::Internal(reason.to_string())
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        // The whole chain goes to the log: the outer text alone says too little.
        let mut text = error.to_string();
        let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
        while let Some(inner) = cause {
            text.push_str(": ");
            text.push_str(&inner.to_string());
            cause = inner.source();
        }
        if error.is_transient() { Self::Unavailable(text) } else { Self::Internal(text) }
    }
}
