//! Sandboxes and the working copies in them; mirrors, object stores, checkpoints.
//!
//! A [`Sandboxes`] starts one sandbox per open task; a [`Workspace`] is the client of the execd
//! that is the first process in it. What a workspace says is hostile input. The server never
//! runs git on, and never trusts, files that a workspace can write.
//!
//! Start with [`sandbox`], then [`client`]; the limits that hold on this machine are told by
//! [`Capabilities`].

pub mod calls;
pub mod capabilities;
pub mod client;
pub mod error;
pub mod limits;
pub mod objects;
pub mod repository;
pub mod sandbox;
pub mod source;

pub use calls::*;
pub use capabilities::{Capabilities, Capability};
pub use client::Workspace;
pub use error::WorkspaceError;
pub use limits::SandboxLimits;
pub use sandbox::{OpenSandbox, SandboxSettings, Sandboxes, Swept, TaskDirectory};
