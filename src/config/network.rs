//! The file's `[network]`: what tasks may be allowed to reach at most, and names that the machine does not know.

use super::{ConfigError, parse, source::Source};
use crate::domain::network::{self, HostPattern, NetworkCap};
use std::{collections::BTreeMap, net::IpAddr};
use toml::{Table, Value};

const KEYS: [&str; 4] = ["hosts", "max_mib", "names", "open"];
const NAMES_MAX: usize = 1_000;
/// A tebibyte.
const MAX_MIB_MAX: u64 = 1 << 20;

/// What the operator says of workspaces' network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskNetworkSettings {
    pub cap: NetworkCap,
    /// In and out together while one workspace is open; absent: the default.
    pub max_mib: Option<u64>,
    /// Addresses of names, instead of those that the machine resolves.
    pub names: BTreeMap<String, Vec<IpAddr>>,
}

pub(super) fn read(source: &Source<'_>) -> Result<TaskNetworkSettings, ConfigError> {
    let Some((value, origin)) = source.file_only("network") else { return Ok(TaskNetworkSettings::default()) };
    let wrong = |message: String| ConfigError::Invalid { origin: origin.clone(), message };
    let table = value.as_table().ok_or_else(|| wrong("write it as a table: [network]".to_owned()))?;
    if let Some(unknown) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
        let hint = parse::nearest(unknown, KEYS);
        let hint = hint.map_or("take it away".to_owned(), |nearest| format!("did you mean `{nearest}`?"));
        return Err(wrong(format!("unknown key `{unknown}`: {hint}")));
    }
    settings(table).map_err(wrong)
}

fn settings(table: &Table) -> Result<TaskNetworkSettings, String> {
    let hosts = table.get("hosts").map(hosts).transpose()?;
    let open = match table.get("open") {
        None => true,
        Some(value) => value.as_bool().ok_or("`open` must be true or false")?,
    };
    let max_mib = match table.get("max_mib") {
        None => None,
        Some(value) => {
            let mib = value.as_integer().and_then(|mib| u64::try_from(mib).ok());
            let mib = mib.filter(|mib| (1..=MAX_MIB_MAX).contains(mib));
            Some(mib.ok_or(format!("`max_mib` must be a number from 1 to {MAX_MIB_MAX}"))?)
        }
    };
    let names = table.get("names").map(names).transpose()?.unwrap_or_default();
    Ok(TaskNetworkSettings { cap: NetworkCap { hosts, open }, max_mib, names })
}

fn hosts(value: &Value) -> Result<Vec<HostPattern>, String> {
    let entries =
        texts(value).ok_or("`hosts` must be a list of hosts such as pypi.org, *.corp.example or preset:npm")?;
    let mut all = Vec::new();
    for entry in entries {
        all.extend(network::expand(entry).map_err(|error| format!("`hosts`: \"{entry}\" {error}"))?);
    }
    Ok(all)
}

fn names(value: &Value) -> Result<BTreeMap<String, Vec<IpAddr>>, String> {
    let table = value.as_table().ok_or("`names` must be a table: [network.names]")?;
    if table.len() > NAMES_MAX {
        return Err(format!("`names` may hold at most {NAMES_MAX} names"));
    }
    let mut names = BTreeMap::new();
    for (name, value) in table {
        let addresses: Option<Vec<IpAddr>> = match value {
            Value::String(one) => one.parse().ok().map(|address| vec![address]),
            other => texts(other).and_then(|all| all.into_iter().map(|one| one.parse().ok()).collect()),
        };
        let addresses = addresses.filter(|addresses| !addresses.is_empty());
        let addresses = addresses.ok_or(format!("`names`: \"{name}\" must be an address or a list of addresses"))?;
        names.insert(name.trim_end_matches('.').to_ascii_lowercase(), addresses);
    }
    Ok(names)
}

fn texts(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}
