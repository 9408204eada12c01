//! Which repositories tasks have asked for lately, and when each is to be looked after again: so that a task finds most of
//! what it needs in its mirror.
//!
//! In memory, for this process' own mirrors: after a restart the tasks that come say it anew. Bounded in number and age.

use crate::{clock, domain::TeamId};
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Refs of one repository that are kept fresh: those that were asked for last.
const REFERENCES_MAX: usize = 4;
/// A repository that no task has asked for in this time is forgotten.
const AGE_MAX: Duration = Duration::from_secs(24 * 3_600);
/// After so many failures in a row it is forgotten, too.
const FAILURES_MAX: u32 = 6;

/// Which mirrors are fetched in the background, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreshSettings {
    /// Repositories, those of all teams together; 0: none is.
    pub repositories: usize,
    pub every: Duration,
}

impl FreshSettings {
    pub const OFF: Self = Self { repositories: 0, every: Duration::from_secs(300) };
}

/// One that is due, until [`Lately::done`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) team: TeamId,
    pub(super) url: String,
    /// Absent: HEAD.
    pub(super) references: Vec<Option<String>>,
}

#[derive(Debug)]
pub(in crate::workspace) struct Lately {
    settings: FreshSettings,
    /// Used last first.
    entries: Mutex<VecDeque<Entry>>,
}

#[derive(Debug)]
struct Entry {
    due: Due,
    used: clock::Stopwatch,
    looked_at: clock::Stopwatch,
    wait: Duration,
    failures: u32,
    busy: bool,
}

impl Lately {
    pub(in crate::workspace) fn new(settings: FreshSettings) -> Self {
        Self { settings, entries: Mutex::default() }
    }

    pub(super) fn is_off(&self) -> bool {
        self.settings.repositories == 0
    }

    /// A task has asked for this, and got it.
    pub(in crate::workspace) fn note(&self, team: TeamId, url: &str, reference: Option<&str>) {
        if self.is_off() {
            return;
        }
        let mut entries = self.entries();
        let known = entries.iter().position(|entry| entry.due.team == team && entry.due.url == url);
        let mut entry = known.and_then(|at| entries.remove(at)).unwrap_or_else(|| Entry {
            due: Due { team, url: url.to_owned(), references: Vec::new() },
            used: clock::Stopwatch::start(),
            looked_at: clock::Stopwatch::start(),
            wait: clock::jitter(self.settings.every),
            failures: 0,
            busy: false,
        });
        let reference = reference.map(str::to_owned);
        entry.due.references.retain(|known| *known != reference);
        entry.due.references.insert(0, reference);
        entry.due.references.truncate(REFERENCES_MAX);
        entry.used = clock::Stopwatch::start();
        if entry.failures > 0 {
            (entry.failures, entry.wait) = (0, self.settings.every);
        }
        entries.push_front(entry);
        entries.truncate(self.settings.repositories);
    }

    /// What is to be looked after now; nobody else is given it meanwhile.
    pub(super) fn next(&self) -> Option<Due> {
        let mut entries = self.entries();
        entries.retain(|entry| entry.busy || entry.used.elapsed() < AGE_MAX);
        let is_due = |entry: &&mut Entry| !entry.busy && entry.looked_at.elapsed() >= entry.wait;
        let next = entries.iter_mut().filter(is_due).max_by_key(|entry| entry.looked_at.elapsed())?;
        next.busy = true;
        Some(next.due.clone())
    }

    /// `gone`: refs that the origin has no more.
    pub(super) fn done(&self, due: &Due, succeeded: bool, gone: &[Option<String>]) {
        let mut entries = self.entries();
        let Some(at) = entries.iter().position(|entry| entry.due.team == due.team && entry.due.url == due.url) else {
            return;
        };
        let entry = &mut entries[at];
        entry.busy = false;
        entry.looked_at = clock::Stopwatch::start();
        entry.due.references.retain(|reference| !gone.contains(reference));
        entry.failures = if succeeded { 0 } else { entry.failures + 1 };
        // Two replicas, or two mirrors of one host, do not go on asking at the same moment.
        entry.wait = clock::jitter(self.settings.every.saturating_mul(1 << entry.failures.min(FAILURES_MAX)));
        if entry.failures >= FAILURES_MAX || entry.due.references.is_empty() {
            entries.remove(at);
        }
    }

    fn entries(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
