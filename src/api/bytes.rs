//! What a task has made: patch, files, whole outputs, logs.

use super::{
    ApiState,
    caller::{Caller, Ids},
    error::ApiError,
    query::{FromQuery, Pairs, Query},
    reply,
};
use crate::{
    domain::{CallId, TaskId},
    service::{BytesOf, Content},
};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(patch)).routes(routes!(file)).routes(routes!(output)).routes(routes!(check_log))
}

struct PatchQuery {
    from_turn: Option<u32>,
    to_turn: Option<u32>,
}

impl FromQuery for PatchQuery {
    fn from_query(query: &mut Pairs) -> Self {
        Self { from_turn: query.one("from_turn"), to_turn: query.one("to_turn") }
    }
}

struct FileQuery {
    turn: Option<u32>,
}

impl FromQuery for FileQuery {
    fn from_query(query: &mut Pairs) -> Self {
        Self { turn: query.one("turn") }
    }
}

/// The task's patch: what `git apply` takes on the base commit. Empty where nothing has changed.
#[utoipa::path(get, path = "/v1/tasks/{id}/patch", tag = "tasks", operation_id = "get_patch",
    params(
        ("id" = TaskId, Path, description = "The task"),
        ("from_turn" = Option<u32>, Query, description = "The working copy after this turn; absent or 0: the base"),
        ("to_turn" = Option<u32>, Query, description = "The working copy after this turn; absent: the last"),
    ),
    responses((status = 200, description = "The patch", body = String, content_type = "text/x-diff")))]
async fn patch(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(TaskId,)>,
    headers: HeaderMap,
    Query(query): Query<PatchQuery>,
) -> Result<Response, ApiError> {
    let of = BytesOf::Patch { from_turn: query.from_turn, to_turn: query.to_turn };
    content(&headers, state.service.bytes(&caller, id, of).await?, "text/x-diff; charset=utf-8", "task.patch").await
}

/// A file of the working copy as of the last checkpoint.
#[utoipa::path(get, path = "/v1/tasks/{id}/files/{*path}", tag = "tasks", operation_id = "get_file",
    params(
        ("id" = TaskId, Path, description = "The task"),
        ("path" = String, Path, description = "The file's path below the working copy"),
        ("turn" = Option<u32>, Query, description = "As of the checkpoint of this turn"),
    ),
    responses((status = 200, description = "The file", body = Vec<u8>, content_type = "application/octet-stream")))]
async fn file(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id, path)): Ids<(TaskId, String)>,
    headers: HeaderMap,
    Query(query): Query<FileQuery>,
) -> Result<Response, ApiError> {
    let name = path.rsplit('/').next().unwrap_or("file").to_owned();
    let of = BytesOf::File { path, turn: query.turn };
    content(&headers, state.service.bytes(&caller, id, of).await?, "application/octet-stream", &name).await
}

/// The whole output of a call, where the event holds it cut.
#[utoipa::path(get, path = "/v1/tasks/{id}/outputs/{call}", tag = "tasks", operation_id = "get_output",
    params(("id" = TaskId, Path, description = "The task"), ("call" = CallId, Path, description = "The call")),
    responses((status = 200, description = "The output", body = Vec<u8>, content_type = "text/plain")))]
async fn output(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id, call)): Ids<(TaskId, CallId)>,
    headers: HeaderMap,
    Query(()): Query<()>,
) -> Result<Response, ApiError> {
    let name = format!("{call}.txt");
    let bytes = state.service.bytes(&caller, id, BytesOf::Output(call)).await?;
    content(&headers, bytes, "text/plain; charset=utf-8", &name).await
}

/// The whole log of a check's final run.
#[utoipa::path(get, path = "/v1/tasks/{id}/checks/{n}/log", tag = "tasks", operation_id = "get_check_log",
    params(
        ("id" = TaskId, Path, description = "The task"),
        ("n" = usize, Path, description = "The check's place in `result.checks`, from 0"),
    ),
    responses((status = 200, description = "The log", body = String, content_type = "text/plain")))]
async fn check_log(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id, index)): Ids<(TaskId, usize)>,
    headers: HeaderMap,
    Query(()): Query<()>,
) -> Result<Response, ApiError> {
    let name = format!("check-{index}.log");
    let bytes = state.service.bytes(&caller, id, BytesOf::CheckLog(index)).await?;
    content(&headers, bytes, "text/plain; charset=utf-8", &name).await
}

/// Bytes that a workspace made: never to be taken for a page of this site.
pub(super) async fn content(
    headers: &HeaderMap,
    content: Content,
    kind: &'static str,
    name: &str,
) -> Result<Response, ApiError> {
    let mut response = match content {
        Content::Bytes(bytes) => {
            let tag = reply::tag_of(&bytes);
            let mut response = if reply::has_tag(headers, &tag) {
                StatusCode::NOT_MODIFIED.into_response()
            } else {
                Response::new(Body::from(bytes))
            };
            if let Ok(tag) = HeaderValue::from_str(&tag) {
                response.headers_mut().insert(header::ETAG, tag);
            }
            response
        }
        Content::Object(object) => {
            let tag = format!("\"{}\"", object.hash.as_str());
            let mut response = if reply::has_tag(headers, &tag) {
                StatusCode::NOT_MODIFIED.into_response()
            } else {
                let pieces = object.stream().await.map_err(|error| {
                    tracing::error!(%error, "a content of the object store cannot be read");
                    ApiError::from(crate::service::unreadable(error))
                })?;
                let mut response = Response::new(Body::from_stream(pieces));
                response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(object.size));
                response
            };
            if let Ok(tag) = HeaderValue::from_str(&tag) {
                response.headers_mut().insert(header::ETAG, tag);
            }
            response
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    let safe: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{safe}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}
