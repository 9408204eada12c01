//! The log of a task: append under the lock of its head row, read after a cursor.
//!
//! One transaction carries what has ended, what starts next, the task's visible state and its place
//! in the queue. Seqs are given out under the head's lock, so that they have no gaps and commit in
//! order; a worker's append carries its epoch and changes nothing once another has taken the task.

mod read;
mod write;

pub(super) use read::record;
pub use read::{RawEvent, Tail, follow, page, records, tail};
pub(super) use write::Columns;

use super::{Store, StoreError, TeamTx, recall};
use crate::domain::{
    EventData, Phase, Private, Seq, Status, TaskId, TeamId, Timestamp, UserId, WaitingFor, approval::Decision,
    task::LOG_VERSION, task::TaskDetail, usage::UsageAdded,
};
use sqlx::Row;
use write::write;

/// An event before it has its seq and time.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    pub run: u32,
    pub turn: u32,
    pub data: EventData,
    pub private: Option<Private>,
}

/// What becomes of the task's row in `tasks`; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct TaskChange<'a> {
    pub status: Option<(Status, Option<WaitingFor>)>,
    pub phase: Option<Phase>,
    pub detail: Option<&'a TaskDetail>,
    pub run: Option<u32>,
    pub cancel_requested: Option<bool>,
    /// A question to people that this append puts.
    pub approval: Option<NewApproval<'a>>,
    /// What the events add to the sums of their day; a worker's alone.
    pub usage: &'a [UsageAdded],
    /// What a recall among the events does to memories; a worker's alone.
    pub recall: Option<&'a recall::NewRecall>,
    /// The service is to look for what can be learnt from a run that ends here.
    pub learn: Option<NewLearning>,
}

/// A time to learn, put into the queue with the end of a run; once for each.
#[derive(Clone, Copy, Debug)]
pub struct NewLearning {
    pub id: uuid::Uuid,
    pub run: u32,
    /// Whose budget it draws from.
    pub user: UserId,
}

/// A question to people, as it is written with the event that tells of it.
#[derive(Clone, Copy, Debug)]
pub struct NewApproval<'a> {
    pub id: crate::domain::ApprovalId,
    pub kind: &'static str,
    /// JSON text.
    pub subject: &'a str,
    pub deadline: Timestamp,
    pub default_decision: &'static str,
    /// Decided already, by a model.
    pub decided: Option<DecidedByModel<'a>>,
}

/// What a model decided in place of people.
#[derive(Clone, Copy, Debug)]
pub struct DecidedByModel<'a> {
    pub model: &'a str,
    pub decision: Decision,
    pub note: &'a str,
}

/// What becomes of the task's place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobChange {
    Keep,
    /// The task rests: its job goes, and with it the lease.
    Remove,
    /// The task is given back to whoever claims it next.
    Release,
}

/// The lease under which a worker writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub team: TeamId,
    pub task: TaskId,
    pub epoch: i64,
}

/// What an append gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// The first and last seq that the events got, and their time.
    At { first: Seq, last: Seq, at: Timestamp },
    /// Somebody else wrote since `only_after`; nothing was appended.
    Moved,
    /// Another worker has the task; nothing was appended.
    Fenced,
}

/// Appends a worker's events: one commit, and but for a recall one statement.
///
/// With `only_after`, nothing is written unless that is still the last seq: for events that end or
/// park a run, which a message that arrived meanwhile makes untrue.
pub async fn append(
    store: &Store,
    lease: Lease,
    only_after: Option<Seq>,
    events: &[NewEvent],
    change: &TaskChange<'_>,
    job: JobChange,
) -> Result<Appended, StoreError> {
    let epoch = Some(lease.epoch);
    let written = match change.recall {
        None => write(store.across(), lease, epoch, only_after, events, change, job).await?,
        Some(recalled) => {
            let mut tx = store.begin().await?;
            let written = write(&mut *tx, lease, epoch, only_after, events, change, job).await?;
            if written.is_some() {
                recall::note(&mut tx, lease.team, lease.task, recalled).await?;
            }
            tx.commit().await?;
            written
        }
    };
    match written {
        Some((last, at)) => Ok(Appended::At { first: last - events.len() as Seq + 1, last, at }),
        None => why_not(store, lease).await,
    }
}

async fn why_not(store: &Store, lease: Lease) -> Result<Appended, StoreError> {
    let epoch: Option<i64> = sqlx::query_scalar("SELECT epoch FROM task_heads WHERE task = $1")
        .bind(lease.task.0)
        .fetch_optional(store.across())
        .await?;
    Ok(if epoch == Some(lease.epoch) { Appended::Moved } else { Appended::Fenced })
}

/// A task's row and head, locked until the transaction ends: what a use case decides from before
/// it appends. Absent where the team has no such task.
#[derive(Clone, Debug, PartialEq)]
pub struct Locked {
    pub last_seq: Seq,
    pub status: Status,
    pub waiting_for: Option<WaitingFor>,
    pub run: u32,
    pub created_by: UserId,
    pub priority: i16,
    pub spec: String,
    /// Edits that the log does not tell.
    pub edits: i32,
}

/// Locks a task for a use case of its team.
///
/// Two statements: one that joins both rows would, after waiting for the head, show the task as it
/// was before the wait.
pub async fn lock(tx: &mut TeamTx, task: TaskId) -> Result<Option<Locked>, StoreError> {
    let locked = sqlx::query("SELECT 1 FROM task_heads WHERE task = $1 FOR UPDATE")
        .bind(task.0)
        .fetch_optional(tx.connection())
        .await?;
    if locked.is_none() {
        return Ok(None);
    }
    let row = sqlx::query(
        "SELECT h.last_seq, t.status, t.waiting_for, t.run, t.created_by, t.priority, t.spec, t.edits
         FROM task_heads h JOIN tasks t ON t.team = h.team AND t.id = h.task WHERE h.task = $1",
    )
    .bind(task.0)
    .fetch_optional(tx.connection())
    .await?;
    row.map(|row| {
        let status: String = row.try_get("status")?;
        let waiting: Option<String> = row.try_get("waiting_for")?;
        Ok(Locked {
            last_seq: row.try_get("last_seq")?,
            status: status.parse().map_err(|_| StoreError::corrupt("tasks", "status", task))?,
            waiting_for: waiting
                .map(|w| w.parse().map_err(|_| StoreError::corrupt("tasks", "waiting_for", task)))
                .transpose()?,
            run: row.try_get::<i32, _>("run")? as u32,
            created_by: row.try_get::<uuid::Uuid, _>("created_by")?.into(),
            priority: row.try_get("priority")?,
            spec: row.try_get("spec")?,
            edits: row.try_get("edits")?,
        })
    })
    .transpose()
}

/// Appends events of a use case to a task that [`lock`] has locked, and changes its row.
/// Returns the last seq.
pub async fn append_locked(
    tx: &mut TeamTx,
    team: TeamId,
    task: TaskId,
    events: &[NewEvent],
    change: &TaskChange<'_>,
) -> Result<Seq, StoreError> {
    // Whoever holds the row's lock needs no lease.
    let lease = Lease { team, task, epoch: 0 };
    match write(tx.connection(), lease, None, None, events, change, JobChange::Keep).await? {
        Some((last, _)) => Ok(last),
        None => Err(StoreError::corrupt("task_heads", "task", task)),
    }
}

/// The version of the log that [`append`] writes.
pub const VERSION: i32 = LOG_VERSION;
