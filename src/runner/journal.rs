//! The driver's hold on a task's log: what has been recorded and not yet committed, and the session
//! that follows from both.
//!
//! Events are folded when they are recorded, at the seqs that they will have if nobody else writes.
//! Where a commit shows that somebody did (a message, a cancel), the session is folded anew from
//! the log, which is the truth.

use super::{Deps, scrub, spent::Spent};
use crate::{
    agent::Session,
    clock,
    domain::{
        Event, EventData, Private, Seq, Status, TaskId, TaskSpec, UserId,
        event::Record,
        task::{Control, OnBusy, TaskDetail},
    },
    events::Hub,
    secrets::Redactor,
    store::{
        Store, StoreError,
        jobs::Claimed,
        log::{self, Appended, JobChange, Lease, NewApproval, NewEvent, NewLearning, TaskChange},
        recall::{NewRecall, NewStale},
    },
};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Rows read at a time when a log is folded.
const PAGE: u32 = 1_000;
/// Between tries while the database is away: at first, and at most.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Why driving stops without an end of the run.
#[derive(Debug, thiserror::Error)]
pub(super) enum Halt {
    /// Another worker has the task, or it was deleted.
    #[error("another worker has the task")]
    Fenced,
    /// The process is being cut off, or a failpoint says so.
    #[error("cut off")]
    Cut,
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The working copy or its sandbox; the caller ends the task with `workspace_failed`.
    #[error(transparent)]
    Workspace(#[from] crate::workspace::WorkspaceError),
    #[error(transparent)]
    Repository(#[from] crate::workspace::repository::RepositoryError),
    #[error("the object store cannot be written")]
    Disk(#[source] std::io::Error),
}

/// Whether the driver goes on with its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    On,
    /// The task rests: its end or its wait stands in the log.
    Rest,
}

pub(super) struct Journal {
    store: Store,
    hub: Hub,
    redactor: Arc<Redactor>,
    lease: Lease,
    pub(super) session: Session,
    /// The session was folded anew: what the prompt holds has to be made anew too.
    pub(super) refolded: bool,
    /// A commit found that somebody else had written since the one before.
    disturbed: bool,
    outbox: Vec<NewEvent>,
    /// What those add to the sums of their day.
    spent: Spent,
    committed: Seq,
    /// For whom the service learns from each run that ends; absent: it does not.
    learns_for: Option<UserId>,
    /// The last seq that anybody is known to have written.
    news: watch::Receiver<Seq>,
    /// Stops waiting for a database that is away.
    stop: CancellationToken,
}

impl Journal {
    pub(super) async fn open(deps: &Deps, claimed: &Claimed) -> Result<Self, Halt> {
        let (store, hub, stop) = (deps.store.clone(), deps.hub.clone(), deps.cut.clone());
        let redactor = Arc::clone(&deps.redactor);
        let lease = Lease { team: claimed.team, task: claimed.task, epoch: claimed.epoch };
        // Watched before it is read, so that nothing falls between.
        let news = hub.watch(claimed.task);
        let (session, committed) = patiently(&stop, || fold(&store, claimed.task)).await?;
        Ok(Self {
            store,
            hub,
            redactor,
            lease,
            session,
            refolded: false,
            disturbed: false,
            outbox: Vec::new(),
            spent: Spent::default(),
            committed,
            learns_for: deps.learning.model.as_ref().map(|_| claimed.user),
            news,
            stop,
        })
    }

    /// Scrubs what is recorded from now on of more than the process's own secrets.
    pub(super) fn scrub_with(&mut self, redactor: Arc<Redactor>) {
        self.redactor = redactor;
    }

    /// Records an event: folded now, written with the next commit.
    pub(super) fn record(&mut self, data: EventData, private: Option<Private>) {
        let turn = self.session.turn_of(&data);
        let run = self.session.run;
        self.push(NewEvent { run, turn, data, private });
    }

    /// Records the status that starts the next run, for words that were kept for it.
    pub(super) fn record_next_run(&mut self) {
        let data = EventData::TaskStatus { status: Status::Queued, waiting_for: None, error: None };
        let (run, turn) = (self.session.run + 1, self.session.turn);
        self.push(NewEvent { run, turn, data, private: None });
    }

    fn push(&mut self, mut new: NewEvent) {
        scrub::event(&self.redactor, &mut new.data);
        let seq = self.committed + self.outbox.len() as Seq + 1;
        let event = Event {
            seq,
            task: self.lease.task,
            run: new.run,
            turn: new.turn,
            at: clock::now(),
            data: new.data.clone(),
        };
        let before = self.session.usage;
        self.session.apply(&event, new.private.as_ref());
        self.spent.note(&new.data, &before, &self.session.usage, &self.session.model);
        self.outbox.push(new);
    }

    pub(super) fn record_all(&mut self, events: Vec<EventData>) {
        for data in events {
            self.record(data, None);
        }
    }

    /// Writes what was recorded. Waits out a database that is away.
    pub(super) async fn commit(&mut self) -> Result<(), Halt> {
        if self.outbox.is_empty() {
            return Ok(());
        }
        self.append(None, JobChange::Keep, None).await?;
        Ok(())
    }

    /// The same with a question that a model has decided in place of people.
    pub(super) async fn commit_decided(&mut self, approval: NewApproval<'_>) -> Result<(), Halt> {
        self.append(None, JobChange::Keep, Some(approval)).await.map(drop)
    }

    /// Writes what was recorded; answers whether nobody else wrote since the last commit. Where somebody did, what
    /// was decided before may no longer hold.
    pub(super) async fn commit_alone(&mut self) -> Result<bool, Halt> {
        self.disturbed = false;
        self.commit().await?;
        Ok(!self.disturbed)
    }

    /// Writes what was recorded together with the task's place in the queue, and only if nobody
    /// wrote since the last commit: for events that end or park a run. Where somebody did, what
    /// was recorded is dropped and the session is the log's again.
    pub(super) async fn close(&mut self, job: JobChange, approval: Option<NewApproval<'_>>) -> Result<Flow, Halt> {
        if self.append(Some(self.committed), job, approval).await? {
            return Ok(Flow::Rest);
        }
        self.forget();
        self.refold().await?;
        Ok(Flow::On)
    }

    /// Folds what others have written, if there is anything; what was recorded is committed first.
    pub(super) async fn refresh(&mut self) -> Result<(), Halt> {
        if *self.news.borrow() <= self.committed {
            return Ok(());
        }
        if !self.outbox.is_empty() {
            // The commit finds the others' rows and folds the log anew.
            return self.commit().await;
        }
        let (store, task, after) = (self.store.clone(), self.lease.task, self.committed);
        let records = patiently(&self.stop, || log::records(&store, task, after, PAGE)).await?;
        for Record { event, private } in &records {
            self.session.apply(event, private.as_ref());
            self.committed = event.seq;
        }
        Ok(())
    }

    /// Returns once somebody has cancelled the task or wants what runs to be cut off.
    pub(super) async fn cut_short(&self) {
        self.until_asked(|on_busy| on_busy == OnBusy::Interrupt).await;
    }

    /// Returns once somebody has cancelled the task or said words that its model is to be shown now.
    pub(super) async fn spoken_to(&self) {
        self.until_asked(|on_busy| on_busy != OnBusy::Queue).await;
    }

    async fn until_asked(&self, by: impl Fn(OnBusy) -> bool) {
        let mut watch = self.news.clone();
        let mut seen = self.committed;
        loop {
            if *watch.borrow_and_update() > seen {
                // A read that fails now is made up for at the next change or step.
                for record in log::records(&self.store, self.lease.task, seen, PAGE).await.unwrap_or_default() {
                    seen = record.event.seq;
                    match record.event.data {
                        EventData::TaskControl { action: Control::Cancel, .. } => return,
                        EventData::MessageUser { on_busy, .. } if by(on_busy) => return,
                        _ => {}
                    }
                }
            }
            if watch.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    async fn append(
        &mut self,
        only_after: Option<Seq>,
        job: JobChange,
        approval: Option<NewApproval<'_>>,
    ) -> Result<bool, Halt> {
        let detail = self.detail_changed().then(|| self.session.detail());
        let recall = self.recalled();
        let change = TaskChange {
            status: self.outbox.iter().rev().find_map(|e| match &e.data {
                EventData::TaskStatus { status, waiting_for, .. } => Some((*status, *waiting_for)),
                _ => None,
            }),
            phase: self.outbox.iter().rev().find_map(|e| match &e.data {
                EventData::TaskPhase { phase } => Some(*phase),
                _ => None,
            }),
            detail: detail.as_ref(),
            run: self.outbox.last().map(|e| e.run),
            cancel_requested: self
                .outbox
                .iter()
                .any(|e| matches!(e.data, EventData::TaskStatus { .. }))
                .then_some(false),
            approval,
            usage: self.spent.by_model(),
            recall: recall.as_ref(),
            learn: self.learning(),
        };
        let mut pause = RETRY_FIRST;
        let mut only_after = only_after;
        let appended = loop {
            match log::append(&self.store, self.lease, only_after, &self.outbox, &change, job).await {
                Ok(appended) => break appended,
                Err(error) if error.is_transient() => {
                    tracing::warn!(task.id = %self.lease.task, error = %error, "waiting for the database");
                    self.pause(pause).await?;
                    pause = (pause * 2).min(RETRY_MAX);
                    if let Some((last, alone)) = self.found_written().await? {
                        self.forget();
                        self.settle(last);
                        if !alone {
                            self.disturbed = true;
                            self.refold().await?;
                        }
                        return Ok(true);
                    }
                    // What was not written goes after what others wrote meanwhile, if it may.
                    if only_after.is_some() {
                        only_after = Some(self.committed);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        };
        match appended {
            Appended::Fenced => Err(Halt::Fenced),
            Appended::Moved => Ok(false),
            Appended::At { first, last, .. } => {
                let undisturbed = first == self.committed + 1;
                self.forget();
                self.settle(last);
                if !undisturbed {
                    self.disturbed = true;
                    self.refold().await?;
                }
                Ok(true)
            }
        }
    }

    /// What was recorded is written, or will not be.
    fn forget(&mut self) {
        self.outbox.clear();
        self.spent.clear();
    }

    fn settle(&mut self, last: Seq) {
        self.committed = last;
        self.hub.wrote(self.lease.team, self.lease.task, last);
    }

    /// A commit whose answer was lost may have gone through: its rows are looked for. Answers the
    /// last seq of the log and whether nobody else has written since the last commit.
    async fn found_written(&self) -> Result<Option<(Seq, bool)>, Halt> {
        let (store, task, after) = (self.store.clone(), self.lease.task, self.committed);
        let rows = patiently(&self.stop, || log::records(&store, task, after, PAGE)).await?;
        let written = |window: &[Record]| {
            window.iter().zip(&self.outbox).all(|(row, new)| row.event.data == new.data && row.event.turn == new.turn)
        };
        let ours = self.outbox.len();
        let found = rows.windows(ours.max(1)).any(|window| window.len() == ours && written(window));
        Ok(rows.last().filter(|_| found).map(|last| (last.event.seq, rows.len() == ours)))
    }

    /// Reads the log whole: afterwards the session holds every item since the last compaction.
    pub(super) async fn refold(&mut self) -> Result<(), Halt> {
        let (store, task) = (self.store.clone(), self.lease.task);
        let (session, committed) = patiently(&self.stop, || fold(&store, task)).await?;
        self.session = session;
        self.committed = committed;
        self.refolded = true;
        Ok(())
    }

    /// What a recall that was recorded does to the memories that it found.
    fn recalled(&self) -> Option<NewRecall> {
        self.outbox.iter().find_map(|new| match &new.data {
            EventData::MemoryUsed { memories, stale, .. } => Some(NewRecall {
                used: memories.iter().map(|one| one.memory).collect(),
                stale: stale
                    .iter()
                    .filter(|one| !one.stays)
                    .map(|one| NewStale { entry: clock::new_id(), memory: one.memory, why: one.reason.clone() })
                    .collect(),
            }),
            _ => None,
        })
    }

    /// A time to learn, where what was recorded ends a run.
    fn learning(&self) -> Option<NewLearning> {
        let user = self.learns_for?;
        let ends = |event: &&NewEvent| matches!(event.data, EventData::TaskStatus { status, .. } if status.is_end());
        let run = self.outbox.iter().find(ends)?.run;
        Some(NewLearning { id: clock::new_id(), run, user })
    }

    /// Whether a recorded event shows in the task's row.
    fn detail_changed(&self) -> bool {
        self.outbox.iter().any(|e| {
            matches!(
                e.data,
                EventData::BriefReady { .. }
                    | EventData::PlanUpdated { .. }
                    | EventData::ModelStarted { .. }
                    | EventData::ModelCompleted { .. }
                    | EventData::ChecksCompleted { .. }
                    | EventData::ModelRetried { broke_off: true, .. }
                    | EventData::AsideStarted { .. }
                    | EventData::AsideCompleted { .. }
                    | EventData::ReviewCompleted { .. }
                    | EventData::TaskResult { .. }
                    | EventData::TaskStatus { .. }
            )
        })
    }

    async fn pause(&self, span: Duration) -> Result<(), Halt> {
        tokio::select! {
            () = self.stop.cancelled() => Err(Halt::Cut),
            () = tokio::time::sleep(span) => Ok(()),
        }
    }
}

/// Tries until the database answers or the process is cut off.
pub(super) async fn patiently<T, F>(stop: &CancellationToken, mut call: impl FnMut() -> F) -> Result<T, Halt>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut pause = RETRY_FIRST;
    loop {
        match call().await {
            Ok(value) => return Ok(value),
            Err(error) if error.is_transient() => {
                tokio::select! {
                    () = stop.cancelled() => return Err(Halt::Cut),
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(RETRY_MAX),
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reads a log whole. A task that has none was deleted.
pub(super) async fn fold(store: &Store, task: TaskId) -> Result<(Session, Seq), StoreError> {
    let mut session: Option<Session> = None;
    let mut after = 0;
    loop {
        let records = log::records(store, task, after, PAGE).await?;
        for Record { event, private } in &records {
            after = event.seq;
            match &mut session {
                Some(session) => session.apply(event, private.as_ref()),
                None => session = Session::start(event),
            }
        }
        if records.len() < PAGE as usize {
            break;
        }
    }
    session.map(|session| (session, after)).ok_or_else(|| StoreError::corrupt("task_events", "kind", task))
}

/// A task as its log says it, for who has changed words in it: what is asked for, and what the task's row shows beside
/// its columns.
pub async fn refold(store: &Store, task: TaskId) -> Result<(TaskSpec, TaskDetail), StoreError> {
    let (session, _) = fold(store, task).await?;
    let detail = session.detail();
    Ok((session.spec, detail))
}
