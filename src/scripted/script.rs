//! The format of scripts. docs/scripted-model.md tells it to people; this decides.

use super::{embeddings::EmbeddingScript, fault::Fault, when::When};
use serde::Deserialize;
use serde_json::Value;
use std::{collections::BTreeMap, num::NonZeroUsize, path::Path};

/// A script as read from its file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Shown in the banner.
    #[serde(default)]
    pub name: Option<String>,
    /// What `GET /v1/models` lists. Requests may name any model.
    #[serde(default = "default_models")]
    pub models: Vec<String>,
    /// Demanded of every request, where set.
    #[serde(default)]
    pub key: Option<String>,
    /// Whether requests that real providers refuse (results without their call, roles out of
    /// order) are refused here too.
    #[serde(default = "yes")]
    pub strict: bool,
    /// How many bytes a token has in the counts that follow from sizes; from 1.
    #[serde(default = "four")]
    pub bytes_per_token: NonZeroUsize,
    /// How fast replies come; lines may say otherwise.
    #[serde(default)]
    pub pace: Pace,
    #[serde(default)]
    pub log: LogLimits,
    /// What `/v1/embeddings` gives.
    #[serde(default)]
    pub embeddings: EmbeddingScript,
    /// Conversations by name: a request's text chooses one (see [`Scenario`]).
    #[serde(default)]
    pub scenarios: BTreeMap<String, Scenario>,
    /// The rules of requests that choose no scenario.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// The lines of requests that choose no scenario.
    #[serde(default)]
    pub sequence: Vec<Line>,
}

fn default_models() -> Vec<String> {
    vec!["scripted".to_owned()]
}

fn four() -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(3)
}

fn yes() -> bool {
    true
}

/// One conversation. It is chosen by `[scenario: NAME]` in a text of the request (the last such
/// mark counts), else by the first whose `contains` occurs there.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    pub contains: Option<String>,
    pub rules: Vec<Rule>,
    pub sequence: Vec<Line>,
}

/// Plays its line where its condition holds. Rules are tried in order, before the sequence.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    #[serde(default)]
    pub when: When,
    #[serde(default)]
    pub reply: Option<Line>,
    #[serde(default)]
    pub fault: Option<Fault>,
}

/// What the model says once.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Line {
    pub text: String,
    pub reasoning: String,
    pub calls: Vec<ScriptedCall>,
    /// In place of the counts that follow from sizes.
    pub usage: Option<UsageOverride>,
    /// The reply says that it was cut at its maximal length.
    pub cut: bool,
    pub fault: Option<Fault>,
    pub pace: Option<Pace>,
    /// In a sequence: so many replies running.
    pub repeat: Option<u32>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptedCall {
    pub tool: String,
    /// An object, or a text that is sent as it stands (it may be no JSON).
    #[serde(default)]
    pub arguments: Value,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UsageOverride {
    pub input_tokens: Option<u64>,
    pub cached_input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
}

/// Delays in milliseconds, and the size of a streamed piece.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pace {
    pub first_byte_ms: u64,
    /// Between events of a stream.
    pub between_ms: u64,
    /// Characters of text in one event.
    pub piece_chars: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { first_byte_ms: 0, between_ms: 0, piece_chars: 48 }
    }
}

/// The bounds of the request log: the oldest go first.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogLimits {
    pub requests: usize,
    /// Bodies beyond this are dropped, oldest first; their entries stay.
    pub bytes: usize,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self { requests: 10_000, bytes: 64 << 20 }
    }
}

/// Why a text is no script: names the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a script: {0}")]
pub struct ScriptError(pub String);

impl Script {
    /// Reads a script from JSON.
    pub fn from_json(text: &str) -> Result<Self, ScriptError> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let script = serde_path_to_error::deserialize(&mut reader).map_err(|e| ScriptError(e.to_string()))?;
        reader.end().map_err(|e| ScriptError(e.to_string()))?;
        Ok(script)
    }

    /// Reads a script from TOML.
    pub fn from_toml(text: &str) -> Result<Self, ScriptError> {
        let reader = toml::Deserializer::parse(text).map_err(|e| ScriptError(e.to_string()))?;
        serde_path_to_error::deserialize(reader).map_err(|e| ScriptError(e.to_string()))
    }

    /// Reads a file: TOML where its name ends so, else JSON.
    pub fn load(path: &Path) -> Result<Self, ScriptError> {
        let named = |error: String| ScriptError(format!("{}: {error}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|e| named(e.to_string()))?;
        let read = if path.extension().is_some_and(|e| e == "toml") { Self::from_toml } else { Self::from_json };
        read(&text).map_err(|ScriptError(error)| named(error))
    }
}
