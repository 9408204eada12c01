//! Where tasks stand, told to many at once: those who begin to watch a task share one look at the
//! database, so that its load does not grow with their number.

use super::{Error, Service, access, access::Right};
use crate::{
    domain::{Principal, Seq, TaskId, TeamId},
    store::task_views::{self, TaskState},
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// How long what was seen of a task that goes on may be told again: an end that came since is seen in the
/// log, and asked about before a stream closes.
const FRESH: Duration = Duration::from_secs(5);
/// How long a look at an ended task serves others who see the same end.
const SHARED: Duration = Duration::from_secs(1);
/// Tasks remembered before those that nobody looks at any more are forgotten.
const REMEMBERED: usize = 1_024;

/// What was last seen of the tasks that are watched.
#[derive(Debug, Default)]
pub(super) struct Standings {
    tasks: Mutex<HashMap<(TeamId, TaskId), Arc<Standing>>>,
}

#[derive(Debug, Default)]
struct Standing {
    /// How many looks have begun.
    begun: AtomicU64,
    /// Held while one looks.
    seen: tokio::sync::Mutex<Option<Seen>>,
}

#[derive(Clone, Debug)]
struct Seen {
    look: u64,
    at: Instant,
    state: TaskState,
    oldest: Option<Seq>,
}

impl Standings {
    fn of(&self, team: TeamId, task: TaskId) -> Arc<Standing> {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if tasks.len() >= REMEMBERED {
            // Whoever holds one keeps it; the next to come begins anew.
            tasks.retain(|_, standing| Arc::strong_count(standing) > 1);
        }
        Arc::clone(tasks.entry((team, task)).or_default())
    }

    /// A task was deleted here.
    pub(super) fn forget(&self, team: TeamId, task: TaskId) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).remove(&(team, task));
    }
}

impl Service {
    /// Whether the log can be followed from after `after`, and where the task stands: of a task that
    /// has ended as it is now, of another perhaps as it was a few seconds ago.
    ///
    /// # Errors
    /// [`Error::BelowFloor`] where the log is no longer kept from there on.
    pub async fn events_from(&self, principal: &Principal, id: TaskId, after: Seq) -> Result<TaskState, Error> {
        let goes_on = |seen: &Seen| !seen.state.status.is_end() && seen.at.elapsed() < FRESH;
        let seen = self.standing(principal, id, goes_on).await?;
        match seen.oldest {
            Some(oldest_seq) if oldest_seq > after + 1 => Err(Error::BelowFloor { oldest_seq }),
            _ => Ok(seen.state),
        }
    }

    /// Where a task stands, seen after this was asked.
    pub async fn stands(&self, principal: &Principal, id: TaskId) -> Result<TaskState, Error> {
        Ok(self.standing(principal, id, |_| false).await?.state)
    }

    /// Whether a task has ended with its log at `seq`, seen after `since`: those who watch it to its end
    /// share one look.
    pub async fn has_ended(&self, principal: &Principal, id: TaskId, seq: Seq, since: Instant) -> Result<bool, Error> {
        let shows_it = |seen: &Seen| {
            let at_its_end = seen.state.status.is_end() && seen.state.last_seq >= seq;
            at_its_end && seen.at >= since && seen.at.elapsed() < SHARED
        };
        let seen = self.standing(principal, id, shows_it).await?;
        Ok(seen.state.last_seq <= seq)
    }

    async fn standing(&self, principal: &Principal, id: TaskId, good: impl Fn(&Seen) -> bool) -> Result<Seen, Error> {
        access::require(principal, Right::ReadTasks)?;
        let standing = self.standings().of(principal.team, id);
        let begun = standing.begun.load(Ordering::Acquire);
        let mut last = standing.seen.lock().await;
        if let Some(seen) = &*last
            // A look that began after the question is as good as one's own.
            && (seen.look > begun || good(seen))
        {
            return Ok(seen.clone());
        }
        let look = standing.begun.fetch_add(1, Ordering::AcqRel) + 1;
        let at = Instant::now();
        let found = self.look(principal, id).await;
        if matches!(found, Err(Error::NotFound)) {
            self.standings().forget(principal.team, id);
        }
        let (state, oldest) = found?;
        let seen = Seen { look, at, state, oldest };
        *last = Some(seen.clone());
        Ok(seen)
    }

    async fn look(&self, principal: &Principal, id: TaskId) -> Result<(TaskState, Option<Seq>), Error> {
        let mut tx = self.store().team(principal.team).await?;
        let state = task_views::state(&mut tx, id).await?.ok_or(Error::NotFound)?;
        let oldest = task_views::oldest_seq(&mut tx, id).await?;
        tx.commit().await?;
        Ok((state, oldest))
    }
}
