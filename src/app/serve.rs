//! The service as a process: everything started in order, and ended in the opposite one.

use super::{
    answers,
    build::{self, Parts, RunningDatabase},
    embedded, hooks, publishing, signing_in, webhooks,
};
use crate::{
    api::{self, ApiState},
    auth::{self, Authenticator, JwtSettings},
    clock,
    config::{CallRole, Settings},
    domain::{Limits, task::LOG_VERSION},
    events::Hub,
    jobs::{self, Eraser, JobLoop, Reconciler, ReconcilerSettings, Retention, RetentionSettings},
    postgres::DataDirLock,
    queue::{Queue, QueueSettings},
    runner::{
        Analyses, Baselines, Deps, Failpoint, HiddenSets, KnownCaps, LearningSettings, OperatorSkills, Runner, Switches,
    },
    service::{self, ModelView, Service},
    shutdown::Shutdown,
    telemetry::Metrics,
    workspace::Sandboxes,
};
use anyhow::Context;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// How often a worker looks for work that no one in its process told it of.
const QUEUE_POLL: Duration = Duration::from_millis(200);
/// How long a content stays that nobody needs: far longer than anybody takes to name what it has stored.
const BLOBS_GRACE: Duration = Duration::from_secs(24 * 3_600);
/// How often a worker looks for something to learn from.
const LEARNING_POLL: Duration = Duration::from_millis(500);
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    All,
    Api,
    Worker,
}

/// A running service.
#[derive(Debug)]
pub struct Server {
    pub address: Option<SocketAddr>,
    pub shutdown: Shutdown,
    /// The first admin's key, where this start made it.
    pub bootstrap_key: Option<String>,
    pub parts: Parts,
    lock: DataDirLock,
    database: RunningDatabase,
    serving: Option<JoinHandle<std::io::Result<()>>>,
    /// Cancelled when no stream is fed any more.
    feeding: CancellationToken,
}

/// Serves until a signal drains the process.
pub async fn serve(settings: Settings, role: Role, migrate: bool) -> anyhow::Result<()> {
    let shutdown = Shutdown::new();
    shutdown.listen_for_signals()?;
    let server = Server::start(&settings, role, migrate, shutdown, None).await?;
    if let Some(key) = &server.bootstrap_key {
        announce(key);
    }
    server.finished().await
}

/// The first key is told once, on standard error whatever is logged: nobody can ask for it again.
fn announce(key: &str) {
    use std::io::Write;
    let line = format!("journeyman: this database is new; the first admin's API key, shown this once, is {key}\n");
    // A closed standard error leaves nobody to tell; `admin key add` makes another key.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

impl Server {
    /// Starts everything and returns once requests are answered. On a new database the first admin is made.
    pub async fn start(
        settings: &Settings,
        role: Role,
        migrate: bool,
        shutdown: Shutdown,
        failpoint: Option<Failpoint>,
    ) -> anyhow::Result<Self> {
        Self::begin(settings, (role, migrate, FirstAdmin::Made), shutdown, failpoint).await
    }

    pub(super) async fn begin(
        settings: &Settings,
        (role, migrate, first_admin): (Role, bool, FirstAdmin),
        shutdown: Shutdown,
        failpoint: Option<Failpoint>,
    ) -> anyhow::Result<Self> {
        for warning in &settings.warnings {
            tracing::warn!("{warning}");
        }
        let lock = DataDirLock::take(&settings.data_dir)?;
        // What can be seen to be wrong without a database is seen before one is started.
        let jwt = signing_in::jwt(settings).await?;
        let listener = match role {
            Role::Worker => None,
            _ => Some(bind("JOURNEYMAN_LISTEN", settings.http.listen).await?),
        };
        let metrics = match settings.http.metrics_listen {
            Some(address) => Some(bind("JOURNEYMAN_METRICS_LISTEN", address).await?),
            None => None,
        };
        let database = RunningDatabase::start(settings, &lock).await?;
        let start = Start { settings, role, migrate, first_admin, failpoint, jwt, lock: &lock, shutdown: &shutdown };
        match start.rooms(&database.url, listener, metrics).await {
            Ok(Rooms { address, bootstrap_key, parts, serving, feeding }) => {
                Ok(Self { address, shutdown, bootstrap_key, parts, lock, database, serving, feeding })
            }
            Err(error) => {
                shutdown.drain();
                shutdown.cut().cancel();
                database.stop().await;
                Err(error)
            }
        }
    }

    /// Waits for the drain and ends everything in order.
    pub async fn finished(self) -> anyhow::Result<()> {
        let Self { shutdown, parts, lock, database, serving, feeding, .. } = self;
        shutdown.finished().await;
        if let Some(serving) = serving {
            // Streams end with the process; what was accepted is committed.
            serving.abort();
        }
        feeding.cancel();
        parts.store.close().await;
        database.stop().await;
        drop(lock);
        Ok(())
    }
}

async fn bind(setting: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{setting}: cannot listen on {address}"))
}

/// Whether a start on a new database makes the first admin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FirstAdmin {
    Made,
    /// A service to come makes him, where somebody sees his key.
    Awaited,
}

/// What a start is made from.
struct Start<'a> {
    settings: &'a Settings,
    role: Role,
    migrate: bool,
    first_admin: FirstAdmin,
    failpoint: Option<Failpoint>,
    jwt: Option<JwtSettings>,
    lock: &'a DataDirLock,
    shutdown: &'a Shutdown,
}

/// What runs once a start has gone well.
struct Rooms {
    address: Option<SocketAddr>,
    bootstrap_key: Option<String>,
    parts: Parts,
    serving: Option<JoinHandle<std::io::Result<()>>>,
    feeding: CancellationToken,
}

impl Start<'_> {
    async fn rooms(
        self,
        database_url: &str,
        listener: Option<TcpListener>,
        metrics: Option<TcpListener>,
    ) -> anyhow::Result<Rooms> {
        let Self { settings, role, migrate, lock, shutdown, .. } = self;
        let parts = Parts::build(settings, lock.dir(), database_url, migrate).await?;
        let chosen = settings.auth.bootstrap_key.as_ref().map(crate::secrets::Secret::expose);
        let bootstrap_key = match self.first_admin {
            FirstAdmin::Made => auth::bootstrap(&parts.store, chosen).await?.map(|key| key.expose().to_owned()),
            FirstAdmin::Awaited => None,
        };
        let hub = Hub::new(parts.store.clone());
        let feeding = shutdown.cut().child_token();
        let tail = (hub.clone(), hub.horizon().await?, feeding.clone());
        // Not tracked: streams are fed until the very end.
        tokio::spawn(async move { tail.0.tail(tail.1, tail.2).await });
        let relay = (hub.clone(), feeding.clone());
        tokio::spawn(async move { relay.0.relay_pieces(relay.1).await });
        let (swept, stop) = (parts.clone(), shutdown.draining());
        shutdown.spawn(async move { jobs::sweep_uploads(&swept.store, &swept.blobs, &swept.repositories, stop).await });
        let queue = queue(settings, &parts);
        let mut sandboxes = None;
        if role != Role::Api {
            let own = build::sandboxes(settings, &settings.data_dir).await?;
            let left = own.reap().await?;
            if left > 0 {
                tracing::info!(left, "ended what an earlier process left running");
            }
            start_worker(settings, &parts, &hub, &queue, shutdown, own.clone(), self.failpoint.clone())?;
            sandboxes = Some(own);
        }
        let figures = figures(shutdown);
        let beside = metrics.is_none().then(|| figures.clone());
        if let Some(own) = metrics {
            tracing::info!(address = %own.local_addr()?, "figures on /metrics");
            // Not tracked: a drain is to be seen in them to its end.
            tokio::spawn(api::serve(own, api::metrics_router(figures), feeding.clone()));
        }
        let (mut address, mut serving) = (None, None);
        if let Some(listener) = listener {
            embedded::local_key(&parts.store, lock.dir()).await?;
            let bound = listener.local_addr()?;
            if let Some(keys) = self.jwt.as_ref().and_then(JwtSettings::keys).cloned() {
                keys.load_or_say().await;
                shutdown.spawn(keys.keep_fresh(shutdown.draining()));
            }
            let (login, sessions) = signing_in::login(settings, &parts)?.unzip();
            let authenticator = Authenticator::with_sessions(parts.store.clone(), self.jwt, sessions);
            shutdown.spawn(authenticator.clone().hear_endings(shutdown.draining()));
            let service = Service::new(
                parts.store.clone(),
                authenticator.clone(),
                service_settings(settings, &parts, bound),
                hooks::hooks(&parts, settings, hub.clone(), queue.clone(), sandboxes),
            );
            let asked = jobs::Asked { standings: build::standings(settings, &parts)?, voices: parts.doors.voices() };
            let worked = service.clone();
            let (store, stop) = (parts.store.clone(), shutdown.clone());
            shutdown.spawn(async move { jobs::work_off_deliveries(store, worked, asked, stop).await });
            answers::start(settings, &parts, (service.clone(), bound), shutdown, self.failpoint);
            let state = ApiState::new(service, authenticator, hub, beside, &parts.secret, shutdown.draining())
                .limiting(settings.http.callers.rates, settings.http.callers.streams_per_user)
                .trusting(&settings.http.trusted_proxies)
                .with_login(login);
            lock.write_listen(bound)?;
            address = Some(bound);
            let router = api::router(state, axum::Router::new());
            serving = Some(tokio::spawn(api::serve(listener, router, shutdown.draining())));
            tracing::info!(address = %bound, "listening on http://{bound}");
        }
        Ok(Rooms { address, bootstrap_key, parts, serving, feeding })
    }
}

/// The process' figures, kept small until it ends.
fn figures(shutdown: &Shutdown) -> Metrics {
    let metrics = Metrics::install();
    let (upkeep, cut) = (metrics.clone(), shutdown.cut());
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = cut.cancelled() => return,
                () = tokio::time::sleep(METRICS_UPKEEP) => upkeep.run_upkeep(),
            }
        }
    });
    metrics
}

fn queue(settings: &Settings, parts: &Parts) -> Queue {
    Queue::new(
        parts.store.clone(),
        QueueSettings {
            replica: clock::new_id(),
            host: parts.host,
            capacity: settings.worker.tasks as usize,
            lease_ttl: settings.worker.lease_ttl,
            poll: QUEUE_POLL,
            log_version: LOG_VERSION,
        },
    )
}

fn start_worker(
    settings: &Settings,
    parts: &Parts,
    hub: &Hub,
    queue: &Queue,
    shutdown: &Shutdown,
    sandboxes: Sandboxes,
    failpoint: Option<Failpoint>,
) -> anyhow::Result<()> {
    let switches = Switches::new(shutdown.draining());
    let (kept, store, stop) = (switches.clone(), parts.store.clone(), shutdown.cut());
    // Not tracked: heeded to the very end.
    tokio::spawn(async move { kept.keep(&store, stop).await });
    let runner = Runner::new(Deps {
        store: parts.store.clone(),
        hub: hub.clone(),
        client: build::client(settings)?,
        models: build::models(settings),
        reviewer: settings.models.of(CallRole::Review).map(|model| model.name().to_owned()),
        sandboxes: sandboxes.clone(),
        repositories: parts.repositories.clone(),
        limits: build::limits(settings),
        redactor: Arc::clone(&parts.redactor),
        recall: parts.recall.clone(),
        vault: parts.vault.clone(),
        hidden: HiddenSets::default(),
        blobs: parts.blobs.clone(),
        switches: switches.clone(),
        cut: shutdown.cut(),
        failpoint: failpoint.clone(),
        baselines: Baselines::default(),
        prepared: build::prepared(settings),
        detected: build::detected_setups(settings),
        parsers: build::parsers(&sandboxes)?,
        mcp: build::mcp(settings, parts)?,
        egress: build::egress(settings, parts)?,
        skills: settings.extension.skills_dir.clone().map(OperatorSkills::new),
        instructions: settings.extension.instructions.as_str().into(),
        known_caps: KnownCaps::default(),
        analyses: Analyses::default(),
        rules: settings.rules.clone().into(),
        approver: settings.models.of(CallRole::Approval).map(|model| model.name().to_owned()),
        learning: LearningSettings {
            model: settings.models.of(CallRole::Learning).map(|model| model.name().to_owned()),
            task_tokens: settings.learning.task_tokens,
            timeout: settings.learning.timeout,
        },
    });
    if settings.models.of(CallRole::Learning).is_some() {
        let (replica, host) = queue.holder();
        let own = JobLoop {
            replica,
            host,
            at_once: settings.learning.at_once as usize,
            of_user: u32::MAX,
            lease_ttl: settings.worker.lease_ttl,
            poll: LEARNING_POLL,
        };
        let (store, runner, stop) = (parts.store.clone(), runner.clone(), shutdown.clone());
        shutdown.spawn(async move { jobs::learn(store, runner, own, stop).await });
    }
    webhooks::start(settings, parts, shutdown)?;
    publishing::start(settings, parts, queue, shutdown, failpoint);
    let (warm, limits, stop) = (sandboxes.clone(), build::limits(settings), shutdown.draining());
    shutdown.spawn(async move { warm.keep_warm(limits, stop).await });
    let (store, stop) = (parts.store.clone(), shutdown.draining());
    shutdown.spawn(async move { jobs::count_effects(&store, stop).await });
    if let Some(embeddings) = parts.recall.embeddings().cloned() {
        let (store, stop) = (parts.store.clone(), shutdown.draining());
        shutdown.spawn(async move { jobs::embed_memories(&store, &embeddings, stop).await });
    }
    let (repositories, stop) = (parts.repositories.clone(), shutdown.draining());
    shutdown.spawn(async move { jobs::keep_mirrors_fresh(&repositories, stop).await });
    let reconciler = Reconciler::new(
        parts.store.clone(),
        queue.clone(),
        sandboxes,
        Retention::new(
            parts.store.clone(),
            parts.blobs.clone(),
            parts.objects.clone(),
            RetentionSettings {
                history: settings.retention.history,
                tasks: settings.retention.tasks,
                grace: BLOBS_GRACE,
            },
        ),
        ReconcilerSettings {
            deadlines_every: Duration::from_secs(1),
            sweep_every: Duration::from_secs(60),
            copies_kept: settings.retention.workspaces,
            audit_kept: settings.retention.audit,
            memories_idle: settings.learning.decay,
        },
    );
    let stop = shutdown.draining();
    shutdown.spawn(async move { reconciler.run(stop).await });
    let eraser = Eraser::new(parts.store.clone(), parts.objects.clone(), settings.worker.lease_ttl);
    let stop = shutdown.draining();
    shutdown.spawn(async move { eraser.run(stop).await });
    let (queue, own) = (queue.clone(), shutdown.clone());
    shutdown.spawn(async move { jobs::work(&queue, &runner, &own).await });
    Ok(())
}

fn service_settings(settings: &Settings, parts: &Parts, bound: SocketAddr) -> service::Settings {
    let view = |m: &crate::config::ModelSettings| ModelView {
        name: m.name().to_owned(),
        wire: m.model.wire,
        window_tokens: m.model.window_tokens,
        max_output_tokens: u64::from(m.model.max_output_tokens),
        prices: m.model.prices,
        default: settings.models.default.as_deref() == Some(m.name()),
    };
    service::Settings {
        models: settings.models.all.iter().map(view).collect(),
        learns: settings.models.of(CallRole::Learning).is_some(),
        limits: Limits::default(),
        network: settings.network.tasks.cap.clone(),
        objects: parts.objects.clone(),
        files: parts.files.clone(),
        recall: parts.recall.clone(),
        public_url: settings.http.public_url.as_ref().map_or_else(|| format!("http://{bound}"), ToString::to_string),
        keyring: parts.vault.keyring().clone(),
        secret: parts.secret,
    }
}
