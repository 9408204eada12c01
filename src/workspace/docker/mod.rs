//! Sandboxes by a container engine that speaks Docker's API (Docker, Podman): a container each, execd
//! its first process, reached by an `execd connect` that the engine attaches the server to.
//!
//! The engine is trusted; what is in the containers is not. Nothing is left to an image: not who
//! runs, not what runs first, not its volumes. Start with [`open`] and [`life`]; what a container
//! may do is in [`container`].

mod container;
mod engine;
mod examine;
mod examined;
mod execd;
mod image;
mod images;
mod life;
mod open;
mod settings;

#[cfg(feature = "kubernetes")]
pub(super) use examine::{Look, look};
#[cfg(feature = "kubernetes")]
pub(super) use examined::{Examined, ExaminedImages};
pub(super) use execd::find_static;
pub(super) use life::Container;
pub(super) use open::{Docker, explain};
pub use settings::{DockerSettings, EngineAddress, Pull};
