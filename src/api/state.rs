//! What every handler may use.

use super::page::CursorKey;
use crate::{auth::Authenticator, events::Hub, service::Service, telemetry::Metrics};
use tokio_util::sync::CancellationToken;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct ApiState {
    pub(super) service: Service,
    pub(super) authenticator: Authenticator,
    pub(super) hub: Hub,
    pub(super) metrics: Metrics,
    pub(super) cursors: CursorKey,
    /// Cancelled once the process drains: nobody waits any longer, readiness is over.
    pub(super) draining: CancellationToken,
}

impl ApiState {
    /// `secret` must be the same on all replicas: cursors are signed with it.
    pub fn new(
        service: Service,
        authenticator: Authenticator,
        hub: Hub,
        metrics: Metrics,
        secret: &[u8; 32],
        draining: CancellationToken,
    ) -> Self {
        Self { service, authenticator, hub, metrics, cursors: CursorKey::new(secret), draining }
    }
}
