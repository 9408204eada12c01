//! Tests of workspaces in containers, by a real engine that they start themselves.

mod containers;
mod engines;
mod images;
mod podman;
mod runtimes;
mod shared_user;
mod tasks;
mod tls;
