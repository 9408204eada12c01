//! Sandboxes by a Kubernetes cluster: a plain Pod each, execd its first process, reached by an `execd connect` that the
//! API server attaches this one to over a websocket.
//!
//! The cluster is trusted, what is in the Pods is not. A Pod shares no file system with this host: its working copy is
//! carried in when it is opened, is its own from then on, and is gone with it. Start with [`open`]; what a Pod may do is
//! in [`pod`].

mod cluster;
mod examine;
mod open;
mod pod;
mod settings;
mod start;

pub(super) use open::{Kubernetes, Pod, explain};
pub use settings::{ImagePull, Isolation, KubernetesSettings, Toleration};
