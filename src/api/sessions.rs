//! `/v1/sessions`: one's own browser sessions.

use super::{
    ApiState,
    caller::{Caller, Ids},
    error::ApiError,
    page::{Page, Paging},
    query::Query,
    reply,
};
use crate::{domain::SessionId, service::SessionView};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(end))
}

/// The browser sessions in which one is signed in.
#[utoipa::path(get, path = "/v1/sessions", tag = "accounts", operation_id = "list_sessions",
    params(
        ("limit" = Option<u32>, Query, description = "From 1 to 100, default 20", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page, newest first", body = Page<SessionView>)))]
async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    Query(paging): Query<Paging>,
) -> Result<Response, ApiError> {
    let name = format!("sessions {}", caller.user);
    let before: Option<SessionId> = paging.position(&state.cursors, &name)?;
    let rows = state.service.sessions(&caller, before, paging.rows()).await?;
    reply::tagged_value(&headers, &paging.page(&state.cursors, &name, rows, |row| row.id))
}

/// Ends one of one's own sessions, within seconds everywhere.
#[utoipa::path(delete, path = "/v1/sessions/{id}", tag = "accounts", operation_id = "end_session",
    params(("id" = SessionId, Path, description = "The session")),
    responses((status = 204, description = "It is over")))]
async fn end(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(SessionId,)>,
) -> Result<StatusCode, ApiError> {
    state.service.end_session(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
