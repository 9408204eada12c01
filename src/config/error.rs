//! What can be wrong with settings: every message names the variable or key and the mend, and none
//! shows a secret's value.

use std::{fmt, path::PathBuf};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Variable(String),
    /// `NAME_FILE` and the file that it named.
    VariableFile {
        variable: String,
        path: PathBuf,
    },
    Key {
        key: String,
        file: PathBuf,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(variable) => f.write_str(variable),
            Self::VariableFile { variable, path } => write!(f, "{} ({variable}_FILE)", path.display()),
            Self::Key { key, file } => write!(f, "`{key}` in {}", file.display()),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{what}: {path} cannot be read: {source}", path = path.display())]
    Unreadable { what: String, path: PathBuf, source: std::io::Error },
    #[error("{path} is not valid TOML: {message}", path = path.display())]
    Syntax { path: PathBuf, message: String },
    #[error("unknown key `{key}` in {file}{hint}", file = file.display(), hint = hint(nearest.as_deref()))]
    UnknownKey { key: String, file: PathBuf, nearest: Option<String> },
    #[error("{origin}: {message}")]
    Invalid { origin: Origin, message: String },
    #[error("{variable} and {variable}_FILE are both set: take one of them away")]
    Both { variable: String },
    #[error("{variable} is not valid UTF-8")]
    NotUnicode { variable: String },
    #[error("{0}")]
    Missing(String),
}

fn hint(nearest: Option<&str>) -> String {
    match nearest {
        Some(nearest) => format!(": did you mean `{nearest}`?"),
        None => ": take it away, or see the list in docs/settings.md".to_owned(),
    }
}
