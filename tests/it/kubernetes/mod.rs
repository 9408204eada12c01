//! Tests of workspaces as Pods: on an API server that is not as it should be, and on a real cluster.

#[cfg(feature = "kubernetes-cluster")]
mod cluster;
mod recording;
mod refusals;
mod replayed;
mod stand_in;
