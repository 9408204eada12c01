//! The router with everything around it, and serving it.

use super::{
    ApiState, api_keys, approvals, archives, audit_log, body::JSON_BODY_BYTES_MAX, bytes, client_address::Peer,
    control, docs, environments, erasures, error::ApiError, events, git_credentials, health, hooks, instructions,
    integrations, linked_accounts, login, me, memories, openapi, own_data, rate_limits, request_id, sessions, tasks,
    teams, uploads, usage, users, webhooks,
};
use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{Request, StatusCode, Uri},
    middleware,
    response::Response,
};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, net::IpAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tower::{ServiceExt, util::Oneshot};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;

/// Every route with what the OpenAPI document says of it.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(openapi::head())
        .merge(tasks::routes())
        .merge(control::routes())
        .merge(events::routes())
        .merge(bytes::routes())
        .merge(archives::routes())
        .merge(approvals::routes())
        .merge(uploads::routes())
        .merge(memories::routes())
        .merge(environments::routes())
        .merge(git_credentials::routes())
        .merge(webhooks::routes())
        .merge(integrations::routes())
        .merge(hooks::routes())
        .merge(api_keys::routes())
        .merge(me::routes())
        .merge(teams::routes())
        .merge(users::routes())
        .merge(linked_accounts::routes())
        .merge(sessions::routes())
        .merge(login::routes())
        .merge(erasures::routes())
        .merge(own_data::routes())
        .merge(instructions::routes())
        .merge(usage::routes())
        .merge(audit_log::routes())
        .merge(health::routes())
        .merge(docs::routes())
}

/// The whole of HTTP. `more` are routes of other rooms, such as the dashboard's; they get the same
/// ids, limits and handling of panics.
pub fn router(state: ApiState, more: Router) -> Router {
    let (router, _) = routes().split_for_parts();
    let trusted = Arc::clone(&state.trusted_proxies);
    router
        .route_layer(middleware::from_fn_with_state(state.service.clone(), audit_log::refused))
        .route_layer(middleware::from_fn(request_id::name_route))
        .route_layer(middleware::from_fn(rate_limits::layer))
        .with_state(state)
        .merge(more)
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(JSON_BODY_BYTES_MAX))
        .layer(CatchPanicLayer::custom(request_id::panicked))
        .layer(middleware::from_fn_with_state(trusted, request_id::layer))
}

/// How long a client may take for a request's head, and rest between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// Connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 25_000;

/// After a failed accept, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `draining`, then lets requests under way end. Dropped, it cuts them.
pub async fn serve(listener: TcpListener, router: Router, draining: CancellationToken) -> std::io::Result<()> {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let mut connections = JoinSet::new();
    loop {
        let (stream, from) = tokio::select! {
            biased;
            () = draining.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        // Events go out at once; a socket that cannot be told so works all the same.
        let _ = stream.set_nodelay(true);
        let service = FromPeer { router: router.clone(), peer: from.ip() };
        let connection = http.serve_connection(TokioIo::new(stream), service);
        connections.spawn(one_connection(connection.with_upgrades(), draining.clone()));
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// The router for the requests of one connection, which carry the address of its other end.
#[derive(Clone)]
struct FromPeer {
    router: Router,
    peer: IpAddr,
}

impl hyper::service::Service<Request<Incoming>> for FromPeer {
    type Response = Response;
    type Error = Infallible;
    type Future = Oneshot<Router, Request<Incoming>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(Peer(self.peer));
        self.router.clone().oneshot(request)
    }
}

/// Until the client goes or, after `draining`, the request under way has been answered.
async fn one_connection(
    connection: http1::UpgradeableConnection<TokioIo<TcpStream>, FromPeer>,
    draining: CancellationToken,
) {
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = draining.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended badly");
    }
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
