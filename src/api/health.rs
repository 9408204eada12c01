//! `/healthz`, `/readyz`, `/metrics`: for machines that watch over this one; no key needed.

use super::{ApiState, error::ApiError};
use crate::telemetry::Metrics;
use axum::{
    Router,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use std::time::Duration;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz)).routes(routes!(metrics))
}

/// A database that takes longer is of no use to requests either.
const READY_WITHIN: Duration = Duration::from_secs(3);

/// What a listener of its own serves: `/metrics`, and `/healthz` for a process that serves nothing else.
pub fn metrics_router(metrics: Metrics) -> Router {
    Router::new().route("/healthz", get(healthz)).route("/metrics", get(move || async move { rendered(&metrics) }))
}

fn rendered(metrics: &Metrics) -> Response {
    let mut response = text(metrics.render());
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    response
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
    let unready = |why: &dyn std::fmt::Display| {
        tracing::warn!("not ready: {why}");
        ApiError::unavailable("the database cannot be reached or is not migrated", 2)
    };
    match tokio::time::timeout(READY_WITHIN, state.service.ready()).await {
        Ok(Ok(())) => Ok(text("ready\n")),
        Ok(Err(error)) => Err(unready(&error)),
        Err(_) => Err(unready(&"the database does not answer")),
    }
}

/// Counters and histograms in Prometheus' text format; 404 where they have a listener of their own.
#[utoipa::path(get, path = "/metrics", tag = "operation", operation_id = "metrics", security(()),
    responses((status = 200, description = "Prometheus text", body = String, content_type = "text/plain")))]
async fn metrics(State(state): State<ApiState>) -> Result<Response, ApiError> {
    state.metrics.as_ref().map(rendered).ok_or_else(ApiError::not_found)
}
