//! Approvals: of a task, of the team, and deciding one.

use super::{
    ApiState,
    body::Body,
    caller::{Caller, IdempotencyKey, Ids},
    error::{ApiError, Problem},
    page::{Page, Paging},
    query::{FromQuery, Pairs, Query},
    wait::{self, Changes},
};
use crate::{
    domain::{ApprovalId, TaskId},
    service::{ApprovalView, NewDecision},
};
use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use std::str::FromStr;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(of_task)).routes(routes!(of_team)).routes(routes!(decide))
}

/// The approvals that a task has asked for, oldest first.
#[utoipa::path(get, path = "/v1/tasks/{id}/approvals", tag = "approvals", operation_id = "list_task_approvals",
    params(
        ("id" = TaskId, Path, description = "The task"),
        ("limit" = Option<u32>, Query, description = "From 1 to 100, default 20", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page", body = Page<ApprovalView>)))]
async fn of_task(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(TaskId,)>,
    headers: HeaderMap,
    Query(paging): Query<Paging>,
) -> Result<Response, ApiError> {
    let name = format!("approvals {id}");
    let after = paging.position(&state.cursors, &name)?;
    let read = || {
        async {
            let rows = state.service.task_approvals(&caller, id, after, paging.rows()).await?;
            Ok(paging.page(&state.cursors, &name, rows, |row| row.approval.id))
        }
        .boxed()
    };
    wait::list(&state, &caller, &headers, Changes::WithTasks, read).await
}

/// Which approvals of a team are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Pending,
    All,
}

impl FromStr for Which {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "pending" => Ok(Self::Pending),
            "all" => Ok(Self::All),
            _ => Err("must be pending or all"),
        }
    }
}

struct TeamQuery {
    which: Which,
    paging: Paging,
}

impl FromQuery for TeamQuery {
    fn from_query(query: &mut Pairs) -> Self {
        Self { which: query.one("state").unwrap_or(Which::All), paging: Paging::from_query(query) }
    }
}

/// The team's approvals, oldest first.
#[utoipa::path(get, path = "/v1/approvals", tag = "approvals", operation_id = "list_approvals",
    params(
        ("state" = Option<String>, Query, description = "`pending`: only those that can still be decided; `all` (default)"),
        ("limit" = Option<u32>, Query, description = "From 1 to 100, default 20", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page", body = Page<ApprovalView>)))]
async fn of_team(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    Query(query): Query<TeamQuery>,
) -> Result<Response, ApiError> {
    let name = format!("approvals {} {:?}", caller.team, query.which);
    let after = query.paging.position(&state.cursors, &name)?;
    let pending = query.which == Which::Pending;
    let read = || {
        async {
            let rows = state.service.team_approvals(&caller, pending, after, query.paging.rows()).await?;
            Ok(query.paging.page(&state.cursors, &name, rows, |row| row.approval.id))
        }
        .boxed()
    };
    wait::list(&state, &caller, &headers, Changes::WithTasks, read).await
}

/// Decides an approval. The task goes on with it; an approved plan may come back edited.
#[utoipa::path(post, path = "/v1/tasks/{id}/approvals/{approval}", tag = "approvals", operation_id = "decide_approval",
    params(
        ("id" = TaskId, Path, description = "The task"),
        ("approval" = ApprovalId, Path, description = "The approval"),
    ),
    request_body = NewDecision,
    responses(
        (status = 200, description = "The approval as decided", body = ApprovalView),
        (status = 409, description = "It was decided before", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "Its deadline has passed", body = Problem, content_type = "application/problem+json"),
    ))]
async fn decide(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id, approval)): Ids<(TaskId, ApprovalId)>,
    key: IdempotencyKey,
    body: Body<NewDecision>,
) -> Result<Response, ApiError> {
    let key = key.of(&body.canonical());
    Ok(state.service.decide_approval(&caller, id, approval, body.value, key.as_ref()).await?.into_response())
}
