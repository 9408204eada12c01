//! On a real cluster, which the tests start themselves; `scripts/test-kubernetes.sh` runs them.

mod attacks;
mod mends;
mod pods;
mod recorded;
mod tasks;

use crate::{
    backends::sandboxes,
    support::{
        cluster::{self, Cluster},
        sandbox::Copy,
    },
};
use journeyman::workspace::Workspace;

/// An empty working copy and its open workspace.
async fn open(image: &str) -> (&'static Cluster, Copy, Workspace) {
    let cluster = cluster::shared().await;
    let (copy, workspace) = sandboxes::open(cluster, image).await;
    (cluster, copy, workspace)
}
