//! Which sandboxes are open: what a sweep must leave alone.

use crate::domain::TaskId;
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Roll(Arc<Mutex<Vec<Open>>>);

#[derive(Debug)]
struct Open {
    task: TaskId,
    name: String,
    pid: u32,
    ended: watch::Receiver<bool>,
    /// It is to end, and whoever finds it may end it.
    ends: bool,
}

/// All that is open at one moment.
#[derive(Debug, Default)]
pub(super) struct Present {
    pub(super) tasks: HashSet<TaskId>,
    /// What the backend calls them (a cgroup, a container), of those that are not to end.
    pub(super) names: HashSet<String>,
    /// Of outer processes on this host.
    pub(super) pids: HashSet<u32>,
}

impl Roll {
    /// Notes a sandbox down until the sender is set to true or dropped. `pid`: its outer process;
    /// absent where the host shows none that is ours.
    pub(super) fn enter(&self, task: TaskId, name: String, pid: Option<u32>) -> watch::Sender<bool> {
        let (ended, receiver) = watch::channel(false);
        let mut all = self.all();
        all.retain(Open::lasts);
        all.push(Open { task, name, pid: pid.unwrap_or_default(), ended: receiver, ends: false });
        ended
    }

    /// Notes that a sandbox is to end. Its task has one until it is gone.
    pub(super) fn end(&self, name: &str) {
        for open in self.all().iter_mut().filter(|open| open.name == name) {
            open.ends = true;
        }
    }

    /// What was noted down for one task is another's from now on.
    pub(super) fn hand_over(&self, from: TaskId, to: TaskId) {
        for open in self.all().iter_mut().filter(|open| open.task == from) {
            open.task = to;
        }
    }

    /// Waits until nothing of a task is open, is being opened, or is ending.
    pub(super) async fn until_none(&self, task: TaskId) {
        loop {
            let open: Vec<watch::Receiver<bool>> = {
                let all = self.all();
                let of_task = all.iter().filter(|open| open.task == task && open.lasts());
                of_task.map(|open| open.ended.clone()).collect()
            };
            if open.is_empty() {
                return;
            }
            for mut ended in open {
                // An error means that it was never begun, or that nobody is left to end it.
                let _ = ended.wait_for(|ended| *ended).await;
            }
        }
    }

    pub(super) fn present(&self) -> Present {
        let mut all = self.all();
        all.retain(Open::lasts);
        Present {
            tasks: all.iter().map(|open| open.task).collect(),
            names: all.iter().filter(|open| !open.ends).map(|open| open.name.clone()).collect(),
            pids: all.iter().map(|open| open.pid).collect(),
        }
    }

    fn all(&self) -> MutexGuard<'_, Vec<Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn lasts(&self) -> bool {
        !*self.ended.borrow() && self.ended.has_changed().is_ok()
    }
}
