//! The file's `[[mcp_servers]]`: servers that give models more tools.

use super::{ConfigError, Environment, Origin, parse, source::Source};
use crate::{
    mcp::{Effects, Place, Server},
    secrets::Secret,
};
use serde::Deserialize;
use std::{collections::BTreeMap, time::Duration};
use toml::{Table, Value};

/// Servers, at most: each takes room in every prompt.
const SERVERS_MAX: usize = 16;
/// Servers inside workspaces, at most: a workspace has 16 background processes for everything.
const IN_WORKSPACE_MAX: usize = 6;
const NAME_CHARS_MAX: usize = 24;
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
const TIMEOUT_SECONDS: std::ops::RangeInclusive<f64> = 0.1..=600.0;
/// What in front of a value says that a variable of the service's own environment holds it.
const FROM_ENVIRONMENT: &str = "env:";
/// Headers that the protocol needs for itself.
const OWN_HEADERS: [&str; 6] =
    ["accept", "content-type", "content-length", "host", "mcp-session-id", "mcp-protocol-version"];

/// Words in the names of headers whose values are credentials.
const SECRET_HEADERS: [&str; 6] = ["auth", "key", "token", "secret", "cookie", "password"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    command: Option<Vec<String>>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    tools: Option<Vec<String>>,
    timeout_seconds: Option<f64>,
    effects: Option<String>,
    #[serde(default)]
    trust: bool,
}

pub(super) fn read(source: &Source<'_>) -> Result<Vec<Server>, ConfigError> {
    let Some((value, origin)) = source.file_only("mcp_servers") else { return Ok(Vec::new()) };
    let wrong = |message: String| ConfigError::Invalid { origin: origin.clone(), message };
    let entries = value.as_array().filter(|entries| entries.iter().all(Value::is_table));
    let entries = entries.ok_or_else(|| wrong("write each server as [[mcp_servers]]".to_owned()))?;
    let mut all: Vec<Server> = Vec::new();
    for entry in entries {
        let entry = entry.as_table().cloned().unwrap_or_default();
        let server = server(entry, source.environment(), &origin)?;
        if all.iter().any(|known| known.name == server.name) {
            return Err(wrong(format!("two servers have the name \"{}\"", server.name)));
        }
        all.push(server);
    }
    let inside = all.iter().filter(|server| matches!(server.place, Place::Workspace { .. })).count();
    if all.len() > SERVERS_MAX || inside > IN_WORKSPACE_MAX {
        return Err(wrong(format!(
            "there may be {SERVERS_MAX} servers, and {IN_WORKSPACE_MAX} of them with a `command`, not {} and {inside}",
            all.len()
        )));
    }
    Ok(all)
}

/// What a server is told that others may not read: headers that by their names hold credentials, with a scheme in
/// front and without.
pub(super) fn secrets(server: &Server) -> Vec<Secret> {
    let Place::Http { headers, .. } = &server.place else { return Vec::new() };
    let is_secret = |name: &str| SECRET_HEADERS.iter().any(|word| name.to_ascii_lowercase().contains(word));
    let parts = |value: &String| [Some(value.clone()), value.split_once(' ').map(|(_, rest)| rest.to_owned())];
    let values = headers.iter().filter(|(name, _)| is_secret(name)).flat_map(|(_, value)| parts(value));
    values.flatten().map(Secret::new).collect()
}

fn server(mut entry: Table, environment: &Environment, origin: &Origin) -> Result<Server, ConfigError> {
    let wrong = |message: String| ConfigError::Invalid { origin: origin.clone(), message };
    let name = entry.remove("name").and_then(|name| name.as_str().map(str::to_owned));
    let name = name.ok_or_else(|| wrong("a server has no `name`, which must be a text".to_owned()))?;
    let at = |message: String| wrong(format!("server \"{name}\": {message}"));
    if !is_name(&name) {
        return Err(at(format!(
            "`name` must be 1 to {NAME_CHARS_MAX} of a-z, 0-9, `-` and single `_`, with a letter in front"
        )));
    }
    let Entry { command, url, headers, env, tools, timeout_seconds, effects, trust, .. } =
        entry.try_into().map_err(|error: toml::de::Error| at(field_error(error.message())))?;
    let resolved = |values: BTreeMap<String, String>| resolved(values, environment).map_err(&at);
    let place = match (command, url) {
        (Some(command), None) => {
            if command.first().is_none_or(|program| program.trim().is_empty()) {
                return Err(at("`command` is empty: write program and arguments, each as a text".to_owned()));
            }
            if !headers.is_empty() {
                return Err(at("`headers` belong to a server with a `url`: take them away".to_owned()));
            }
            if env.keys().any(|name| name.is_empty() || name.contains(['=', '\0'])) {
                return Err(at("`env` has a name that no variable can have".to_owned()));
            }
            Place::Workspace { command, env: resolved(env)? }
        }
        (None, Some(url)) => {
            if !env.is_empty() {
                return Err(at("`env` belongs to a server with a `command`: take it away".to_owned()));
            }
            let url = parse::http_url(&url).map_err(|message| at(format!("`url`: {message}")))?;
            Place::Http { url, headers: checked_headers(resolved(headers)?).map_err(&at)? }
        }
        _ => {
            return Err(at(
                "give `command` (it runs inside the workspace) or `url` (it is spoken to by the service)".to_owned()
            ));
        }
    };
    let timeout = match timeout_seconds {
        None => TIMEOUT_DEFAULT,
        Some(seconds) if TIMEOUT_SECONDS.contains(&seconds) => Duration::from_secs_f64(seconds),
        Some(seconds) => {
            let (least, most) = (TIMEOUT_SECONDS.start(), TIMEOUT_SECONDS.end());
            return Err(at(format!("`timeout_seconds` must be from {least} to {most}, not {seconds}")));
        }
    };
    let effects = match effects.as_deref() {
        None | Some("runs") => Effects::Runs,
        Some("reads") => Effects::Reads,
        Some(word) => return Err(at(format!("`effects`: \"{word}\" must be reads or runs"))),
    };
    Ok(Server { name, place, tools, timeout, effects, trusted: trust })
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    name.len() <= NAME_CHARS_MAX
        && name.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && name.bytes().all(allowed)
        && !name.contains("__")
        && !name.ends_with('_')
}

/// Values, or what the variables hold that they name.
fn resolved(values: BTreeMap<String, String>, environment: &Environment) -> Result<BTreeMap<String, String>, String> {
    let one = |(name, value): (String, String)| match value.strip_prefix(FROM_ENVIRONMENT) {
        None => Ok((name, value)),
        Some(variable) => match environment.get_or_file(variable).map_err(|error| error.to_string())? {
            Some((held, _)) => Ok((name, held)),
            None => Err(format!("`{name}` names the variable {variable}, which is not set")),
        },
    };
    values.into_iter().map(one).collect()
}

fn checked_headers(headers: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, String> {
    for (name, value) in &headers {
        if OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(format!("`headers`: {name} is the protocol's own: take it away"));
        }
        if http::HeaderName::try_from(name.as_str()).is_err() || http::HeaderValue::try_from(value.as_str()).is_err() {
            return Err(format!("`headers`: {name} or its value is none that HTTP can carry"));
        }
    }
    Ok(headers)
}

/// Serde's words for an unknown field are a list of all that there are; the nearest is enough.
fn field_error(message: &str) -> String {
    if !message.starts_with("unknown field") {
        return message.to_owned();
    }
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = names.next().unwrap_or_default();
    match parse::nearest(unknown, names) {
        Some(nearest) => format!("unknown key `{unknown}`: did you mean `{nearest}`?"),
        None => format!("unknown key `{unknown}`: take it away"),
    }
}
