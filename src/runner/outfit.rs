//! What a task's workspaces are opened with beside their files: its environment, as it was pinned, or the setup that was
//! found without one.

use super::Deps;
use crate::{
    agent::Session,
    domain::{
        BlobHash, EnvironmentId,
        environment::{DetectedSetup, PinnedEnvironment},
        task::{NetworkPolicy, RepositorySource, TaskSpec},
    },
    workspace::{RunCommand, Workspace},
};
use std::{sync::Arc, time::Duration};

/// How long what `start` starts may run: as long as a command may at all.
const START_SPAN: Duration = Duration::from_secs(7 * 86_400);

/// The same for the agent's workspace and for those of checks. Cheap enough to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Outfit {
    pub(super) image: Option<String>,
    /// In every command's environment.
    pub(super) variables: Vec<(String, String)>,
    pub(super) start: Option<String>,
    /// The key of what the setup prepared; absent where there is no setup, or one that failed and need not hold.
    pub(super) prepared: Option<String>,
    pub(super) plan: Option<Arc<SetupPlan>>,
    /// The repository's address, and whether what it says there is its default branch.
    pub(super) repository: Option<(String, bool)>,
}

/// What is run to prepare a task's copies.
#[derive(Clone, Debug)]
pub(super) struct SetupPlan {
    /// Whose setup it is; none where it was found without an environment.
    pub(super) environment: Option<(EnvironmentId, String)>,
    /// What was found; empty where an environment says it.
    pub(super) commands: Vec<String>,
    pub(super) script: String,
    pub(super) network: NetworkPolicy,
    pub(super) timeout_seconds: u32,
    /// A task goes on where it fails.
    pub(super) optional: bool,
    pub(super) caches: Vec<String>,
    /// It has its environment's secrets: not where words of somebody untrusted are in the task.
    pub(super) has_secrets: bool,
}

impl Outfit {
    pub(super) fn of(session: &Session) -> Self {
        let outfit = match (&session.spec.pinned, &session.detected) {
            (Some(pinned), _) => Self::of_environment(&session.spec, pinned),
            (None, Some(detected)) => Self::detected(&session.spec, detected),
            (None, None) => return Self::default(),
        };
        Self { prepared: session.prepared.clone(), ..outfit }
    }

    /// Of a task without an environment, for which this setup was found.
    pub(super) fn detected(spec: &TaskSpec, setup: &DetectedSetup) -> Self {
        let plan = SetupPlan {
            environment: None,
            commands: setup.commands.clone(),
            script: setup.script.clone(),
            network: setup.network.clone(),
            timeout_seconds: setup.timeout_seconds,
            optional: true,
            caches: setup.caches.clone(),
            has_secrets: false,
        };
        let variables = setup.variables.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        Self { variables, plan: Some(Arc::new(plan)), repository: repository(spec), ..Self::default() }
    }

    fn of_environment(spec: &TaskSpec, pinned: &PinnedEnvironment) -> Self {
        let plan = pinned.setup.as_ref().map(|script| SetupPlan {
            environment: Some((pinned.id, pinned.name.clone())),
            commands: Vec::new(),
            script: script.clone(),
            network: pinned.setup_network.clone(),
            timeout_seconds: pinned.setup_timeout_seconds,
            optional: pinned.setup_optional,
            caches: pinned.caches.clone(),
            has_secrets: !spec.source.untrusted,
        });
        Self {
            image: pinned.image.clone(),
            variables: pinned.variables.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            start: pinned.start.clone(),
            prepared: None,
            plan: plan.map(Arc::new),
            repository: repository(spec),
        }
    }

    /// The setup that prepares, with the key of what it prepared.
    pub(super) fn setup(&self) -> Option<(&SetupPlan, &str)> {
        Some((self.plan.as_deref()?, self.prepared.as_deref()?))
    }

    /// Names all that shapes a command's run beside the tree; absent where there is nothing.
    pub(super) fn digest(&self) -> Option<String> {
        let is_bare =
            self.image.is_none() && self.variables.is_empty() && self.start.is_none() && self.prepared.is_none();
        if is_bare {
            return None;
        }
        let shape = serde_json::json!([self.image, self.variables, self.start, self.prepared]);
        Some(BlobHash::of(shape.to_string().as_bytes()).0)
    }

    /// Starts what the environment wants to run beside the commands. A workspace that cannot start it goes on without.
    pub(super) async fn begin(&self, deps: &Deps, workspace: &Workspace) {
        let Some(start) = &self.start else { return };
        let begun = workspace.start_process(RunCommand::new(start.clone(), START_SPAN)).await;
        if let Err(error) = begun {
            let error = deps.redactor.redact(&error.to_string()).into_owned();
            tracing::warn!(error, "an environment's start script could not be started");
        }
    }
}

fn repository(spec: &TaskSpec) -> Option<(String, bool)> {
    match &spec.repository {
        Some(RepositorySource::Git { url, reference }) => Some((url.clone(), reference.is_none())),
        _ => None,
    }
}
