//! The router with everything around it, and serving it.

use super::{
    ApiState, api_keys, approvals, body::JSON_BODY_BYTES_MAX, bytes, control, docs, error::ApiError, events, health,
    memories, openapi, request_id, tasks, team, uploads,
};
use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{StatusCode, Uri},
    middleware,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;

/// Every route with what the OpenAPI document says of it.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(openapi::head())
        .merge(tasks::routes())
        .merge(control::routes())
        .merge(events::routes())
        .merge(bytes::routes())
        .merge(approvals::routes())
        .merge(uploads::routes())
        .merge(memories::routes())
        .merge(api_keys::routes())
        .merge(team::routes())
        .merge(health::routes())
        .merge(docs::routes())
}

/// The whole of HTTP. `more` are routes of other rooms, such as the dashboard's; they get the same
/// ids, limits and handling of panics.
pub fn router(state: ApiState, more: Router) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        .route_layer(middleware::from_fn(request_id::name_route))
        .with_state(state)
        .merge(more)
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(JSON_BODY_BYTES_MAX))
        .layer(CatchPanicLayer::custom(request_id::panicked))
        .layer(middleware::from_fn(request_id::layer))
}

/// Serves until `draining`, then lets requests under way end.
pub async fn serve(listener: TcpListener, router: Router, draining: CancellationToken) -> std::io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(draining.cancelled_owned()).await
}

async fn no_route(_: Uri) -> ApiError {
    ApiError::not_found()
}

async fn wrong_method() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this path has other methods: see the header Allow",
    )
}
