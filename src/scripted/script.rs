//! The format of scripts (docs/scripted-model.md).

/// A script as read from its file.
#[derive(Clone, Debug)]
pub struct Script {}

/// Why a text is no script: names the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a script: {0}")]
pub struct ScriptError(pub String);

impl Script {
    /// Reads a script from JSON.
    pub fn from_json(text: &str) -> Result<Self, ScriptError> {
        serde_json::from_str::<serde_json::Value>(text).map(|_| Self {}).map_err(|e| ScriptError(e.to_string()))
    }

    /// Reads a script from TOML.
    pub fn from_toml(text: &str) -> Result<Self, ScriptError> {
        toml::from_str::<toml::Table>(text).map(|_| Self {}).map_err(|e| ScriptError(e.to_string()))
    }

    /// Reads a file: TOML where its name ends so, else JSON.
    pub fn load(path: &std::path::Path) -> Result<Self, ScriptError> {
        let text = std::fs::read_to_string(path).map_err(|e| ScriptError(format!("{}: {e}", path.display())))?;
        if path.extension().is_some_and(|e| e == "toml") { Self::from_toml(&text) } else { Self::from_json(&text) }
    }
}
