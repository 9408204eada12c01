//! `/v1/users`: everybody whom the instance knows, for its operators.

use super::{
    ApiState,
    body::{Nothing, OptionalBody},
    caller::{Caller, Ids},
    error::ApiError,
    page::{Page, Paging},
    query::Query,
    reply,
};
use crate::{domain::UserId, service::UserView};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(users))
        .routes(routes!(user))
        .routes(routes!(deactivate))
        .routes(routes!(reactivate))
}

/// The users of the instance; for its operators.
#[utoipa::path(get, path = "/v1/users", tag = "accounts", operation_id = "list_users",
    params(
        ("limit" = Option<u32>, Query, description = "From 1 to 100, default 20", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page", body = Page<UserView>)))]
async fn users(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    Query(paging): Query<Paging>,
) -> Result<Response, ApiError> {
    let after: Option<UserId> = paging.position(&state.cursors, "users")?;
    let rows = state.service.users_of_instance(&caller, after, paging.rows()).await?;
    reply::tagged_value(&headers, &paging.page(&state.cursors, "users", rows, |row| row.id))
}

/// A user of the instance; for its operators.
#[utoipa::path(get, path = "/v1/users/{id}", tag = "accounts", operation_id = "get_user",
    params(("id" = UserId, Path, description = "The user")),
    responses((status = 200, description = "The user", body = UserView)))]
async fn user(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(UserId,)>,
    headers: HeaderMap,
    Query(()): Query<()>,
) -> Result<Response, ApiError> {
    reply::tagged_value(&headers, &state.service.user_of_instance(&caller, id).await?)
}

/// Ends a user's keys, sessions, tokens and streams within seconds everywhere, and cancels his tasks; for operators of the
/// instance. It can be called again.
#[utoipa::path(post, path = "/v1/users/{id}/deactivate", tag = "accounts", operation_id = "deactivate_user",
    params(("id" = UserId, Path, description = "The user")),
    request_body(content = Option<Nothing>),
    responses((status = 200, description = "The user", body = UserView)))]
async fn deactivate(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(UserId,)>,
    OptionalBody { value: Nothing {}, .. }: OptionalBody<Nothing>,
) -> Result<Response, ApiError> {
    reply::value(StatusCode::OK, &state.service.deactivate_user(&caller, id).await?)
}

/// Lets a user in again; for operators of the instance. The keys and sessions that he had stay ended.
#[utoipa::path(post, path = "/v1/users/{id}/reactivate", tag = "accounts", operation_id = "reactivate_user",
    params(("id" = UserId, Path, description = "The user")),
    request_body(content = Option<Nothing>),
    responses((status = 200, description = "The user", body = UserView)))]
async fn reactivate(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(UserId,)>,
    OptionalBody { value: Nothing {}, .. }: OptionalBody<Nothing>,
) -> Result<Response, ApiError> {
    reply::value(StatusCode::OK, &state.service.reactivate_user(&caller, id).await?)
}
