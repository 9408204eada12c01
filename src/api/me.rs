//! `/v1/me` and `/v1/models`.

use super::{ApiState, caller::Caller, error::ApiError, page::Page, query::Query, reply};
use crate::service::{MeView, ModelView};
use axum::{extract::State, http::HeaderMap, response::Response};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(me)).routes(routes!(models))
}

/// Who one is, and what one may.
#[utoipa::path(get, path = "/v1/me", tag = "accounts", operation_id = "get_me",
    responses((status = 200, description = "The caller", body = MeView)))]
async fn me(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    Query(()): Query<()>,
) -> Result<Response, ApiError> {
    reply::tagged_value(&headers, &state.service.me(&caller).await?)
}

/// The models that tasks may name.
#[utoipa::path(get, path = "/v1/models", tag = "accounts", operation_id = "list_models",
    responses((status = 200, description = "All of them", body = Page<ModelView>)))]
async fn models(
    State(state): State<ApiState>,
    _: Caller,
    headers: HeaderMap,
    Query(()): Query<()>,
) -> Result<Response, ApiError> {
    reply::tagged_value(&headers, &Page { data: state.service.models().to_vec(), next_cursor: None })
}
