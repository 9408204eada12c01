//! What every handler may use.

use super::page::CursorKey;
use crate::{auth::Authenticator, events::Hub, service::Service, telemetry::Metrics};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct ApiState {
    pub(super) service: Service,
    pub(super) authenticator: Authenticator,
    pub(super) hub: Hub,
    /// Absent where they have a listener of their own.
    pub(super) metrics: Option<Metrics>,
    pub(super) cursors: CursorKey,
    /// Cancelled once the process drains: nobody waits any longer, readiness is over.
    pub(super) draining: CancellationToken,
    /// One permit for each stream that may be open.
    pub(super) streams: Arc<Semaphore>,
}

/// Streams of one process, at most.
const STREAMS_MAX: usize = 20_000;

impl ApiState {
    /// `secret` must be the same on all replicas: cursors are signed with it.
    pub fn new(
        service: Service,
        authenticator: Authenticator,
        hub: Hub,
        metrics: Option<Metrics>,
        secret: &[u8; 32],
        draining: CancellationToken,
    ) -> Self {
        let streams = Arc::new(Semaphore::new(STREAMS_MAX));
        Self { service, authenticator, hub, metrics, cursors: CursorKey::new(secret), draining, streams }
    }
}
