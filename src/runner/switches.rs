//! What an operator has stopped, as this process knows it: looked at every second, so that every replica heeds it within
//! five. While the database is away what was known last holds.

use crate::{
    domain::TeamId,
    store::{
        Store,
        switches::{self, SetSwitch, Switch},
    },
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is stopped. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Switches {
    known: watch::Sender<Arc<Known>>,
    /// Cancelled while all replicas are to give back what they run.
    drain: Arc<Mutex<CancellationToken>>,
    /// The process's own drain, which ends this one too.
    draining: CancellationToken,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Known {
    paused: bool,
    /// Teams whose running tasks rest; the nil team: all.
    resting: BTreeSet<TeamId>,
    paused_teams: usize,
    drained: bool,
    models: BTreeSet<String>,
}

impl Switches {
    /// Nothing is stopped until the first look.
    pub fn new(draining: CancellationToken) -> Self {
        let drain = Arc::new(Mutex::new(draining.child_token()));
        Self { known: watch::channel(Arc::default()).0, drain, draining }
    }

    /// Looks again and again until `stop`.
    pub async fn keep(&self, store: &Store, stop: CancellationToken) {
        loop {
            self.look(store).await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Looks now: for whoever is about to do something because of a switch, which may have been lifted in this second.
    pub(super) async fn look(&self, store: &Store) {
        match switches::all(store).await {
            Ok(set) => self.learn(&set),
            Err(error) => tracing::debug!(%error, "switches cannot be read now: what was known holds"),
        }
    }

    fn learn(&self, set: &[SetSwitch]) {
        let mut known = Known::default();
        for SetSwitch { switch, .. } in set {
            match switch {
                Switch::Pause { team, running } => {
                    known.paused |= team.is_none();
                    known.paused_teams += usize::from(team.is_some());
                    if *running {
                        known.resting.insert(team.unwrap_or(TeamId(uuid::Uuid::nil())));
                    }
                }
                Switch::Drain => known.drained = true,
                Switch::Model { name } => {
                    known.models.insert(name.clone());
                }
            }
        }
        let before = Arc::clone(&self.known.borrow());
        if *before == known {
            return;
        }
        tracing::info!(paused = known.paused, teams = known.paused_teams, drained = known.drained, models_off = ?known.models, "an operator has set switches");
        figures(&before, &known);
        let mut drain = self.drain.lock().unwrap_or_else(PoisonError::into_inner);
        if known.drained {
            drain.cancel();
        } else if before.drained {
            *drain = self.draining.child_token();
        }
        drop(drain);
        self.known.send_replace(Arc::new(known));
    }

    /// Cancelled once what runs is to be given back: the process drains, or all do.
    pub fn draining(&self) -> CancellationToken {
        self.drain.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether running tasks of the team are to rest.
    pub fn rests(&self, team: TeamId) -> bool {
        let known = self.known.borrow();
        !known.resting.is_empty()
            && (known.resting.contains(&team) || known.resting.contains(&TeamId(uuid::Uuid::nil())))
    }

    /// Whether the model is not to be called.
    pub fn is_off(&self, model: &str) -> bool {
        self.known.borrow().models.contains(model)
    }

    /// Returns once the model is not to be called.
    pub async fn off(&self, model: &str) {
        let mut known = self.known.subscribe();
        // It ends with the process at the latest: a sender lives as long as this does.
        let _ = known.wait_for(|known| known.models.contains(model)).await;
    }
}

/// What `/metrics` shows of it.
fn figures(before: &Known, known: &Known) {
    let gauge = |set: bool| f64::from(u8::from(set));
    metrics::gauge!("journeyman_paused").set(gauge(known.paused));
    metrics::gauge!("journeyman_paused_teams").set(known.paused_teams as f64);
    metrics::gauge!("journeyman_drained").set(gauge(known.drained));
    for name in before.models.union(&known.models) {
        metrics::gauge!("journeyman_model_off", "model" => name.clone()).set(gauge(known.models.contains(name)));
    }
}
