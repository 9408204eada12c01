//! The channels of watched tasks, and the tailer that hears of other replicas' commits.

use super::{
    channel::{Channel, Encoded},
    relay::Relay,
};
use crate::{
    clock,
    domain::{Seq, TaskId, TeamId},
    store::{Store, StoreError, log},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;

/// How often the log is looked at while somebody watches, and while nobody does.
const POLL_WATCHED: Duration = Duration::from_millis(100);
const POLL_IDLE: Duration = Duration::from_secs(1);
/// After a failed look.
const POLL_FAILED: Duration = Duration::from_secs(1);
/// How often channels without watchers are dropped.
const TIDY_EVERY: u32 = 50;
/// Task changes that a slow board may be behind before it has to look at the list again.
const TEAM_CHANGES_MAX: usize = 1_024;

type Channels = HashMap<TaskId, Arc<Channel>>;
type Teams = HashMap<TeamId, broadcast::Sender<(TaskId, Seq)>>;

/// Where commits are told to those who watch. Cheap to clone; one per process.
#[derive(Clone, Debug)]
pub struct Hub {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    channels: Mutex<Channels>,
    teams: Mutex<Teams>,
    relay: Relay,
    /// Somebody began to watch: look at once.
    watched: Notify,
}

/// A place in the log of all tasks.
#[derive(Clone, Debug)]
pub struct Horizon(String);

impl Hub {
    pub fn new(store: Store) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                channels: Mutex::default(),
                teams: Mutex::default(),
                relay: Relay::new(clock::new_id()),
                watched: Notify::new(),
            }),
        }
    }

    /// The last seq known of a task, as it grows. Starts at 0 until the first news: read the log
    /// once after subscribing, then wait.
    pub fn watch(&self, task: TaskId) -> watch::Receiver<Seq> {
        self.channel(task).watch()
    }

    /// The team's tasks as they change, for boards. One that lags looks at the list again.
    pub fn team_changes(&self, team: TeamId) -> broadcast::Receiver<(TaskId, Seq)> {
        let mut teams = self.inner.teams.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = teams.entry(team).or_insert_with(|| broadcast::Sender::new(TEAM_CHANGES_MAX)).subscribe();
        self.inner.watched.notify_one();
        receiver
    }

    /// Tells of a commit of this process, so that local watchers need not wait for the tailer.
    pub fn wrote(&self, team: TeamId, task: TaskId, seq: Seq) {
        self.inner.relay.wrote(task, seq);
        self.tell_of(team, task, seq);
    }

    /// Whether a live piece of this task would be seen by anybody.
    pub fn is_watched(&self, task: TaskId) -> bool {
        self.channel_if_any(task).is_some_and(|channel| channel.is_watched())
            || self.inner.relay.is_watched_elsewhere(task)
    }

    /// Sends a piece that is not stored (`message.delta`, `tool.output`) to who watches now.
    /// `data` is the piece's JSON.
    pub fn live(&self, task: TaskId, kind: &str, data: &serde_json::Value) {
        if !self.is_watched(task) {
            return;
        }
        let json = serde_json::json!({ "task": task, "kind": kind, "data": data }).to_string();
        self.inner.relay.send(task, kind, &json);
        if let Some(channel) = self.channel_if_any(task).filter(|channel| channel.is_watched()) {
            channel.send_live(Encoded { seq: None, kind: kind.to_owned(), json });
        }
    }

    /// Where the log is now: what [`Hub::tail`] begins at. Taken before anybody watches, so that
    /// nothing falls between what a watcher reads and what is told to him.
    pub async fn horizon(&self) -> Result<Horizon, StoreError> {
        Ok(Horizon(log::tail(&self.inner.store, None).await?.horizon))
    }

    /// Tails the log until `stop`: tells local watchers what other replicas wrote. Runs once per
    /// process; outlives losses of the database.
    pub async fn tail(&self, Horizon(mut horizon): Horizon, stop: CancellationToken) {
        let mut told: HashMap<TaskId, Seq> = HashMap::new();
        for round in 1_u32.. {
            let pause = match log::tail(&self.inner.store, Some(&horizon)).await {
                Ok(tail) => {
                    horizon = tail.horizon;
                    self.tell(&mut told, &tail.tasks);
                    if self.anyone() { POLL_WATCHED } else { POLL_IDLE }
                }
                Err(error) => {
                    tracing::warn!(error = %error, "the log cannot be tailed now");
                    POLL_FAILED
                }
            };
            if round % TIDY_EVERY == 0 {
                self.tidy();
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                () = self.inner.watched.notified(), if pause == POLL_IDLE => {}
            }
        }
    }

    pub(super) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(super) fn channel(&self, task: TaskId) -> Arc<Channel> {
        let mut channels = self.inner.channels.lock().unwrap_or_else(PoisonError::into_inner);
        self.inner.watched.notify_one();
        Arc::clone(channels.entry(task).or_insert_with(|| Arc::new(Channel::new(task))))
    }

    pub(super) fn channel_if_any(&self, task: TaskId) -> Option<Arc<Channel>> {
        self.inner.channels.lock().unwrap_or_else(PoisonError::into_inner).get(&task).cloned()
    }

    /// The tasks that streams of this process follow.
    pub(super) fn watched_tasks(&self) -> Vec<TaskId> {
        let channels = self.inner.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels.iter().filter(|(_, channel)| channel.is_watched()).map(|(task, _)| *task).collect()
    }

    pub(super) fn relay(&self) -> &Relay {
        &self.inner.relay
    }

    fn tell_of(&self, team: TeamId, task: TaskId, seq: Seq) {
        if let Some(channel) = self.channel_if_any(task) {
            channel.wrote(seq);
        }
        let teams = self.inner.teams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = teams.get(&team) {
            // A board that has gone is no error.
            let _ = sender.send((task, seq));
        }
    }

    /// Tells each seq once, though the overlap shows rows again.
    fn tell(&self, told: &mut HashMap<TaskId, Seq>, tasks: &[(TeamId, TaskId, Seq)]) {
        for &(team, task, seq) in tasks {
            if told.get(&task).is_none_or(|last| *last < seq) {
                self.tell_of(team, task, seq);
            }
        }
        told.clear();
        told.extend(tasks.iter().map(|&(_, task, seq)| (task, seq)));
    }

    fn anyone(&self) -> bool {
        !self.inner.channels.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
            || !self.inner.teams.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn tidy(&self) {
        let mut channels = self.inner.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels
            .retain(|_, channel| Arc::strong_count(channel) > 1 || channel.watch_count() > 0 || channel.is_watched());
        drop(channels);
        let mut teams = self.inner.teams.lock().unwrap_or_else(PoisonError::into_inner);
        teams.retain(|_, sender| sender.receiver_count() > 0);
    }
}
