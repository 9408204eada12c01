//! What answers at trackers, from settings.

use super::build::Parts;
use crate::{
    config::Settings,
    jobs::{AnswerSettings, Answerer},
    runner::Failpoint,
    service::Service,
    shutdown::Shutdown,
};
use std::net::SocketAddr;

/// Answers where the API is served: what trackers ask for is done there.
pub(super) fn start(
    settings: &Settings,
    parts: &Parts,
    (service, bound): (Service, SocketAddr),
    shutdown: &Shutdown,
    failpoint: Option<Failpoint>,
) {
    let own = AnswerSettings {
        public_url: settings.http.public_url.as_ref().map_or_else(|| format!("http://{bound}"), ToString::to_string),
        lease: settings.worker.lease_ttl,
    };
    let answerer = Answerer::new(parts.store.clone(), service, parts.doors.voices(), own).failing_at(failpoint);
    let stop = shutdown.clone();
    shutdown.spawn(async move { answerer.run(stop).await });
}
