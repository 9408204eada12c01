//! The workspace backend kubernetes: what the operator sets about it.

use super::{ConfigError, parse, source::Source};
use crate::workspace::ImagePrefix;
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

const NAMESPACE: &str = "journeyman-workspaces";
/// Effects of taints that there are.
const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// How the cluster is reached, and what Pods are made from.
#[derive(Clone, Debug)]
pub struct KubernetesSettings {
    /// A kubeconfig; absent: the service runs in the cluster.
    pub config: Option<PathBuf>,
    pub namespace: String,
    /// Of workspaces that name none.
    pub image: Option<String>,
    /// What environments may name; empty: the well-known registries.
    pub allowed_images: Vec<ImagePrefix>,
    /// What execd comes from.
    pub execd_image: Option<String>,
    /// Absent: the cluster's default.
    pub runtime_class: Option<String>,
    pub node_selector: BTreeMap<String, String>,
    pub tolerations: Vec<KubernetesToleration>,
    pub pull: KubernetesPull,
    pub pull_secrets: Vec<String>,
    pub user_namespaces: bool,
    /// Workspaces that get through to the network are not worked with.
    pub isolation_enforced: bool,
    /// How long a Pod may take until it runs.
    pub start_time: Duration,
}

/// `key`, `key=value`, either with `:effect`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesToleration {
    pub key: String,
    pub value: Option<String>,
    pub effect: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KubernetesPull {
    Always,
    Missing,
    Never,
}

pub(super) fn read(source: &Source<'_>) -> Result<KubernetesSettings, ConfigError> {
    let pull = source.parsed("kubernetes_pull", |text| match text {
        "always" => Ok(KubernetesPull::Always),
        "missing" => Ok(KubernetesPull::Missing),
        "never" => Ok(KubernetesPull::Never),
        _ => Err(format!("\"{text}\" must be always, missing or never")),
    })?;
    let isolation = source.parsed("kubernetes_network", |text| match text {
        "enforced" => Ok(true),
        "unchecked" => Ok(false),
        _ => Err(format!("\"{text}\" must be enforced or unchecked")),
    })?;
    let start = source.parsed("kubernetes_start_seconds", parse::seconds(1.0, 3_600.0))?;
    Ok(KubernetesSettings {
        config: source.parsed("kubernetes_config", parse::absolute_path)?,
        namespace: source.parsed("kubernetes_namespace", name)?.unwrap_or_else(|| NAMESPACE.to_owned()),
        image: source.parsed("kubernetes_image", image)?,
        allowed_images: source.list("kubernetes_allowed_images", ',', str::parse)?,
        execd_image: source.parsed("kubernetes_execd_image", image)?,
        runtime_class: source.parsed("kubernetes_runtime_class", name)?,
        node_selector: source.list("kubernetes_node_selector", ',', label)?.into_iter().collect(),
        tolerations: source.list("kubernetes_tolerations", ',', toleration)?,
        pull: pull.unwrap_or(KubernetesPull::Missing),
        pull_secrets: source.list("kubernetes_pull_secrets", ',', name)?,
        user_namespaces: source.parsed("kubernetes_user_namespaces", parse::truth)?.unwrap_or(false),
        isolation_enforced: isolation.unwrap_or(true),
        start_time: start.unwrap_or(Duration::from_secs(300)),
    })
}

/// Of an object of the API: it becomes part of a path there.
fn name(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    if text.len() <= 253 && text.bytes().all(plain) && ends(text.bytes().next()) && ends(text.bytes().last()) {
        Ok(text.to_owned())
    } else {
        Err(format!("\"{text}\" is no name in Kubernetes: small letters, digits, - and . alone"))
    }
}

fn image(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
    if text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err(format!("\"{text}\" holds more than an image's name may"))
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    let wrong = || format!("\"{text}\" must be like disk=ssd");
    let (key, value) = text.split_once('=').ok_or_else(wrong)?;
    if is_key(key) && (value.is_empty() || is_key(value)) {
        Ok((key.to_owned(), value.to_owned()))
    } else {
        Err(wrong())
    }
}

fn toleration(text: &str) -> Result<KubernetesToleration, String> {
    let wrong = || {
        format!(
            "\"{text}\" must be like agents, agents=yes or agents=yes:NoSchedule (or :PreferNoSchedule, :NoExecute)"
        )
    };
    let (taint, effect) = match text.split_once(':') {
        Some((taint, effect)) => (taint, Some(effect)),
        None => (text, None),
    };
    let (key, value) = match taint.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (taint, None),
    };
    let fits = is_key(key) && value.is_none_or(is_key) && effect.is_none_or(|effect| EFFECTS.contains(&effect));
    if !fits {
        return Err(wrong());
    }
    Ok(KubernetesToleration { key: key.to_owned(), value: value.map(str::to_owned), effect: effect.map(str::to_owned) })
}

fn is_key(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte);
    !text.is_empty() && text.len() <= 316 && text.bytes().all(plain)
}
