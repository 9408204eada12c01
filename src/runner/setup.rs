//! Setup: what an environment's script installs is prepared once, on the base alone, and every later copy starts with
//! it, the agent's as well as those for checks.
//!
//! What was prepared is known by a key over all that shapes it: image, script, variables, manifests and lock files,
//! the repository. It is kept on this host; where it is gone, it is made again before a copy is laid. Secrets for setup
//! are in the script's own environment and nowhere else.

use super::{
    Deps,
    caches::Caches,
    drive::Driver,
    journal::{Halt, patiently},
    laying::{self, Laying, Opening, Whose},
    network::{Network, Proxy, Uses},
    outfit::Outfit,
    secret::{self, Hidden},
    vault::VaultError,
};
use crate::{
    agent::Session,
    analysis, checks,
    domain::{
        BlobHash, EnvironmentId, EventData, Private, TaskId, TeamId,
        environment::{PinnedEnvironment, SecretUse, SnapshotState},
        event::TreeDelta,
        task::{RepositorySource, TaskSpec},
        tool::ToolOutcome,
    },
    egress::Access,
    secrets::Redactor,
    store::environments,
    workspace::{RunCommand, RunOutcome, WorkspaceError, repository::Base},
};
use std::{collections::HashSet, sync::Arc, time::Duration};

/// Part of every key: another one forgets all that was prepared before.
const KEY_VERSION: u32 = 1;

/// What running a setup came to.
#[derive(Clone, Debug)]
pub(super) struct SetUp {
    pub(super) outcome: ToolOutcome,
    pub(super) exit_code: Option<i32>,
    pub(super) duration: Duration,
    /// The last of it, redacted.
    pub(super) output: String,
    /// It had been prepared before.
    pub(super) cached: bool,
}

/// One setup to be run.
pub(super) struct Setup<'a> {
    pub(super) deps: &'a Arc<Deps>,
    pub(super) team: TeamId,
    pub(super) task: TaskId,
    pub(super) base: &'a Base,
    pub(super) outfit: &'a Outfit,
    pub(super) redactor: &'a Redactor,
    pub(super) uses: &'a Uses,
}

/// How preparing went for a task that begins.
pub(super) enum Ready {
    /// There is nothing to prepare, or it is prepared, or it need not be.
    Go,
    /// It failed, and the task with it: why.
    Failed(String),
    /// Somebody cut it short; the loop decides.
    CutShort,
}

impl Driver {
    /// Prepares what the task's environment wants, before anything is laid out.
    pub(super) async fn set_up(&mut self, base: &Base) -> Result<Ready, Halt> {
        let spec = &self.journal.session.spec;
        let Some(pinned) = spec.pinned.clone().filter(|pinned| pinned.setup.is_some()) else { return Ok(Ready::Go) };
        // Secrets that were set since the task was claimed are hidden as well.
        match secret::of_task(&self.deps, &self.claimed, spec).await? {
            Ok(Hidden { redactor, own }) => {
                self.redactor = redactor;
                self.journal.scrub_with(Arc::clone(&self.redactor));
                self.copy.hide(own);
            }
            Err(error) => return Ok(Ready::Failed(error.to_string())),
        }
        let spec = &self.journal.session.spec;
        let key = key(&self.deps, spec, &pinned, base).await;
        let outfit = Outfit { prepared: Some(key.clone()), ..Outfit::of(&self.journal.session) };
        if !self.deps.prepared.has(self.claimed.team, &key).await {
            let data = EventData::SetupStarted { environment: pinned.name.clone() };
            self.journal.record(data, None);
            self.journal.commit().await?;
            self.boundary()?;
        }
        let deps = Arc::clone(&self.deps);
        let redactor = Arc::clone(&self.redactor);
        let (team, task) = (self.claimed.team, self.claimed.task);
        let uses = self.copy.uses().clone();
        let setup = Setup { deps: &deps, team, task, base, outfit: &outfit, redactor: &redactor, uses: &uses };
        let ran = tokio::select! {
            ran = Box::pin(setup.prepare()) => Some(ran),
            () = self.journal.cut_short() => None,
            () = deps.draining.cancelled() => None,
            () = self.lost.cancelled() => return Err(Halt::Fenced),
            () = deps.cut.cancelled() => return Err(Halt::Cut),
        };
        let ran = match ran {
            None => return Ok(Ready::CutShort),
            Some(Ok(ran)) => ran,
            Some(Err(Halt::Workspace(error))) => {
                return Ok(Ready::Failed(format!(
                    "the setup of the environment {} could not be run: {error}",
                    pinned.name
                )));
            }
            Some(Err(other)) => return Err(other),
        };
        let holds = ran.outcome == ToolOutcome::Ok;
        let data = EventData::SetupCompleted {
            outcome: ran.outcome,
            exit_code: ran.exit_code,
            duration_ms: u64::try_from(ran.duration.as_millis()).unwrap_or(u64::MAX),
            output: ran.output,
            cached: ran.cached,
        };
        self.journal.record(data, holds.then_some(Private::Prepared { key }));
        self.record_network();
        Ok(if holds || pinned.setup_optional {
            Ready::Go
        } else {
            Ready::Failed(failure(&pinned, ran.outcome, ran.exit_code))
        })
    }
}

impl Setup<'_> {
    /// Finds what was prepared, or prepares it. Who comes while another does waits for him.
    pub(super) async fn prepare(&self) -> Result<SetUp, Halt> {
        let Some((pinned, key)) = self.outfit.setup() else { return Ok(SetUp::cached()) };
        let _turn = self.deps.prepared.turn(self.team, key).await;
        if self.deps.prepared.has(self.team, key).await {
            return Ok(SetUp::cached());
        }
        self.note(pinned.id, SnapshotState::Building).await?;
        let ran = self.run(pinned, key).await;
        let state = match &ran {
            Ok(ran) if ran.outcome == ToolOutcome::Ok => SnapshotState::Ready,
            _ => SnapshotState::Failed,
        };
        self.note(pinned.id, state).await?;
        ran
    }

    async fn run(&self, pinned: &PinnedEnvironment, key: &str) -> Result<SetUp, Halt> {
        let deps = self.deps;
        let (secrets, redactor) = self.secrets(pinned).await?;
        let directory = deps.sandboxes.directory(self.task).clean_copy("setup");
        let bare = Outfit { prepared: None, start: None, ..self.outfit.clone() };
        let Self { team, task, base, uses, .. } = *self;
        let whose = Whose { team, task, uses };
        Laying { deps, whose, base, delta: &TreeDelta::default(), outfit: &bare }.bare(&directory).await?;
        let caches = Caches::of(deps, team, self.outfit);
        let mut variables = match &caches {
            Some(caches) => caches.lay(&directory, deps.sandboxes.owner_uid(task)).await?,
            None => Vec::new(),
        };
        variables.extend(secrets);
        let access = Network::of_setup(pinned.setup_network.clone(), uses).access(deps, team, task).await?;
        let env = access.as_ref().map(Access::environment).unwrap_or_default();
        let opening = Opening { directory: directory.clone(), access: access.as_ref(), env, low_priority: false };
        let workspace = laying::open(deps, task, base, opening, &bare).await?;
        if let Some(access) = access {
            Proxy::listen(&workspace, access).await?.open();
        }
        let timeout = Duration::from_secs(pinned.setup_timeout_seconds.into());
        let script = pinned.setup.clone().unwrap_or_default();
        let command = RunCommand { env: variables, ..RunCommand::new(script, timeout) };
        let ran = workspace.run(command, None).await;
        // What is the repository's, and what else is no junk, is not kept: it is in no later copy either.
        let walk = match &ran {
            Ok(ran) if ran.outcome == RunOutcome::Exited(0) => Some(workspace.walk().await),
            _ => None,
        };
        let brought = match &walk {
            Some(_) => deps.sandboxes.bring_back(&workspace, &directory, deps.limits.disk_bytes).await,
            None => Ok(()),
        };
        workspace.close().await;
        brought?;
        if let Some(caches) = &caches {
            caches.take(&directory, matches!(&ran, Ok(ran) if ran.outcome == RunOutcome::Exited(0))).await?;
        }
        let ran = ran?;
        let (outcome, exit_code) = match ran.outcome {
            RunOutcome::Exited(0) => (ToolOutcome::Ok, Some(0)),
            RunOutcome::Exited(code) => (ToolOutcome::Error, Some(code)),
            RunOutcome::TimedOut => (ToolOutcome::TimedOut, None),
            _ => (ToolOutcome::Error, None),
        };
        let output = String::from_utf8_lossy(&redactor.redact_bytes(&ran.output)).into_owned();
        if let Some(walk) = walk {
            let known: HashSet<String> =
                walk?.changed.into_iter().map(|file| file.path).chain(self.base.tracked().iter().cloned()).collect();
            deps.prepared.keep(self.team, key, directory.clone(), known).await?;
        }
        // What stays is removed with the task.
        let _ = laying::remove(directory).await;
        let output = checks::tail(&output).to_owned();
        Ok(SetUp { outcome, exit_code, duration: ran.duration, output, cached: false })
    }

    /// The script's own variables, and what hides them.
    async fn secrets(&self, pinned: &PinnedEnvironment) -> Result<(Vec<(String, String)>, Redactor), Halt> {
        let deps = self.deps;
        let opened = patiently(&deps.cut, || async {
            match deps.vault.secrets(self.team, pinned.id).await {
                Ok(secrets) => Ok(Ok(secrets)),
                Err(VaultError::Seal(error)) => Ok(Err(error)),
                Err(VaultError::Store(error)) => Err(error),
            }
        });
        let secrets = opened.await?.map_err(|error| WorkspaceError::Refused { why: error.to_string() })?;
        let redactor = self.redactor.with(secrets.iter().map(|secret| &secret.value));
        let for_setup = secrets.iter().filter(|secret| secret.used_for == SecretUse::Setup);
        let variables = for_setup.map(|secret| (secret.name.clone(), secret.value.expose().to_owned())).collect();
        Ok((variables, redactor))
    }

    async fn note(&self, environment: EnvironmentId, state: SnapshotState) -> Result<(), Halt> {
        let (store, team) = (&self.deps.store, self.team);
        patiently(&self.deps.cut, || environments::note_snapshot(store, team, environment, state)).await
    }
}

impl SetUp {
    fn cached() -> Self {
        let (outcome, duration) = (ToolOutcome::Ok, Duration::ZERO);
        Self { outcome, exit_code: None, duration, output: String::new(), cached: true }
    }
}

/// Sees to it that what a task was prepared with is on this host, and names it; nothing where the task has no setup that
/// holds.
pub(super) async fn ensure<'a>(
    deps: &Arc<Deps>,
    whose: Whose<'_>,
    base: &Base,
    outfit: &'a Outfit,
) -> Result<Option<&'a str>, Halt> {
    let Whose { team, task, uses } = whose;
    let Some((pinned, key)) = outfit.setup() else { return Ok(None) };
    if !deps.prepared.has(team, key).await {
        let setup = Setup { deps, team, task, base, outfit, redactor: &deps.redactor, uses };
        let ran = Box::pin(setup.prepare()).await?;
        if ran.outcome != ToolOutcome::Ok {
            return Err(WorkspaceError::Refused { why: failure(pinned, ran.outcome, ran.exit_code) }.into());
        }
    }
    Ok(Some(key))
}

/// What the prompt says of the environment; nothing where there is none.
pub(super) fn told(session: &Session) -> String {
    let Some(pinned) = session.spec.pinned.as_ref().filter(|pinned| pinned.setup.is_some()) else {
        return String::new();
    };
    match session.prepared {
        Some(_) => {
            "The environment's setup has run: what it installed is in this working copy, and in the copies where the \
                    checks run.\n"
                .to_owned()
        }
        None => format!("The setup of the environment {} failed: what it installs may be missing.\n", pinned.name),
    }
}

/// Why a task ends whose setup failed, and the mend.
pub(super) fn failure(pinned: &PinnedEnvironment, outcome: ToolOutcome, exit_code: Option<i32>) -> String {
    let how = match (outcome, exit_code) {
        (ToolOutcome::TimedOut, _) => {
            format!("took longer than {} s (setup_timeout_seconds)", pinned.setup_timeout_seconds)
        }
        (_, Some(code)) => format!("failed with exit code {code}"),
        _ => "was killed".to_owned(),
    };
    format!(
        "the setup of the environment {} {how}: setup.completed in the task's log has its output; mend the script \
         (PATCH /v1/environments/{}), or set setup_optional there",
        pinned.name, pinned.id
    )
}

/// Everything that shapes what a setup leaves.
async fn key(deps: &Deps, spec: &TaskSpec, pinned: &PinnedEnvironment, base: &Base) -> String {
    let script = pinned.setup.as_deref().unwrap_or_default();
    let shapes = analysis::shapes_setup(script);
    let entries = base.entries();
    let files: Vec<(&str, String)> = (entries.iter())
        .filter(|entry| shapes(&entry.path))
        .map(|entry| (&*entry.path, entry.oid.to_string()))
        .collect();
    let repository = match &spec.repository {
        Some(RepositorySource::Git { url, .. }) => url.clone(),
        Some(RepositorySource::Upload { upload, .. }) => upload.to_string(),
        None => String::new(),
    };
    let programs = deps.sandboxes.programs().await;
    let shape = serde_json::json!([
        KEY_VERSION,
        repository,
        pinned.image,
        script,
        pinned.variables,
        pinned.setup_network,
        files,
        &*programs,
    ]);
    BlobHash::of(shape.to_string().as_bytes()).0
}
