//! Publishing: the wish that stands in `publishings` is done by any worker, in steps that are each found again by looking.
//!
//! [`push`] makes the commit and brings the branch to its host, [`open`] the pull request; [`end`] writes what came of it
//! into the task's log. Before each act outward its row of the ledger is committed (`store/outward`), after it what it came
//! to: whoever goes on after a crash looks at the host before he acts. What cannot be done now is tried again a number of
//! times; what is of no use to be tried again fails at once. Start with [`Publisher::run`].

mod end;
mod gather;
mod open;
mod push;
mod text;

use super::claims::{Came, JobLoop, work_on};
use crate::{
    clock,
    domain::{
        IntegrationId, TeamId,
        publish::{Conflict, PublishState},
    },
    runner::{Blobs, Failpoint},
    shutdown::Shutdown,
    store::{
        Store, StoreError,
        jobs::{self, ClaimedJob},
        publishings::{self, PublishingRow},
    },
    trackers::forge::{Forge, ForgeError},
    workspace::repository::{Repositories, RepositoryUrl, Signature},
};
use futures::future::BoxFuture;
use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// Until one that failed is tried again for the first time; each further time waits three times as long, up to an hour.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(3_600);
/// Until the database is asked again.
const STORE_PAUSE: Duration = Duration::from_secs(2);
const REASON_CHARS_MAX: usize = 1_000;

/// A forge into which an integration lets the service.
#[derive(Clone, Debug)]
pub struct KnownForge {
    pub forge: Forge,
    /// The repository's path there.
    pub repository: String,
    pub integration: IntegrationId,
    /// What its pull requests are made with.
    pub labels: Vec<String>,
    /// Logins.
    pub reviewers: Vec<String>,
}

/// Why a forge does not let the service in; for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Shut {
    /// It may later.
    #[error("{0}")]
    ForNow(String),
    /// Not before somebody changes something.
    #[error("{0}")]
    ForGood(String),
}

impl From<ForgeError> for Shut {
    fn from(error: ForgeError) -> Self {
        if error.is_lasting() { Self::ForGood(error.to_string()) } else { Self::ForNow(error.to_string()) }
    }
}

/// The forge of a team's repository, where there is one.
pub type ForgeOf =
    Arc<dyn Fn(TeamId, RepositoryUrl) -> BoxFuture<'static, Result<Option<KnownForge>, Shut>> + Send + Sync>;

/// What the operator decides of publishing.
#[derive(Clone, Debug)]
pub struct PublisherSettings {
    /// Author and committer.
    pub signature: Signature,
    pub sign_off: bool,
    /// How often a publishing is tried.
    pub attempts: u32,
    /// Where people reach this service.
    pub public_url: Option<String>,
}

/// Does what is to be published. Cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    store: Store,
    repositories: Repositories,
    blobs: Blobs,
    forges: ForgeOf,
    settings: Arc<PublisherSettings>,
    failpoint: Option<Failpoint>,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Publishes until the shutdown drains.
pub async fn publish(store: Store, publisher: Publisher, settings: JobLoop, shutdown: Shutdown) {
    let draining = shutdown.draining();
    work_on(store, publishings::JOB, settings, shutdown, move |job, lost| {
        let (publisher, draining) = (publisher.clone(), draining.clone());
        async move {
            tokio::select! {
                came = Box::pin(publisher.run(job)) => came,
                () = lost.cancelled() => Came::Settled,
                // Whatever was under way is looked for by who goes on.
                () = draining.cancelled() => Came::Later(Duration::ZERO),
            }
        }
    })
    .await;
}

/// What people are asked about.
struct Asked {
    /// That say what the host runs, or whose review it asks for.
    files: Vec<String>,
    /// The task is for somebody who is no member of the team.
    outsider: bool,
    /// How long they have; absent: a day.
    deadline_seconds: Option<u32>,
}

/// Why one stops short of being done.
enum Stop {
    /// It came to this.
    Ends(PublishState, String),
    /// The repository has changed where the patch does.
    Conflicts(Conflict),
    /// People are asked first.
    Asks(Asked),
    /// It may be done later.
    Later(String),
    /// Somebody else has the job, or its task is gone.
    Fenced,
    /// A failpoint says that the process ends here.
    Crashes,
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// One publishing under way.
struct Way<'a> {
    publisher: &'a Publisher,
    job: ClaimedJob,
    row: PublishingRow,
    boundaries: AtomicU32,
}

impl Publisher {
    pub fn new(
        store: Store,
        repositories: Repositories,
        blobs: Blobs,
        forges: ForgeOf,
        settings: PublisherSettings,
    ) -> Self {
        Self { store, repositories, blobs, forges, settings: Arc::new(settings), failpoint: None }
    }

    /// Asks at each boundary whether to go on; a break leaves the publishing as a crash would. For drills of recovery.
    #[must_use]
    pub fn failing_at(self, failpoint: Option<Failpoint>) -> Self {
        Self { failpoint, ..self }
    }

    /// Does a claimed job.
    async fn run(&self, job: ClaimedJob) -> Came {
        match self.go(job).await {
            Ok(()) | Err(Stop::Fenced) => Came::Settled,
            Err(Stop::Crashes) => Came::Left,
            Err(Stop::Store(error)) => {
                tracing::warn!(publishing.id = %job.id, %error, "a publishing could not go on: it is tried again");
                Came::Later(STORE_PAUSE)
            }
            // All else is written down where it stops.
            Err(Stop::Later(_) | Stop::Ends(..) | Stop::Conflicts(_) | Stop::Asks(_)) => Came::Later(STORE_PAUSE),
        }
    }

    async fn go(&self, job: ClaimedJob) -> Result<(), Stop> {
        let row = publishings::due(&self.store, &job).await?;
        let Some(row) = row.filter(|row| row.state == PublishState::Requested) else {
            let mut tx = self.store.team(job.team).await?;
            jobs::finish(&mut tx, &job).await?;
            return Ok(tx.commit().await?);
        };
        let way = Way { publisher: self, job, row, boundaries: AtomicU32::new(0) };
        let stop = match way.publish().await {
            Ok(()) => return Ok(()),
            Err(stop) => stop,
        };
        match stop {
            Stop::Ends(state, reason) => way.fail(state, &reason).await,
            Stop::Conflicts(conflict) => way.conflict(&conflict).await,
            Stop::Asks(asked) => way.ask(&asked).await,
            Stop::Later(reason) if way.row.failures + 1 >= self.settings.attempts => {
                way.fail(PublishState::Failed, &format!("given up after {} tries: {reason}", self.settings.attempts))
                    .await
            }
            Stop::Later(reason) => way.later(&reason).await,
            stop => Err(stop),
        }
    }
}

impl Way<'_> {
    async fn publish(&self) -> Result<(), Stop> {
        let gathered = self.gather().await?;
        self.boundary()?;
        let pushed = self.push(&gathered).await?;
        let opened = if self.row.pull_request { Some(self.open(&gathered, &pushed).await?) } else { None };
        self.boundary()?;
        self.done(&pushed, opened.as_ref()).await
    }

    /// Where a crash is to be survived: before and after each act outward, and each commit about it.
    fn boundary(&self) -> Result<(), Stop> {
        let number = self.boundaries.fetch_add(1, Ordering::Relaxed) + 1;
        match &self.publisher.failpoint {
            Some(failpoint) if failpoint(self.row.task, number) == ControlFlow::Break(()) => Err(Stop::Crashes),
            _ => Ok(()),
        }
    }

    /// Tried again after a pause, which grows.
    async fn later(&self, reason: &str) -> Result<(), Stop> {
        let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
        tracing::warn!(publishing.id = %self.row.id, task.id = %self.row.task, "not published yet: {reason}");
        publishings::note_failure(&self.publisher.store, &self.job, &reason).await?;
        let pause = FIRST_PAUSE.saturating_mul(3_u32.saturating_pow(self.row.failures.min(12))).min(PAUSE_MAX);
        jobs::give_back(&self.publisher.store, &self.job, pause + clock::jitter(pause / 4)).await?;
        Ok(())
    }
}
