//! `/healthz`, `/readyz`, `/metrics`: for machines that watch over this one; no key needed.

use super::{ApiState, error::ApiError};
use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz)).routes(routes!(metrics))
}

fn text(body: impl Into<String>) -> Response {
    let mut response = body.into().into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The process is alive.
#[utoipa::path(get, path = "/healthz", tag = "operation", operation_id = "healthz", security(()),
    responses((status = 200, description = "`ok`", body = String, content_type = "text/plain")))]
async fn healthz() -> Response {
    text("ok\n")
}

/// The process takes requests: its database can be reached, is migrated, and no shutdown has
/// begun.
#[utoipa::path(get, path = "/readyz", tag = "operation", operation_id = "readyz", security(()),
    responses((status = 200, description = "`ready`", body = String, content_type = "text/plain")))]
async fn readyz(State(state): State<ApiState>) -> Result<Response, ApiError> {
    if state.draining.is_cancelled() {
        return Err(ApiError::unavailable("the process is shutting down", 5));
    }
    state.service.ready().await.map_err(|error| {
        tracing::warn!(%error, "not ready");
        ApiError::unavailable("the database cannot be reached or is not migrated", 2)
    })?;
    Ok(text("ready\n"))
}

/// Counters and histograms in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "operation", operation_id = "metrics", security(()),
    responses((status = 200, description = "Prometheus text", body = String, content_type = "text/plain")))]
async fn metrics(State(state): State<ApiState>) -> Response {
    let mut response = text(state.metrics.render());
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    response
}
