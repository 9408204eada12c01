//! `/v1/webhook_endpoints`: where a team has its events sent, and what was sent.

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
    domain::{WebhookDeliveryId, WebhookEndpointId, webhook::DeliveryState},
    service::webhooks::{
        NewWebhookEndpoint, WebhookDeliveryView, WebhookEndpointCreated, WebhookEndpointEdit, WebhookEndpointView,
        WebhookSecretView,
    },
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
        .routes(routes!(rotate))
        .routes(routes!(test))
        .routes(routes!(deliveries))
        .routes(routes!(redeliver))
}

/// Makes an endpoint; for admins. Its secret is in this answer alone.
#[utoipa::path(post, path = "/v1/webhook_endpoints", tag = "webhooks", operation_id = "create_webhook_endpoint",
    request_body = NewWebhookEndpoint,
    responses((status = 201, description = "The endpoint with its secret", body = WebhookEndpointCreated)))]
async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    key: IdempotencyKey,
    body: Body<NewWebhookEndpoint>,
) -> Result<Response, ApiError> {
    let key = key.of(&body.canonical());
    Ok(state.service.create_webhook_endpoint(&caller, body.value, key.as_ref()).await?.into_response())
}

/// The team's endpoints, without their secrets; for admins, as an address can be a secret.
#[utoipa::path(get, path = "/v1/webhook_endpoints", tag = "webhooks", operation_id = "list_webhook_endpoints",
    params(
        ("limit" = Option<u32>, Query, description = "From 1 to 100, default 20", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page, newest first", body = Page<WebhookEndpointView>)))]
async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    Query(paging): Query<Paging>,
) -> Result<Response, ApiError> {
    let name = format!("webhook_endpoints {}", caller.team);
    let before = paging.position(&state.cursors, &name)?;
    let read = || {
        async {
            let rows = state.service.webhook_endpoints(&caller, before, paging.rows()).await?;
            Ok(paging.page(&state.cursors, &name, rows, |row| row.id))
        }
        .boxed()
    };
    wait::list(&state, &caller, &headers, Changes::ByThemselves, read).await
}

/// An endpoint, without its secret; for admins.
#[utoipa::path(get, path = "/v1/webhook_endpoints/{id}", tag = "webhooks", operation_id = "get_webhook_endpoint",
    params(("id" = WebhookEndpointId, Path, description = "The endpoint")),
    responses((status = 200, description = "The endpoint", body = WebhookEndpointView)))]
async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(WebhookEndpointId,)>,
    headers: HeaderMap,
    Query(()): Query<()>,
) -> Result<Response, ApiError> {
    reply::tagged_value(&headers, &state.service.webhook_endpoint(&caller, id).await?)
}

/// Changes an endpoint, or enables it again; for admins.
#[utoipa::path(patch, path = "/v1/webhook_endpoints/{id}", tag = "webhooks", operation_id = "edit_webhook_endpoint",
    params(("id" = WebhookEndpointId, Path, description = "The endpoint")),
    request_body = WebhookEndpointEdit,
    responses((status = 200, description = "The endpoint", body = WebhookEndpointView)))]
async fn edit(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(WebhookEndpointId,)>,
    body: Body<WebhookEndpointEdit>,
) -> Result<Response, ApiError> {
    reply::value(StatusCode::OK, &state.service.edit_webhook_endpoint(&caller, id, body.value).await?)
}

/// Deletes an endpoint with what waits for it; for admins.
#[utoipa::path(delete, path = "/v1/webhook_endpoints/{id}", tag = "webhooks", operation_id = "delete_webhook_endpoint",
    params(("id" = WebhookEndpointId, Path, description = "The endpoint")),
    responses((status = 204, description = "It is gone")))]
async fn delete(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(WebhookEndpointId,)>,
) -> Result<StatusCode, ApiError> {
    state.service.delete_webhook_endpoint(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives an endpoint another secret, which is in this answer alone; the old one signs along for a day. For admins.
#[utoipa::path(post, path = "/v1/webhook_endpoints/{id}/rotate_secret", tag = "webhooks",
    operation_id = "rotate_webhook_secret",
    params(("id" = WebhookEndpointId, Path, description = "The endpoint")),
    request_body(content = Option<Nothing>),
    responses((status = 200, description = "The new secret", body = WebhookSecretView)))]
async fn rotate(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(WebhookEndpointId,)>,
    key: IdempotencyKey,
    body: OptionalBody<Nothing>,
) -> Result<Response, ApiError> {
    let Nothing {} = body.value;
    let key = key.of(&body.canonical());
    Ok(state.service.rotate_webhook_secret(&caller, id, key.as_ref()).await?.into_response())
}

/// Sends an endpoint an event of the type `webhook.test`; for admins.
#[utoipa::path(post, path = "/v1/webhook_endpoints/{id}/test", tag = "webhooks", operation_id = "test_webhook_endpoint",
    params(("id" = WebhookEndpointId, Path, description = "The endpoint")),
    request_body(content = Option<Nothing>),
    responses((status = 202, description = "What will be sent", body = WebhookDeliveryView)))]
async fn test(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(WebhookEndpointId,)>,
    key: IdempotencyKey,
    body: OptionalBody<Nothing>,
) -> Result<Response, ApiError> {
    let Nothing {} = body.value;
    let key = key.of(&body.canonical());
    Ok(state.service.test_webhook(&caller, id, key.as_ref()).await?.into_response())
}

/// Which deliveries are wanted.
#[derive(Clone, Debug)]
struct Wanted {
    state: Option<DeliveryState>,
    paging: Paging,
}

impl FromQuery for Wanted {
    fn from_query(query: &mut Pairs) -> Self {
        Self { state: query.one("state"), paging: Paging::from_query(query) }
    }
}

/// What was sent to an endpoint, or is to be; for admins.
#[utoipa::path(get, path = "/v1/webhook_endpoints/{id}/deliveries", tag = "webhooks",
    operation_id = "list_webhook_deliveries",
    params(
        ("id" = WebhookEndpointId, Path, description = "The endpoint"),
        ("state" = Option<DeliveryState>, Query, description = "Those alone"),
        ("limit" = Option<u32>, Query, description = "From 1 to 100, default 20", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page, newest first", body = Page<WebhookDeliveryView>)))]
async fn deliveries(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(WebhookEndpointId,)>,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Result<Response, ApiError> {
    let Wanted { state: which, paging } = wanted;
    let name = format!("webhook_deliveries {id} {}", which.map_or("", DeliveryState::as_str));
    let before = paging.position(&state.cursors, &name)?;
    let read = || {
        async {
            let rows = state.service.webhook_deliveries(&caller, id, which, before, paging.rows()).await?;
            Ok(paging.page(&state.cursors, &name, rows, |row| row.id))
        }
        .boxed()
    };
    wait::list(&state, &caller, &headers, Changes::ByThemselves, read).await
}

/// Sends a delivery again, under the same id and with the same bytes; for admins.
#[utoipa::path(post, path = "/v1/webhook_endpoints/{id}/deliveries/{delivery}/redeliver", tag = "webhooks",
    operation_id = "redeliver_webhook",
    params(
        ("id" = WebhookEndpointId, Path, description = "The endpoint"),
        ("delivery" = WebhookDeliveryId, Path, description = "The delivery"),
    ),
    request_body(content = Option<Nothing>),
    responses((status = 202, description = "The delivery", body = WebhookDeliveryView)))]
async fn redeliver(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id, delivery)): Ids<(WebhookEndpointId, WebhookDeliveryId)>,
    key: IdempotencyKey,
    body: OptionalBody<Nothing>,
) -> Result<Response, ApiError> {
    let Nothing {} = body.value;
    let key = key.of(&body.canonical());
    Ok(state.service.redeliver_webhook(&caller, id, delivery, key.as_ref()).await?.into_response())
}
