//! A task as one file: out and in again.

use super::{
    ApiState, bytes,
    caller::{Caller, IdempotencyKey, Ids},
    error::{ApiError, Problem},
    query::{FromQuery, Pairs, Query},
    tasks::source_kind,
};
use crate::{
    domain::{
        TaskId,
        task::{Source, Task},
    },
    service::ARCHIVE_BYTES_MAX,
};
use axum::{
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt},
    routes,
};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(export)).routes(routes!(import).layer(DefaultBodyLimit::max(ARCHIVE_BYTES_MAX)))
}

struct ExportQuery {
    redact: bool,
}

impl FromQuery for ExportQuery {
    fn from_query(query: &mut Pairs) -> Self {
        Self { redact: query.one("redact").unwrap_or(false) }
    }
}

/// The task with its whole log and the contents that it names, as gzip of JSON lines. For admins and its
/// creator; of a fork, where the tasks that it comes from are there and the creator's own too. Contents that are
/// large are left out, and the file says which.
#[utoipa::path(get, path = "/v1/tasks/{id}/export", tag = "tasks", operation_id = "export_task",
    params(
        ("id" = TaskId, Path, description = "The task"),
        ("redact" = Option<bool>, Query,
            description = "Put as many placeholders for all that people, models, tools and files said, and leave contents out"),
    ),
    responses((status = 200, description = "The file", body = Vec<u8>, content_type = "application/gzip")))]
async fn export(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(TaskId,)>,
    headers: HeaderMap,
    Query(query): Query<ExportQuery>,
) -> Result<Response, ApiError> {
    let content = state.service.export_task(&caller, id, query.redact).await?;
    bytes::content(&headers, content, "application/gzip", &format!("task-{id}.jsonl.gz")).await
}

/// Makes a task of such a file, at most 64 MiB: a history that rests. It has no network, and goes on only where
/// its repository is one that tasks may have here.
#[utoipa::path(post, path = "/v1/tasks/import", tag = "tasks", operation_id = "import_task",
    request_body(content = Vec<u8>, content_type = "application/gzip"),
    responses(
        (status = 201, description = "The task", body = Task,
            headers(("Location" = String, description = "The task's path"))),
        (status = 422, description = "It is no such file; the detail names the line", body = Problem, content_type = "application/problem+json"),
    ))]
async fn import(
    State(state): State<ApiState>,
    caller: Caller,
    key: IdempotencyKey,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Response, ApiError> {
    let body = body.map_err(|_| ApiError::too_large(ARCHIVE_BYTES_MAX as u64))?;
    let key = key.of_hash(Sha256::digest(&body).into());
    let source = Source::of(source_kind(&headers));
    Ok(state.service.import_task(&caller, body, source, key.as_ref()).await?.into_response())
}
