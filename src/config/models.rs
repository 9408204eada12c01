//! Which models there are: the file's `[[models]]`, the one that variables describe, or the one
//! that a provider's own key variable chooses.

use super::{
    ConfigError, Environment, Origin, parse,
    source::{Source, read_value, text},
};
use crate::{
    domain::item::Wire,
    llm::{ApiKey, Model, Rate, quirks},
    secrets::Secret,
};
use std::{path::PathBuf, str::FromStr};
use toml::{Table, Value};
use url::Url;

/// The models by name, in the file's order.
#[derive(Clone, Debug, Default)]
pub struct Models {
    pub all: Vec<ModelSettings>,
    /// The model of tasks that name none; absent only where there is no model at all.
    pub default: Option<String>,
}

/// A call outside the loop, made only where a model is named for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallRole {
    Review,
    Learning,
    /// Decides what rules about commands ask, as far as they let it.
    Approval,
}

impl FromStr for CallRole {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word.trim() {
            "review" => Ok(Self::Review),
            "learning" => Ok(Self::Learning),
            "approval" => Ok(Self::Approval),
            _ => Err(format!("\"{word}\" must be review, learning or approval")),
        }
    }
}

/// One model: how it is reached, and what only this house decides about it.
#[derive(Clone, Debug)]
pub struct ModelSettings {
    pub model: Model,
    /// The model's key once more, for the redactor.
    pub key: Option<Secret>,
    /// The calls outside the loop that it is used for.
    pub roles: Vec<CallRole>,
}

impl ModelSettings {
    fn new(model: Model, key: Option<Secret>) -> Self {
        Self { model, key, roles: Vec::new() }
    }

    pub fn name(&self) -> &str {
        &self.model.name
    }
}

impl Models {
    pub fn get(&self, name: &str) -> Option<&ModelSettings> {
        self.all.iter().find(|model| model.name() == name)
    }

    /// The first model that is named for a call outside the loop.
    pub fn of(&self, role: CallRole) -> Option<&ModelSettings> {
        self.all.iter().find(|model| model.roles.contains(&role))
    }

    pub(super) fn read(source: &Source<'_>) -> Result<Self, ConfigError> {
        let mut all = Vec::new();
        if let Some((value, origin)) = source.file_only("models") {
            let entries = value.as_array().filter(|entries| entries.iter().all(Value::is_table));
            let Some(entries) = entries else {
                return Err(ConfigError::Invalid { origin, message: "write each model as [[models]]".to_owned() });
            };
            for entry in entries.iter().filter_map(Value::as_table) {
                let model = from_entry(entry.clone(), source.environment(), &origin)?;
                if all.iter().any(|known: &ModelSettings| known.name() == model.name()) {
                    let message = format!("two models have the name \"{}\"", model.name());
                    return Err(ConfigError::Invalid { origin, message });
                }
                all.push(model);
            }
        }
        let default = choose(source, &mut all)?;
        let names: Vec<&str> = all.iter().map(ModelSettings::name).collect();
        for model in &all {
            if let Some(lost) = model.model.fallback.iter().find(|name| !names.contains(&name.as_str())) {
                let known = names.join(", ");
                return Err(ConfigError::Missing(format!(
                    "model \"{}\": `fallback` names \"{lost}\", which is none of {known}",
                    model.name()
                )));
            }
        }
        share_rates(&mut all);
        Ok(Self { all, default })
    }
}

/// Models of one provider (address and key) share its limits: the strictest holds for all of them.
fn share_rates(all: &mut [ModelSettings]) {
    let rates: Vec<Rate> = all
        .iter()
        .map(|one| {
            let same = all.iter().filter(|other| other.model.url == one.model.url && other.model.key == one.model.key);
            same.fold(one.model.rate, |rate, other| rate.stricter(other.model.rate))
        })
        .collect();
    for (one, rate) in all.iter_mut().zip(rates) {
        one.model.rate = rate;
    }
}

/// A provider that its own variables and hosts make known.
struct Provider {
    wire: Wire,
    host: &'static str,
    key: &'static str,
    base: &'static str,
    model: &'static str,
}

const PROVIDERS: [Provider; 2] = [
    Provider {
        wire: Wire::Responses,
        host: "api.openai.com",
        key: "OPENAI_API_KEY",
        base: "OPENAI_BASE_URL",
        model: "gpt-5.4",
    },
    Provider {
        wire: Wire::Messages,
        host: "api.anthropic.com",
        key: "ANTHROPIC_API_KEY",
        base: "ANTHROPIC_BASE_URL",
        model: "claude-sonnet-4-6",
    },
];

impl Provider {
    fn of(url: &Url) -> Option<&'static Self> {
        PROVIDERS.iter().find(|provider| url.host_str() == Some(provider.host))
    }

    fn key(&self, source: &Source<'_>) -> Result<Option<Secret>, ConfigError> {
        source.variable(self.key)?.map(|given| text(given, parse::secret)).transpose()
    }

    /// Where the provider's own variable says, else its public address.
    fn url(&self, source: &Source<'_>) -> Result<Url, ConfigError> {
        let public = format!("https://{}/v1", self.host);
        let Some(given) = source.variable(self.base)? else {
            return Url::parse(&public).map_err(|error| ConfigError::Missing(error.to_string()));
        };
        let mut url = text(given, parse::http_url)?;
        // Anthropic's variable is by custom without the version.
        if self.wire == Wire::Messages && !url.path().trim_end_matches('/').ends_with("/v1") {
            url.set_path(&format!("{}/v1", url.path().trim_end_matches('/')));
        }
        Ok(url)
    }
}

/// The default's name; a model that variables describe is added first.
fn choose(source: &Source<'_>, all: &mut Vec<ModelSettings>) -> Result<Option<String>, ConfigError> {
    let name = source.parsed("model", |text| Ok(text.to_owned()))?;
    let wire = source.parsed("model_api", |text| {
        text.parse::<Wire>().map_err(|_| format!("\"{text}\" must be responses, chat or messages"))
    })?;
    let url = source.parsed("model_url", parse::http_url)?;
    let key = source.parsed("model_key", parse::secret)?;
    let described = wire.is_some() || url.is_some() || key.is_some();
    if let (Some(name), false) = (&name, described)
        && all.iter().any(|model| model.name() == name)
    {
        return Ok(Some(name.clone()));
    }
    if name.is_none() && !described && !all.is_empty() {
        return Ok(all.first().map(|model| model.name().to_owned()));
    }
    let Some(model) = described_model(source, name, wire, url, key)? else { return Ok(None) };
    let name = model.name().to_owned();
    all.retain(|known| known.name() != name);
    all.push(model);
    Ok(Some(name))
}

fn described_model(
    source: &Source<'_>,
    name: Option<String>,
    wire: Option<Wire>,
    url: Option<Url>,
    key: Option<Secret>,
) -> Result<Option<ModelSettings>, ConfigError> {
    let provider = match (&url, wire) {
        (Some(url), _) => Provider::of(url),
        (None, Some(Wire::Messages)) => Some(&PROVIDERS[1]),
        (None, Some(_)) => Some(&PROVIDERS[0]),
        (None, None) => {
            let mut with_key = None;
            for provider in &PROVIDERS {
                if with_key.is_none() && provider.key(source)?.is_some() {
                    with_key = Some(provider);
                }
            }
            with_key
        }
    };
    let url = match (url, provider) {
        (Some(url), _) => url,
        (None, Some(provider)) => provider.url(source)?,
        (None, None) if name.is_none() && key.is_none() => return Ok(None),
        (None, None) => {
            return Err(ConfigError::Missing(
                "a model is named, but not where it is: set JOURNEYMAN_MODEL_URL, or OPENAI_API_KEY or ANTHROPIC_API_KEY"
                    .to_owned(),
            ));
        }
    };
    let name = name.unwrap_or_else(|| provider.map_or("default", |provider| provider.model).to_owned());
    let key = match (key, provider) {
        (None, Some(provider)) => provider.key(source)?,
        (key, _) => key,
    };
    let wire = wire.or(provider.map(|provider| provider.wire)).unwrap_or(Wire::Chat);
    // The file of a key is looked at again, whichever variable named it.
    let variables = ["JOURNEYMAN_MODEL_KEY"].into_iter().chain(provider.map(|provider| provider.key));
    let mut files = variables.filter_map(|variable| source.environment().get(&format!("{variable}_FILE")));
    let file = files.next().map(PathBuf::from);
    let api_key = key.as_ref().map(|key| api_key(key, file));
    let roles = source.list("model_roles", ',', str::parse::<CallRole>)?;
    Ok(Some(ModelSettings { roles, ..ModelSettings::new(Model::new(&name, wire, url, api_key), key) }))
}

fn api_key(key: &Secret, file: Option<PathBuf>) -> ApiKey {
    match file {
        Some(path) => ApiKey::in_file(key.expose(), path),
        None => ApiKey::new(key.expose()),
    }
}

/// Of a window that nobody has set; a model that is known to have less has less.
const WINDOW_TOKENS_DEFAULT: u64 = 128_000;
/// The file's names of three fields that are called otherwise inside.
const RENAMED: [(&str, &str); 3] = [("api", "wire"), ("model", "model_id"), ("window", "window_tokens")];

/// One `[[models]]` entry. What is not config's own to know is [`Model`]'s.
fn from_entry(mut entry: Table, environment: &Environment, origin: &Origin) -> Result<ModelSettings, ConfigError> {
    let name = entry.get("name").and_then(Value::as_str).map(str::to_owned);
    let wrong = |message: String| ConfigError::Invalid { origin: origin.clone(), message };
    let name = name.ok_or_else(|| wrong("a model has no `name`, which must be a text".to_owned()))?;
    let at = |message: String| wrong(format!("model \"{name}\": {message}"));
    if let Some((public, inner)) = RENAMED.iter().find(|(_, inner)| entry.contains_key(*inner)) {
        return Err(at(format!("unknown key `{inner}`: did you mean `{public}`?")));
    }
    let mut take = |key: &str| match entry.remove(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(at(format!("`{key}` must be a text"))),
    };
    let url = take("url")?.ok_or_else(|| at("has no `url`: its base, such as https://api.openai.com/v1".to_owned()))?;
    let url = parse::http_url(&url).map_err(|message| at(format!("`url`: {message}")))?;
    let provider = Provider::of(&url);
    let wire = match take("api")? {
        None => provider.map_or(Wire::Chat, |provider| provider.wire),
        Some(word) => word.parse().map_err(|_| at(format!("`api`: \"{word}\" must be responses, chat or messages")))?,
    };
    let model_id = take("model")?.unwrap_or_else(|| name.clone());
    let key_file = take("key_file")?;
    let (key, file) = match (take("key")?, take("key_env")?, key_file) {
        (Some(key), None, None) => (Some(key), None),
        (None, Some(variable), None) => {
            let given = environment.get_or_file(&variable)?;
            let (key, file) = given.ok_or_else(|| at(format!("`key_env` names {variable}, which is not set")))?;
            (Some(key), file)
        }
        (None, None, Some(path)) => {
            let path = PathBuf::from(path);
            (Some(read_value(&format!("model \"{name}\": `key_file`"), &path)?), Some(path))
        }
        (None, None, None) => {
            let given = provider.map(|provider| environment.get_or_file(provider.key)).transpose()?.flatten();
            given.map_or((None, None), |(key, file)| (Some(key), file))
        }
        _ => return Err(at("give one of `key`, `key_env` and `key_file`".to_owned())),
    };
    let roles = texts(entry.remove("roles")).ok_or_else(|| at("`roles` must be a list".to_owned()))?;
    let roles: Result<Vec<CallRole>, ConfigError> =
        roles.iter().map(|role| role.parse().map_err(|message| at(format!("`roles`: {message}")))).collect();
    if let Some(window) = entry.remove("window") {
        entry.insert("window_tokens".to_owned(), window);
    }
    let known = quirks::quirks(&model_id);
    if !known.temperature && entry.get("body").is_some_and(|body| body.get("temperature").is_some()) {
        return Err(at(format!("{model_id} takes no `temperature`: take it out of `body`")));
    }
    let window = known.window_tokens.min(WINDOW_TOKENS_DEFAULT);
    entry.entry("window_tokens").or_insert(Value::Integer(i64::try_from(window).unwrap_or(i64::MAX)));
    entry.entry("max_output_tokens").or_insert(Value::Integer(i64::from(known.max_output_tokens)));
    entry.insert("wire".to_owned(), Value::try_from(wire).map_err(|error| at(error.to_string()))?);
    entry.insert("url".to_owned(), Value::String(url.into()));
    entry.insert("model_id".to_owned(), Value::String(model_id));
    let mut model: Model = entry.try_into().map_err(|error: toml::de::Error| at(field_error(error.message())))?;
    let key = key.map(|key| Secret::new(key.trim()));
    model.key = key.as_ref().map(|key| api_key(key, file));
    // What Anthropic charges for what it writes into its cache for five minutes, where nothing else is said
    // (<https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching#pricing>).
    if let (Wire::Messages, Some(prices)) = (model.wire, &mut model.prices) {
        prices.cache_write.get_or_insert(prices.input * 1.25);
    }
    Ok(ModelSettings { model, key, roles: roles? })
}

/// Serde's words for an unknown field are a list of all that there are; the nearest is enough.
fn field_error(message: &str) -> String {
    if !message.starts_with("unknown field") {
        return RENAMED.iter().fold(message.to_owned(), |text, (public, inner)| text.replace(inner, public));
    }
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = names.next().unwrap_or_default();
    match parse::nearest(unknown, names.map(public_name).chain(["key_env", "key_file", "roles"])) {
        Some(nearest) => format!("unknown key `{unknown}`: did you mean `{nearest}`?"),
        None => format!("unknown key `{unknown}`: take it away"),
    }
}

fn public_name(name: &str) -> &str {
    RENAMED.iter().find(|(_, inner)| *inner == name).map_or(name, |(public, _)| public)
}

fn texts(value: Option<Value>) -> Option<Vec<String>> {
    match value {
        None => Some(Vec::new()),
        Some(value) => value.as_array()?.iter().map(|value| value.as_str().map(str::to_owned)).collect(),
    }
}
