//! The channels of watched tasks, and the tailer that hears of other replicas' commits.

use super::channel::{Channel, Encoded};
use crate::{
    domain::{Seq, TaskId, TeamId},
    store::{Store, log},
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
    /// Somebody began to watch: look at once.
    watched: Notify,
}

impl Hub {
    pub fn new(store: Store) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                channels: Mutex::default(),
                teams: Mutex::default(),
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
        let channel = self.inner.channels.lock().unwrap_or_else(PoisonError::into_inner).get(&task).cloned();
        if let Some(channel) = channel {
            channel.wrote(seq);
        }
        let teams = self.inner.teams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = teams.get(&team) {
            // A board that has gone is no error.
            let _ = sender.send((task, seq));
        }
    }

    /// Whether a live piece of this task would be seen by anybody here.
    pub fn is_watched(&self, task: TaskId) -> bool {
        self.inner.channels.lock().unwrap_or_else(PoisonError::into_inner).get(&task).is_some_and(|c| c.is_watched())
    }

    /// Sends a piece that is not stored (`message.delta`, `tool.output`) to who watches now.
    /// `data` is the piece's JSON.
    pub fn live(&self, task: TaskId, kind: &str, data: &serde_json::Value) {
        let channel = self.inner.channels.lock().unwrap_or_else(PoisonError::into_inner).get(&task).cloned();
        if let Some(channel) = channel.filter(|c| c.is_watched()) {
            let json = serde_json::json!({ "task": task, "kind": kind, "data": data }).to_string();
            channel.send_live(Encoded { seq: None, kind: kind.to_owned(), json });
        }
    }

    /// Tails the log until `stop`: tells local watchers what other replicas wrote. Runs once per
    /// process; outlives losses of the database.
    pub async fn tail(&self, stop: CancellationToken) {
        let mut horizon: Option<String> = None;
        let mut told: HashMap<TaskId, Seq> = HashMap::new();
        for round in 1_u32.. {
            let pause = match log::tail(&self.inner.store, horizon.as_deref()).await {
                Ok(tail) => {
                    horizon = Some(tail.horizon);
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

    /// Tells each seq once, though the overlap shows rows again.
    fn tell(&self, told: &mut HashMap<TaskId, Seq>, tasks: &[(TeamId, TaskId, Seq)]) {
        for &(team, task, seq) in tasks {
            if told.get(&task).is_none_or(|last| *last < seq) {
                self.wrote(team, task, seq);
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
