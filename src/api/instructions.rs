//! `/v1/instructions`: what a team tells the agent in every task, version by version.

use super::{
    ApiState,
    body::Body,
    caller::Caller,
    error::ApiError,
    page::{Page, Paging},
    query::{FromQuery, Pairs, Query},
    reply,
    wait::{self, Changes},
};
use crate::service::{InstructionsView, NewInstructions};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use futures::FutureExt;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(get, put)).routes(routes!(versions))
}

struct GetQuery {
    version: Option<u32>,
}

impl FromQuery for GetQuery {
    fn from_query(query: &mut Pairs) -> Self {
        Self { version: query.one("version") }
    }
}

/// The team's instructions: the newest version, or another by its number.
#[utoipa::path(get, path = "/v1/instructions", tag = "accounts", operation_id = "get_instructions",
    params(("version" = Option<u32>, Query, description = "Default: the newest")),
    responses((status = 200, description = "The instructions; version 0 where there are none yet",
        body = InstructionsView)))]
async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    Query(query): Query<GetQuery>,
) -> Result<Response, ApiError> {
    reply::tagged_value(&headers, &state.service.instructions(&caller, query.version).await?)
}

/// Writes the next version; for admins. Tasks that have begun keep the version that they began with.
#[utoipa::path(put, path = "/v1/instructions", tag = "accounts", operation_id = "set_instructions",
    request_body = NewInstructions,
    responses((status = 200, description = "The new version", body = InstructionsView)))]
async fn put(
    State(state): State<ApiState>,
    caller: Caller,
    Query(()): Query<()>,
    body: Body<NewInstructions>,
) -> Result<Response, ApiError> {
    reply::value(StatusCode::OK, &state.service.set_instructions(&caller, body.value).await?)
}

/// All versions.
#[utoipa::path(get, path = "/v1/instructions/versions", tag = "accounts", operation_id = "list_instruction_versions",
    params(
        ("limit" = Option<u32>, Query, description = "From 1 to 100, default 20", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page, newest first", body = Page<InstructionsView>)))]
async fn versions(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    Query(paging): Query<Paging>,
) -> Result<Response, ApiError> {
    let name = format!("instructions {}", caller.team);
    let before = paging.position(&state.cursors, &name)?;
    let read = || {
        async {
            let rows = state.service.instruction_versions(&caller, before, paging.rows()).await?;
            Ok(paging.page(&state.cursors, &name, rows, |row| row.version))
        }
        .boxed()
    };
    wait::list(&state, &caller, &headers, Changes::ByThemselves, read).await
}
