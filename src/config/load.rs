//! Every variable by its name, with its default.

use super::{
    ConfigError, Environment, Origin, callers, extension, kubernetes, learning, mcp, memory,
    models::Models,
    network, objects, oidc, parse, publish, rules,
    settings::{
        AuthSettings, DatabaseSettings, DockerSettings, HttpSettings, JwtKey, JwtSettings, LogSettings,
        NetworkSettings, ReadySettings, RetentionSettings, SandboxLimitSettings, SecretKey, Settings, WorkerSettings,
        WorkspaceBackend, WorkspaceSettings,
    },
    setup,
    source::{Source, text},
    webhooks,
};
use crate::{
    secrets::{Redactor, Secret},
    telemetry::LogFormat,
    workspace::{EngineAddress, FreshSettings, HEARTBEAT, Pull},
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use percent_encoding::percent_decode_str;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use url::Url;

/// Variables with our prefix that commands read and that are no settings of the service.
pub const CLIENT_VARIABLES: [&str; 5] =
    ["JOURNEYMAN_CONFIG", "JOURNEYMAN_URL", "JOURNEYMAN_URL_FILE", "JOURNEYMAN_KEY", "JOURNEYMAN_KEY_FILE"];

/// The database's notices are of no use to an operator.
const LOG_FILTER: &str = "info,sqlx::postgres::notice=warn";

const DOCKER_SOCKET: &str = "/var/run/docker.sock";
const MIB: u64 = 1 << 20;
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

impl Settings {
    /// Reads `file` (absent: what `JOURNEYMAN_CONFIG` names, if anything) and lays the environment
    /// over it. Fails on the first thing that is wrong, by name.
    pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Self, ConfigError> {
        let named = environment.get("JOURNEYMAN_CONFIG").map(PathBuf::from);
        let source = Source::read(environment, file.or(named.as_deref()))?;
        let mut settings = Self {
            data_dir: data_dir(&source)?,
            database: database(&source)?,
            http: http(&source)?,
            auth: auth(&source)?,
            worker: worker(&source)?,
            workspace: workspace(&source)?,
            models: Models::read(&source)?,
            learning: learning::read(&source)?,
            publish: publish::read(&source)?,
            memory: memory::read(&source)?,
            rules: rules::read(&source)?,
            extension: extension::read(&source)?,
            network: reach(&source)?,
            objects: objects::read(&source)?,
            retention: retention(&source)?,
            webhooks: webhooks::read(&source)?,
            log: log(&source)?,
            warnings: Vec::new(),
        };
        source.refuse_unknown_keys()?;
        if settings.auth.oidc.is_some() && settings.http.public_url.is_none() {
            return Err(ConfigError::Missing(
                "[oidc] needs JOURNEYMAN_PUBLIC_URL: the address to which the identity provider sends browsers back"
                    .to_owned(),
            ));
        }
        settings.warnings = source.unknown_variables(&CLIENT_VARIABLES);
        settings.warnings.extend(settings.doubts());
        Ok(settings)
    }

    /// Hides every secret that these settings hold from whatever goes out.
    pub fn redactor(&self) -> Redactor {
        let jwt = self.auth.jwt.as_ref().and_then(|jwt| match &jwt.key {
            JwtKey::Shared(secret) => Some(secret.clone()),
            JwtKey::JwksUrl(_) | JwtKey::JwksFile(_) => None,
        });
        let password = self.database.url.as_ref().and_then(|url| {
            let url = Url::parse(url.expose()).ok()?;
            let password = percent_decode_str(url.password()?).decode_utf8_lossy().into_owned();
            Some(Secret::new(password))
        });
        let sealing = self.auth.secret_key.as_ref().map(|key| Secret::new(BASE64.encode(key.0)));
        let proxy = self.network.https_proxy.as_ref().and_then(|url| url.password()).map(Secret::new);
        let old = self.auth.secret_keys_old.iter().map(|key| Secret::new(BASE64.encode(key.0)));
        let old: Vec<Secret> = old.collect();
        let bucket = self.objects.as_ref().and_then(|objects| Some(objects.credentials.as_ref()?.1.clone()));
        let own = [self.auth.bootstrap_key.clone(), jwt, self.database.url.clone(), password, sealing, proxy, bucket];
        let client = self.auth.oidc.as_ref().and_then(|oidc| oidc.client_secret.as_ref());
        let embeddings = self.memory.embeddings.as_ref().and_then(|embeddings| embeddings.key.as_ref());
        let models = self.models.all.iter().filter_map(|model| model.key.as_ref()).chain(embeddings);
        let servers: Vec<Secret> = self.extension.mcp_servers.iter().flat_map(mcp::secrets).collect();
        Redactor::new(own.iter().flatten().chain(client).chain(models).chain(&servers).chain(&old))
    }

    fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        if let Some(JwtSettings { key: JwtKey::Shared(secret), .. }) = &self.auth.jwt
            && secret.expose().len() < 32
        {
            doubts.push("JOURNEYMAN_JWT_SECRET is shorter than 32 bytes: such a key can be guessed".to_owned());
        }
        if let Some(JwtSettings { key: JwtKey::JwksUrl(_) | JwtKey::JwksFile(_), issuer, audience, .. }) =
            &self.auth.jwt
            && (issuer.is_none() || audience.is_none())
        {
            doubts.push(
                "JOURNEYMAN_JWKS is set without JOURNEYMAN_JWT_ISSUER and JOURNEYMAN_JWT_AUDIENCE: tokens that its keys \
                 signed for other services are taken too"
                    .to_owned(),
            );
        }
        let by_jwt = self.auth.jwt.as_ref().is_some_and(|jwt| jwt.groups_claim.is_some());
        if !self.auth.groups.is_empty() && !by_jwt && self.auth.oidc.is_none() {
            doubts.push("[[groups]] give nothing without [oidc] or JOURNEYMAN_JWT_GROUPS_CLAIM".to_owned());
        }
        doubts
    }
}

fn data_dir(source: &Source<'_>) -> Result<PathBuf, ConfigError> {
    if let Some(path) = source.parsed("data_dir", parse::some_path)? {
        return std::path::absolute(&path).map_err(|error| ConfigError::Invalid {
            origin: Origin::Variable("JOURNEYMAN_DATA_DIR".to_owned()),
            message: error.to_string(),
        });
    }
    let environment = source.environment();
    if environment.is_root() {
        return Ok(PathBuf::from("/var/lib/journeyman"));
    }
    let absolute = |name| environment.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|base| base.join("journeyman"))
        .ok_or_else(|| {
            ConfigError::Missing("neither HOME nor XDG_DATA_HOME is set: set JOURNEYMAN_DATA_DIR".to_owned())
        })
}

fn database(source: &Source<'_>) -> Result<DatabaseSettings, ConfigError> {
    let url = source.named("database_url", "DATABASE_URL")?;
    Ok(DatabaseSettings {
        url: url.map(|given| text(given, parse::database_url)).transpose()?,
        search_path: std::env::split_paths(source.environment().get("PATH").unwrap_or_default()).collect(),
        postgres_bin: source.parsed("postgres_bin", parse::absolute_path)?,
        connections: source.parsed("database_connections", parse::number(4, 1_000))?.unwrap_or(20) as u32,
    })
}

fn http(source: &Source<'_>) -> Result<HttpSettings, ConfigError> {
    Ok(HttpSettings {
        listen: source.parsed("listen", parse::address)?.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080))),
        public_url: source.parsed("public_url", parse::http_url)?,
        trusted_proxies: source.list("trusted_proxies", ',', parse::network)?,
        metrics_listen: source.parsed("metrics_listen", parse::address)?,
        callers: callers::read(source)?,
    })
}

fn auth(source: &Source<'_>) -> Result<AuthSettings, ConfigError> {
    Ok(AuthSettings {
        bootstrap_key: source.parsed("bootstrap_key", parse::api_key)?,
        jwt: jwt(source)?,
        oidc: oidc::read(source)?,
        groups: oidc::groups(source)?,
        secret_key: source.parsed("secret_key", parse::key_32)?.map(SecretKey),
        secret_keys_old: source.list("secret_key_old", ',', |text| parse::key_32(text).map(SecretKey))?,
    })
}

fn jwt(source: &Source<'_>) -> Result<Option<JwtSettings>, ConfigError> {
    let secret = source.secret("jwt_secret")?;
    let jwks = source.parsed("jwks", |text| {
        if text.starts_with("http://") || text.starts_with("https://") {
            parse::http_url(text).map(JwtKey::JwksUrl)
        } else {
            Ok(JwtKey::JwksFile(PathBuf::from(text.strip_prefix("file://").unwrap_or(text))))
        }
    })?;
    let issuer = source.parsed("jwt_issuer", |text| Ok(text.to_owned()))?;
    let audience = source.parsed("jwt_audience", |text| Ok(text.to_owned()))?;
    let new_teams = source.parsed("jwt_new_teams", parse::truth)?.unwrap_or(false);
    let groups_claim = source.parsed("jwt_groups_claim", |text| Ok(text.to_owned()))?;
    let key = match (secret, jwks) {
        (Some(_), Some(_)) => {
            return Err(ConfigError::Missing(
                "JOURNEYMAN_JWT_SECRET and JOURNEYMAN_JWKS are both set: take one of them away".to_owned(),
            ));
        }
        (Some(secret), None) => JwtKey::Shared(secret),
        (None, Some(jwks)) => jwks,
        (None, None) => return Ok(None),
    };
    Ok(Some(JwtSettings { key, issuer, audience, new_teams, groups_claim }))
}

fn worker(source: &Source<'_>) -> Result<WorkerSettings, ConfigError> {
    Ok(WorkerSettings {
        tasks: source.parsed("workers", parse::number(1, 100_000))?.unwrap_or(256) as u32,
        lease_ttl: source.parsed("lease_ttl_seconds", parse::seconds(0.5, 3_600.0))?.unwrap_or(Duration::from_secs(15)),
    })
}

fn workspace(source: &Source<'_>) -> Result<WorkspaceSettings, ConfigError> {
    let backend = source.parsed("workspace", |text| match text {
        "bubblewrap" => Ok(WorkspaceBackend::Bubblewrap),
        "docker" => Ok(WorkspaceBackend::Docker),
        "kubernetes" => Ok(WorkspaceBackend::Kubernetes),
        _ => Err(format!("\"{text}\" must be bubblewrap, docker or kubernetes")),
    })?;
    let cpus = source.parsed("sandbox_cpus", |text| match text.parse::<f64>() {
        Ok(cpus) if (0.05..=1024.0).contains(&cpus) => Ok(cpus),
        _ => Err(format!("\"{text}\" must be a number of processors from 0.05 to 1024")),
    })?;
    Ok(WorkspaceSettings {
        backend: backend.unwrap_or(WorkspaceBackend::Bubblewrap),
        docker: docker(source, backend == Some(WorkspaceBackend::Docker))?,
        kubernetes: kubernetes::read(source)?,
        execd: source.parsed("execd", parse::absolute_path)?,
        toolchains: source.list("toolchains", ':', parse::absolute_path)?,
        uid_base: source.parsed("sandbox_uid_base", parse::number(1_000, 4_000_000_000))?.unwrap_or(200_000) as u32,
        limits: SandboxLimitSettings {
            memory_bytes: source.parsed("sandbox_memory_mib", parse::number(64, 16 << 20))?.unwrap_or(4_096) * MIB,
            processes: source.parsed("sandbox_processes", parse::number(16, 1 << 20))?.unwrap_or(1_024) as u32,
            cpus: cpus.unwrap_or(2.0),
            disk_bytes: source.parsed("sandbox_disk_mib", parse::number(16, 16 << 20))?.unwrap_or(10_240) * MIB,
        },
        heartbeat: source.parsed("sandbox_heartbeat_seconds", parse::seconds(0.1, 120.0))?.unwrap_or(HEARTBEAT),
        ready: ready(source)?,
        fresh: fresh(source)?,
        setup: setup::read(source)?,
        snapshots_bytes: source.parsed("snapshots_mib", parse::number(1, 1 << 30))?.unwrap_or(20_480) * MIB,
        leave_out_from_bytes: source.parsed("leave_out_from_mib", parse::number(0, 16 << 20))?.unwrap_or(0) * MIB,
        repository_limit_bytes: source.parsed("repository_limit_mib", parse::number(1, 16 << 20))?.unwrap_or(2_048)
            * MIB,
    })
}

fn fresh(source: &Source<'_>) -> Result<FreshSettings, ConfigError> {
    let every = source.parsed("fresh_mirrors_seconds", parse::number(10, 86_400))?;
    Ok(FreshSettings {
        repositories: source.parsed("fresh_mirrors", parse::number(0, 1_000))?.unwrap_or(32) as usize,
        every: Duration::from_secs(every.unwrap_or(300)),
    })
}

fn ready(source: &Source<'_>) -> Result<ReadySettings, ConfigError> {
    Ok(ReadySettings {
        size: source.parsed("ready_sandboxes", parse::number(0, 64))?.map(|size| size as u32),
        total: source.parsed("ready_sandboxes_max", parse::number(0, 256))?.unwrap_or(8) as u32,
        age: MINUTE * source.parsed("ready_sandboxes_minutes", parse::number(1, 1_440))?.unwrap_or(60) as u32,
    })
}

fn docker(source: &Source<'_>, used: bool) -> Result<DockerSettings, ConfigError> {
    let host = match source.own("docker_host")? {
        Some(given) => Some(given),
        // The variable is other programs' too: it says nothing to a service without containers.
        None => source.variable("DOCKER_HOST")?.filter(|_| used),
    };
    let host = host.map(|given| text(given, str::parse::<EngineAddress>)).transpose()?;
    let word = |text: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
        if text.bytes().all(plain) {
            Ok(text.to_owned())
        } else {
            Err(format!("\"{text}\" holds more than a name may"))
        }
    };
    let pull = source.parsed("docker_pull", |text| match text {
        "missing" => Ok(Pull::Missing),
        "never" => Ok(Pull::Never),
        _ => Err(format!("\"{text}\" must be missing or never")),
    })?;
    Ok(DockerSettings {
        host: host.unwrap_or_else(|| EngineAddress::Unix(PathBuf::from(DOCKER_SOCKET))),
        cert_dir: source.parsed("docker_cert_dir", parse::absolute_path)?,
        image: source.parsed("docker_image", word)?,
        runtime: source.parsed("docker_runtime", word)?,
        pull: pull.unwrap_or(Pull::Missing),
        allowed_images: source.list("docker_allowed_images", ',', str::parse)?,
    })
}

fn reach(source: &Source<'_>) -> Result<NetworkSettings, ConfigError> {
    let proxy = match source.named("https_proxy", "HTTPS_PROXY")? {
        Some(given) => Some(given),
        None => source.variable("https_proxy")?,
    };
    let no_proxy = match source.named("no_proxy", "NO_PROXY")? {
        Some(given) => Some(given),
        None => source.variable("no_proxy")?,
    };
    Ok(NetworkSettings {
        allow_local_repos: source.list("allow_local_repos", ':', parse::absolute_path)?,
        private_hosts: source.list("private_hosts", ',', parse::private_host)?,
        https_proxy: proxy.map(|given| text(given, parse::http_url)).transpose()?,
        no_proxy: no_proxy.map(|given| text(given, |text| Ok(text.to_owned()))).transpose()?,
        ca_file: source.parsed("ca_file", parse::absolute_path)?,
        tasks: network::read(source)?,
    })
}

fn retention(source: &Source<'_>) -> Result<RetentionSettings, ConfigError> {
    let days = |days: u64| DAY * days as u32;
    Ok(RetentionSettings {
        tasks: source.parsed("task_retention_days", parse::number(1, 36_500))?.map(days),
        history: source.parsed("history_retention_days", parse::number(0, 36_500))?.map(days),
        audit: source.parsed("audit_retention_days", parse::number(30, 36_500))?.map_or(DAY * 400, days),
        workspaces: source.parsed("workspace_retention_days", parse::number(0, 36_500))?.map_or(DAY * 3, days),
    })
}

fn log(source: &Source<'_>) -> Result<LogSettings, ConfigError> {
    let format = source.parsed("log_format", |text| text.parse::<LogFormat>().map_err(|error| error.to_string()))?;
    Ok(LogSettings {
        format: format.unwrap_or_default(),
        filter: source.parsed("log", |text| Ok(text.to_owned()))?.unwrap_or_else(|| LOG_FILTER.to_owned()),
    })
}
