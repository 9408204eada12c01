//! Which hosts, ports and methods a task may reach.

use super::Refusal;
use crate::{
    domain::{
        network::{HostPattern, NetworkCap, address_of},
        task::{NetworkMode, NetworkPolicy},
    },
    net::AddressPolicy,
};
use std::fmt;

/// Hosts that a refusal names.
const NAMED_MAX: usize = 12;
const WEB_PORTS: [u16; 2] = [80, 443];

/// Where a request wants to go. `host` is in its normal form once [`Policy::check`] has seen it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    pub host: String,
    pub port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Target {
    /// Whether the host is an address.
    pub fn is_address(&self) -> bool {
        address_of(&self.host).is_some()
    }
}

/// What a task may reach, within what the operator lets anybody.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    mode: Option<NetworkMode>,
    patterns: Vec<HostPattern>,
    methods: Vec<String>,
    cap: NetworkCap,
}

impl Policy {
    pub fn new(policy: &NetworkPolicy, cap: &NetworkCap) -> Self {
        Self { mode: Some(policy.mode), patterns: policy.patterns(), methods: policy.methods.clone(), cap: cap.clone() }
    }

    /// Nothing may be reached.
    pub fn is_off(&self) -> bool {
        match self.mode {
            None | Some(NetworkMode::Off) => true,
            Some(NetworkMode::Allowlist) => self.patterns.is_empty(),
            Some(NetworkMode::Open) => false,
        }
    }

    /// Only some methods may be used: TLS has to be read for it.
    pub fn has_methods(&self) -> bool {
        !self.methods.is_empty()
    }

    /// The target in its normal form, if it may be reached as far as can be seen without resolving it.
    pub fn check(&self, target: &Target, addresses: &AddressPolicy) -> Result<Target, Refusal> {
        let host = addresses.check_host(&target.host).map_err(|error| Refusal::Address(error.to_string()))?;
        let target = Target { host: host.to_ascii_lowercase(), port: target.port };
        let listed = self.patterns.iter().any(|pattern| pattern.matches(&target.host, target.port));
        match self.mode {
            None | Some(NetworkMode::Off) => return Err(Refusal::Off),
            Some(NetworkMode::Open) if !self.cap.permits_open() => return Err(Refusal::Capped),
            Some(_) if target.is_address() && !listed => return Err(Refusal::Literal),
            Some(NetworkMode::Open) if !WEB_PORTS.contains(&target.port) => return Err(Refusal::Port),
            Some(NetworkMode::Allowlist) if !listed => {
                let elsewhere =
                    WEB_PORTS.iter().any(|port| self.patterns.iter().any(|p| p.matches(&target.host, *port)));
                return Err(if elsewhere { Refusal::Port } else { Refusal::NotListed { allowed: self.named() } });
            }
            Some(NetworkMode::Allowlist) if !self.cap.permits_host(&target.host, target.port) => {
                return Err(Refusal::Capped);
            }
            Some(_) => {}
        }
        Ok(target)
    }

    pub(super) fn check_method(&self, method: &str) -> Result<(), Refusal> {
        if self.methods.is_empty() || self.methods.iter().any(|own| own == method) {
            return Ok(());
        }
        Err(Refusal::Method { method: method.chars().take(20).collect(), allowed: self.methods.join(", ") })
    }

    fn named(&self) -> String {
        let named: Vec<String> = self.patterns.iter().take(NAMED_MAX).map(ToString::to_string).collect();
        let more = self.patterns.len().saturating_sub(NAMED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        named.join(", ") + &more
    }
}
