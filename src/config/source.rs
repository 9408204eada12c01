//! One look-up over both sources: a variable, its `_FILE` form, then the file's key.

use super::{ConfigError, Environment, Origin, parse};
use crate::secrets::Secret;
use std::{
    cell::RefCell,
    collections::BTreeSet,
    path::{Path, PathBuf},
};
use toml::{Table, Value};

/// A value as it was given, before its type is known.
pub(super) struct Given {
    pub(super) origin: Origin,
    pub(super) value: Raw,
}

pub(super) enum Raw {
    Text(String),
    List(Vec<String>),
}

impl Given {
    pub(super) fn invalid(self, message: impl Into<String>) -> ConfigError {
        ConfigError::Invalid { origin: self.origin, message: message.into() }
    }
}

/// The environment over the file. Remembers what was asked for, so that the rest is known to be
/// unknown.
pub(super) struct Source<'a> {
    environment: &'a Environment,
    file: Table,
    path: PathBuf,
    keys: RefCell<BTreeSet<String>>,
    variables: RefCell<BTreeSet<String>>,
}

impl<'a> Source<'a> {
    pub(super) fn read(environment: &'a Environment, path: Option<&Path>) -> Result<Self, ConfigError> {
        let file = match path {
            None => Table::new(),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
                    what: "settings".to_owned(),
                    path: path.to_owned(),
                    source,
                })?;
                text.parse().map_err(|error: toml::de::Error| ConfigError::Syntax {
                    path: path.to_owned(),
                    message: error.to_string().trim_end().to_owned(),
                })?
            }
        };
        Ok(Self {
            environment,
            file,
            path: path.map(Path::to_owned).unwrap_or_default(),
            keys: RefCell::default(),
            variables: RefCell::default(),
        })
    }

    pub(super) fn environment(&self) -> &'a Environment {
        self.environment
    }

    /// The value of a setting whose variable is `JOURNEYMAN_` and the key in upper case.
    pub(super) fn own(&self, key: &str) -> Result<Option<Given>, ConfigError> {
        self.named(key, &format!("JOURNEYMAN_{}", key.to_uppercase()))
    }

    /// The value of a setting whose variable is not ours to name.
    pub(super) fn named(&self, key: &str, variable: &str) -> Result<Option<Given>, ConfigError> {
        self.keys.borrow_mut().insert(key.to_owned());
        if let Some(given) = self.variable(variable)? {
            return Ok(Some(given));
        }
        let Some(value) = self.file.get(key) else { return Ok(None) };
        let origin = self.key_origin(key);
        match raw(value) {
            Some(value) => Ok(Some(Given { origin, value })),
            None => Err(ConfigError::Invalid {
                origin,
                message: "must be a text, a number, true or false, or a list of texts".to_owned(),
            }),
        }
    }

    /// A variable alone, or the content of the file that `NAME_FILE` names.
    pub(super) fn variable(&self, variable: &str) -> Result<Option<Given>, ConfigError> {
        let file_variable = format!("{variable}_FILE");
        let mut asked = self.variables.borrow_mut();
        asked.insert(variable.to_owned());
        asked.insert(file_variable.clone());
        match (self.environment.get(variable), self.environment.get(&file_variable)) {
            (Some(_), Some(_)) => Err(ConfigError::Both { variable: variable.to_owned() }),
            (Some(value), None) => {
                Ok(Some(Given { origin: Origin::Variable(variable.to_owned()), value: Raw::Text(value.to_owned()) }))
            }
            (None, Some(path)) => {
                let path = PathBuf::from(path);
                let value = read_value(&file_variable, &path)?;
                let origin = Origin::VariableFile { variable: variable.to_owned(), path };
                Ok(Some(Given { origin, value: Raw::Text(value) }))
            }
            (None, None) => Ok(None),
        }
    }

    /// A key that only the file can have, as it is.
    pub(super) fn file_only(&self, key: &str) -> Option<(&Value, Origin)> {
        self.keys.borrow_mut().insert(key.to_owned());
        self.file.get(key).map(|value| (value, self.key_origin(key)))
    }

    pub(super) fn parsed<T>(
        &self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        self.own(key)?.map(|given| text(given, parse)).transpose()
    }

    pub(super) fn secret(&self, key: &str) -> Result<Option<Secret>, ConfigError> {
        self.parsed(key, |text| Ok(Secret::new(text)))
    }

    /// A list: of the file's own, or a text with `separator` between.
    pub(super) fn list<T>(
        &self,
        key: &str,
        separator: char,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, ConfigError> {
        let Some(given) = self.own(key)? else { return Ok(Vec::new()) };
        let parts: Vec<String> = match &given.value {
            Raw::List(parts) => parts.clone(),
            Raw::Text(text) => text.split(separator).map(|part| part.trim().to_owned()).collect(),
        };
        let parsed: Result<Vec<T>, String> =
            parts.iter().filter(|part| !part.is_empty()).map(|part| parse(part)).collect();
        parsed.map_err(|message| given.invalid(message))
    }

    /// Fails on the first key of the file that nothing has asked for.
    pub(super) fn refuse_unknown_keys(&self) -> Result<(), ConfigError> {
        let known = self.keys.borrow();
        match self.file.keys().find(|key| !known.contains(*key)) {
            None => Ok(()),
            Some(key) => Err(ConfigError::UnknownKey {
                key: key.clone(),
                file: self.path.clone(),
                nearest: parse::nearest(key, known.iter().map(String::as_str)).map(str::to_owned),
            }),
        }
    }

    /// A line for each variable with our prefix that nothing has asked for. They are no error: a
    /// newer or older build may know them.
    pub(super) fn unknown_variables(&self, others: &[&str]) -> Vec<String> {
        let known = self.variables.borrow();
        let names = || known.iter().map(String::as_str).chain(others.iter().copied());
        let unknown = self.environment.names().filter(|name| name.starts_with("JOURNEYMAN_"));
        unknown
            .filter(|name| !names().any(|known| known == *name))
            .map(|name| match parse::nearest(name, names()) {
                Some(nearest) => format!("{name} is no setting and changes nothing: did you mean {nearest}?"),
                None => format!("{name} is no setting and changes nothing"),
            })
            .collect()
    }

    fn key_origin(&self, key: &str) -> Origin {
        Origin::Key { key: key.to_owned(), file: self.path.clone() }
    }
}

/// A file's content without the newline at its end.
pub(super) fn read_value(what: &str, path: &Path) -> Result<String, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        what: what.to_owned(),
        path: path.to_owned(),
        source,
    })?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// The value as one text, parsed.
pub(super) fn text<T>(given: Given, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<T, ConfigError> {
    let parsed = match &given.value {
        Raw::Text(text) => parse(text),
        Raw::List(_) => Err("must be one value, not a list".to_owned()),
    };
    parsed.map_err(|message| given.invalid(message))
}

fn raw(value: &Value) -> Option<Raw> {
    match value {
        Value::String(text) => Some(Raw::Text(text.clone())),
        Value::Integer(number) => Some(Raw::Text(number.to_string())),
        Value::Float(number) => Some(Raw::Text(number.to_string())),
        Value::Boolean(truth) => Some(Raw::Text(truth.to_string())),
        Value::Array(values) => {
            let texts: Option<Vec<String>> = values.iter().map(|value| value.as_str().map(str::to_owned)).collect();
            texts.map(Raw::List)
        }
        Value::Table(_) | Value::Datetime(_) => None,
    }
}
