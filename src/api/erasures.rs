//! `/v1/erasures`: users whose data goes, for operators of the instance.

use super::{
    ApiState,
    body::{Nothing, OptionalBody},
    caller::{Caller, Ids},
    error::ApiError,
    page::{Page, Paging},
    query::Query,
    reply,
    wait::{self, Changes},
};
use crate::{domain::UserId, service::keeping::ErasureView};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use futures::FutureExt;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(erase)).routes(routes!(list))
}

/// Ends a user's access at once, and lets all go that is his: tasks, memories, uploads, and his words in tasks of others. The
/// sums of what he used and the audit log stay. For operators of the instance; it can be called again.
#[utoipa::path(post, path = "/v1/users/{id}/erase", tag = "accounts", operation_id = "erase_user",
    params(("id" = UserId, Path, description = "The user")),
    request_body(content = Option<Nothing>),
    responses((status = 202, description = "How far it is", body = ErasureView)))]
async fn erase(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(UserId,)>,
    OptionalBody { value: Nothing {}, .. }: OptionalBody<Nothing>,
) -> Result<Response, ApiError> {
    reply::value(StatusCode::ACCEPTED, &state.service.erase_user(&caller, id).await?)
}

/// Erasures, newest first; for operators of the instance.
#[utoipa::path(get, path = "/v1/erasures", tag = "accounts", operation_id = "list_erasures",
    params(
        ("limit" = Option<u32>, Query, description = "From 1 to 100, default 20", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page", body = Page<ErasureView>)))]
async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    Query(paging): Query<Paging>,
) -> Result<Response, ApiError> {
    let before: Option<Uuid> = paging.position(&state.cursors, "erasures")?;
    let read = || {
        async {
            let rows = state.service.erasures(&caller, before, paging.rows()).await?;
            Ok(paging.page(&state.cursors, "erasures", rows, |row| row.id))
        }
        .boxed()
    };
    wait::list(&state, &caller, &headers, Changes::ByThemselves, read).await
}
