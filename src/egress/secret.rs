//! Secrets that a workspace uses and never has: it holds a handle, which is exchanged on the way out.

use super::{Refusal, Target, scrub::Scrubber};
use crate::{
    domain::{BlobHash, TaskId, network::HostPattern},
    secrets::{MIN_KNOWN_BYTES, Secret},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::fmt::Write;

/// What every handle begins with.
const HANDLE_PREFIX: &str = "jm-secret-";
const HANDLE_HEX: usize = 32;

/// A secret that is put into requests to some hosts, and nowhere else.
#[derive(Clone, Debug)]
pub struct BrokerSecret {
    /// Of the variable that holds the handle in workspaces.
    pub name: String,
    pub handle: String,
    pub value: Secret,
    /// Hosts that get the value, over TLS alone.
    pub hosts: Vec<HostPattern>,
    /// Whether it may stand in the path and the query too, where servers like to write them down.
    pub in_query: bool,
}

/// The handle of a task's secret: the same on every host and after every restart, and of no use elsewhere.
pub fn handle(key: &[u8; 32], task: TaskId, name: &str) -> String {
    let mut seed = Vec::with_capacity(32 + 16 + name.len());
    seed.extend_from_slice(key);
    seed.extend_from_slice(task.0.as_bytes());
    seed.extend_from_slice(name.as_bytes());
    format!("{HANDLE_PREFIX}{}", &BlobHash::of(&seed).as_str()[..HANDLE_HEX])
}

/// The secrets of one workspace that one host gets.
#[derive(Clone, Debug, Default)]
pub(super) struct Bound(Vec<BrokerSecret>);

impl Bound {
    pub(super) fn of(secrets: &[BrokerSecret], target: &Target) -> Self {
        let bound = |secret: &&BrokerSecret| secret.hosts.iter().any(|host| host.matches(&target.host, target.port));
        Self(secrets.iter().filter(bound).cloned().collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts values in the place of handles, in every header.
    pub(super) fn fill(&self, headers: &mut HeaderMap) -> Result<(), Refusal> {
        for (name, value) in headers.iter_mut() {
            if let Some(filled) = self.filled(name, value)? {
                *value = filled;
            }
        }
        Ok(())
    }

    fn filled(&self, name: &HeaderName, value: &HeaderValue) -> Result<Option<HeaderValue>, Refusal> {
        let Ok(text) = value.to_str() else { return Ok(None) };
        let basic = text
            .get(..6)
            .filter(|scheme| *name == header::AUTHORIZATION && scheme.eq_ignore_ascii_case("basic "))
            .and_then(|_| STANDARD.decode(text[6..].trim()).ok())
            .and_then(|pair| String::from_utf8(pair).ok());
        let (used, filled) = match basic {
            Some(pair) => {
                let (used, pair) = self.exchanged(&pair);
                (used, format!("Basic {}", STANDARD.encode(pair)))
            }
            None => self.exchanged(text),
        };
        let Some(used) = used else { return Ok(None) };
        let mut filled = HeaderValue::from_str(&filled).map_err(|_| Refusal::Secret(used.name.clone()))?;
        filled.set_sensitive(true);
        Ok(Some(filled))
    }

    /// A request's path and query with values in the place of handles, where that was asked for.
    pub(super) fn fill_path(&self, path: &str) -> Option<String> {
        let mut filled = path.to_owned();
        for secret in self.0.iter().filter(|secret| secret.in_query) {
            let value =
                percent_encoding::utf8_percent_encode(secret.value.expose(), percent_encoding::NON_ALPHANUMERIC);
            filled = filled.replace(&secret.handle, &value.to_string());
        }
        (filled != path).then_some(filled)
    }

    fn exchanged(&self, text: &str) -> (Option<&BrokerSecret>, String) {
        let mut exchanged = text.to_owned();
        let mut used = None;
        for secret in &self.0 {
            if exchanged.contains(&secret.handle) {
                exchanged = exchanged.replace(&secret.handle, secret.value.expose());
                used = Some(secret);
            }
        }
        (used, exchanged)
    }

    /// What takes the values out of an answer. Values that are too short to be told from ordinary text stay.
    pub(super) fn scrubber(&self) -> Scrubber {
        let values = self.0.iter().map(|secret| secret.value.expose()).filter(|value| value.len() >= MIN_KNOWN_BYTES);
        Scrubber::new(values.flat_map(spellings))
    }
}

/// A value in the ways in which an answer may repeat it.
fn spellings(value: &str) -> Vec<Vec<u8>> {
    let json = serde_json::to_string(value).unwrap_or_default();
    let encoded = percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC).to_string();
    let hex = value.bytes().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let reversed: String = value.chars().rev().collect();
    let html = value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let mut all = vec![
        value.to_owned(),
        json.trim_matches('"').to_owned(),
        lower_escapes(&encoded),
        encoded,
        hex.to_uppercase(),
        hex,
        reversed,
        html,
    ];
    // In the midst of something longer it may begin at any of three places of a group; the characters at the borders
    // hold bits of their neighbours.
    for shift in 0..3 {
        let padded = [&b"\0\0"[..shift], value.as_bytes()].concat();
        let text = STANDARD.encode(&padded);
        let start = [0, 2, 3][shift];
        let end = (padded.len() * 8 / 6).min(text.len());
        if let Some(core) = text.get(start..end) {
            all.push(core.replace('+', "-").replace('/', "_"));
            all.push(core.to_owned());
        }
    }
    all.retain(|text| text.len() >= MIN_KNOWN_BYTES);
    all.into_iter().map(String::into_bytes).collect()
}

/// `%2F` as `%2f`.
fn lower_escapes(encoded: &str) -> String {
    let mut lower = String::with_capacity(encoded.len());
    let mut left = 0_u8;
    for c in encoded.chars() {
        if c == '%' {
            left = 3;
        }
        lower.push(if left > 0 { c.to_ascii_lowercase() } else { c });
        left = left.saturating_sub(1);
    }
    lower
}
