//! What has to happen when nobody did anything in time.

use super::{Store, StoreError, approvals, jobs, log, publishings, tasks};
use crate::domain::{ApprovalId, EventData, Status, TaskId, TeamId, WaitingFor, approval::ApprovalKind};
use sqlx::Row;
use uuid::Uuid;

/// An approval whose deadline has passed undecided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue {
    pub team: TeamId,
    pub task: TaskId,
    pub approval: ApprovalId,
}

/// Those after `after`, by id.
pub async fn overdue(store: &Store, after: Option<ApprovalId>, limit: u32) -> Result<Vec<Overdue>, StoreError> {
    let rows = sqlx::query(
        "SELECT team, task, id FROM approvals
         WHERE decision IS NULL AND deadline < now() AND ($1::uuid IS NULL OR id > $1) ORDER BY id LIMIT $2",
    )
    .bind(after.map(|id| id.0))
    .bind(i64::from(limit))
    .fetch_all(store.across())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Overdue {
                team: row.try_get::<Uuid, _>("team")?.into(),
                task: row.try_get::<Uuid, _>("task")?.into(),
                approval: row.try_get::<Uuid, _>("id")?.into(),
            })
        })
        .collect()
}

/// Lets an overdue approval's default hold: decided, told in the log, and its task queued again.
/// Nothing happens where somebody decided meanwhile.
pub async fn resolve_by_default(store: &Store, overdue: Overdue) -> Result<(), StoreError> {
    let mut tx = store.team(overdue.team).await?;
    let Some(locked) = log::lock(&mut tx, overdue.task).await? else { return Ok(()) };
    let Some(row) = approvals::lock(&mut tx, overdue.task, overdue.approval).await? else { return Ok(()) };
    if row.approval.decision.is_some() || !row.past_deadline {
        return Ok(());
    }
    sqlx::query("UPDATE approvals SET decision = default_decision, decided_at = now() WHERE id = $1")
        .bind(overdue.approval.0)
        .execute(tx.connection())
        .await?;
    let event = |data| log::NewEvent { run: locked.run, turn: 0, data, private: None };
    let mut events = vec![event(EventData::ApprovalResolved {
        approval: overdue.approval,
        decision: row.approval.default,
        author: "deadline".to_owned(),
        plan: Vec::new(),
        note: Some("nobody decided before the deadline".to_owned()),
        answers: Vec::new(),
        remember: None,
    })];
    let publishes = row.approval.kind == ApprovalKind::Publish;
    if publishes {
        let decision = row.approval.default;
        events.extend(publishings::decided(&mut tx, overdue.team, overdue.approval, decision).await?.map(event));
    }
    let waits = locked.status == Status::Waiting && locked.waiting_for.is_some_and(WaitingFor::is_for_people);
    let waits = waits && !publishes;
    let mut change = log::TaskChange::default();
    if waits {
        events.push(event(EventData::TaskStatus { status: Status::Queued, waiting_for: None, error: None }));
        change.status = Some((Status::Queued, None));
        jobs::put(&mut tx, &tasks::run_task(overdue.team, overdue.task, locked.created_by, locked.priority)).await?;
    }
    log::append_locked(&mut tx, overdue.team, overdue.task, &events, &change).await?;
    tx.commit().await
}

/// Removes what is kept for a while only: answers to repeated requests after 24 hours.
pub async fn forget_old(store: &Store) -> Result<u64, StoreError> {
    let done = sqlx::query("DELETE FROM idempotency_keys WHERE created_at < now() - interval '24 hours'")
        .execute(store.across())
        .await?;
    Ok(done.rows_affected())
}

/// Tasks whose working copies are wanted: those under way, and those that have rested for less
/// than `kept_seconds`.
pub async fn with_copies(store: &Store, kept_seconds: i64) -> Result<Vec<TaskId>, StoreError> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "SELECT id FROM tasks WHERE status IN ('queued', 'running', 'waiting') OR updated_at > now() - $1 * interval '1 second'",
    )
    .bind(kept_seconds)
    .fetch_all(store.across())
    .await?;
    Ok(ids.into_iter().map(TaskId).collect())
}
