//! Sandboxes and the working copies in them; mirrors, object stores, checkpoints.
//!
//! A [`Sandboxes`] starts one sandbox per open task; a [`Workspace`] is the client of the execd that is the first process
//! in it. What a workspace says is hostile input. The server never runs git on, and never trusts, files that a workspace
//! can write.
//!
//! Start with [`sandbox`], then [`client`]; the limits that hold on this machine are told by [`Capabilities`].

mod backend;
pub mod base;
mod bubblewrap;
pub mod calls;
pub mod capabilities;
#[cfg(feature = "kubernetes")]
mod carried;
pub mod checkpoint;
pub mod client;
mod credential;
mod directories;
mod docker;
pub mod error;
mod git;
mod image_names;
mod index;
mod keeper;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod laid_out;
pub mod limits;
mod link;
mod materialize;
mod mirrors;
pub mod objects;
pub mod patch;
mod prepared;
mod ready;
mod relayed;
mod removal;
pub mod repository;
mod repository_error;
mod roll;
pub mod sandbox;
mod snapshot;
mod snapshot_format;
pub mod source;
pub mod tar;
mod throwaway;
pub mod tree;
mod trying;
mod upload;
mod walked;

pub use calls::*;
pub use capabilities::{Capabilities, Capability};
pub use client::{Connections, Workspace};
pub use docker::{DockerSettings, EngineAddress, Pull};
pub use error::WorkspaceError;
pub use git::version as git_version;
pub use image_names::ImagePrefix;
#[cfg(feature = "kubernetes")]
pub use kubernetes::{ImagePull, Isolation, KubernetesSettings, Toleration};
pub use laid_out::LaidOut;
pub use limits::{HEARTBEAT, SandboxLimits};
pub use mirrors::{FreshSettings, Refreshed};
pub use prepared::Prepared;
pub use ready::{PoolSettings, TakeSandbox, Taken};
pub use relayed::RelayedStream;
pub use removal::remove_tree;
pub use sandbox::{BackendSettings, OpenSandbox, SandboxSettings, Sandboxes, Swept, TaskDirectory};
pub use throwaway::{Throwaway, ThrowawayError};
