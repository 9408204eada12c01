//! What a workspace may reach: patterns of hosts, presets of them, the operator's cap; and what of it was used.
//!
//! A host here is a name in lower case without a dot at its end, or an address as it is written in full. Whether an
//! address may be connected to at all is not decided here.

use super::task::{NetworkMode, NetworkPolicy};
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr, str::FromStr};
use utoipa::ToSchema;

/// Entries of a policy, and hosts that one call may ask for.
pub const HOSTS_MAX: usize = 100;
pub const HOSTS_ASKED_MAX: usize = 20;
/// HTTP methods of a policy.
pub const METHODS_MAX: usize = 20;
/// Ports that a pattern without one means.
const WEB_PORTS: [u16; 2] = [80, 443];
const PRESET: &str = "preset:";

/// Hosts of package registries by the preset's name: what their usual clients load from.
const PRESETS: [(&str, &[&str]); 14] = [
    ("alpine", &["dl-cdn.alpinelinux.org"]),
    ("crates", &["crates.io", "index.crates.io", "static.crates.io"]),
    ("debian", &["deb.debian.org", "ftp.debian.org", "security.debian.org"]),
    ("go", &["proxy.golang.org", "sum.golang.org"]),
    ("gradle", &["downloads.gradle.org", "plugins-artifacts.gradle.org", "plugins.gradle.org", "services.gradle.org"]),
    ("hackage", &["hackage.haskell.org"]),
    ("hex", &["builds.hex.pm", "hex.pm", "repo.hex.pm"]),
    ("maven", &["repo.maven.apache.org", "repo1.maven.org"]),
    ("npm", &["registry.npmjs.org", "registry.yarnpkg.com"]),
    ("nuget", &["api.nuget.org", "www.nuget.org"]),
    ("packagist", &["packagist.org", "repo.packagist.org"]),
    ("pypi", &["files.pythonhosted.org", "pypi.org"]),
    ("rubygems", &["index.rubygems.org", "rubygems.org"]),
    ("ubuntu", &["archive.ubuntu.com", "ports.ubuntu.com", "security.ubuntu.com"]),
];

/// Names of the presets, sorted.
pub fn presets() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|(name, _)| *name)
}

/// One host, or all names below one, at the web's two ports or at one that is named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPattern {
    name: Name,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Name {
    Exact(String),
    /// Every name below this one, at any depth, and not itself.
    Below(String),
    Address(IpAddr),
}

/// What is wrong with a pattern, with the mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error(
        "must be a host name such as pypi.org or *.debian.org, with a port where it is not 80 or 443 (git.corp:8443)"
    )]
    Form,
    #[error("must be a preset that there is (preset:npm, preset:pypi, …: docs/network.md)")]
    Preset,
}

impl HostPattern {
    /// Whether a connection to `host` (in its normal form) at `port` is meant.
    pub fn matches(&self, host: &str, port: u16) -> bool {
        let at_port = self.port.map_or(WEB_PORTS.contains(&port), |own| own == port);
        at_port
            && match &self.name {
                Name::Exact(name) => name == host,
                Name::Below(parent) => is_below(host, parent),
                Name::Address(address) => address_of(host) == Some(*address),
            }
    }

    /// Whether all that `other` means is meant here too.
    pub fn covers(&self, other: &Self) -> bool {
        let ports = match (self.port, other.port) {
            (None, None) => true,
            (None, Some(port)) => WEB_PORTS.contains(&port),
            (own, port) => own == port,
        };
        ports
            && match (&self.name, &other.name) {
                (Name::Below(parent), Name::Exact(name)) => is_below(name, parent),
                (Name::Below(parent), Name::Below(name)) => name == parent || is_below(name, parent),
                (own, name) => own == name,
            }
    }
}

impl FromStr for HostPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let text = text.trim();
        if let Some(rest) = text.strip_prefix('[') {
            let (address, port) = rest.split_once(']').ok_or(PatternError::Form)?;
            let address: IpAddr = address.parse().map_err(|_| PatternError::Form)?;
            let port = match port.strip_prefix(':') {
                Some(port) => Some(self::port(port)?),
                None if port.is_empty() => None,
                None => return Err(PatternError::Form),
            };
            return Ok(Self { name: Name::Address(address), port });
        }
        if let Ok(address) = text.parse() {
            return Ok(Self { name: Name::Address(address), port: None });
        }
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(self::port(port)?)),
            None => (text, None),
        };
        if let Ok(address) = name.parse() {
            return Ok(Self { name: Name::Address(address), port });
        }
        let lower = name.to_ascii_lowercase();
        let name = match lower.strip_prefix("*.") {
            Some(parent) if is_name(parent) => Name::Below(parent.to_owned()),
            None if is_name(&lower) => Name::Exact(lower),
            _ => return Err(PatternError::Form),
        };
        Ok(Self { name, port })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Name::Exact(name) => f.write_str(name)?,
            Name::Below(parent) => write!(f, "*.{parent}")?,
            Name::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
            Name::Address(address) => address.fmt(f)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The address that a host is, where it is one; IPv6 with or without its brackets.
pub fn address_of(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn port(text: &str) -> Result<u16, PatternError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0).ok_or(PatternError::Form)
}

fn is_below(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

/// A DNS name (RFC 1123) whose last label is no number.
fn is_name(name: &str) -> bool {
    let label = |part: &str| {
        !part.is_empty()
            && part.len() <= 63
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    name.len() <= 253
        && name.split('.').all(label)
        && name.rsplit('.').next().is_some_and(|last| last.bytes().any(|byte| byte.is_ascii_alphabetic()))
}

/// The patterns that one entry of a policy's `hosts` means: a pattern itself, or a preset's.
pub fn expand(entry: &str) -> Result<Vec<HostPattern>, PatternError> {
    match entry.trim().to_ascii_lowercase().strip_prefix(PRESET) {
        Some(name) => {
            let (_, hosts) = PRESETS.iter().find(|(preset, _)| *preset == name).ok_or(PatternError::Preset)?;
            Ok(hosts.iter().filter_map(|host| host.parse().ok()).collect())
        }
        None => entry.parse().map(|pattern| vec![pattern]),
    }
}

/// An HTTP method (RFC 9110: a token), of those that are spoken.
pub fn is_method(text: &str) -> bool {
    !text.is_empty() && text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
}

/// What the operator lets teams allow their tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkCap {
    /// Absent: any host.
    pub hosts: Option<Vec<HostPattern>>,
    /// Whether the mode `open` may be asked for.
    pub open: bool,
}

impl Default for NetworkCap {
    fn default() -> Self {
        Self { hosts: None, open: true }
    }
}

impl NetworkCap {
    /// Whether all that a pattern means may be allowed.
    pub fn permits(&self, pattern: &HostPattern) -> bool {
        self.hosts.as_ref().is_none_or(|hosts| hosts.iter().any(|own| own.covers(pattern)))
    }

    /// Whether one connection may be made.
    pub fn permits_host(&self, host: &str, port: u16) -> bool {
        self.hosts.as_ref().is_none_or(|hosts| hosts.iter().any(|own| own.matches(host, port)))
    }

    pub fn permits_open(&self) -> bool {
        self.open && self.hosts.is_none()
    }
}

impl NetworkPolicy {
    /// What its `hosts` mean, sorted; entries that mean nothing (of another build's presets) are left out.
    pub fn patterns(&self) -> Vec<HostPattern> {
        let mut patterns: Vec<HostPattern> =
            self.hosts.iter().filter_map(|entry| expand(entry).ok()).flatten().collect();
        patterns.sort();
        patterns.dedup();
        patterns
    }

    /// The same with more hosts. What was open stays so.
    #[must_use]
    pub fn with(&self, hosts: &[String]) -> Self {
        let mut policy = self.clone();
        if hosts.is_empty() || policy.mode == NetworkMode::Open {
            return policy;
        }
        policy.mode = NetworkMode::Allowlist;
        for host in hosts {
            if !policy.hosts.contains(host) {
                policy.hosts.push(host.clone());
            }
        }
        policy
    }
}

/// What became of connections and requests to one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NetworkOutcome {
    Allowed,
    /// The policy, the operator's cap or the address rules spoke against it, or a limit was reached.
    Refused,
    /// It was allowed, and the other side was not there or broke off.
    Failed,
}

/// Use of the network since it was last told, summed up by host, port, outcome and reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetworkUse {
    pub host: String,
    pub port: u16,
    pub outcome: NetworkOutcome,
    /// Of what was refused or failed: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Connections that were asked for, and requests where they can be seen.
    pub requests: u64,
    /// From the host.
    pub bytes_in: u64,
    /// To the host.
    pub bytes_out: u64,
}
