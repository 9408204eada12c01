//! Typed settings, read once from a TOML file and the environment.
//!
//! The only room that reads environment variables. [`Settings::load`] is a function of the
//! [`Environment`] that it is given and of the files that this names; it changes nothing and starts
//! nothing. A key of the file is its variable's name in lower case without `JOURNEYMAN_`; the
//! environment overrides the file; any variable may be given as `NAME_FILE`. Start with
//! [`settings`], the types, then `load`, which names every variable.

mod callers;
mod environment;
mod error;
mod extension;
mod kubernetes;
mod learning;
mod load;
mod mcp;
mod memory;
mod models;
mod network;
mod objects;
mod oidc;
mod parse;
mod publish;
mod rules;
pub mod settings;
mod setup;
mod source;
mod webhooks;

pub use callers::CallerSettings;
pub use environment::Environment;
pub use error::{ConfigError, Origin};
pub use kubernetes::{KubernetesPull, KubernetesSettings};
pub use learning::LearningSettings;
pub use load::CLIENT_VARIABLES;
pub use memory::{EmbeddingSettings, MemorySettings};
pub use models::{CallRole, ModelSettings, Models};
pub use network::TaskNetworkSettings;
pub use oidc::OidcSettings;
pub use parse::nearest;
pub use publish::PublishSettings;
pub use settings::Settings;
pub use setup::SetupSettings;
pub use webhooks::WebhookSettings;
