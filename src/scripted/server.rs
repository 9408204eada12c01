//! The HTTP side.

use super::Script;
use axum::{Router, routing::get};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The server ended by a fault of its listener.
#[derive(Debug, thiserror::Error)]
#[error("the scripted model server ended: {0}")]
pub struct ScriptedError(#[from] pub std::io::Error);

/// Plays `script` to whoever connects, until `shutdown` is cancelled.
pub async fn serve(script: Script, listener: TcpListener, shutdown: CancellationToken) -> Result<(), ScriptedError> {
    drop(script);
    let router = Router::new().route("/healthz", get(async || "ok"));
    axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).await?;
    Ok(())
}
