//! From settings to rooms.

use super::doors::Doors;
use crate::{
    analysis::symbols::Parsers,
    api::Login,
    auth::{
        Groups, Jwks, JwksPlace, JwksTimes, JwtSettings, Sessions,
        oidc::{Oidc, OidcSettings},
    },
    clock,
    config::{
        self, Settings,
        settings::{JwtKey, PrivateHost, SecretKey, WorkspaceBackend, WorkspaceSettings},
    },
    egress::{Egress, EgressSettings, Limits},
    llm, mcp, memory,
    net::{AddressPolicy, CheckedClient, Outgoing, Timeouts},
    objects::{Bucket, Objects},
    postgres::{Cluster, ClusterSettings, DataDirLock},
    runner::{Blobs, DetectedSetups, Vault},
    secrets::{Keyring, Redactor, Secret},
    store::{self, Store},
    trackers::standing::Standings,
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
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use uuid::Uuid;

/// What a key set may take to come.
const KEY_SET_TIMEOUT: Duration = Duration::from_secs(5);

/// What a forge may take to say who may.
const FORGE_TIMEOUT: Duration = Duration::from_secs(10);

/// Containers of each image that are kept ready where nothing is set.
const READY_CONTAINERS: u32 = 2;

/// In the data directory: the master key that was made there.
const SECRET_KEY_FILE: &str = "secret-key";

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
        let keyring = keyring(settings, data_dir)?;
        look_over_secrets(&store, &keyring).await?;
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
        let doors = Doors::new(store.clone(), vault.clone(), client);
        repositories.credentials = doors.credentials();
        let secret = secret(settings, data_dir)?;
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
            host: host_id(data_dir)?,
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
    let own = host_id(data_dir)?.simple().to_string();
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

/// How JWTs are checked. A key set in a file is read here, so that what is wrong with it is seen at once.
pub(super) async fn jwt(settings: &Settings) -> anyhow::Result<Option<JwtSettings>> {
    let Some(jwt) = &settings.auth.jwt else { return Ok(None) };
    let (issuer, audience) = (jwt.issuer.as_deref(), jwt.audience.as_deref());
    let place = match &jwt.key {
        JwtKey::Shared(secret) => {
            let shared = JwtSettings::hs256(secret.expose().as_bytes(), issuer, audience, jwt.new_teams);
            return Ok(Some(with_groups(shared, settings)));
        }
        JwtKey::JwksFile(path) => JwksPlace::File(path.clone()),
        JwtKey::JwksUrl(url) => {
            let timeouts = Timeouts { connect: KEY_SET_TIMEOUT, read: KEY_SET_TIMEOUT, total: Some(KEY_SET_TIMEOUT) };
            let client = CheckedClient::new(policy(settings)?, &outgoing(settings), timeouts)?;
            JwksPlace::Url { client, url: url.clone() }
        }
    };
    let in_file = matches!(place, JwksPlace::File(_));
    let keys = Jwks::new(place, JwksTimes::default());
    if in_file {
        keys.load().await.map_err(anyhow::Error::msg).context("JOURNEYMAN_JWKS")?;
    }
    Ok(Some(with_groups(JwtSettings::key_set(keys, issuer, audience, jwt.new_teams), settings)))
}

fn with_groups(jwt: JwtSettings, settings: &Settings) -> JwtSettings {
    match settings.auth.jwt.as_ref().and_then(|jwt| jwt.groups_claim.as_deref()) {
        Some(claim) => jwt.with_groups(Groups::new(claim, settings.auth.groups.clone())),
        None => jwt,
    }
}

/// How people sign in with a browser, and the sessions that begin so.
pub(super) fn login(settings: &Settings, parts: &Parts) -> anyhow::Result<Option<(Login, Sessions)>> {
    let (Some(oidc), Some(public_url)) = (&settings.auth.oidc, &settings.http.public_url) else { return Ok(None) };
    let timeouts = Timeouts { connect: KEY_SET_TIMEOUT, read: KEY_SET_TIMEOUT, total: Some(KEY_SET_TIMEOUT) };
    let provider = OidcSettings {
        issuer: oidc.issuer.clone(),
        client_id: oidc.client_id.clone(),
        client_secret: oidc.client_secret.as_ref().map(|secret| secret.expose().to_owned()),
        scopes: oidc.scopes.clone(),
        redirect: public_url.join("/auth/callback").context("JOURNEYMAN_PUBLIC_URL")?,
        client: CheckedClient::new(parts.policy.clone(), &outgoing(settings), timeouts)?,
    };
    let groups = Groups::new(&oidc.groups_claim, settings.auth.groups.clone());
    let oidc_of = Oidc::new(parts.store.clone(), provider, groups, &parts.secret);
    let sessions = Sessions::new(&parts.secret, oidc.session_lasts, oidc.session_rests);
    Ok(Some((Login { oidc: oidc_of, public_url: Arc::new(public_url.clone()) }, sessions)))
}

/// What asks forges who may.
pub(super) fn standings(settings: &Settings, parts: &Parts) -> anyhow::Result<Standings> {
    let timeouts = Timeouts { connect: FORGE_TIMEOUT, read: FORGE_TIMEOUT, total: Some(FORGE_TIMEOUT) };
    let client = CheckedClient::new(parts.policy.clone(), &outgoing(settings), timeouts)?;
    Ok(Standings::new(client, parts.doors.tokens().clone()))
}

/// The master keys. A key that was made in the data directory before one was set still opens what it has sealed.
pub(super) fn keyring(settings: &Settings, data_dir: &Path) -> anyhow::Result<Keyring> {
    let current = secret(settings, data_dir)?;
    let mut old: Vec<[u8; 32]> = settings.auth.secret_keys_old.iter().map(|key| key.0).collect();
    let made = fs::read_to_string(data_dir.join(SECRET_KEY_FILE)).ok();
    old.extend(made.as_deref().and_then(key_of));
    Ok(Keyring::new(&current, &old))
}

/// The master keys for a change of them, which makes none: what is wrapped under a key that nobody has is lost.
pub(super) fn keyring_for_rotation(settings: &Settings, data_dir: &Path) -> anyhow::Result<Keyring> {
    if settings.auth.secret_key.is_none() && !data_dir.join(SECRET_KEY_FILE).exists() {
        bail!("there is no master key here: set JOURNEYMAN_SECRET_KEY to the one that the service is to use");
    }
    keyring(settings, data_dir)
}

/// Says in the log which secrets nobody here can open.
async fn look_over_secrets(store: &Store, keyring: &Keyring) -> anyhow::Result<()> {
    for (key_id, count) in store::sealed::key_ids(store).await.context("the database")? {
        if !keyring.knows(&key_id) {
            tracing::error!(
                secrets = count,
                key.id = key_id,
                "secrets are sealed under a master key that this process does not have: tasks that need them will \
                 fail; give all replicas one JOURNEYMAN_SECRET_KEY, and earlier ones as JOURNEYMAN_SECRET_KEY_OLD"
            );
        } else if key_id != keyring.current_id() {
            tracing::warn!(
                secrets = count,
                key.id = key_id,
                "secrets are sealed under an earlier master key: journeyman admin secrets rotate"
            );
        }
    }
    Ok(())
}

/// The key that seals and signs: from the settings, else made once in the data directory.
pub(super) fn secret(settings: &Settings, data_dir: &Path) -> anyhow::Result<[u8; 32]> {
    if let Some(SecretKey(key)) = &settings.auth.secret_key {
        return Ok(*key);
    }
    let path = data_dir.join(SECRET_KEY_FILE);
    let text = once(&path, || STANDARD.encode(clock::random_bytes::<32>()))?;
    let metadata = fs::metadata(&path).with_context(|| path.display().to_string())?;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        bail!(
            "{} belongs to another user (uid {}), who can change it: chown it to the service's own",
            path.display(),
            metadata.uid()
        );
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        bail!("{} can be read by others: chmod 600, and change the key if somebody may have read it", path.display());
    }
    key_of(&text).with_context(|| format!("{} does not hold 32 bytes in base64", path.display()))
}

pub(super) fn key_of(text: &str) -> Option<[u8; 32]> {
    STANDARD.decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok())
}

/// Keeps a master key that came from a backup, as if it had been made here.
pub(super) fn keep_secret(data_dir: &Path, key: &str) -> anyhow::Result<()> {
    once(&data_dir.join(SECRET_KEY_FILE), || key.trim().to_owned()).map(drop)
}

/// Names the data directory, so that a restarted process knows its own old leases.
fn host_id(data_dir: &Path) -> anyhow::Result<Uuid> {
    let text = once(&data_dir.join("host-id"), || clock::new_id::<Uuid>().to_string())?;
    text.trim().parse().with_context(|| format!("{} does not hold an id", data_dir.join("host-id").display()))
}

/// On the disk, whole, and over nothing: written beside its place, then linked to it.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(path);
    let mut file = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o600)).tempfile_in(directory)?;
    writeln!(file, "{text}")?;
    file.as_file().sync_all()?;
    fs::hard_link(file.path(), path)?;
    fs::File::open(directory)?.sync_all()
}

/// A small file, readable by its owner alone, made once. Its directory is locked by this process.
pub(super) fn once(path: &Path, make: impl FnOnce() -> String) -> anyhow::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => Ok(text),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| path.display().to_string())
        }
        Ok(_) => bail!("{} is empty: bring it back from a backup, or remove it to have another made", path.display()),
        Err(_) => {
            let text = make();
            write_whole(path, &text).with_context(|| path.display().to_string())?;
            Ok(text)
        }
    }
}
