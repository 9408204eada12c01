//! Setup without an environment: what package managers would install is found in the manifests and prepared as an
//! environment's setup is, where the operator lets such setups reach anything at all.

use super::{analyse::files_of, drive::Driver, journal::Halt, setup::SetUp};
use crate::{
    analysis::{self, BriefInput},
    domain::{
        TeamId,
        environment::DetectedSetup,
        task::{Mode, NetworkPolicy},
    },
    workspace::repository::Base,
};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long a setup that failed is not tried again.
const FAILED_SPAN: Duration = Duration::from_secs(15 * 60);
/// Failed setups remembered, at most.
const FAILED_MAX: usize = 1_000;

/// What the operator says of setups without an environment, and which have failed of late.
#[derive(Debug, Default)]
pub struct DetectedSetups {
    /// Absent: there are none.
    network: Option<NetworkPolicy>,
    timeout_seconds: u32,
    /// By team and key: until when, and how.
    failed: Mutex<HashMap<(TeamId, String), (Instant, SetUp)>>,
}

impl DetectedSetups {
    /// Setups that may reach this, each for so many seconds.
    pub fn new(network: Option<NetworkPolicy>, timeout_seconds: u32) -> Self {
        Self { network, timeout_seconds, failed: Mutex::default() }
    }

    /// How this setup failed, where that was a short while ago on this replica.
    pub(super) fn failed(&self, team: TeamId, key: &str) -> Option<SetUp> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, ran) = failed.get(&(team, key.to_owned()))?;
        (*until > Instant::now()).then(|| SetUp { cached: true, ..ran.clone() })
    }

    pub(super) fn note_failed(&self, team: TeamId, key: &str, ran: &SetUp) {
        let now = Instant::now();
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.retain(|_, (until, _)| *until > now);
        if failed.len() < FAILED_MAX {
            failed.entry((team, key.to_owned())).or_insert_with(|| (now + FAILED_SPAN, ran.clone()));
        }
    }
}

impl Driver {
    /// What the repository of a task without an environment needs; nothing where its answer is words alone, or where
    /// nothing may be reached.
    pub(super) async fn detect_setup(&self, base: &Base) -> Result<Option<Box<DetectedSetup>>, Halt> {
        let setups = &self.deps.detected;
        let (Some(network), Mode::Auto | Mode::Change) = (&setups.network, self.journal.session.spec.mode) else {
            return Ok(None);
        };
        let contents = self.manifests(base).await?;
        let programs = self.deps.sandboxes.programs().await;
        let base = base.clone();
        let found = tokio::task::spawn_blocking(move || {
            let programs: Vec<&str> = programs.iter().map(String::as_str).collect();
            let entries = base.entries();
            analysis::detected_setup(&BriefInput {
                files: &files_of(&entries),
                contents: &contents,
                request: "",
                window_tokens: 0,
                room_bytes: None,
                history: &[],
                programs: (!programs.is_empty()).then_some(programs.as_slice()),
            })
        });
        let found = found.await.map_err(|error| Halt::Disk(std::io::Error::other(error)))?;
        Ok(found.map(|found| {
            Box::new(DetectedSetup {
                commands: found.commands,
                script: found.script,
                variables: found.variables,
                caches: found.caches,
                network: network.clone(),
                timeout_seconds: setups.timeout_seconds,
            })
        }))
    }
}
