//! `/v1/api_keys`: made and shown once, listed, revoked.

use super::{
    ApiState,
    body::{Body, OptionalBody},
    caller::{Caller, IdempotencyKey, Ids},
    error::ApiError,
    page::{Page, Paging},
    query::Query,
    reply,
    wait::{self, Changes},
};
use crate::{
    domain::ApiKeyId,
    service::{ApiKeyCreated, ApiKeyRotation, ApiKeyView, NewApiKey},
};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, revoke)).routes(routes!(rotate))
}

/// Makes a key for oneself. Its text is in this answer alone.
#[utoipa::path(post, path = "/v1/api_keys", tag = "accounts", operation_id = "create_api_key",
    request_body = NewApiKey,
    responses((status = 201, description = "The key", body = ApiKeyCreated)))]
async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    key: IdempotencyKey,
    body: Body<NewApiKey>,
) -> Result<Response, ApiError> {
    let key = key.of(&body.canonical());
    Ok(state.service.create_api_key(&caller, body.value, key.as_ref()).await?.into_response())
}

/// Keys that are not revoked: one's own, of an admin the team's.
#[utoipa::path(get, path = "/v1/api_keys", tag = "accounts", operation_id = "list_api_keys",
    params(
        ("limit" = Option<u32>, Query, description = "From 1 to 100, default 20", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page, newest first", body = Page<ApiKeyView>)))]
async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    Query(paging): Query<Paging>,
) -> Result<Response, ApiError> {
    let name = format!("api_keys {} {}", caller.team, caller.user);
    let before = paging.position(&state.cursors, &name)?;
    let read = || {
        async {
            let rows = state.service.api_keys(&caller, before, paging.rows()).await?;
            Ok(paging.page(&state.cursors, &name, rows, |row| row.id))
        }
        .boxed()
    };
    wait::list(&state, &caller, &headers, Changes::ByThemselves, read).await
}

/// A key, without its text.
#[utoipa::path(get, path = "/v1/api_keys/{id}", tag = "accounts", operation_id = "get_api_key",
    params(("id" = ApiKeyId, Path, description = "The key")),
    responses((status = 200, description = "The key", body = ApiKeyView)))]
async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(ApiKeyId,)>,
    headers: HeaderMap,
    Query(()): Query<()>,
) -> Result<Response, ApiError> {
    reply::tagged_value(&headers, &state.service.api_key(&caller, id).await?)
}

/// Makes a key that follows one of one's own, with its name and scopes; the old one ends after `overlap_seconds`. The new
/// key's text is in this answer alone.
#[utoipa::path(post, path = "/v1/api_keys/{id}/rotate", tag = "accounts", operation_id = "rotate_api_key",
    params(("id" = ApiKeyId, Path, description = "The key")),
    request_body = ApiKeyRotation,
    responses((status = 201, description = "The new key", body = ApiKeyCreated)))]
async fn rotate(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(ApiKeyId,)>,
    key: IdempotencyKey,
    body: OptionalBody<ApiKeyRotation>,
) -> Result<Response, ApiError> {
    let key = key.of(&body.canonical());
    Ok(state.service.rotate_api_key(&caller, id, body.value, key.as_ref()).await?.into_response())
}

/// Revokes a key; it is refused at once here, within seconds by other replicas.
#[utoipa::path(delete, path = "/v1/api_keys/{id}", tag = "accounts", operation_id = "revoke_api_key",
    params(("id" = ApiKeyId, Path, description = "The key")),
    responses((status = 204, description = "It is revoked")))]
async fn revoke(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(ApiKeyId,)>,
) -> Result<StatusCode, ApiError> {
    state.service.revoke_api_key(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
