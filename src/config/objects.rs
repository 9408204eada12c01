//! `[objects]`: where contents lie that are too large for the database.

use super::{ConfigError, Origin, parse, source::Source};
use crate::secrets::Secret;
use std::time::Duration;
use toml::Table;
use url::Url;

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
const REGION_DEFAULT: &str = "us-east-1";
const KEYS: [&str; 6] = ["url", "endpoint", "region", "key_id", "secret", "timeout_seconds"];

/// A bucket; absent from the settings: a directory below the data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectSettings {
    pub bucket: String,
    /// In front of every key; may be empty.
    pub prefix: String,
    /// Absent: AWS's own for the region.
    pub endpoint: Option<Url>,
    pub region: String,
    /// Id and secret; absent: the machine's own role.
    pub credentials: Option<(String, Secret)>,
    /// How long the store may be silent.
    pub timeout: Duration,
}

pub(super) fn read(source: &Source<'_>) -> Result<Option<ObjectSettings>, ConfigError> {
    let table = match source.file_only("objects") {
        None => Table::new(),
        Some((value, origin)) => {
            let table = value.as_table().cloned();
            table.ok_or(ConfigError::Invalid { origin, message: "write it as a table: [objects]".to_owned() })?
        }
    };
    let origin = source.file_only("objects").map(|(_, origin)| origin);
    let wrong = |message: String| match &origin {
        Some(origin) => ConfigError::Invalid { origin: origin.clone(), message },
        None => ConfigError::Invalid { origin: Origin::Variable("JOURNEYMAN_OBJECTS_URL".to_owned()), message },
    };
    if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
        let nearest = parse::nearest(key, KEYS).map(|near| format!(": did you mean `{near}`?"));
        return Err(wrong(format!("`{key}` is no key of [objects]{}", nearest.unwrap_or_default())));
    }
    let value = |key: &str| -> Result<Option<String>, ConfigError> {
        let variable = format!("JOURNEYMAN_OBJECTS_{}", key.to_uppercase());
        if let Some(given) = source.variable(&variable)? {
            return super::source::text(given, |text| Ok(Some(text.to_owned())));
        }
        match table.get(key) {
            None => Ok(None),
            Some(toml::Value::String(text)) => Ok(Some(text.clone())),
            Some(value @ (toml::Value::Integer(_) | toml::Value::Float(_))) => Ok(Some(value.to_string())),
            Some(_) => Err(wrong(format!("`{key}` must be a text"))),
        }
    };
    let (url, endpoint, region) = (value("url")?, value("endpoint")?, value("region")?);
    let (id, secret, timeout) = (value("key_id")?, value("secret")?, value("timeout_seconds")?);
    let Some(url) = url else {
        if endpoint.is_some() || id.is_some() || secret.is_some() {
            return Err(wrong("`url` is missing: name the bucket as s3://BUCKET or s3://BUCKET/PREFIX".to_owned()));
        }
        return Ok(None);
    };
    let place = url.strip_prefix("s3://").filter(|place| !place.is_empty() && !place.starts_with('/'));
    let place = place.ok_or_else(|| wrong(format!("`url`: \"{url}\" must be s3://BUCKET or s3://BUCKET/PREFIX")))?;
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    let endpoint =
        endpoint.map(|text| parse::http_url(&text).map_err(|message| wrong(format!("`endpoint`: {message}"))));
    let credentials = match (id, secret) {
        (Some(id), Some(secret)) => Some((id, Secret::new(secret))),
        (None, None) => None,
        _ => return Err(wrong("`key_id` and `secret` belong together: give both or neither".to_owned())),
    };
    let timeout = timeout.map(|text| {
        parse::seconds(0.1, 600.0)(&text).map_err(|message| wrong(format!("`timeout_seconds`: {message}")))
    });
    Ok(Some(ObjectSettings {
        bucket: bucket.to_owned(),
        prefix: prefix.trim_matches('/').to_owned(),
        endpoint: endpoint.transpose()?,
        region: region.unwrap_or_else(|| REGION_DEFAULT.to_owned()),
        credentials,
        timeout: timeout.transpose()?.unwrap_or(TIMEOUT_DEFAULT),
    }))
}
