//! What publishes tasks' work, from settings.

use super::build::Parts;
use crate::{
    config::Settings,
    jobs::{self, JobLoop, Publisher, PublisherSettings},
    queue::Queue,
    runner::Failpoint,
    shutdown::Shutdown,
    workspace::repository::Signature,
};
use std::time::Duration;

/// How often a worker looks for something to publish, and how much it publishes at once; one whose hosts are slow leaves room
/// for others.
const POLL: Duration = Duration::from_millis(300);
const AT_ONCE: usize = 16;
const OF_USER: u32 = 4;

/// What people have asked to be published is done by every worker.
pub(super) fn start(
    settings: &Settings,
    parts: &Parts,
    queue: &Queue,
    shutdown: &Shutdown,
    failpoint: Option<Failpoint>,
) {
    let (replica, host) = queue.holder();
    let own =
        JobLoop { replica, host, at_once: AT_ONCE, of_user: OF_USER, lease_ttl: settings.worker.lease_ttl, poll: POLL };
    let set = &settings.publish;
    let publisher = Publisher::new(
        parts.store.clone(),
        parts.repositories.clone(),
        parts.blobs.clone(),
        parts.doors.forges(),
        PublisherSettings {
            signature: Signature { name: set.name.clone(), email: set.email.clone() },
            sign_off: set.sign_off,
            attempts: set.attempts,
            public_url: settings.http.public_url.as_ref().map(ToString::to_string),
        },
    );
    let publisher = publisher.failing_at(failpoint);
    let (store, stop) = (parts.store.clone(), shutdown.clone());
    shutdown.spawn(async move { jobs::publish(store, publisher, own, stop).await });
}
