//! Setup: what the script of an environment installs, or what was found without one, is prepared once, on the base
//! alone, and every later copy starts with it, the agent's as well as those for checks.
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
    outfit::{Outfit, SetupPlan},
    secret,
    vault::VaultError,
};
use crate::{
    analysis, checks,
    domain::{
        BlobHash, EventData, Private, TaskId, TeamId,
        environment::{DetectedSetup, SecretUse, SnapshotState},
        event::TreeDelta,
        task::{RepositorySource, TaskSpec},
        tool::ToolOutcome,
    },
    egress::Access,
    secrets::Redactor,
    store::environments,
    workspace::{RunCommand, RunOutcome, WorkspaceError, repository::Base},
};
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

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
    /// There is nothing to prepare, or it is prepared, or it need not be; what the prompt says of it.
    Go(String),
    /// It failed, and the task with it: why.
    Failed(String),
    /// Somebody cut it short; the loop decides.
    CutShort,
}

impl Driver {
    /// Prepares what the task's copies are to start with, before anything is laid out.
    pub(super) async fn set_up(&mut self, base: &Base) -> Result<Ready, Halt> {
        let spec = &self.journal.session.spec;
        if spec.pinned.is_some() {
            let outfit = Outfit::of(&self.journal.session);
            if outfit.plan.is_none() {
                return Ok(Ready::Go(String::new()));
            }
            // Secrets that were set since the task was claimed are hidden as well.
            match secret::of_task(&self.deps, self.claimed.team, spec).await? {
                Ok(hidden) => {
                    self.redactor = Arc::clone(&hidden.redactor);
                    self.journal.scrub_with(Arc::clone(&self.redactor));
                    self.copy.hide(hidden);
                }
                Err(error) => return Ok(Ready::Failed(error.to_string())),
            }
            return self.set_up_with(base, outfit, None).await;
        }
        match self.detect_setup(base).await? {
            None => Ok(Ready::Go(String::new())),
            Some(found) => {
                let outfit = Outfit::detected(spec, &found);
                self.set_up_with(base, outfit, Some(found)).await
            }
        }
    }

    async fn set_up_with(
        &mut self,
        base: &Base,
        outfit: Outfit,
        detected: Option<Box<DetectedSetup>>,
    ) -> Result<Ready, Halt> {
        let Some(plan) = outfit.plan.clone() else { return Ok(Ready::Go(String::new())) };
        let (deps, team) = (Arc::clone(&self.deps), self.claimed.team);
        let key = key(&deps, &self.journal.session.spec, &outfit, &plan, base).await;
        // Not every task pays for what another has just tried.
        let failed = plan.environment.is_none().then(|| deps.detected.failed(team, &key)).flatten();
        let ran = if let Some(before) = failed {
            Some(Ok(before))
        } else {
            let outfit = Outfit { prepared: Some(key.clone()), ..outfit };
            self.prepare(base, &outfit, &plan, &key).await?
        };
        let ran = match ran {
            None => return Ok(Ready::CutShort),
            Some(Ok(ran)) => ran,
            Some(Err(Halt::Workspace(error))) if plan.environment.is_none() => SetUp::not_run(&error.to_string()),
            Some(Err(Halt::Workspace(error))) => {
                return Ok(Ready::Failed(format!("{} could not be run: {error}", plan.called())));
            }
            Some(Err(other)) => return Err(other),
        };
        let holds = ran.outcome == ToolOutcome::Ok;
        if !holds && plan.environment.is_none() {
            deps.detected.note_failed(team, &key, &ran);
        }
        let data = EventData::SetupCompleted {
            outcome: ran.outcome,
            exit_code: ran.exit_code,
            duration_ms: u64::try_from(ran.duration.as_millis()).unwrap_or(u64::MAX),
            output: ran.output,
            cached: ran.cached,
        };
        self.journal.record(data, holds.then_some(Private::Prepared { key, detected }));
        self.record_network();
        Ok(if holds || plan.optional {
            Ready::Go(plan.told(holds))
        } else {
            Ready::Failed(failure(&plan, ran.outcome, ran.exit_code))
        })
    }

    /// Finds what was prepared, or prepares it, and tells that it does; nothing where somebody cut it short.
    async fn prepare(
        &mut self,
        base: &Base,
        outfit: &Outfit,
        plan: &SetupPlan,
        key: &str,
    ) -> Result<Option<Result<SetUp, Halt>>, Halt> {
        let (deps, team, task) = (Arc::clone(&self.deps), self.claimed.team, self.claimed.task);
        if !deps.prepared.has(team, key).await {
            let environment = plan.environment.as_ref().map(|(_, name)| name.clone());
            let data = EventData::SetupStarted { environment, commands: plan.commands.clone() };
            self.journal.record(data, None);
            self.journal.commit().await?;
            self.boundary()?;
        }
        let redactor = Arc::clone(&self.redactor);
        let uses = self.copy.uses().clone();
        let setup = Setup { deps: &deps, team, task, base, outfit, redactor: &redactor, uses: &uses };
        tokio::select! {
            ran = Box::pin(setup.prepare()) => Ok(Some(ran)),
            () = self.journal.cut_short() => Ok(None),
            () = deps.draining().cancelled_owned() => Ok(None),
            () = self.lost.cancelled() => Err(Halt::Fenced),
            () = deps.cut.cancelled() => Err(Halt::Cut),
        }
    }
}

impl Setup<'_> {
    /// Finds what was prepared, or prepares it. Who comes while another does waits for him.
    pub(super) async fn prepare(&self) -> Result<SetUp, Halt> {
        let Some((plan, key)) = self.outfit.setup() else { return Ok(SetUp::cached()) };
        let _turn = self.deps.prepared.turn(self.team, key).await;
        if self.deps.prepared.has(self.team, key).await {
            return Ok(SetUp::cached());
        }
        self.note(plan, SnapshotState::Building).await?;
        let ran = self.run(plan, key).await;
        let state = match &ran {
            Ok(ran) if ran.outcome == ToolOutcome::Ok => SnapshotState::Ready,
            _ => SnapshotState::Failed,
        };
        self.note(plan, state).await?;
        ran
    }

    async fn run(&self, plan: &SetupPlan, key: &str) -> Result<SetUp, Halt> {
        let deps = self.deps;
        let (secrets, redactor) = self.secrets(plan).await?;
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
        let access = Network::of_setup(plan.network.clone(), uses).access(deps, team, task).await?;
        let env = access.as_ref().map(Access::environment).unwrap_or_default();
        let opening = Opening { directory: directory.clone(), access: access.as_ref(), env, low_priority: false };
        let workspace = laying::open(deps, task, base, opening, &bare).await?;
        if let Some(access) = access {
            Proxy::listen(&workspace, access).await?.open();
        }
        let timeout = Duration::from_secs(plan.timeout_seconds.into());
        let command = RunCommand { env: variables, ..RunCommand::new(plan.script.clone(), timeout) };
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
    async fn secrets(&self, plan: &SetupPlan) -> Result<(Vec<(String, String)>, Redactor), Halt> {
        let deps = self.deps;
        let Some((environment, _)) = plan.environment.as_ref().filter(|_| plan.has_secrets) else {
            return Ok((Vec::new(), self.redactor.clone()));
        };
        let environment = *environment;
        let opened = patiently(&deps.cut, || async {
            match deps.vault.secrets(self.team, environment).await {
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

    async fn note(&self, plan: &SetupPlan, state: SnapshotState) -> Result<(), Halt> {
        let Some((environment, _)) = plan.environment else { return Ok(()) };
        let (store, team) = (&self.deps.store, self.team);
        patiently(&self.deps.cut, || environments::note_snapshot(store, team, environment, state)).await
    }
}

impl SetUp {
    fn cached() -> Self {
        let (outcome, duration) = (ToolOutcome::Ok, Duration::ZERO);
        Self { outcome, exit_code: None, duration, output: String::new(), cached: true }
    }

    fn not_run(why: &str) -> Self {
        let (outcome, duration) = (ToolOutcome::Error, Duration::ZERO);
        Self { outcome, exit_code: None, duration, output: why.to_owned(), cached: false }
    }
}

impl SetupPlan {
    fn called(&self) -> String {
        match &self.environment {
            Some((_, name)) => format!("the setup of the environment {name}"),
            None => format!("what the service found to set up ({})", self.commands.join("; ")),
        }
    }

    /// What the prompt says of it.
    fn told(&self, holds: bool) -> String {
        let what = match &self.environment {
            Some(_) => "The environment's setup has run".to_owned(),
            None => format!("There is no environment: `{}` has run before", self.commands.join("`, `")),
        };
        match (holds, &self.environment) {
            (true, _) => {
                format!("{what}: what it installed is in this working copy, and in the copies where the checks run.\n")
            }
            (false, Some((_, name))) => {
                format!("The setup of the environment {name} failed: what it installs may be missing.\n")
            }
            (false, None) => format!(
                "There is no environment, and `{}` failed: packages that the repository needs may be missing.\n",
                self.commands.join("`, `")
            ),
        }
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
    let Some((plan, key)) = outfit.setup() else { return Ok(None) };
    if !deps.prepared.has(team, key).await {
        let setup = Setup { deps, team, task, base, outfit, redactor: &deps.redactor, uses };
        let ran = Box::pin(setup.prepare()).await?;
        if ran.outcome != ToolOutcome::Ok {
            return Err(WorkspaceError::Refused { why: failure(plan, ran.outcome, ran.exit_code) }.into());
        }
    }
    Ok(Some(key))
}

/// Why a setup failed, and the mend.
pub(super) fn failure(plan: &SetupPlan, outcome: ToolOutcome, exit_code: Option<i32>) -> String {
    let how = match (outcome, exit_code) {
        (ToolOutcome::TimedOut, _) => {
            format!("took longer than {} s (setup_timeout_seconds)", plan.timeout_seconds)
        }
        (_, Some(code)) => format!("failed with exit code {code}"),
        _ => "was killed".to_owned(),
    };
    let what = plan.called();
    match plan.environment {
        Some((id, _)) => format!(
            "{what} {how}: setup.completed in the task's log has its output; mend the script \
             (PATCH /v1/environments/{id}), or set setup_optional there"
        ),
        None => format!("{what} {how}: it held before; make an environment with a setup of its own"),
    }
}

/// Everything that shapes what a setup leaves.
async fn key(deps: &Deps, spec: &TaskSpec, outfit: &Outfit, plan: &SetupPlan, base: &Base) -> String {
    let shapes = analysis::shapes_setup(&plan.script);
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
    let variables: BTreeMap<&str, &str> =
        outfit.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    // What was prepared with secrets may hold some of them.
    let bare = plan.environment.is_some() && !plan.has_secrets;
    let shape = serde_json::json!([
        KEY_VERSION,
        repository,
        outfit.image,
        plan.script,
        variables,
        plan.network,
        files,
        &*programs,
    ]);
    let shape = if bare { serde_json::json!([shape, "without secrets"]) } else { shape };
    BlobHash::of(shape.to_string().as_bytes()).0
}
