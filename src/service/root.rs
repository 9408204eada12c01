//! The service itself: what all use cases hold.

use super::{audit::Refusals, hooks::Hooks, names::Names, standing::Standings};
use crate::{
    auth::Authenticator,
    domain::{Limits, Seq, TaskId, TeamId, item::Wire, network::NetworkCap, usage::Prices},
    memory::Recall,
    objects::Objects,
    secrets::Keyring,
    store::{Store, trackers::intake::Intake},
};
use serde::Serialize;
use std::{path::PathBuf, sync::Arc};
use tokio::sync::Notify;
use utoipa::ToSchema;

/// A model that tasks may name.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ModelView {
    pub name: String,
    pub wire: Wire,
    pub window_tokens: u64,
    pub max_output_tokens: u64,
    /// Absent where the cost is not known.
    pub prices: Option<Prices>,
    /// The one that a task gets which names none.
    pub default: bool,
}

/// What an operator decides of the use cases.
#[derive(Clone)]
pub struct Settings {
    /// In the order in which people shall see them; one is the default.
    pub models: Vec<ModelView>,
    /// A model is named for learning: what people say of tasks is put before it.
    pub learns: bool,
    /// Limits of a task that names none.
    pub limits: Limits,
    /// What tasks may be allowed to reach.
    pub network: NetworkCap,
    /// Where contents lie that are too large for the database.
    pub objects: Objects,
    /// Where uploads come in, on this host.
    pub files: PathBuf,
    /// What searches memories.
    pub recall: Recall,
    /// Where the service is reached from outside, without a `/` at its end.
    pub public_url: String,
    /// Seals secrets, and opens those of hooks.
    pub keyring: Keyring,
    /// The master key: it keys what is kept of an API key until its creation can no longer be repeated.
    pub secret: [u8; 32],
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("models", &self.models).field("objects", &self.objects).finish_non_exhaustive()
    }
}

/// The use cases. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Service {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) store: Store,
    pub(super) authenticator: Authenticator,
    pub(super) settings: Settings,
    pub(super) hooks: Hooks,
    standings: Standings,
    names: Names,
    pub(super) refusals: Refusals,
    pub(super) intake: Intake,
    deliveries: Arc<Notify>,
}

impl Service {
    pub fn new(store: Store, authenticator: Authenticator, settings: Settings, hooks: Hooks) -> Self {
        Self {
            inner: Arc::new(Inner {
                intake: Intake::new(store.clone()),
                store,
                authenticator,
                settings,
                hooks,
                standings: Standings::default(),
                names: Names::default(),
                refusals: Refusals::default(),
                deliveries: Arc::default(),
            }),
        }
    }

    /// The models that tasks may name.
    pub fn models(&self) -> &[ModelView] {
        &self.inner.settings.models
    }

    /// Whether the database can be reached and is migrated.
    pub async fn ready(&self) -> Result<(), super::Error> {
        Ok(self.inner.store.ready().await?)
    }

    pub(super) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    pub(super) fn hooks(&self) -> &Hooks {
        &self.inner.hooks
    }

    pub(super) fn standings(&self) -> &Standings {
        &self.inner.standings
    }

    /// What a body that holds a secret is known by again: nobody without the master key can try out what it was.
    pub fn fingerprint(&self, canonical_body: &[u8]) -> [u8; 32] {
        let key = crate::auth::mac::hmac_sha256(&self.inner.settings.secret, b"bodies with secrets");
        crate::auth::mac::hmac_sha256(&key, canonical_body)
    }

    /// Marks a text so that this service knows again that it has written it for that purpose.
    pub(super) fn seal(&self, purpose: &[u8], text: &[u8]) -> [u8; 32] {
        let key = crate::auth::mac::hmac_sha256(&self.inner.settings.secret, purpose);
        crate::auth::mac::hmac_sha256(&key, text)
    }

    pub(super) fn keyring(&self) -> &Keyring {
        &self.inner.settings.keyring
    }

    /// Told whenever this process has taken in what a tracker tells.
    pub fn deliveries_come(&self) -> Arc<Notify> {
        Arc::clone(&self.inner.deliveries)
    }

    pub(super) fn names(&self) -> &Names {
        &self.inner.names
    }

    /// Tells those who wait, after the commit.
    pub(super) fn committed(&self, team: TeamId, task: TaskId, seq: Seq) {
        (self.inner.hooks.committed)(team, task, seq);
    }
}
