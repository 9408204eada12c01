//! `/v1/environments`: what a team's tasks find beside their repository, and its secrets, which go in and
//! never come out.

use super::{
    ApiState,
    body::Body,
    caller::{Caller, IdempotencyKey, Ids},
    error::ApiError,
    page::{Page, Paging},
    query::Query,
    reply,
    wait::{self, Changes},
};
use crate::{
    domain::EnvironmentId,
    service::{EnvironmentEdit, EnvironmentView, NewEnvironment, NewSecret, SecretView},
};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get, edit, delete))
        .routes(routes!(secrets))
        .routes(routes!(put_secret, delete_secret))
}

/// Makes an environment; for admins.
#[utoipa::path(post, path = "/v1/environments", tag = "environments", operation_id = "create_environment",
    request_body = NewEnvironment,
    responses((status = 201, description = "The environment", body = EnvironmentView)))]
async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    key: IdempotencyKey,
    body: Body<NewEnvironment>,
) -> Result<Response, ApiError> {
    let key = key.of(&body.canonical());
    Ok(state.service.create_environment(&caller, body.value, key.as_ref()).await?.into_response())
}

/// The team's environments.
#[utoipa::path(get, path = "/v1/environments", tag = "environments", operation_id = "list_environments",
    params(
        ("limit" = Option<u32>, Query, description = "From 1 to 100, default 20", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page, newest first", body = Page<EnvironmentView>)))]
async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    Query(paging): Query<Paging>,
) -> Result<Response, ApiError> {
    let name = format!("environments {}", caller.team);
    let before = paging.position(&state.cursors, &name)?;
    let read = || {
        async {
            let rows = state.service.environments(&caller, before, paging.rows()).await?;
            Ok(paging.page(&state.cursors, &name, rows, |row| row.id))
        }
        .boxed()
    };
    wait::list(&state, &caller, &headers, Changes::ByThemselves, read).await
}

/// An environment, without its secrets.
#[utoipa::path(get, path = "/v1/environments/{id}", tag = "environments", operation_id = "get_environment",
    params(("id" = EnvironmentId, Path, description = "The environment")),
    responses((status = 200, description = "The environment", body = EnvironmentView)))]
async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(EnvironmentId,)>,
    headers: HeaderMap,
    Query(()): Query<()>,
) -> Result<Response, ApiError> {
    reply::tagged_value(&headers, &state.service.environment(&caller, id).await?)
}

/// Changes what tasks find that are created from now on; for admins.
#[utoipa::path(patch, path = "/v1/environments/{id}", tag = "environments", operation_id = "edit_environment",
    params(("id" = EnvironmentId, Path, description = "The environment")),
    request_body = EnvironmentEdit,
    responses((status = 200, description = "The environment", body = EnvironmentView)))]
async fn edit(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(EnvironmentId,)>,
    body: Body<EnvironmentEdit>,
) -> Result<Response, ApiError> {
    reply::value(StatusCode::OK, &state.service.edit_environment(&caller, id, body.value).await?)
}

/// Deletes an environment with its secrets; for admins. Its tasks go on as it was.
#[utoipa::path(delete, path = "/v1/environments/{id}", tag = "environments", operation_id = "delete_environment",
    params(("id" = EnvironmentId, Path, description = "The environment")),
    responses((status = 204, description = "It is gone")))]
async fn delete(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(EnvironmentId,)>,
) -> Result<StatusCode, ApiError> {
    state.service.delete_environment(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Secrets by name, without their values.
#[utoipa::path(get, path = "/v1/environments/{id}/secrets", tag = "environments",
    operation_id = "list_environment_secrets",
    params(
        ("id" = EnvironmentId, Path, description = "The environment"),
        ("limit" = Option<u32>, Query, description = "From 1 to 100, default 20", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page, by name", body = Page<SecretView>)))]
async fn secrets(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(EnvironmentId,)>,
    headers: HeaderMap,
    Query(paging): Query<Paging>,
) -> Result<Response, ApiError> {
    let name = format!("environment secrets {} {id}", caller.team);
    let after: Option<String> = paging.position(&state.cursors, &name)?;
    let read = || {
        async {
            let rows = state.service.environment_secrets(&caller, id, after.as_deref(), paging.rows()).await?;
            Ok(paging.page(&state.cursors, &name, rows, |row| row.name.clone()))
        }
        .boxed()
    };
    wait::list(&state, &caller, &headers, Changes::ByThemselves, read).await
}

/// Sets a secret, in place of one of the same name; for admins.
#[utoipa::path(put, path = "/v1/environments/{id}/secrets/{name}", tag = "environments",
    operation_id = "set_environment_secret",
    params(
        ("id" = EnvironmentId, Path, description = "The environment"),
        ("name" = String, Path, description = "The variable's name: letters, digits and `_`"),
    ),
    request_body = NewSecret,
    responses((status = 204, description = "It is set")))]
async fn put_secret(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id, name)): Ids<(EnvironmentId, String)>,
    body: Body<NewSecret>,
) -> Result<StatusCode, ApiError> {
    state.service.put_environment_secret(&caller, id, &name, body.value).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a secret; for admins.
#[utoipa::path(delete, path = "/v1/environments/{id}/secrets/{name}", tag = "environments",
    operation_id = "delete_environment_secret",
    params(
        ("id" = EnvironmentId, Path, description = "The environment"),
        ("name" = String, Path, description = "The variable's name"),
    ),
    responses((status = 204, description = "It is gone")))]
async fn delete_secret(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id, name)): Ids<(EnvironmentId, String)>,
) -> Result<StatusCode, ApiError> {
    state.service.delete_environment_secret(&caller, id, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
