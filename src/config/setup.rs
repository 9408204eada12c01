//! `setup_network` and `setup_timeout_seconds`: setups that the service finds in repositories without an environment.

use super::{ConfigError, parse, source::Source};
use crate::domain::{
    network,
    task::{NetworkMode, NetworkPolicy},
};

/// Words of `setup_network` that are no hosts.
const OFF: &str = "off";
const OPEN: &str = "open";
const REGISTRIES: &str = "registries";
const SECONDS_DEFAULT: u64 = 900;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetupSettings {
    /// What they may reach; absent: there are none.
    pub network: Option<NetworkPolicy>,
    /// Of one setup.
    pub timeout_seconds: u32,
}

pub(super) fn read(source: &Source<'_>) -> Result<SetupSettings, ConfigError> {
    let timeout = source.parsed("setup_timeout_seconds", parse::number(10, 14_400))?;
    let words = source.list("setup_network", ',', word)?;
    Ok(SetupSettings { network: policy(&words), timeout_seconds: timeout.unwrap_or(SECONDS_DEFAULT) as u32 })
}

/// The hosts that one entry means; `off` and `open` as they are.
fn word(text: &str) -> Result<Vec<String>, String> {
    match text {
        OFF | OPEN => Ok(vec![text.to_owned()]),
        REGISTRIES => Ok(network::presets().map(|name| format!("preset:{name}")).collect()),
        host => network::expand(host).map(|_| vec![host.to_owned()]).map_err(|error| {
            format!("\"{host}\" {error}; or write {OFF}, {REGISTRIES} (those of all presets) or {OPEN}")
        }),
    }
}

/// `off` goes before all others, `open` before hosts: the word that says less is not overheard.
fn policy(words: &[Vec<String>]) -> Option<NetworkPolicy> {
    let mut hosts = words.concat();
    hosts.sort_unstable();
    hosts.dedup();
    let has = |word: &str| hosts.iter().any(|host| host == word);
    if hosts.is_empty() || has(OFF) {
        return None;
    }
    if has(OPEN) {
        return Some(NetworkPolicy { mode: NetworkMode::Open, ..NetworkPolicy::default() });
    }
    // Packages are loaded there, and nothing is sent.
    let methods = vec!["GET".to_owned(), "HEAD".to_owned()];
    Some(NetworkPolicy { mode: NetworkMode::Allowlist, hosts, methods, max_mib: None })
}
