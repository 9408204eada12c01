//! What a task's workspaces are opened with beside their files: its environment, as it was pinned.

use super::Deps;
use crate::{
    agent::Session,
    domain::{BlobHash, environment::PinnedEnvironment, task::RepositorySource},
    workspace::{RunCommand, Workspace},
};
use std::time::Duration;

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
    pub(super) environment: Option<Box<PinnedEnvironment>>,
    /// The repository's address, and whether what it says there is its default branch.
    pub(super) repository: Option<(String, bool)>,
}

impl Outfit {
    pub(super) fn of(session: &Session) -> Self {
        let Some(pinned) = &session.spec.pinned else { return Self::default() };
        Self {
            image: pinned.image.clone(),
            variables: pinned.variables.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            start: pinned.start.clone(),
            prepared: session.prepared.clone(),
            environment: Some(pinned.clone()),
            repository: match &session.spec.repository {
                Some(RepositorySource::Git { url, reference }) => Some((url.clone(), reference.is_none())),
                _ => None,
            },
        }
    }

    /// The environment whose setup prepares, with the key of that.
    pub(super) fn setup(&self) -> Option<(&PinnedEnvironment, &str)> {
        Some((self.environment.as_deref()?, self.prepared.as_deref()?))
    }

    /// Names all that shapes a command's run beside the tree; absent where there is nothing.
    pub(super) fn digest(&self) -> Option<String> {
        self.environment.as_ref()?;
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
