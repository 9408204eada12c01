//! `/v1/teams` and `/v1/members`: who works together.

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
    domain::{TeamId, UserId},
    service::{MemberEdit, MemberView, NewMember, NewTeam, TeamEdit, TeamView},
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
        .routes(routes!(create_team, teams))
        .routes(routes!(team, edit_team, delete_team))
        .routes(routes!(add_member, members))
        .routes(routes!(member, edit_member, remove_member))
}

/// Makes a team; for operators of the instance.
#[utoipa::path(post, path = "/v1/teams", tag = "accounts", operation_id = "create_team",
    request_body = NewTeam,
    responses((status = 201, description = "The team", body = TeamView)))]
async fn create_team(
    State(state): State<ApiState>,
    caller: Caller,
    key: IdempotencyKey,
    body: Body<NewTeam>,
) -> Result<Response, ApiError> {
    let key = key.of(&body.canonical());
    Ok(state.service.create_team(&caller, body.value, key.as_ref()).await?.into_response())
}

/// The caller's team, alone in its list; for an operator of the instance all teams.
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
    let name = format!("teams {} {}", caller.team, caller.operator);
    let after: Option<TeamId> = paging.position(&state.cursors, &name)?;
    let rows = state.service.teams(&caller, after, paging.rows()).await?;
    reply::tagged_value(&headers, &paging.page(&state.cursors, &name, rows, |row| row.id))
}

/// The caller's team; for an operator of the instance any.
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
    reply::tagged_value(&headers, &state.service.team(&caller, id).await?)
}

/// Names a team anew and sets its limits; for its admins and for operators of the instance.
#[utoipa::path(patch, path = "/v1/teams/{id}", tag = "accounts", operation_id = "edit_team",
    params(("id" = TeamId, Path, description = "The team")),
    request_body = TeamEdit,
    responses((status = 200, description = "The team", body = TeamView)))]
async fn edit_team(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(TeamId,)>,
    body: Body<TeamEdit>,
) -> Result<Response, ApiError> {
    reply::value(StatusCode::OK, &state.service.edit_team(&caller, id, body.value).await?)
}

/// Deletes a team that has no tasks, with all that is its own; for operators of the instance, from another team.
#[utoipa::path(delete, path = "/v1/teams/{id}", tag = "accounts", operation_id = "delete_team",
    params(("id" = TeamId, Path, description = "The team")),
    responses((status = 204, description = "It is gone")))]
async fn delete_team(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(TeamId,)>,
) -> Result<StatusCode, ApiError> {
    state.service.delete_team(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a user a member of the caller's team; for admins. By `identity` also one who has not come yet.
#[utoipa::path(post, path = "/v1/members", tag = "accounts", operation_id = "add_member",
    request_body = NewMember,
    responses((status = 201, description = "The member", body = MemberView)))]
async fn add_member(
    State(state): State<ApiState>,
    caller: Caller,
    key: IdempotencyKey,
    body: Body<NewMember>,
) -> Result<Response, ApiError> {
    let key = key.of(&body.canonical());
    Ok(state.service.add_member(&caller, body.value, key.as_ref()).await?.into_response())
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

/// A member of the caller's team.
#[utoipa::path(get, path = "/v1/members/{user}", tag = "accounts", operation_id = "get_member",
    params(("user" = UserId, Path, description = "The member")),
    responses((status = 200, description = "The member", body = MemberView)))]
async fn member(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((user,)): Ids<(UserId,)>,
    headers: HeaderMap,
    Query(()): Query<()>,
) -> Result<Response, ApiError> {
    reply::tagged_value(&headers, &state.service.member(&caller, user).await?)
}

/// Gives a member another role, or other limits; for admins. A team keeps its last admin.
#[utoipa::path(patch, path = "/v1/members/{user}", tag = "accounts", operation_id = "edit_member",
    params(("user" = UserId, Path, description = "The member")),
    request_body = MemberEdit,
    responses((status = 200, description = "The member", body = MemberView)))]
async fn edit_member(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((user,)): Ids<(UserId,)>,
    body: Body<MemberEdit>,
) -> Result<Response, ApiError> {
    reply::value(StatusCode::OK, &state.service.edit_member(&caller, user, body.value).await?)
}

/// Removes a member; for admins. His keys of the team and his streams end within seconds, and his tasks there are
/// cancelled. Tokens and groups do not bring him back.
#[utoipa::path(delete, path = "/v1/members/{user}", tag = "accounts", operation_id = "remove_member",
    params(("user" = UserId, Path, description = "The member")),
    responses((status = 204, description = "He is a member no longer")))]
async fn remove_member(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((user,)): Ids<(UserId,)>,
) -> Result<StatusCode, ApiError> {
    state.service.remove_member(&caller, user).await?;
    Ok(StatusCode::NO_CONTENT)
}
