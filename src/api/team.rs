//! `/v1/me`, `/v1/teams`, `/v1/members`, `/v1/models`.

use super::{
    ApiState,
    caller::{Caller, Ids},
    error::ApiError,
    page::{Page, Paging},
    query::Query,
    reply,
    wait::{self, Changes},
};
use crate::{
    domain::TeamId,
    service::{self, MeView, MemberView, ModelView, TeamView},
};
use axum::{extract::State, http::HeaderMap, response::Response};
use futures::FutureExt;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(me))
        .routes(routes!(teams))
        .routes(routes!(team))
        .routes(routes!(members))
        .routes(routes!(models))
}

/// Who one is, and what one may.
#[utoipa::path(get, path = "/v1/me", tag = "accounts", operation_id = "get_me",
    responses((status = 200, description = "The caller", body = MeView)))]
async fn me(caller: Caller, headers: HeaderMap, Query(()): Query<()>) -> Result<Response, ApiError> {
    reply::tagged_value(&headers, &service::me(&caller))
}

/// The caller's team, alone in its list.
#[utoipa::path(get, path = "/v1/teams", tag = "accounts", operation_id = "list_teams",
    params(
        ("limit" = Option<u32>, Query, description = "From 1 to 100, default 20", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page", body = Page<TeamView>)))]
async fn teams(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    Query(paging): Query<Paging>,
) -> Result<Response, ApiError> {
    let name = format!("teams {}", caller.team);
    let after: Option<TeamId> = paging.position(&state.cursors, &name)?;
    let data = if after.is_some() { Vec::new() } else { vec![state.service.team(&caller).await?] };
    reply::tagged_value(&headers, &Page { data, next_cursor: None })
}

/// The caller's team.
#[utoipa::path(get, path = "/v1/teams/{id}", tag = "accounts", operation_id = "get_team",
    params(("id" = TeamId, Path, description = "The team")),
    responses((status = 200, description = "The team", body = TeamView)))]
async fn team(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(TeamId,)>,
    headers: HeaderMap,
    Query(()): Query<()>,
) -> Result<Response, ApiError> {
    if id != caller.team {
        return Err(ApiError::not_found());
    }
    reply::tagged_value(&headers, &state.service.team(&caller).await?)
}

/// The members of the caller's team.
#[utoipa::path(get, path = "/v1/members", tag = "accounts", operation_id = "list_members",
    params(
        ("limit" = Option<u32>, Query, description = "From 1 to 100, default 20", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page", body = Page<MemberView>)))]
async fn members(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    Query(paging): Query<Paging>,
) -> Result<Response, ApiError> {
    let name = format!("members {}", caller.team);
    let after = paging.position(&state.cursors, &name)?;
    let read = || {
        async {
            let rows = state.service.members(&caller, after, paging.rows()).await?;
            Ok(paging.page(&state.cursors, &name, rows, |row| row.user.id))
        }
        .boxed()
    };
    wait::list(&state, &caller, &headers, Changes::ByThemselves, read).await
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
