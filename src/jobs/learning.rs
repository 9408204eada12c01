//! The loop of a worker process that learns.

use super::claims::{Came, JobLoop, work_on};
use crate::{
    runner::{Learnt, Runner},
    shutdown::Shutdown,
    store::{Store, learnings},
};

/// Learns until the shutdown drains.
pub async fn learn(store: Store, runner: Runner, settings: JobLoop, shutdown: Shutdown) {
    work_on(store, learnings::JOB, settings, shutdown, move |job, lost| {
        let runner = runner.clone();
        async move {
            match runner.learn(job, lost).await {
                Learnt::Settled => Came::Settled,
                Learnt::Later(after) => Came::Later(after),
            }
        }
    })
    .await;
}
