//! Tries what the main job needs, for real, and says what is wrong and the mend.

use super::{
    build::{self, RunningDatabase},
    operate,
};
use crate::{
    clock,
    config::{Settings, settings::WorkspaceBackend},
    domain::TaskId,
    net::Outgoing,
    postgres::{Cluster, DataDirLock},
    store::{self, Store, switches},
    workspace::{self, OpenSandbox, RunCommand, RunOutcome},
};
use anyhow::bail;
use std::{sync::Arc, time::Duration};

/// One line of the doctor's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub name: String,
    pub state: State,
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Good,
    /// It works, but less well than designed.
    Weaker,
    /// The main job could not run.
    Bad,
}

/// A line for each thing that was tried. The main job can run where none is [`State::Bad`].
pub async fn doctor(settings: &Settings) -> Vec<Line> {
    let mut lines = Vec::new();
    lines.push(line("git", workspace::git_version().await.map_err(Into::into)));
    lines.push(line("postgres", postgres(settings).await));
    lines.extend(stopped(settings).await);
    match build::sandboxes(settings, &settings.data_dir).await {
        Ok(sandboxes) => {
            for capability in &sandboxes.capabilities().lines {
                lines.push(Line {
                    name: format!("workspace {}", capability.name),
                    state: if capability.holds { State::Good } else { State::Weaker },
                    detail: capability.detail.clone(),
                });
            }
            lines.push(line("workspace", try_sandbox(settings, &sandboxes).await));
        }
        Err(error) => lines.push(line("workspace", Err(error))),
    }
    if settings.models.all.is_empty() {
        let mend = "no model is configured: set JOURNEYMAN_MODEL and JOURNEYMAN_MODEL_URL, OPENAI_API_KEY or ANTHROPIC_API_KEY, or [[models]] in the settings' file";
        lines.push(Line { name: "models".to_owned(), state: State::Bad, detail: mend.to_owned() });
    }
    let outgoing = build::outgoing(settings);
    for model in &settings.models.all {
        let mut told = line(&format!("model {}", model.name()), try_model(&model.model, &outgoing).await);
        // Tasks that name no model do without the others.
        if told.state == State::Bad && settings.models.default.as_deref().is_some_and(|usual| usual != model.name()) {
            told.state = State::Weaker;
        }
        lines.push(told);
    }
    lines
}

fn line(name: &str, tried: anyhow::Result<String>) -> Line {
    match tried {
        Ok(detail) => Line { name: name.to_owned(), state: State::Good, detail },
        Err(error) => Line { name: name.to_owned(), state: State::Bad, detail: format!("{error:#}") },
    }
}

async fn postgres(settings: &Settings) -> anyhow::Result<String> {
    let clock = clock::Stopwatch::start();
    // The operator's answers whoever asks, beside a service that runs, too.
    if let Some(url) = &settings.database.url {
        migrated(url.expose()).await?;
        return Ok(format!("DATABASE_URL answers and is migrated ({} ms)", clock.elapsed_ms()));
    }
    if let Some(address) = crate::postgres::data_dir::read_listen(&settings.data_dir) {
        return Ok(format!("a service on {address} holds the data directory and its private cluster"));
    }
    let lock = DataDirLock::take(&settings.data_dir)?;
    let database = RunningDatabase::start(settings, &lock).await?;
    let tried = migrated(&database.url).await;
    database.stop().await;
    tried?;
    Ok(format!("a private cluster answers and is migrated ({} ms)", clock.elapsed_ms()))
}

/// What an operator has stopped, where the database can be asked.
async fn stopped(settings: &Settings) -> Vec<Line> {
    let url = match &settings.database.url {
        Some(url) => Some(url.expose().to_owned()),
        // A private cluster answers while a service runs; else nothing is stopped that is not stopped anyway.
        None => Cluster::url_of_running(&settings.data_dir),
    };
    let Some(url) = url else { return Vec::new() };
    let Ok(store) = Store::connect(&store::Settings { connections: 1, ..store::Settings::new(url) }, false).await
    else {
        return Vec::new();
    };
    let set = switches::all(&store).await.unwrap_or_default();
    store.close().await;
    let weaker = |detail| Line { name: "switches".to_owned(), state: State::Weaker, detail };
    set.iter().map(|set| weaker(operate::told(set))).collect()
}

async fn migrated(url: &str) -> anyhow::Result<()> {
    Store::connect(&store::Settings::new(url), true).await?.close().await;
    Ok(())
}

async fn try_sandbox(settings: &Settings, sandboxes: &workspace::Sandboxes) -> anyhow::Result<String> {
    let task: TaskId = clock::new_id();
    let copy = sandboxes.directory(task).copy();
    tokio::fs::create_dir_all(&copy).await?;
    if let Some((uid, gid)) = sandboxes.owner_uid(task) {
        std::os::unix::fs::chown(&copy, Some(uid), Some(gid))?;
    }
    let clock = clock::Stopwatch::start();
    let open = OpenSandbox {
        task,
        copy,
        mirrors: Vec::new(),
        limits: build::limits(settings),
        env: Vec::new(),
        image: None,
        tracked: Arc::from([]),
        low_priority: false,
    };
    let workspace = sandboxes.open(open).await?;
    let opened = clock.elapsed_ms();
    let ran = workspace.run(RunCommand::new("git --version || exit 9", Duration::from_secs(10)), None).await;
    workspace.close().await;
    tokio::fs::remove_dir_all(sandboxes.directory(task).path()).await.ok();
    let ran = ran?;
    match (ran.outcome, settings.workspace.backend) {
        (RunOutcome::Exited(0), _) => {}
        (RunOutcome::Exited(9), WorkspaceBackend::Docker | WorkspaceBackend::Kubernetes) => {
            return Ok(format!(
                "a container opens in {opened} ms; its image has no git, which the service does not need there, but agents may"
            ));
        }
        _ => bail!("git does not run in a workspace: install git on this host, or in the image"),
    }
    Ok(format!("a sandbox opens in {opened} ms and runs {}", String::from_utf8_lossy(&ran.output).trim()))
}

/// Whether something listens where its calls go: at its address, or at the proxy on the way there.
async fn try_model(model: &crate::llm::Model, outgoing: &Outgoing) -> anyhow::Result<String> {
    let there = model.url.host_str().unwrap_or_default();
    let proxy = outgoing.proxy.as_ref().filter(|_| outgoing.uses_proxy(there));
    let url = proxy.unwrap_or(&model.url);
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    let (answers, check) = match proxy {
        None => {
            (format!("{host}:{port} answers; whether it takes the key shows at the first call"), "the model's address")
        }
        Some(_) => (
            format!("the proxy {host}:{port} answers; whether it lets calls through to {there} shows at the first one"),
            "HTTPS_PROXY and NO_PROXY",
        ),
    };
    let connecting = tokio::net::TcpStream::connect((host.as_str(), port));
    match tokio::time::timeout(Duration::from_secs(5), connecting).await {
        Ok(Ok(_)) => Ok(answers),
        Ok(Err(error)) => bail!("{host}:{port} does not answer ({error}): check {check}"),
        Err(_) => bail!("{host}:{port} does not answer within 5 s: check {check}, and the network"),
    }
}
