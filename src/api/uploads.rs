//! `/v1/uploads`: code that no remote has.

use super::{
    ApiState,
    caller::{Caller, IdempotencyKey},
    error::ApiError,
};
use crate::service::{UPLOAD_BYTES_MAX, UploadView, access::Right};
use axum::{
    body::Body,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt},
    routes,
};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    // The service counts what it takes in: nothing is buffered here.
    OpenApiRouter::new().routes(routes!(create).layer(DefaultBodyLimit::disable()))
}

/// Takes a tar.gz or a git bundle in, at most 256 MiB: the body is the file itself.
#[utoipa::path(post, path = "/v1/uploads", tag = "uploads", operation_id = "create_upload",
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 201, description = "The upload", body = UploadView)))]
async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    key: IdempotencyKey,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    caller.require(Right::WriteTasks)?;
    if is_document(&headers) {
        return Err(ApiError::unsupported("application/gzip, application/octet-stream or the like: the file itself"));
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > UPLOAD_BYTES_MAX) {
        return Err(ApiError::too_large(UPLOAD_BYTES_MAX));
    }
    let key = |hash| key.of_hash(hash);
    Ok(state.service.create_upload(&caller, body.into_data_stream(), key).await?.into_response())
}

/// Types that hold no archive, or hold it wrapped.
fn is_document(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.trim().to_ascii_lowercase();
    kind.starts_with("application/json") || kind.starts_with("multipart/") || kind.starts_with("text/html")
}
