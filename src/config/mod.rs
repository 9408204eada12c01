//! Typed settings, read once from a TOML file and the environment.
//!
//! The only room that reads environment variables. [`Settings::load`] is a function of the
//! [`Environment`] that it is given and of the files that this names; it changes nothing and starts
//! nothing. A key of the file is its variable's name in lower case without `JOURNEYMAN_`; the
//! environment overrides the file; any variable may be given as `NAME_FILE`. Start with
//! [`settings`], the types, then `load`, which names every variable.

mod environment;
mod error;
mod extension;
mod kubernetes;
mod load;
mod mcp;
mod models;
mod network;
mod objects;
mod parse;
mod rules;
pub mod settings;
mod source;

pub use environment::Environment;
pub use error::{ConfigError, Origin};
pub use kubernetes::{KubernetesPull, KubernetesSettings};
pub use load::CLIENT_VARIABLES;
pub use models::{CallRole, ModelSettings, Models};
pub use network::TaskNetworkSettings;
pub use parse::nearest;
pub use settings::Settings;
