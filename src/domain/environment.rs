//! An environment: what a team's tasks find beside their repository, and how it comes there.

use super::{EnvironmentId, Timestamp, check::Check, limits::LimitsPatch, task::NetworkPolicy};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Seconds that a setup has where its environment says nothing.
pub const SETUP_SECONDS_DEFAULT: u32 = 1_800;

/// What an environment says, with every default filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentSpec {
    pub image: Option<String>,
    pub setup: Option<String>,
    pub start: Option<String>,
    pub variables: BTreeMap<String, String>,
    pub checks: Vec<Check>,
    pub limits: LimitsPatch,
    pub network: NetworkPolicy,
    pub setup_network: NetworkPolicy,
    pub setup_optional: bool,
    pub setup_timeout_seconds: u32,
    /// Variables of the setup, each with the path of a directory that the next setup finds as this one left it.
    #[serde(default)]
    pub caches: Vec<String>,
}

/// What a task keeps of its environment from its creation on: the environment may change or go, the
/// task does not. Checks, limits and network are in the task's own spec; secrets stay with the environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PinnedEnvironment {
    pub id: EnvironmentId,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// What the environment allows; the task's own may be another.
    #[serde(default)]
    pub network: NetworkPolicy,
    #[serde(default)]
    pub setup_network: NetworkPolicy,
    #[serde(default)]
    pub setup_optional: bool,
    pub setup_timeout_seconds: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caches: Vec<String>,
}

impl PinnedEnvironment {
    pub fn of(id: EnvironmentId, name: &str, spec: &EnvironmentSpec) -> Self {
        Self {
            id,
            name: name.to_owned(),
            image: spec.image.clone(),
            setup: spec.setup.clone(),
            start: spec.start.clone(),
            variables: spec.variables.clone(),
            network: spec.network.clone(),
            setup_network: spec.setup_network.clone(),
            setup_optional: spec.setup_optional,
            setup_timeout_seconds: spec.setup_timeout_seconds,
            caches: spec.caches.clone(),
        }
    }
}

/// A setup that the service found out itself, for a task without an environment. The task keeps it as it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetectedSetup {
    /// Of package managers, as people type them.
    pub commands: Vec<String>,
    /// The commands, each in its directory; ends at the first that fails.
    pub script: String,
    /// In every command of the task: where package managers find what the setup brought.
    pub variables: BTreeMap<String, String>,
    /// Variables of the setup alone, each with the path of a directory that the next setup finds as this one left it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caches: Vec<String>,
    pub network: NetworkPolicy,
    pub timeout_seconds: u32,
}

/// What a secret of an environment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecretUse {
    /// A variable of the setup's commands, and of nothing else.
    Setup,
    /// Put into requests to its hosts on their way out; no workspace ever has it.
    Broker,
}

impl SecretUse {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Broker => "broker",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        [Self::Setup, Self::Broker].into_iter().find(|one| one.as_str() == word)
    }
}

/// How far an environment's prepared files are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotState {
    /// No task has run its setup yet, or it has none.
    #[default]
    None,
    /// A setup runs.
    Building,
    /// The last setup left files for later tasks.
    Ready,
    /// The last setup failed.
    Failed,
}

impl SnapshotState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Building => "building",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        [Self::None, Self::Building, Self::Ready, Self::Failed].into_iter().find(|one| one.as_str() == word)
    }
}

/// What an environment's last setup came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnvironmentSnapshot {
    pub state: SnapshotState,
    /// When it came to that; null where there was none.
    pub created_at: Option<Timestamp>,
}
