//! `/v1/linked_accounts`: members' accounts at forges and trackers.

use super::{
    ApiState,
    body::{Body, Nothing, OptionalBody},
    caller::{Caller, IdempotencyKey, Ids},
    error::ApiError,
    page::{Page, Paging},
    query::{FromQuery, Pairs, Query},
    reply,
    wait::{self, Changes},
};
use crate::{
    domain::{LinkedAccountId, linked_account::LinkState},
    service::{LinkedAccountView, NewLinkedAccount},
};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(propose, list)).routes(routes!(get, delete)).routes(routes!(confirm))
}

struct LinksQuery {
    state: Option<LinkState>,
    paging: Paging,
}

impl FromQuery for LinksQuery {
    fn from_query(query: &mut Pairs) -> Self {
        let word: Option<String> = query.one("state");
        let state = word.as_deref().and_then(LinkState::parse);
        if word.is_some() && state.is_none() {
            query.error("state", "must be proposed or confirmed");
        }
        Self { state, paging: Paging::from_query(query) }
    }
}

/// Proposes that an account elsewhere is one's own, or for admins any member's. It means nothing until it is confirmed.
#[utoipa::path(post, path = "/v1/linked_accounts", tag = "accounts", operation_id = "propose_linked_account",
    request_body = NewLinkedAccount,
    responses((status = 201, description = "The proposal", body = LinkedAccountView)))]
async fn propose(
    State(state): State<ApiState>,
    caller: Caller,
    key: IdempotencyKey,
    body: Body<NewLinkedAccount>,
) -> Result<Response, ApiError> {
    let key = key.of(&body.canonical());
    Ok(state.service.propose_link(&caller, body.value, key.as_ref()).await?.into_response())
}

/// Linked accounts: one's own, of an admin the team's.
#[utoipa::path(get, path = "/v1/linked_accounts", tag = "accounts", operation_id = "list_linked_accounts",
    params(
        ("state" = Option<LinkState>, Query, description = "Only these"),
        ("limit" = Option<u32>, Query, description = "From 1 to 100, default 20", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page, newest first", body = Page<LinkedAccountView>)))]
async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    Query(query): Query<LinksQuery>,
) -> Result<Response, ApiError> {
    let (paging, only) = (query.paging, query.state);
    let name = format!("linked_accounts {} {} {}", caller.team, caller.user, only.map_or("", LinkState::as_str));
    let before = paging.position(&state.cursors, &name)?;
    let read = || {
        async {
            let rows = state.service.links(&caller, only, before, paging.rows()).await?;
            Ok(paging.page(&state.cursors, &name, rows, |row| row.id))
        }
        .boxed()
    };
    wait::list(&state, &caller, &headers, Changes::ByThemselves, read).await
}

/// A linked account.
#[utoipa::path(get, path = "/v1/linked_accounts/{id}", tag = "accounts", operation_id = "get_linked_account",
    params(("id" = LinkedAccountId, Path, description = "The linked account")),
    responses((status = 200, description = "The linked account", body = LinkedAccountView)))]
async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(LinkedAccountId,)>,
    headers: HeaderMap,
    Query(()): Query<()>,
) -> Result<Response, ApiError> {
    reply::tagged_value(&headers, &state.service.link(&caller, id).await?)
}

/// Confirms a link: what others proposed of oneself, or for admins any. It can be called again.
#[utoipa::path(post, path = "/v1/linked_accounts/{id}/confirm", tag = "accounts", operation_id = "confirm_linked_account",
    params(("id" = LinkedAccountId, Path, description = "The linked account")),
    request_body(content = Option<Nothing>),
    responses((status = 200, description = "The linked account", body = LinkedAccountView)))]
async fn confirm(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(LinkedAccountId,)>,
    OptionalBody { value: Nothing {}, .. }: OptionalBody<Nothing>,
) -> Result<Response, ApiError> {
    reply::value(StatusCode::OK, &state.service.confirm_link(&caller, id).await?)
}

/// Deletes a link, or turns a proposal down.
#[utoipa::path(delete, path = "/v1/linked_accounts/{id}", tag = "accounts", operation_id = "delete_linked_account",
    params(("id" = LinkedAccountId, Path, description = "The linked account")),
    responses((status = 204, description = "It is gone")))]
async fn delete(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(LinkedAccountId,)>,
) -> Result<StatusCode, ApiError> {
    state.service.delete_link(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
