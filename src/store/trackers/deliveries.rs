//! What trackers have told, and what became of it.

use super::turns::claim_in_turn;
use crate::{
    domain::{DeliveryId, IntegrationId, TaskId, TeamId, Timestamp, UserId, integration::DeliveryState},
    store::{Store, StoreError, TeamTx},
};
use sqlx::{Row, postgres::PgRow};
use std::time::Duration;
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    pub id: DeliveryId,
    /// The tracker's own id of it.
    pub delivery: String,
    pub event: String,
    pub sender: String,
    pub issue: Option<String>,
    pub state: DeliveryState,
    pub reason: String,
    pub task: Option<TaskId>,
    pub attempts: u32,
    /// There is something in it to be worked off.
    pub has_content: bool,
    pub received_at: Timestamp,
    pub done_at: Option<Timestamp>,
}

/// One that is being worked off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedDelivery {
    pub team: TeamId,
    pub id: DeliveryId,
    pub integration: IntegrationId,
    pub content: String,
    /// How often it has been claimed, this time included: it fences who no longer has it.
    pub attempts: u32,
    /// How often it could not be done so far.
    pub failures: u32,
}

/// Claims up to `limit` that are due and nobody has, the oldest first, of one integration no more than `of_integration` at once on
/// all replicas together.
pub async fn claim(
    store: &Store,
    lease: Duration,
    limit: u32,
    of_integration: u32,
) -> Result<Vec<ClaimedDelivery>, StoreError> {
    let rows = sqlx::query(claim_in_turn!(
        "tracker_deliveries",
        "id",
        "ready_at",
        "state = 'waiting'",
        "c.team, c.id, c.integration, coalesce(c.content, '') AS content, c.attempts, c.failures"
    ))
    .bind(lease.as_millis() as i64)
    .bind(i64::from(limit))
    .bind(i64::from(of_integration))
    .fetch_all(store.across())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(ClaimedDelivery {
                team: TeamId(row.try_get("team")?),
                id: DeliveryId(row.try_get("id")?),
                integration: IntegrationId(row.try_get("integration")?),
                content: row.try_get("content")?,
                attempts: row.try_get::<i32, _>("attempts")? as u32,
                failures: row.try_get::<i32, _>("failures")? as u32,
            })
        })
        .collect()
}

/// Gives one back, due after `delay`; why stands in it meanwhile, and whether that was a failure.
pub async fn give_back(
    store: &Store,
    one: &ClaimedDelivery,
    delay: Duration,
    reason: &str,
    failed: bool,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE tracker_deliveries SET lease_until = NULL, reason = $4, failures = failures + $6, ready_at = now() + $5 * interval '1 millisecond'
         WHERE team = $1 AND id = $2 AND attempts = $3 AND state = 'waiting'",
    )
    .bind(one.team.0)
    .bind(one.id.0)
    .bind(one.attempts as i32)
    .bind(reason)
    .bind(delay.as_millis() as i64)
    .bind(i32::from(failed))
    .execute(store.across())
    .await?;
    Ok(())
}

/// What became of one.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'a> {
    pub state: DeliveryState,
    pub reason: &'a str,
    pub task: Option<TaskId>,
    /// The member whose account the sender's is.
    pub user: Option<UserId>,
}

/// Writes what became of one, in the transaction that does it. False where it is somebody else's by now: nothing of it
/// counts then.
pub async fn finish(tx: &mut TeamTx, one: &ClaimedDelivery, came: Outcome<'_>) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE tracker_deliveries SET state = $3, reason = $4, task = $5, user_id = $6, done_at = now(), lease_until = NULL
         WHERE team = current_team() AND id = $1 AND attempts = $2 AND state = 'waiting'",
    )
    .bind(one.id.0)
    .bind(one.attempts as i32)
    .bind(came.state.as_str())
    .bind(came.reason)
    .bind(came.task.map(|task| task.0))
    .bind(came.user.map(|user| user.0))
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether something about an issue came before this one and has not been worked off.
pub async fn earlier_waits(
    store: &Store,
    integration: IntegrationId,
    issue: &str,
    before: DeliveryId,
) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM tracker_deliveries
            WHERE integration = $1 AND issue = $2 AND state = 'waiting' AND id < $3)",
    )
    .bind(integration.0)
    .bind(issue)
    .bind(before.0)
    .fetch_one(store.across())
    .await?)
}

/// Whether something was done that means this.
pub async fn was_done(tx: &mut TeamTx, integration: IntegrationId, meaning: &str) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM tracker_deliveries
            WHERE team = current_team() AND integration = $1 AND state = 'done' AND meaning = $2)",
    )
    .bind(integration.0)
    .bind(meaning)
    .fetch_one(tx.connection())
    .await?)
}

/// Whether something of an agent session was done whose meaning begins so.
pub async fn session_was_done(
    tx: &mut TeamTx,
    integration: IntegrationId,
    issue: &str,
    meaning: &str,
) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM tracker_deliveries
            WHERE team = current_team() AND integration = $1 AND issue = $2 AND meaning LIKE 'session %'
                AND state = 'done' AND starts_with(meaning, $3))",
    )
    .bind(integration.0)
    .bind(issue)
    .bind(meaning)
    .fetch_one(tx.connection())
    .await?)
}

/// Of how many failed checks an issue's task has been told.
pub async fn failures(tx: &mut TeamTx, integration: IntegrationId, issue: &str) -> Result<u32, StoreError> {
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM tracker_deliveries
         WHERE team = current_team() AND integration = $1 AND issue = $2 AND state = 'done' AND meaning LIKE 'check %'",
    )
    .bind(integration.0)
    .bind(issue)
    .fetch_one(tx.connection())
    .await?;
    Ok(count as u32)
}

/// Those of an integration, newest first, that came before `before`; in one state where `state` is given.
pub async fn list(
    tx: &mut TeamTx,
    integration: IntegrationId,
    state: Option<DeliveryState>,
    before: Option<DeliveryId>,
    limit: u32,
) -> Result<Vec<DeliveryRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, delivery, event, sender, issue, state, reason, task, attempts, content IS NOT NULL AS has_content,
            received_at, done_at
         FROM tracker_deliveries WHERE team = current_team() AND integration = $1 AND ($2::text IS NULL OR state = $2)
            AND ($3::uuid IS NULL OR id < $3) ORDER BY id DESC LIMIT $4",
    )
    .bind(integration.0)
    .bind(state.map(DeliveryState::as_str))
    .bind(before.map(|id| id.0))
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(delivery_row).collect()
}

/// One of an integration, locked until the transaction ends.
pub async fn lock(
    tx: &mut TeamTx,
    integration: IntegrationId,
    id: DeliveryId,
) -> Result<Option<DeliveryRow>, StoreError> {
    let row = sqlx::query(
        "SELECT id, delivery, event, sender, issue, state, reason, task, attempts, content IS NOT NULL AS has_content,
            received_at, done_at
         FROM tracker_deliveries WHERE team = current_team() AND integration = $1 AND id = $2 FOR UPDATE",
    )
    .bind(integration.0)
    .bind(id.0)
    .fetch_optional(tx.connection())
    .await?;
    row.as_ref().map(delivery_row).transpose()
}

/// Has one worked off again, at once.
pub async fn replay(tx: &mut TeamTx, id: DeliveryId) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE tracker_deliveries SET state = 'waiting', reason = '', attempts = 0, failures = 0, ready_at = now(), lease_until = NULL,
            done_at = NULL WHERE team = current_team() AND id = $1",
    )
    .bind(id.0)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Removes some that are older than `kept`, of those that asked for nothing than `ignored_kept`; how many.
pub async fn trim(store: &Store, kept: Duration, ignored_kept: Duration, limit: u32) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "DELETE FROM tracker_deliveries d USING (
            SELECT team, id FROM tracker_deliveries
            WHERE received_at < now() - $2 * interval '1 second'
                AND (state = 'ignored' OR (state <> 'waiting' AND received_at < now() - $1 * interval '1 second'))
            ORDER BY received_at LIMIT $3) old
         WHERE d.team = old.team AND d.id = old.id",
    )
    .bind(kept.as_secs_f64())
    .bind(ignored_kept.as_secs_f64())
    .bind(i64::from(limit))
    .execute(store.across())
    .await?;
    Ok(done.rows_affected())
}

pub(super) fn delivery_row(row: &PgRow) -> Result<DeliveryRow, StoreError> {
    let id = DeliveryId(row.try_get("id")?);
    let state: String = row.try_get("state")?;
    Ok(DeliveryRow {
        id,
        delivery: row.try_get("delivery")?,
        event: row.try_get("event")?,
        sender: row.try_get("sender")?,
        issue: row.try_get("issue")?,
        state: DeliveryState::parse(&state).ok_or_else(|| StoreError::corrupt("tracker_deliveries", "state", id))?,
        reason: row.try_get("reason")?,
        task: row.try_get::<Option<Uuid>, _>("task")?.map(TaskId),
        attempts: row.try_get::<i32, _>("attempts")? as u32,
        has_content: row.try_get("has_content")?,
        received_at: Timestamp(row.try_get("received_at")?),
        done_at: row.try_get::<Option<time::OffsetDateTime>, _>("done_at")?.map(Timestamp),
    })
}
