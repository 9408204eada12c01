//! What every handler may use.

use super::{
    login::Login,
    page::CursorKey,
    rate_limits::{RateLimits, Rates},
    streams::Streams,
};
use crate::{auth::Authenticator, events::Hub, service::Service, telemetry::Metrics};
use ipnet::IpNet;
use std::sync::Arc;
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
    pub(super) streams: Streams,
    pub(super) rate_limits: RateLimits,
    /// Whose word on a caller's address is believed.
    pub(super) trusted_proxies: Arc<[IpNet]>,
    /// Absent: nobody signs in with a browser.
    pub(super) login: Option<Login>,
}

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
        Self {
            service,
            authenticator,
            hub,
            metrics,
            cursors: CursorKey::new(secret),
            draining,
            streams: Streams::new(),
            rate_limits: RateLimits::default(),
            trusted_proxies: Arc::from([]),
            login: None,
        }
    }

    /// Holds each caller to these rates, and each user to so many open streams.
    #[must_use]
    pub fn limiting(mut self, rates: Rates, streams_per_user: usize) -> Self {
        self.rate_limits = RateLimits::new(rates);
        self.streams = Streams::of_user(streams_per_user);
        self
    }

    /// Lets people sign in with a browser.
    #[must_use]
    pub fn with_login(mut self, login: Option<Login>) -> Self {
        self.login = login;
        self
    }

    /// Believes what these proxies say of where a request comes from.
    #[must_use]
    pub fn trusting(mut self, proxies: &[IpNet]) -> Self {
        self.trusted_proxies = proxies.into();
        self
    }
}
