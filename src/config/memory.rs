//! `[memory]` and `[embeddings]`: how much is recalled, and what makes the vectors that it is found by.

use super::{ConfigError, Origin, parse, source::Source};
use crate::{
    llm::{ApiKey, DIMENSIONS_MAX, Embedder},
    secrets::Secret,
};
use std::{path::PathBuf, time::Duration};
use toml::Table;

/// Of a prompt's memory place, in tokens, where nothing is set.
const RECALL_TOKENS_DEFAULT: u64 = 1_500;
const RECALL_TOKENS_MAX: u64 = 20_000;
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
const RETRIES: u32 = 2;
const EMBEDDINGS: [&str; 6] = ["url", "model", "key", "dimensions", "price_usd", "timeout_seconds"];
const MEMORY: [&str; 1] = ["recall_tokens"];

#[derive(Clone, Debug)]
pub struct MemorySettings {
    /// Of the memories and earlier tasks in a prompt, at most; 0: nothing is recalled.
    pub recall_tokens: u64,
    /// Absent: memories are found by their words alone.
    pub embeddings: Option<EmbeddingSettings>,
}

#[derive(Clone, Debug)]
pub struct EmbeddingSettings {
    pub embedder: Embedder,
    /// Its key once more, for the redactor.
    pub key: Option<Secret>,
}

pub(super) fn read(source: &Source<'_>) -> Result<MemorySettings, ConfigError> {
    let memory = Section::read(source, "memory", &MEMORY)?;
    let tokens = memory.parsed(source, "recall_tokens", parse::number(0, RECALL_TOKENS_MAX))?;
    Ok(MemorySettings {
        recall_tokens: tokens.unwrap_or(RECALL_TOKENS_DEFAULT),
        embeddings: embeddings(source, &Section::read(source, "embeddings", &EMBEDDINGS)?)?,
    })
}

fn embeddings(source: &Source<'_>, section: &Section) -> Result<Option<EmbeddingSettings>, ConfigError> {
    let url = section.parsed(source, "url", parse::http_url)?;
    let model = section.parsed(source, "model", |text| Ok(text.to_owned()))?;
    let key = section.parsed(source, "key", parse::secret)?;
    let dimensions = section.parsed(source, "dimensions", parse::number(1, DIMENSIONS_MAX as u64))?;
    let price = section.parsed(source, "price_usd", |text| {
        let price = text.parse::<f64>().ok().filter(|price| price.is_finite() && *price >= 0.0);
        price.ok_or_else(|| format!("\"{text}\" must be US dollars per million tokens"))
    })?;
    let span = section.parsed(source, "timeout_seconds", parse::seconds(0.1, 600.0))?;
    let Some(url) = url else {
        if model.is_some() || key.is_some() {
            return Err(section.wrong("url", "is missing: the base of the server, such as https://api.openai.com/v1"));
        }
        return Ok(None);
    };
    let Some(model) = model.filter(|model| !model.trim().is_empty()) else {
        return Err(section.wrong("model", "is missing: the server's name for the model"));
    };
    let file = source.environment().get("JOURNEYMAN_EMBEDDINGS_KEY_FILE").map(PathBuf::from);
    let api_key = key.as_ref().map(|key| match file {
        Some(path) => ApiKey::in_file(key.expose(), path),
        None => ApiKey::new(key.expose()),
    });
    let embedder = Embedder {
        model,
        url,
        key: api_key,
        dimensions: dimensions.map(|dimensions| dimensions as usize),
        price_usd: price.unwrap_or_default(),
        timeout: span.unwrap_or(TIMEOUT_DEFAULT),
        retries: RETRIES,
    };
    Ok(Some(EmbeddingSettings { embedder, key }))
}

/// A table of the file, over whose keys variables go: `JOURNEYMAN_`, the table and the key.
struct Section {
    name: &'static str,
    table: Table,
    origin: Option<Origin>,
}

impl Section {
    fn read(source: &Source<'_>, name: &'static str, keys: &[&str]) -> Result<Self, ConfigError> {
        let Some((value, origin)) = source.file_only(name) else {
            return Ok(Self { name, table: Table::new(), origin: None });
        };
        let Some(table) = value.as_table().cloned() else {
            return Err(ConfigError::Invalid { origin, message: format!("write it as a table: [{name}]") });
        };
        let section = Self { name, table, origin: Some(origin) };
        if let Some(key) = section.table.keys().find(|key| !keys.contains(&key.as_str())) {
            let nearest = parse::nearest(key, keys.iter().copied()).map(|near| format!(": did you mean `{near}`?"));
            let message = format!("is no key of [{name}]{}", nearest.unwrap_or_default());
            return Err(section.wrong(key, &message));
        }
        Ok(section)
    }

    fn variable(&self, key: &str) -> String {
        format!("JOURNEYMAN_{}_{}", self.name.to_uppercase(), key.to_uppercase())
    }

    fn wrong(&self, key: &str, message: &str) -> ConfigError {
        let message = format!("`{key}` {message}");
        let origin = self.origin.clone().unwrap_or_else(|| Origin::Variable(self.variable(key)));
        ConfigError::Invalid { origin, message }
    }

    fn parsed<T>(
        &self,
        source: &Source<'_>,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        if let Some(given) = source.variable(&self.variable(key))? {
            return super::source::text(given, parse).map(Some);
        }
        let text = match self.table.get(key) {
            None => return Ok(None),
            Some(toml::Value::String(text)) => text.clone(),
            Some(value @ (toml::Value::Integer(_) | toml::Value::Float(_))) => value.to_string(),
            Some(_) => return Err(self.wrong(key, "must be a text or a number")),
        };
        parse(&text).map(Some).map_err(|message| self.wrong(key, &message))
    }
}
