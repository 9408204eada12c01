//! The environment of a process as a value.

use super::ConfigError;
use std::collections::BTreeMap;

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
