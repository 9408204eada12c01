//! `[oidc]`: where people sign in with a browser; `[[groups]]`: what the groups of an identity provider give.

use super::{ConfigError, Origin, parse, source::Source};
use crate::{auth::GroupMapping, domain::Role, secrets::Secret};
use serde::Deserialize;
use std::time::Duration;
use toml::{Table, Value};

const HOUR: Duration = Duration::from_secs(3_600);
const MINUTE: Duration = Duration::from_secs(60);
const SESSION_LASTS_DEFAULT: Duration = Duration::from_secs(24 * 3_600);
const SESSION_RESTS_DEFAULT: Duration = Duration::from_secs(8 * 3_600);
const SCOPES_DEFAULT: [&str; 3] = ["openid", "profile", "email"];
const GROUPS_CLAIM_DEFAULT: &str = "groups";
const MAPPINGS_MAX: usize = 1_000;
const NAME_CHARS_MAX: usize = 200;
const KEYS: [&str; 7] =
    ["issuer", "client_id", "client_secret", "scopes", "groups_claim", "session_hours", "session_idle_minutes"];

/// An identity provider, and how long its sessions last.
#[derive(Clone, Debug)]
pub struct OidcSettings {
    /// To the letter as the provider writes it.
    pub issuer: String,
    pub client_id: String,
    /// Absent: a public client.
    pub client_secret: Option<Secret>,
    pub scopes: Vec<String>,
    /// The claim of ID tokens that holds groups.
    pub groups_claim: String,
    /// How long a session lasts at most.
    pub session_lasts: Duration,
    /// How long it lasts without being used.
    pub session_rests: Duration,
}

pub(super) fn read(source: &Source<'_>) -> Result<Option<OidcSettings>, ConfigError> {
    let (table, origin) = match source.file_only("oidc") {
        None => (Table::new(), Origin::Variable("JOURNEYMAN_OIDC_ISSUER".to_owned())),
        Some((value, origin)) => match value.as_table() {
            Some(table) => (table.clone(), origin),
            None => return Err(ConfigError::Invalid { origin, message: "write it as a table: [oidc]".to_owned() }),
        },
    };
    let wrong = |message: String| ConfigError::Invalid { origin: origin.clone(), message };
    if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
        let nearest = parse::nearest(key, KEYS).map(|near| format!(": did you mean `{near}`?"));
        return Err(wrong(format!("`{key}` is no key of [oidc]{}", nearest.unwrap_or_default())));
    }
    let value = |key: &str| -> Result<Option<String>, ConfigError> {
        let variable = format!("JOURNEYMAN_OIDC_{}", key.to_uppercase());
        if let Some(given) = source.variable(&variable)? {
            return super::source::text(given, |text| Ok(Some(text.to_owned())));
        }
        match table.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Integer(number)) => Ok(Some(number.to_string())),
            Some(Value::Array(words)) if words.iter().all(Value::is_str) => {
                let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
                Ok(Some(words.join(",")))
            }
            Some(_) => Err(wrong(format!("`{key}` must be a text"))),
        }
    };
    let span = |key: &str, most: u64, unit: Duration, default: Duration| match value(key)? {
        None => Ok(default),
        Some(text) => {
            let count = parse::number(1, most)(&text).map_err(|message| wrong(format!("`{key}`: {message}")))?;
            Ok(unit * count as u32)
        }
    };
    let (issuer, client_id, client_secret) = (value("issuer")?, value("client_id")?, value("client_secret")?);
    let scopes = value("scopes")?;
    let read = OidcSettings {
        groups_claim: value("groups_claim")?.unwrap_or_else(|| GROUPS_CLAIM_DEFAULT.to_owned()),
        session_lasts: span("session_hours", 8_760, HOUR, SESSION_LASTS_DEFAULT)?,
        session_rests: span("session_idle_minutes", 525_600, MINUTE, SESSION_RESTS_DEFAULT)?,
        scopes: scopes.map_or_else(
            || SCOPES_DEFAULT.map(str::to_owned).to_vec(),
            |list| list.split([',', ' ']).filter(|word| !word.is_empty()).map(str::to_owned).collect(),
        ),
        issuer: issuer.clone().unwrap_or_default(),
        client_id: client_id.clone().unwrap_or_default(),
        client_secret: client_secret.clone().map(Secret::new),
    };
    match (issuer, client_id) {
        (Some(issuer), Some(_)) => {
            let url = parse::http_url(&issuer).map_err(|message| wrong(format!("`issuer`: {message}")))?;
            if url.query().is_some() || url.fragment().is_some() {
                return Err(wrong("`issuer` must be a URL without `?` and `#`".to_owned()));
            }
            if !read.scopes.iter().any(|scope| scope == "openid") {
                return Err(wrong("`scopes` must hold openid".to_owned()));
            }
            Ok(Some(read))
        }
        (None, None) if client_secret.is_none() => Ok(None),
        _ => Err(wrong("`issuer` and `client_id` belong together: give both".to_owned())),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    group: String,
    team: String,
    role: Role,
}

pub(super) fn groups(source: &Source<'_>) -> Result<Vec<GroupMapping>, ConfigError> {
    let Some((value, origin)) = source.file_only("groups") else { return Ok(Vec::new()) };
    let wrong = |message: String| ConfigError::Invalid { origin: origin.clone(), message };
    let entries = value.as_array().filter(|entries| entries.iter().all(Value::is_table));
    let entries = entries.ok_or_else(|| wrong("write each group as [[groups]]".to_owned()))?;
    if entries.len() > MAPPINGS_MAX {
        return Err(wrong(format!("there may be {MAPPINGS_MAX} of them, not {}", entries.len())));
    }
    let mapping = |entry: &Value| {
        let read: Result<Entry, _> = entry.clone().try_into();
        let Entry { group, team, role } = read.map_err(|error: toml::de::Error| {
            wrong(format!("{}: write group, team and role (viewer, member, admin)", error.message()))
        })?;
        let is_name = |text: &str| {
            !text.trim().is_empty() && text.chars().count() <= NAME_CHARS_MAX && !text.chars().any(char::is_control)
        };
        if is_name(&group) && is_name(&team) {
            Ok(GroupMapping { group, team: team.trim().to_owned(), role })
        } else {
            Err(wrong(format!("`group` and `team` must be names of at most {NAME_CHARS_MAX} characters")))
        }
    };
    entries.iter().map(mapping).collect()
}
