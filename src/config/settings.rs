//! The settings by owner. What a comment names is the variable; docs/settings.md has the whole table.

use super::{
    callers::CallerSettings, kubernetes::KubernetesSettings, learning::LearningSettings, memory::MemorySettings,
    models::Models, network::TaskNetworkSettings, objects::ObjectSettings, oidc::OidcSettings,
    publish::PublishSettings, setup::SetupSettings, webhooks::WebhookSettings,
};
use crate::{
    auth::GroupMapping,
    domain::rule::CommandRule,
    mcp,
    secrets::Secret,
    telemetry::LogFormat,
    workspace::{EngineAddress, FreshSettings, ImagePrefix, Pull},
};
use ipnet::IpNet;
use std::{net::SocketAddr, path::PathBuf, time::Duration};
use url::Url;

/// Everything that can be set, with every default filled in.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Absolute; may not exist yet.
    pub data_dir: PathBuf,
    pub database: DatabaseSettings,
    pub http: HttpSettings,
    pub auth: AuthSettings,
    pub worker: WorkerSettings,
    pub workspace: WorkspaceSettings,
    pub models: Models,
    pub learning: LearningSettings,
    pub publish: PublishSettings,
    pub memory: MemorySettings,
    /// The file's `[[rules]]` about commands, their examples checked.
    pub rules: Vec<CommandRule>,
    pub extension: ExtensionSettings,
    pub network: NetworkSettings,
    /// Absent: a directory below the data directory.
    pub objects: Option<ObjectSettings>,
    pub retention: RetentionSettings,
    pub webhooks: WebhookSettings,
    pub log: LogSettings,
    /// Lines for the log: what is not wrong but hardly meant.
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct DatabaseSettings {
    /// `DATABASE_URL`; absent: a private cluster.
    pub url: Option<Secret>,
    /// Where `initdb` and `postgres` are; absent: found.
    pub postgres_bin: Option<PathBuf>,
    /// `PATH`: where they are looked for first.
    pub search_path: Vec<PathBuf>,
    /// Connections of one replica, all pools together.
    pub connections: u32,
}

#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    pub public_url: Option<Url>,
    /// Whose `Forwarded` headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Absent: `/metrics` is served beside the API.
    pub metrics_listen: Option<SocketAddr>,
    /// What one caller may ask of this replica.
    pub callers: CallerSettings,
}

#[derive(Clone, Debug)]
pub struct AuthSettings {
    /// The first admin's key of an empty database; absent: made and printed once.
    pub bootstrap_key: Option<Secret>,
    /// Absent: no JWTs are taken.
    pub jwt: Option<JwtSettings>,
    /// Absent: nobody signs in with a browser.
    pub oidc: Option<OidcSettings>,
    /// The file's `[[groups]]`.
    pub groups: Vec<GroupMapping>,
    /// Seals stored secrets; absent: made in the data directory.
    pub secret_key: Option<SecretKey>,
    /// Earlier ones, which still open what they have sealed.
    pub secret_keys_old: Vec<SecretKey>,
}

#[derive(Clone, Debug)]
pub struct JwtSettings {
    pub key: JwtKey,
    pub issuer: Option<String>,
    pub audience: Option<String>,
    /// Whether a token's unknown team is made.
    pub new_teams: bool,
    /// The claim that holds groups; absent: groups are not looked at.
    pub groups_claim: Option<String>,
}

#[derive(Clone, Debug)]
pub enum JwtKey {
    /// HS256.
    Shared(Secret),
    /// RS256, ES256, `EdDSA`; fetched.
    JwksUrl(Url),
    /// The same, from a file.
    JwksFile(PathBuf),
}

/// 32 bytes that `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(pub [u8; 32]);

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey(***)")
    }
}

#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// Tasks that this replica runs at once.
    pub tasks: u32,
    /// After how long without a heartbeat a task is another worker's.
    pub lease_ttl: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkspaceBackend {
    Bubblewrap,
    Docker,
    Kubernetes,
}

#[derive(Clone, Debug)]
pub struct WorkspaceSettings {
    pub backend: WorkspaceBackend,
    pub docker: DockerSettings,
    pub kubernetes: KubernetesSettings,
    /// Absent: beside this executable.
    pub execd: Option<PathBuf>,
    /// Directories of toolchains that every workspace sees, read-only.
    pub toolchains: Vec<PathBuf>,
    /// The first of the unprivileged user ids that tasks get, when started as root.
    pub uid_base: u32,
    pub limits: SandboxLimitSettings,
    /// How often server and workspaces ask each other for a sign of life.
    pub heartbeat: Duration,
    pub ready: ReadySettings,
    /// Mirrors that are fetched in the background.
    pub fresh: FreshSettings,
    /// What setups have prepared is kept on disk up to this, all together.
    pub snapshots_bytes: u64,
    /// Of tasks without an environment.
    pub setup: SetupSettings,
    /// Contents of earlier commits larger than this stay at the remote; 0: none do.
    pub leave_out_from_bytes: u64,
    /// Repositories larger than this are refused.
    pub repository_limit_bytes: u64,
}

/// How the container engine is reached, and what from.
#[derive(Clone, Debug)]
pub struct DockerSettings {
    /// `JOURNEYMAN_DOCKER_HOST`, else `DOCKER_HOST`, else the usual socket.
    pub host: EngineAddress,
    /// Where `ca.pem`, `cert.pem` and `key.pem` are, for TCP.
    pub cert_dir: Option<PathBuf>,
    /// Of workspaces that name none.
    pub image: Option<String>,
    /// Absent: the engine's default.
    pub runtime: Option<String>,
    pub pull: Pull,
    /// What environments may name; empty: the well-known registries.
    pub allowed_images: Vec<ImagePrefix>,
}

/// Sandboxes that are kept ready for tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadySettings {
    /// Of each image; absent: as the backend needs them.
    pub size: Option<u32>,
    /// All together.
    pub total: u32,
    pub age: Duration,
}

/// What one task's sandbox may use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SandboxLimitSettings {
    pub memory_bytes: u64,
    pub processes: u32,
    pub cpus: f64,
    /// The working copy and everything else that a task writes.
    pub disk_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrivateHost {
    /// Lower case; `*.` in front means everything below.
    Name(String),
    Network(IpNet),
}

/// What may be reached, and how.
#[derive(Clone, Debug)]
pub struct NetworkSettings {
    /// Directories below which `file://` repositories are allowed.
    pub allow_local_repos: Vec<PathBuf>,
    /// Hosts and networks in private ranges that git, models and webhooks may reach.
    pub private_hosts: Vec<PrivateHost>,
    pub https_proxy: Option<Url>,
    /// Hosts that are reached without the proxy, as the variable has them.
    pub no_proxy: Option<String>,
    /// PEM certificates that are trusted besides the usual ones.
    pub ca_file: Option<PathBuf>,
    /// Of workspaces.
    pub tasks: TaskNetworkSettings,
}

/// What the operator gives to every task.
#[derive(Clone, Debug, Default)]
pub struct ExtensionSettings {
    /// The operator's instructions, trimmed; empty: none.
    pub instructions: String,
    /// Where the operator's skills lie, a folder each.
    pub skills_dir: Option<PathBuf>,
    pub mcp_servers: Vec<mcp::Server>,
}

#[derive(Clone, Copy, Debug)]
pub struct RetentionSettings {
    /// How long ended tasks are kept; absent: for ever.
    pub tasks: Option<Duration>,
    /// How long entries of the audit log are kept.
    pub audit: Duration,
    /// How long the history of an ended task (outputs, files of earlier turns) is kept; absent: as long as the task.
    pub history: Option<Duration>,
    /// How long the working copies of resting tasks are kept on disk.
    pub workspaces: Duration,
}

#[derive(Clone, Debug)]
pub struct LogSettings {
    pub format: LogFormat,
    /// Directives such as `info,journeyman=debug`.
    pub filter: String,
}
