//! The environment of a process as a value.

use super::{ConfigError, source::read_value};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Environment variables, and whether the process is root, on which defaults depend. A variable
/// that is set to nothing counts as not set, which is what compose files make of absent ones.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    root: bool,
}

impl Environment {
    pub fn new<K: Into<String>, V: Into<String>>(variables: impl IntoIterator<Item = (K, V)>) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self { variables: variables.filter(|(_, value)| !value.is_empty()).collect(), root: false }
    }

    /// What this process was given. Variables of others that are no UTF-8 are left out; one of
    /// ours is an error.
    #[expect(clippy::disallowed_methods, reason = "config owns the environment")]
    pub fn of_process() -> Result<Self, ConfigError> {
        let mut variables = BTreeMap::new();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) if value.is_empty() => {}
                Ok(value) => {
                    variables.insert(name, value);
                }
                Err(_) if name.starts_with("JOURNEYMAN_") || name.starts_with("DATABASE_URL") => {
                    return Err(ConfigError::NotUnicode { variable: name });
                }
                Err(_) => {}
            }
        }
        Ok(Self { variables, root: rustix::process::geteuid().is_root() })
    }

    #[must_use]
    pub fn as_root(mut self, root: bool) -> Self {
        self.root = root;
        self
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// A variable, or what is in the file that `NAME_FILE` names, and then that file.
    pub fn get_or_file(&self, name: &str) -> Result<Option<(String, Option<PathBuf>)>, ConfigError> {
        let in_file = format!("{name}_FILE");
        match (self.get(name), self.get(&in_file)) {
            (Some(_), Some(_)) => Err(ConfigError::Both { variable: name.to_owned() }),
            (Some(value), None) => Ok(Some((value.to_owned(), None))),
            (None, Some(path)) => Ok(Some((read_value(&in_file, Path::new(path))?, Some(PathBuf::from(path))))),
            (None, None) => Ok(None),
        }
    }

    pub fn is_root(&self) -> bool {
        self.root
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }
}

impl std::fmt::Debug for Environment {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}
