//! `/v1/integrations`: issue trackers whose issues become tasks, and what they have told. Secrets go in and never come out.

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
    domain::{DeliveryId, IntegrationId, integration::DeliveryState},
    service::trackers::{DeliveryView, IntegrationEdit, IntegrationView, NewIntegration},
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
        .routes(routes!(deliveries))
        .routes(routes!(replay))
}

/// Makes an integration; for admins. Its `hook_url` is what the tracker is given.
#[utoipa::path(post, path = "/v1/integrations", tag = "integrations", operation_id = "create_integration",
    request_body = NewIntegration,
    responses((status = 201, description = "The integration, without its secrets", body = IntegrationView)))]
async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    key: IdempotencyKey,
    body: Body<NewIntegration>,
) -> Result<Response, ApiError> {
    let key = key.of_hash(state.service.fingerprint(&body.canonical()));
    Ok(state.service.create_integration(&caller, body.value, key.as_ref()).await?.into_response())
}

/// The team's integrations, without their secrets.
#[utoipa::path(get, path = "/v1/integrations", tag = "integrations", operation_id = "list_integrations",
    params(
        ("limit" = Option<u32>, Query, description = "From 1 to 100, default 20", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page, newest first", body = Page<IntegrationView>)))]
async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    Query(paging): Query<Paging>,
) -> Result<Response, ApiError> {
    let name = format!("integrations {}", caller.team);
    let before = paging.position(&state.cursors, &name)?;
    let read = || {
        async {
            let rows = state.service.integrations(&caller, before, paging.rows()).await?;
            Ok(paging.page(&state.cursors, &name, rows, |row| row.id))
        }
        .boxed()
    };
    wait::list(&state, &caller, &headers, Changes::ByThemselves, read).await
}

/// An integration, without its secrets.
#[utoipa::path(get, path = "/v1/integrations/{id}", tag = "integrations", operation_id = "get_integration",
    params(("id" = IntegrationId, Path, description = "The integration")),
    responses((status = 200, description = "The integration", body = IntegrationView)))]
async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(IntegrationId,)>,
    headers: HeaderMap,
    Query(()): Query<()>,
) -> Result<Response, ApiError> {
    reply::tagged_value(&headers, &state.service.integration(&caller, id).await?)
}

/// Changes an integration; for admins. A new secret follows the one before, which is believed for 24 hours more. Another
/// `base_url` needs the token again.
#[utoipa::path(patch, path = "/v1/integrations/{id}", tag = "integrations", operation_id = "edit_integration",
    params(("id" = IntegrationId, Path, description = "The integration")),
    request_body = IntegrationEdit,
    responses((status = 200, description = "The integration, without its secrets", body = IntegrationView)))]
async fn edit(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(IntegrationId,)>,
    body: Body<IntegrationEdit>,
) -> Result<Response, ApiError> {
    reply::value(StatusCode::OK, &state.service.edit_integration(&caller, id, body.value).await?)
}

/// Deletes an integration with what came by it; for admins. Its tasks stay.
#[utoipa::path(delete, path = "/v1/integrations/{id}", tag = "integrations", operation_id = "delete_integration",
    params(("id" = IntegrationId, Path, description = "The integration")),
    responses((status = 204, description = "It is gone")))]
async fn delete(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(IntegrationId,)>,
) -> Result<StatusCode, ApiError> {
    state.service.delete_integration(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

struct DeliveriesQuery {
    state: Option<DeliveryState>,
    paging: Paging,
}

impl FromQuery for DeliveriesQuery {
    fn from_query(query: &mut Pairs) -> Self {
        let word: Option<String> = query.one("state");
        let state = word.as_deref().and_then(DeliveryState::parse);
        if word.is_some() && state.is_none() {
            query.error("state", "must be waiting, done, ignored or failed");
        }
        Self { state, paging: Paging::from_query(query) }
    }
}

/// What a tracker has told, and what became of each; for admins. Kept for 30 days, what asked for nothing for 7.
#[utoipa::path(get, path = "/v1/integrations/{id}/deliveries", tag = "integrations", operation_id = "list_deliveries",
    params(
        ("id" = IntegrationId, Path, description = "The integration"),
        ("state" = Option<DeliveryState>, Query, description = "Only these"),
        ("limit" = Option<u32>, Query, description = "From 1 to 100, default 20", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page, newest first", body = Page<DeliveryView>)))]
async fn deliveries(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(IntegrationId,)>,
    headers: HeaderMap,
    Query(query): Query<DeliveriesQuery>,
) -> Result<Response, ApiError> {
    let (paging, only) = (query.paging, query.state);
    let name = format!("deliveries {} {id} {}", caller.team, only.map_or("", DeliveryState::as_str));
    let before = paging.position(&state.cursors, &name)?;
    let read = || {
        async {
            let rows = state.service.deliveries(&caller, id, only, before, paging.rows()).await?;
            Ok(paging.page(&state.cursors, &name, rows, |row| row.id))
        }
        .boxed()
    };
    wait::list(&state, &caller, &headers, Changes::ByThemselves, read).await
}

/// Has a delivery worked off again, by the rules as they are now; for admins.
#[utoipa::path(post, path = "/v1/integrations/{id}/deliveries/{delivery}/replay", tag = "integrations",
    operation_id = "replay_delivery",
    params(
        ("id" = IntegrationId, Path, description = "The integration"),
        ("delivery" = DeliveryId, Path, description = "The delivery"),
    ),
    request_body(content = Option<Nothing>),
    responses((status = 202, description = "The delivery, waiting", body = DeliveryView)))]
async fn replay(
    State(state): State<ApiState>,
    caller: Caller,
    key: IdempotencyKey,
    Ids((id, delivery)): Ids<(IntegrationId, DeliveryId)>,
    body: OptionalBody<Nothing>,
) -> Result<Response, ApiError> {
    let Nothing {} = body.value;
    let key = key.of(&body.canonical());
    let answer = state.service.replay_delivery(&caller, id, delivery, key.as_ref()).await?;
    state.service.deliveries_come().notify_one();
    Ok(answer.into_response())
}
