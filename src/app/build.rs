//! From settings to rooms.

use super::{doors::Doors, keys};
use crate::{
    analysis::symbols::Parsers,
    config::{
        self, Settings,
        settings::{PrivateHost, WorkspaceBackend, WorkspaceSettings},
    },
    egress::{Egress, EgressSettings, Limits},
    llm, mcp, memory,
    net::{AddressPolicy, CheckedClient, Outgoing, Timeouts},
    objects::{Bucket, Objects},
    postgres::{Cluster, ClusterSettings, DataDirLock},
    runner::{Blobs, DetectedSetups, Vault},
    secrets::{Keyring, Redactor, Secret},
    store::{self, Store},
    trackers::{client::TrackerClient, standing::Standings},
    workspace::{
        self, BackendSettings, PoolSettings, Prepared, SandboxLimits, SandboxSettings, Sandboxes,
        repository::{Repositories, RepositorySettings},
    },
};
use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use uuid::Uuid;

/// What a forge may take to say who may.
const FORGE_TIMEOUT: Duration = Duration::from_secs(10);

/// Containers of each image that are kept ready where nothing is set.
const READY_CONTAINERS: u32 = 2;

/// The database that this process works on: the operator's, or a private cluster of its own.
#[derive(Debug)]
pub struct RunningDatabase {
    pub url: String,
    pub cluster: Option<Cluster>,
}

impl RunningDatabase {
    pub async fn start(settings: &Settings, lock: &DataDirLock) -> anyhow::Result<Self> {
        if let Some(url) = &settings.database.url {
            return Ok(Self { url: url.expose().to_owned(), cluster: None });
        }
        let cluster = Cluster::start(
            lock,
            &ClusterSettings {
                bin_dir: settings.database.postgres_bin.clone(),
                search_path: settings.database.search_path.clone(),
                ..ClusterSettings::default()
            },
        )
        .await?;
        Ok(Self { url: cluster.url().to_owned(), cluster: Some(cluster) })
    }

    /// Ends a private cluster in order; the operator's is left alone.
    pub async fn stop(self) {
        if let Some(cluster) = self.cluster
            && let Err(error) = cluster.stop().await
        {
            tracing::warn!(error = %error, "the private database did not stop in order: it recovers at the next start");
        }
    }
}

/// The rooms that the API and workers share.
#[derive(Clone)]
pub struct Parts {
    pub store: Store,
    pub redactor: Arc<Redactor>,
    pub policy: AddressPolicy,
    pub repositories: Repositories,
    pub blobs: Blobs,
    pub objects: Objects,
    /// Where uploads come in and are laid for git, on this host.
    pub files: PathBuf,
    pub secret: [u8; 32],
    pub vault: Vault,
    pub keyring: Keyring,
    /// How trackers and forges are reached.
    pub(super) doors: Doors,
    /// What finds memories, for tasks and for people.
    pub recall: memory::Recall,
    pub host: Uuid,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("objects", &self.objects).field("host", &self.host).finish_non_exhaustive()
    }
}

impl Parts {
    pub async fn build(settings: &Settings, data_dir: &Path, url: &str, migrate: bool) -> anyhow::Result<Self> {
        let mut database = store::Settings::new(url);
        database.connections = (settings.database.connections / 2).max(2);
        let store = Store::connect(&database, migrate).await.context("the database")?;
        let keyring = keys::keyring(settings, data_dir)?;
        keys::look_over_secrets(&store, &keyring).await?;
        let policy = policy(settings)?;
        let mut repositories = RepositorySettings::new(data_dir.to_owned());
        repositories.allow_local.clone_from(&settings.network.allow_local_repos);
        repositories.size_limit_bytes = settings.workspace.repository_limit_bytes;
        repositories.outgoing = outgoing(settings);
        repositories.fresh = settings.workspace.fresh;
        repositories.leave_out_from_bytes = settings.workspace.leave_out_from_bytes;
        let vault = Vault::new(store.clone(), keyring.clone());
        let timeouts = Timeouts { connect: FORGE_TIMEOUT, read: FORGE_TIMEOUT, total: Some(FORGE_TIMEOUT * 2) };
        let client = CheckedClient::new(policy.clone(), &outgoing(settings), timeouts)?;
        let doors = Doors::new(store.clone(), vault.clone(), TrackerClient::new(client));
        repositories.credentials = doors.credentials();
        let secret = keys::secret(settings, data_dir)?;
        let files = data_dir.join("uploads");
        fs::create_dir_all(&files).context("the directory of uploads")?;
        let objects = objects(settings, data_dir).context("[objects]")?;
        // One that was made in the data directory is in no setting.
        let redactor = Arc::new(settings.redactor().with([&Secret::new(STANDARD.encode(secret))]));
        Ok(Self {
            recall: memory::Recall::new(settings.memory.recall_tokens, embeddings(settings, &redactor)?),
            redactor,
            repositories: Repositories::new(repositories, policy.clone()),
            policy,
            blobs: Blobs::new(store.clone(), objects.clone(), files.clone()),
            objects,
            files,
            secret,
            vault,
            keyring,
            doors,
            host: keys::host_id(data_dir)?,
            store,
        })
    }
}

/// What setups of environments prepare: one at most as large as a task's disk.
pub(super) fn prepared(settings: &Settings) -> Prepared {
    let set = &settings.workspace;
    Prepared::new(&settings.data_dir, set.limits.disk_bytes, set.snapshots_bytes)
}

/// Setups of tasks without an environment.
pub(super) fn detected_setups(settings: &Settings) -> DetectedSetups {
    let setup = &settings.workspace.setup;
    DetectedSetups::new(setup.network.clone(), setup.timeout_seconds)
}

pub(super) fn policy(settings: &Settings) -> anyhow::Result<AddressPolicy> {
    let hosts: Vec<String> = settings
        .network
        .private_hosts
        .iter()
        .map(|host| match host {
            PrivateHost::Name(name) => name.clone(),
            PrivateHost::Network(network) => network.to_string(),
        })
        .collect();
    let policy = AddressPolicy::new(&hosts).context("JOURNEYMAN_PRIVATE_HOSTS")?;
    Ok(policy.with_names(settings.network.tasks.names.clone()))
}

pub(super) fn objects(settings: &Settings, data_dir: &Path) -> anyhow::Result<Objects> {
    let Some(set) = &settings.objects else { return Ok(Objects::directory(&data_dir.join("objects"))?) };
    let ca_pem = settings.network.ca_file.as_ref().map(fs::read).transpose().context("JOURNEYMAN_CA_FILE")?;
    Ok(Objects::bucket(&Bucket {
        name: set.bucket.clone(),
        prefix: set.prefix.clone(),
        endpoint: set.endpoint.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned()),
        region: set.region.clone(),
        credentials: set.credentials.clone(),
        timeout: set.timeout,
        proxy: settings.network.https_proxy.as_ref().map(ToString::to_string),
        no_proxy: settings.network.no_proxy.clone(),
        ca_pem,
    })?)
}

pub(super) fn outgoing(settings: &Settings) -> Outgoing {
    Outgoing {
        proxy: settings.network.https_proxy.clone(),
        no_proxy: settings.network.no_proxy.clone().unwrap_or_default(),
        ca_file: settings.network.ca_file.clone(),
    }
}

/// What is kept ready: by itself of containers alone, which take ten times as long to start as other sandboxes.
fn pool(settings: &WorkspaceSettings) -> PoolSettings {
    let size = settings.ready.size.unwrap_or(match settings.backend {
        WorkspaceBackend::Bubblewrap | WorkspaceBackend::Kubernetes => 0,
        WorkspaceBackend::Docker => READY_CONTAINERS,
    });
    PoolSettings { size: size as usize, total: settings.ready.total as usize, age: settings.ready.age }
}

pub(super) async fn sandboxes(settings: &Settings, data_dir: &Path) -> anyhow::Result<Sandboxes> {
    let backend = match &settings.workspace.backend {
        WorkspaceBackend::Bubblewrap => BackendSettings::Bubblewrap,
        WorkspaceBackend::Docker => BackendSettings::Docker(docker(&settings.workspace.docker, policy(settings)?)?),
        WorkspaceBackend::Kubernetes => kubernetes(settings, data_dir)?,
    };
    let sandboxes = Sandboxes::new(SandboxSettings {
        data_dir: data_dir.to_owned(),
        execd: execd(settings)?,
        toolchains: settings.workspace.toolchains.clone(),
        uid_base: settings.workspace.uid_base,
        cgroups: true,
        backend,
        pool: pool(&settings.workspace),
        heartbeat: settings.workspace.heartbeat,
    })
    .await?;
    Ok(sandboxes)
}

fn docker(
    settings: &config::settings::DockerSettings,
    policy: AddressPolicy,
) -> anyhow::Result<workspace::DockerSettings> {
    let Some(image) = &settings.image else {
        bail!(
            "containers need an image: set JOURNEYMAN_DOCKER_IMAGE to one that has what the code of your users needs"
        );
    };
    let mut docker = workspace::DockerSettings::new(settings.host.clone(), image);
    docker.cert_dir.clone_from(&settings.cert_dir);
    docker.runtime.clone_from(&settings.runtime);
    docker.pull = settings.pull;
    docker.policy = policy;
    if !settings.allowed_images.is_empty() {
        docker.allowed_images.clone_from(&settings.allowed_images);
    }
    Ok(docker)
}

#[cfg(feature = "kubernetes")]
fn kubernetes(settings: &Settings, data_dir: &Path) -> anyhow::Result<BackendSettings> {
    use workspace::{ImagePull, Isolation, KubernetesSettings, Toleration};
    let set = &settings.workspace.kubernetes;
    let Some(image) = &set.image else {
        bail!("Pods need an image: set JOURNEYMAN_KUBERNETES_IMAGE to one that has what the code of your users needs");
    };
    let Some(execd_image) = &set.execd_image else {
        bail!("Pods need execd: set JOURNEYMAN_KUBERNETES_EXECD_IMAGE to the image of this service itself");
    };
    if !settings.workspace.toolchains.is_empty() {
        bail!("JOURNEYMAN_TOOLCHAINS are directories of this machine, which Pods do not see: have them in the image");
    }
    let own = keys::host_id(data_dir)?.simple().to_string();
    let mut kubernetes = KubernetesSettings::new(&set.namespace, image, execd_image, &own[own.len() - 12..]);
    kubernetes.kubeconfig.clone_from(&set.config);
    kubernetes.policy = policy(settings)?;
    if !set.allowed_images.is_empty() {
        kubernetes.allowed_images.clone_from(&set.allowed_images);
    }
    kubernetes.runtime_class.clone_from(&set.runtime_class);
    kubernetes.node_selector.clone_from(&set.node_selector);
    kubernetes.tolerations = (set.tolerations.iter().cloned())
        .map(|toleration| Toleration { key: toleration.key, value: toleration.value, effect: toleration.effect })
        .collect();
    kubernetes.pull = match set.pull {
        config::KubernetesPull::Always => ImagePull::Always,
        config::KubernetesPull::Missing => ImagePull::Missing,
        config::KubernetesPull::Never => ImagePull::Never,
    };
    kubernetes.pull_secrets.clone_from(&set.pull_secrets);
    kubernetes.user_namespaces = set.user_namespaces;
    kubernetes.isolation = if set.isolation_enforced { Isolation::Enforced } else { Isolation::Unchecked };
    kubernetes.start_time = set.start_time;
    Ok(BackendSettings::Kubernetes(kubernetes))
}

#[cfg(not(feature = "kubernetes"))]
fn kubernetes(_: &Settings, _: &Path) -> anyhow::Result<BackendSettings> {
    bail!(
        "this build has no workspace backend kubernetes: build it with --features kubernetes (the container image has it), or \
         set JOURNEYMAN_WORKSPACE to bubblewrap or docker"
    )
}

/// The execd beside this executable, or where the settings say.
fn execd(settings: &Settings) -> anyhow::Result<PathBuf> {
    let path = if let Some(path) = &settings.workspace.execd {
        path.clone()
    } else {
        let own = std::env::current_exe().context("where this executable is")?;
        let beside = own.with_file_name("execd");
        // Test binaries lie one directory deeper.
        let above = own.parent().and_then(Path::parent).map(|dir| dir.join("execd"));
        if beside.exists() { beside } else { above.filter(|path| path.exists()).unwrap_or(beside) }
    };
    if !path.exists() {
        bail!("execd is not at {}: build it (cargo build --workspace --bins) or set JOURNEYMAN_EXECD", path.display());
    }
    Ok(path)
}

/// The parsers: this executable's own `outline` command.
pub(super) fn parsers(sandboxes: &Sandboxes) -> anyhow::Result<Parsers> {
    let own = std::env::current_exe().context("where this executable is")?;
    // Test binaries lie one directory deeper, and are not it.
    let above = own.parent().and_then(Path::parent).map(|dir| dir.join("journeyman"));
    let in_deps = own.parent().is_some_and(|dir| dir.ends_with("deps"));
    let program = above.filter(|path| in_deps && path.exists()).unwrap_or(own);
    Ok(Parsers::new(sandboxes.clone(), program))
}

pub(super) fn limits(settings: &Settings) -> SandboxLimits {
    let set = &settings.workspace.limits;
    SandboxLimits {
        pids: set.processes,
        memory_bytes: set.memory_bytes,
        cpu_percent: (set.cpus * 100.0).round().max(1.0) as u32,
        disk_bytes: set.disk_bytes,
        ..SandboxLimits::default()
    }
}

pub(super) fn models(settings: &Settings) -> BTreeMap<String, llm::Model> {
    settings.models.all.iter().map(|m| (m.name().to_owned(), m.model.clone())).collect()
}

/// What makes vectors of memories, where the settings name it.
fn embeddings(settings: &Settings, redactor: &Arc<Redactor>) -> anyhow::Result<Option<memory::Embeddings>> {
    let Some(set) = &settings.memory.embeddings else { return Ok(None) };
    let redactor = Arc::clone(redactor);
    let hide = move |text: &str| redactor.redact(text).into_owned();
    Ok(Some(memory::Embeddings::new(client(settings)?, set.embedder.clone(), Box::new(hide))))
}

/// The MCP servers, and the client that speaks to those at addresses.
pub(super) fn mcp(settings: &Settings, parts: &Parts) -> anyhow::Result<mcp::Servers> {
    let timeouts = Timeouts { connect: Duration::from_secs(10), read: Duration::from_secs(600), total: None };
    let client = CheckedClient::new(parts.policy.clone(), &outgoing(settings), timeouts)?;
    Ok(mcp::Servers::new(settings.extension.mcp_servers.clone(), client))
}

/// The way out of workspaces.
pub(super) fn egress(settings: &Settings, parts: &Parts) -> anyhow::Result<Egress> {
    let mut limits = Limits::default();
    let tasks = &settings.network.tasks;
    if let Some(mib) = tasks.max_mib {
        limits.workspace_bytes = mib << 20;
        limits.connection_bytes = limits.connection_bytes.min(limits.workspace_bytes);
    }
    let (addresses, outgoing) = (parts.policy.clone(), outgoing(settings));
    Ok(Egress::new(EgressSettings { addresses, outgoing, cap: tasks.cap.clone(), limits })?)
}

pub(super) fn client(settings: &Settings) -> anyhow::Result<llm::Client> {
    let ca_pem = settings.network.ca_file.as_ref().map(fs::read).transpose().context("JOURNEYMAN_CA_FILE")?;
    Ok(llm::Client::new(llm::ClientSettings {
        proxy: settings.network.https_proxy.clone(),
        no_proxy: settings.network.no_proxy.clone(),
        ca_pem,
    })?)
}

/// What asks forges who may.
pub(super) fn standings(settings: &Settings, parts: &Parts) -> anyhow::Result<Standings> {
    let timeouts = Timeouts { connect: FORGE_TIMEOUT, read: FORGE_TIMEOUT, total: Some(FORGE_TIMEOUT) };
    let client = CheckedClient::new(parts.policy.clone(), &outgoing(settings), timeouts)?;
    Ok(Standings::new(parts.doors.client().with(client), parts.doors.tokens().clone()))
}
