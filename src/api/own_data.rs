//! `/v1/me/export`: what is kept of oneself.

use super::{ApiState, caller::Caller, error::ApiError, query::Query, reply};
use axum::{body::Body, extract::State, response::Response};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(export))
}

/// All that the caller's team keeps of the caller, as a tar.gz that is written as it is read: profile, API keys without
/// their secrets, memories, feedback, decisions, entries of the audit log, what he did at trackers, usage, uploads, his tasks
/// with their events and patches, and what he wrote in tasks of others. What broke off is no whole gzip.
#[utoipa::path(get, path = "/v1/me/export", tag = "accounts", operation_id = "export_own_data",
    responses((status = 200, description = "The archive", body = Vec<u8>, content_type = "application/gzip")))]
async fn export(State(state): State<ApiState>, caller: Caller, Query(()): Query<()>) -> Result<Response, ApiError> {
    let pieces = state.service.export_own_data(&caller.principal).await?;
    Ok(reply::file("application/gzip", "journeyman-export.tar.gz", Body::from_stream(pieces)))
}
