//! How the cluster is reached and what workspaces are made from.

use crate::{
    net::AddressPolicy,
    workspace::image_names::{AllowedImages, ImagePrefix},
};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

#[derive(Clone, Debug)]
pub struct KubernetesSettings {
    /// Absent: this process runs in the cluster, with a service account.
    pub kubeconfig: Option<PathBuf>,
    /// Where the Pods are made, and nothing else.
    pub namespace: String,
    /// What workspaces are made from that name no image.
    pub image: String,
    /// What tasks may name beside [`Self::image`].
    pub allowed_images: Vec<ImagePrefix>,
    /// Where registries may be that are allowed without being named.
    pub policy: AddressPolicy,
    /// Brings `/usr/local/bin/execd`, statically linked: this service's own image.
    pub execd_image: String,
    /// Marks the Pods of this data directory; no other has it, whatever host it is on.
    pub instance: String,
    /// Such as one that leads to gVisor or Kata; absent: the cluster's default.
    pub runtime_class: Option<String>,
    pub node_selector: BTreeMap<String, String>,
    pub tolerations: Vec<Toleration>,
    pub pull: ImagePull,
    /// Names of secrets in the namespace.
    pub pull_secrets: Vec<String>,
    /// Pods have a user namespace of their own (`hostUsers: false`), which nodes must be able to give.
    pub user_namespaces: bool,
    pub isolation: Isolation,
    /// How long the API server may take for one answer.
    pub answer_time: Duration,
    /// How long an API server, or a connection to a Pod, that is away is waited for.
    pub away_time: Duration,
    /// How long a Pod may wait for room and for its images until it runs.
    pub start_time: Duration,
    /// How long an image that cannot be fetched is tried again, by the node.
    pub pull_time: Duration,
}

impl KubernetesSettings {
    pub fn new(
        namespace: impl Into<String>,
        image: impl Into<String>,
        execd_image: impl Into<String>,
        instance: impl Into<String>,
    ) -> Self {
        Self {
            kubeconfig: None,
            namespace: namespace.into(),
            image: image.into(),
            allowed_images: ImagePrefix::well_known(),
            policy: AddressPolicy::default(),
            execd_image: execd_image.into(),
            instance: instance.into(),
            runtime_class: None,
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            pull: ImagePull::Missing,
            pull_secrets: Vec::new(),
            user_namespaces: false,
            isolation: Isolation::Enforced,
            answer_time: Duration::from_secs(30),
            away_time: Duration::from_secs(45),
            start_time: Duration::from_secs(300),
            pull_time: Duration::from_secs(30),
        }
    }

    pub(super) fn allowed(&self) -> AllowedImages<'_> {
        AllowedImages {
            usual: &self.image,
            prefixes: &self.allowed_images,
            policy: &self.policy,
            setting: "JOURNEYMAN_KUBERNETES_ALLOWED_IMAGES",
        }
    }
}

/// Whether nodes fetch images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImagePull {
    Always,
    /// Those that a node does not have.
    Missing,
    Never,
}

/// Whether workspaces are cut off from the network, which the cluster's network plugin does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// The service refuses to work where a workspace gets through to anything.
    Enforced,
    /// The operator knows better, or takes it.
    Unchecked,
}

/// A taint of nodes that workspaces may run on all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toleration {
    pub key: String,
    /// Absent: any.
    pub value: Option<String>,
    /// Absent: all.
    pub effect: Option<String>,
}
