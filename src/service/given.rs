//! What tasks and environments are given alike: checks, limits, hosts; how each is written and what of it
//! is refused.

use super::{Faults, input::object};
use crate::domain::{
    Limits,
    check::{Check, CheckKind, CheckSource},
    limits::LimitsPatch,
    network::{self, NetworkCap},
    task::{NetworkMode, NetworkPolicy},
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use std::fmt;
use utoipa::ToSchema;

const CHECKS_MAX: usize = 50;
const COMMAND_CHARS_MAX: usize = 10_000;
const NAME_CHARS_MAX: usize = 200;
const CHECK_SECONDS_MAX: u32 = 86_400;
const METRIC_CHARS_MAX: usize = 1_000;
const WORKDIR_CHARS_MAX: usize = 2_000;

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkInput {
    pub mode: NetworkMode,
    /// For `allowlist`: names such as `pypi.org` or `*.debian.org`, with a port where it is not 80 or 443
    /// (`git.corp:8443`), addresses, and presets of package registries such as `preset:npm`.
    #[serde(default)]
    #[schema(max_items = 100)]
    pub hosts: Vec<String>,
    /// The HTTP methods that may be used; none: all.
    #[serde(default)]
    #[schema(max_items = 20)]
    pub methods: Vec<String>,
    /// The most that may go in and out together while one workspace is open; absent: the operator's limit.
    #[schema(minimum = 1)]
    pub max_mib: Option<u32>,
}

/// A check: a command alone, or with what else is known of it.
#[derive(Clone, Debug, ToSchema)]
#[schema(value_type = CheckObject)]
pub struct CheckInput(pub(super) CheckObject);

/// A check in full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckObject {
    /// Absent: the command.
    pub name: Option<String>,
    /// Run by `bash -c`, or `sh -c` where there is no bash.
    pub command: String,
    /// Below the working copy.
    pub workdir: Option<String>,
    /// Default true.
    pub required: Option<bool>,
    pub timeout_seconds: Option<u32>,
    /// Default false.
    pub network: Option<bool>,
    pub kind: Option<CheckKind>,
    /// For `measure`: a regular expression whose first group is the figure.
    pub metric: Option<String>,
    /// For `measure`: the part by which the final may be worse than the base.
    pub max_regression: Option<f64>,
}

impl<'de> Deserialize<'de> for CheckInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CheckVisitor;
        impl<'de> Visitor<'de> for CheckVisitor {
            type Value = CheckInput;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a command or an object with a command")
            }

            fn visit_str<E: serde::de::Error>(self, command: &str) -> Result<CheckInput, E> {
                Ok(check_of_command(command))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<CheckInput, A::Error> {
                object(MapAccessDeserializer::new(map)).map(CheckInput)
            }
        }
        deserializer.deserialize_any(CheckVisitor)
    }
}

/// A check that is a command alone.
pub(super) fn check_of_command(command: &str) -> CheckInput {
    CheckInput(CheckObject {
        name: None,
        command: command.to_owned(),
        workdir: None,
        required: None,
        timeout_seconds: None,
        network: None,
        kind: None,
        metric: None,
        max_regression: None,
    })
}

impl CheckObject {
    /// A check as its team gave it.
    pub(super) fn of(check: &Check) -> Self {
        Self {
            name: Some(check.name.clone()),
            command: check.command.clone(),
            workdir: check.workdir.clone(),
            required: Some(check.required),
            timeout_seconds: check.timeout_seconds,
            network: Some(check.network),
            kind: Some(check.kind),
            metric: check.metric.clone(),
            max_regression: check.max_regression,
        }
    }
}

/// Checks with every default filled in; what is wrong is said below `pointer`.
pub(super) fn checks(pointer: &str, inputs: Vec<CheckInput>, faults: &mut Faults) -> Vec<Check> {
    faults.count(pointer, inputs.len(), CHECKS_MAX);
    let mut checks: Vec<Check> = Vec::with_capacity(inputs.len());
    for (index, CheckInput(input)) in inputs.into_iter().enumerate() {
        let at = |field: &str| format!("{pointer}/{index}/{field}");
        faults.text(&at("command"), &input.command, COMMAND_CHARS_MAX);
        let name = match input.name {
            Some(name) => {
                faults.line(&at("name"), &name, NAME_CHARS_MAX);
                name
            }
            None => input.command.clone(),
        };
        if checks.iter().any(|check| check.name == name) {
            faults.add(at("name"), "is used twice");
        }
        if let Some(workdir) = &input.workdir {
            faults.line(&at("workdir"), workdir, WORKDIR_CHARS_MAX);
            if workdir.starts_with('/') || workdir.split('/').any(|part| part == "..") {
                faults.add(at("workdir"), "must lie below the working copy");
            }
        }
        if input.timeout_seconds.is_some_and(|seconds| !(1..=CHECK_SECONDS_MAX).contains(&seconds)) {
            faults.add(at("timeout_seconds"), format!("must be from 1 to {CHECK_SECONDS_MAX}"));
        }
        if let Some(metric) = &input.metric {
            faults.text(&at("metric"), metric, METRIC_CHARS_MAX);
            if let Err(error) = regex::RegexBuilder::new(metric).size_limit(1 << 20).build() {
                faults.add(at("metric"), format!("is not a regular expression: {error}"));
            }
        }
        if input.max_regression.is_some_and(|part| !part.is_finite() || part < 0.0) {
            faults.add(at("max_regression"), "must be 0 or more");
        }
        checks.push(Check {
            name,
            command: input.command,
            workdir: input.workdir,
            required: input.required.unwrap_or(true),
            timeout_seconds: input.timeout_seconds,
            network: input.network.unwrap_or(false),
            kind: input.kind.unwrap_or_default(),
            metric: input.metric,
            max_regression: input.max_regression,
            source: CheckSource::Task,
        });
    }
    checks
}

/// Each limit within 1 and [`Limits::MAX`]; refinements and money may be 0.
pub(super) fn limits(patch: &LimitsPatch, faults: &mut Faults) {
    let max = Limits::MAX;
    let mut whole = |name: &str, value: Option<u64>, least: u64, most: u64| {
        if value.is_some_and(|value| !(least..=most).contains(&value)) {
            faults.add(format!("/limits/{name}"), format!("must be from {least} to {most}"));
        }
    };
    whole("turns", patch.turns.map(u64::from), 1, max.turns.into());
    whole("wall_seconds", patch.wall_seconds.map(u64::from), 1, max.wall_seconds.into());
    whole("validation_seconds", patch.validation_seconds.map(u64::from), 1, max.validation_seconds.into());
    whole("tokens", patch.tokens, 1, max.tokens);
    whole("refinements", patch.refinements.map(u64::from), 0, max.refinements.into());
    let most = max.cost_usd.unwrap_or(f64::MAX);
    if patch.cost_usd.is_some_and(|cost| !(cost > 0.0 && cost <= most)) {
        faults.add("/limits/cost_usd", format!("must be more than 0 and at most {most}"));
    }
}

/// A policy for a workspace's network, within what the operator lets anybody; what is wrong is said below `pointer`.
pub(super) fn network(pointer: &str, input: &NetworkInput, cap: &NetworkCap, faults: &mut Faults) -> NetworkPolicy {
    let at_hosts = format!("{pointer}/hosts");
    if input.mode != NetworkMode::Allowlist && !input.hosts.is_empty() {
        faults.add(&at_hosts, "only the mode allowlist has hosts");
    }
    if input.mode == NetworkMode::Open && !cap.permits_open() {
        faults.add(
            format!("{pointer}/mode"),
            "the operator's settings do not let a task's network be open: list its hosts",
        );
    }
    let hosts = host_patterns(&at_hosts, &input.hosts, faults);
    for (index, host) in hosts.iter().enumerate() {
        let patterns = network::expand(host).unwrap_or_default();
        if let Some(beyond) = patterns.iter().find(|pattern| !cap.permits(pattern)) {
            let why = format!("the operator's settings do not let a task reach {beyond}");
            faults.add(format!("{at_hosts}/{index}"), why);
        }
    }
    faults.count(&format!("{pointer}/methods"), input.methods.len(), network::METHODS_MAX);
    for (index, method) in input.methods.iter().enumerate() {
        if !network::is_method(method) {
            let at = format!("{pointer}/methods/{index}");
            faults.add(at, "must be an HTTP method in capitals such as GET");
        }
    }
    if input.max_mib == Some(0) {
        faults.add(format!("{pointer}/max_mib"), "must be 1 or more");
    }
    NetworkPolicy { mode: input.mode, hosts, methods: input.methods.clone(), max_mib: input.max_mib }
}

/// Hosts and presets of them, in lower case.
pub(super) fn host_patterns(pointer: &str, hosts: &[String], faults: &mut Faults) -> Vec<String> {
    faults.count(pointer, hosts.len(), network::HOSTS_MAX);
    for (index, host) in hosts.iter().enumerate() {
        if let Err(error) = network::expand(host) {
            faults.add(format!("{pointer}/{index}"), error.to_string());
        }
    }
    hosts.iter().map(|host| host.trim().to_ascii_lowercase()).collect()
}
