//! Every request gets an id of ours, which its answer and its log lines carry.

use super::{
    client_address::{self, Peer},
    error::ApiError,
};
use crate::{
    clock,
    service::audit::{self, Origin},
};
use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::{IntoResponse, Response},
};
use ipnet::IpNet;
use std::{any::Any, sync::Arc};
use tracing::Instrument;
use uuid::Uuid;

/// The header that carries the id back.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static REQUEST_ID: Uuid;
}

/// The id of the request that this task is answering; a new one outside of any.
pub(crate) fn current() -> Uuid {
    REQUEST_ID.try_with(|id| *id).unwrap_or_else(|_| clock::new_id())
}

/// Gives the request its id, a span and a place in the metrics; what is recorded of it says where it comes from.
pub(crate) async fn layer(State(trusted): State<Arc<[IpNet]>>, request: Request, next: Next) -> Response {
    let id: Uuid = clock::new_id();
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    let address = peer.map(|peer| client_address::of(peer, request.headers(), &trusted));
    let origin = Origin { address, request: Some(id) };
    let method = request.method().clone();
    let span =
        tracing::info_span!("request", request.id = %id, http.method = %method, http.path = request.uri().path());
    let started = tokio::time::Instant::now();
    let work = async {
        let mut response = next.run(request).await;
        let status = response.status();
        if status.is_server_error() {
            tracing::warn!(http.status = status.as_u16(), "answered with a server error");
        } else {
            tracing::debug!(http.status = status.as_u16(), "answered");
        }
        if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
            response.headers_mut().insert(HEADER, value);
        }
        response
    };
    let response = REQUEST_ID.scope(id, audit::within(origin, work.instrument(span))).await;
    let route = response.extensions().get::<RouteName>().map_or("none", |name| name.0.as_str()).to_owned();
    let status = response.status().as_u16().to_string();
    metrics::histogram!(
        "journeyman_http_request_seconds",
        "method" => method.as_str().to_owned(), "route" => route, "status" => status
    )
    .record(started.elapsed().as_secs_f64());
    response
}

/// The matched route's template, carried on the answer to the outermost layer: a metric's label
/// must not hold ids.
#[derive(Clone, Debug)]
pub(crate) struct RouteName(String);

/// Runs inside the router, where the matched route is known.
pub(crate) async fn name_route(request: Request, next: Next) -> Response {
    let name = request.extensions().get::<MatchedPath>().map(|path| RouteName(path.as_str().to_owned()));
    let mut response = next.run(request).await;
    if let Some(name) = name {
        response.extensions_mut().insert(name);
    }
    response
}

/// A panic is a bug: logged by the panic hook with its place, answered without detail.
#[expect(clippy::needless_pass_by_value, reason = "the panic layer hands the payload over")]
pub(crate) fn panicked(payload: Box<dyn Any + Send + 'static>) -> Response {
    let what = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&'static str>().copied())
        .unwrap_or("panic");
    tracing::error!(panic = what, "a request handler panicked");
    ApiError::internal().into_response()
}
