//! `/v1/hooks`: where trackers send what happens. No key: a request is known by the integration's secret.

use super::{
    ApiState, body,
    caller::Ids,
    error::{ApiError, Problem},
    reply,
};
use crate::{domain::IntegrationId, service::trackers::DeliveryAnswer};
use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Bytes of what a tracker sends, at most. Payloads of issues and comments have some tens of KiB.
const BODY_BYTES_MAX: usize = 5 << 20;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(deliver))
}

/// Takes in what a tracker sends, at most 5 MiB, signed as the tracker signs. Which tracker it is says the integration. Done is
/// what it asks for later. A hook that does not exist is answered as a wrong signature is.
#[utoipa::path(post, path = "/v1/hooks/{id}", tag = "integrations", operation_id = "deliver", security(()),
    params(("id" = IntegrationId, Path, description = "The integration")),
    request_body(content = Vec<u8>, content_type = "application/json"),
    responses(
        (status = 202, description = "It is new, and will be worked off", body = DeliveryAnswer),
        (status = 200, description = "It was known, or it asks for nothing: `reason` says what", body = DeliveryAnswer),
        (status = 401, description = "It is not signed with the secret of an integration that has this hook", body = Problem,
            content_type = "application/problem+json"),
    ))]
async fn deliver(
    State(state): State<ApiState>,
    Ids((id,)): Ids<(IntegrationId,)>,
    request: Request,
) -> Result<Response, ApiError> {
    let headers = request.headers().clone();
    let body = body::raw(request, BODY_BYTES_MAX).await?;
    let Some(answer) = state.service.take_delivery(id, &headers, &body).await? else {
        let detail = "the request is not signed with the secret of an integration that has this hook";
        return Err(ApiError::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail));
    };
    let status = if answer.is_new() { StatusCode::ACCEPTED } else { StatusCode::OK };
    reply::value(status, &answer)
}
