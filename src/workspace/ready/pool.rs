//! Sandboxes that are ready before a task wants one: opened over an empty directory of their own, with execd up and
//! nothing else in it, and given to one task each.
//!
//! They are made by what makes all others ([`crate::workspace::Sandboxes`]), so that the same holds in them. Nothing of a team or a
//! task is in one before it is taken: the taker gets its directory and the uid that owns it, its mirror's packs are linked
//! into a directory that is mounted read-only there, and variables come with the call that configures execd. One that a
//! task cannot take as it is (another image, other limits, other mounts, a task that has files already) is left for the
//! next. They end with the server, by age, and when what they were made from is not what it was.

use crate::{
    clock,
    domain::TaskId,
    workspace::{SandboxLimits, Workspace},
};
use execd::message::Configure;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, watch};

/// Shapes that are kept ready at once: the ones that tasks wanted last.
const SHAPES_MAX: usize = 8;
/// After a sandbox could not be opened, and at most.
const RETRY_AFTER: Duration = Duration::from_secs(2);
const RETRY_MAX: Duration = Duration::from_secs(300);

/// How many sandboxes wait for tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    /// Of each shape; 0: none is kept ready.
    pub size: usize,
    /// All together.
    pub total: usize,
    /// Older ones are ended and made anew.
    pub age: Duration,
}

impl PoolSettings {
    /// None is kept ready.
    pub const OFF: Self = Self { size: 0, total: 0, age: Duration::from_secs(3_600) };
}

/// What a task must want, exactly, to get one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    pub(super) image: Option<String>,
    pub(super) limits: SandboxLimits,
}

/// One that is ready.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) shape: Shape,
    /// Whose its directory is until it is taken.
    pub(super) place: TaskId,
    pub(super) workspace: Workspace,
    pub(super) configure: Configure,
    /// What its image was, by content.
    pub(super) made_from: Option<String>,
    pub(super) since: clock::Stopwatch,
}

#[derive(Debug)]
pub(in crate::workspace) struct Pool {
    settings: PoolSettings,
    state: Mutex<State>,
    /// There may be something to make.
    pub(super) work: Notify,
    /// Sandboxes that are being opened for tasks just now.
    opening: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    idle: VecDeque<Idle>,
    /// Directories of those that are being made.
    making: HashSet<TaskId>,
    /// Wanted last first.
    shapes: VecDeque<Shape>,
    failures: HashMap<Shape, (u32, clock::Stopwatch)>,
    closed: bool,
}

impl Pool {
    pub(in crate::workspace) fn new(settings: PoolSettings) -> Self {
        let (opening, _) = watch::channel(0);
        Self { settings, state: Mutex::default(), work: Notify::new(), opening }
    }

    pub(super) fn is_off(&self) -> bool {
        self.settings.size == 0 || self.settings.total == 0
    }

    /// As many as there is room for.
    fn shapes_max(&self) -> usize {
        (self.settings.total / self.settings.size.max(1)).clamp(1, SHAPES_MAX)
    }

    /// A task wants one of this shape, now or soon.
    pub(super) fn want(&self, shape: &Shape) {
        let mut state = self.state();
        state.shapes.retain(|known| known != shape);
        state.shapes.push_front(shape.clone());
        let kept = self.shapes_max().min(state.shapes.len());
        for forgotten in state.shapes.split_off(kept) {
            state.failures.remove(&forgotten);
        }
        drop(state);
        self.work.notify_one();
    }

    /// Takes the oldest of this shape; it is nobody else's then.
    pub(super) fn take(&self, shape: &Shape) -> Option<Idle> {
        let mut state = self.state();
        let at = state.idle.iter().position(|idle| idle.shape == *shape && idle.since.elapsed() < self.settings.age)?;
        state.idle.remove(at)
    }

    /// Puts one that is ready, or was not fit for its taker, where it waits; gives it back where none is wanted any more.
    pub(super) fn put(&self, idle: Idle) -> Option<Idle> {
        let mut state = self.state();
        state.making.remove(&idle.place);
        if state.closed {
            return Some(idle);
        }
        state.failures.remove(&idle.shape);
        state.idle.push_back(idle);
        None
    }

    /// What is to be made next; its directory is known from then on. Absent: all is there, or was tried just now.
    pub(super) fn next(&self) -> Option<(Shape, TaskId)> {
        let mut state = self.state();
        if state.closed || state.idle.len() + state.making.len() >= self.settings.total {
            return None;
        }
        let rests = |shape: &Shape| {
            let failed = state.failures.get(shape);
            failed.is_some_and(|(times, since)| since.elapsed() < pause(*times))
        };
        let has = |shape: &Shape| state.idle.iter().filter(|idle| idle.shape == *shape).count();
        let shape = state.shapes.iter().find(|shape| has(shape) < self.settings.size && !rests(shape))?.clone();
        let place = clock::new_id();
        state.making.insert(place);
        Some((shape, place))
    }

    /// It could not be made.
    pub(super) fn failed(&self, shape: &Shape, place: TaskId) {
        let mut state = self.state();
        state.making.remove(&place);
        let times = state.failures.get(shape).map_or(0, |(times, _)| *times);
        state.failures.insert(shape.clone(), (times.saturating_add(1), clock::Stopwatch::start()));
    }

    /// Takes out those that are too old, of a shape that is no longer kept ready, or dead.
    pub(super) fn stale(&self) -> Vec<Idle> {
        let mut state = self.state();
        let all = std::mem::take(&mut state.idle);
        let shapes = state.shapes.clone();
        let fit = |idle: &Idle| {
            idle.since.elapsed() < self.settings.age && shapes.contains(&idle.shape) && idle.workspace.is_connected()
        };
        let (fresh, stale): (VecDeque<Idle>, VecDeque<Idle>) = all.into_iter().partition(fit);
        state.idle = fresh;
        stale.into()
    }

    /// Takes all out; nothing is kept ready any more.
    pub(super) fn close(&self) -> Vec<Idle> {
        let mut state = self.state();
        state.closed = true;
        std::mem::take(&mut state.idle).into()
    }

    /// Whose directories belong to sandboxes that wait or are being made.
    pub(in crate::workspace) fn places(&self) -> HashSet<TaskId> {
        let state = self.state();
        state.idle.iter().map(|idle| idle.place).chain(state.making.iter().copied()).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.state().idle.len()
    }

    /// Notes that a task's sandbox is being opened until it is dropped.
    pub(in crate::workspace) fn opening(&self) -> Opening {
        self.opening.send_modify(|count| *count += 1);
        Opening(self.opening.clone())
    }

    /// Waits until no task's sandbox is being opened.
    pub(super) async fn quiet(&self) {
        // An error would mean that the pool is gone.
        let _ = self.opening.subscribe().wait_for(|count| *count == 0).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Pool::opening`].
#[derive(Debug)]
pub(in crate::workspace) struct Opening(watch::Sender<usize>);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

fn pause(times: u32) -> Duration {
    RETRY_AFTER.saturating_mul(1 << times.clamp(1, 10)).min(RETRY_MAX)
}
