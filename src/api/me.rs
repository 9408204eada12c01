//! `/v1/me` and `/v1/models`.

use super::{
    ApiState,
    caller::Caller,
    error::ApiError,
    page::{Page, Paging},
    query::Query,
    reply,
};
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
    params(
        ("limit" = Option<u32>, Query, description = "From 1 to 100, default 20", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page", body = Page<ModelView>)))]
async fn models(
    State(state): State<ApiState>,
    _: Caller,
    headers: HeaderMap,
    Query(paging): Query<Paging>,
) -> Result<Response, ApiError> {
    let after: Option<String> = paging.position(&state.cursors, "models")?;
    let all = state.service.models();
    let first = after.map_or(0, |after| all.iter().take_while(|model| model.name != after).count() + 1);
    let rows = all.iter().skip(first).take(paging.rows() as usize).cloned().collect();
    reply::tagged_value(&headers, &paging.page(&state.cursors, "models", rows, |model| model.name.clone()))
}
