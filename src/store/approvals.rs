//! Questions to people: asked by workers, decided here.

use super::{StoreError, TeamTx, log::NewApproval};
use crate::domain::{
    ApprovalId, TaskId, TeamId, Timestamp, UserId,
    approval::{Approval, DecidedBy, Decision},
};
use sqlx::{Row, postgres::PgRow};

/// An approval with the task that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalRow {
    pub task: TaskId,
    pub approval: Approval,
    /// By the database's clock.
    pub past_deadline: bool,
}

/// A decision to be written down.
#[derive(Clone, Copy, Debug)]
pub struct Decided<'a> {
    pub id: ApprovalId,
    pub decision: Decision,
    /// Absent: an operator.
    pub by: Option<UserId>,
    pub note: Option<&'a str>,
    /// JSON: what was answered.
    pub answer: Option<&'a str>,
}

/// Approvals of the transaction's team after `after`, oldest first: of one task where it is
/// given, only undecided ones before their deadline where `pending`.
pub async fn list(
    tx: &mut TeamTx,
    task: Option<TaskId>,
    pending: bool,
    after: Option<ApprovalId>,
    limit: u32,
) -> Result<Vec<ApprovalRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, task, kind, subject, deadline, default_decision, decision, decided_by, decided_by_model, note, deadline < now() AS past
         FROM approvals WHERE team = current_team() AND ($1::uuid IS NULL OR task = $1)
            AND (NOT $2 OR (decision IS NULL AND deadline >= now())) AND ($3::uuid IS NULL OR id > $3)
         ORDER BY id LIMIT $4",
    )
    .bind(task.map(|id| id.0))
    .bind(pending)
    .bind(after.map(|id| id.0))
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(approval_row).collect()
}

/// The approvals that a task waits for and nobody has decided, whatever their deadline. What is to be published is as it
/// was asked for, and nothing waits for it.
pub async fn undecided(tx: &mut TeamTx, task: TaskId) -> Result<Vec<ApprovalId>, StoreError> {
    let ids: Vec<uuid::Uuid> = sqlx::query_scalar(
        "SELECT id FROM approvals WHERE team = current_team() AND task = $1 AND decision IS NULL AND kind <> 'publish' ORDER BY id FOR UPDATE",
    )
    .bind(task.0)
    .fetch_all(tx.connection())
    .await?;
    Ok(ids.into_iter().map(ApprovalId).collect())
}

/// One approval of a task, locked until the transaction ends.
pub async fn lock(tx: &mut TeamTx, task: TaskId, id: ApprovalId) -> Result<Option<ApprovalRow>, StoreError> {
    let row = sqlx::query(
        "SELECT id, task, kind, subject, deadline, default_decision, decision, decided_by, decided_by_model, note, deadline < now() AS past
         FROM approvals WHERE team = current_team() AND task = $1 AND id = $2 FOR UPDATE",
    )
    .bind(task.0)
    .bind(id.0)
    .fetch_optional(tx.connection())
    .await?;
    row.as_ref().map(approval_row).transpose()
}

/// Decides an approval that [`lock`] has locked.
pub async fn decide(tx: &mut TeamTx, decided: Decided<'_>) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE approvals SET decision = $2, decided_by = $3, decided_at = now(), note = $4, answer = $5
         WHERE team = current_team() AND id = $1 AND decision IS NULL",
    )
    .bind(decided.id.0)
    .bind(word(decided.decision))
    .bind(decided.by.map(|user| user.0))
    .bind(decided.note)
    .bind(decided.answer)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Puts a question to people that no worker of the task asks.
pub async fn insert(tx: &mut TeamTx, team: TeamId, task: TaskId, new: &NewApproval<'_>) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO approvals (team, id, task, kind, subject, deadline, default_decision)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(team.0)
    .bind(new.id.0)
    .bind(task.0)
    .bind(new.kind)
    .bind(new.subject)
    .bind(new.deadline.0)
    .bind(new.default_decision)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The word of a decision in the database.
pub fn word(decision: Decision) -> &'static str {
    match decision {
        Decision::Approve => "approve",
        Decision::Deny => "deny",
        Decision::Answer => "answer",
    }
}

fn approval_row(row: &PgRow) -> Result<ApprovalRow, StoreError> {
    let id = ApprovalId(row.try_get("id")?);
    let corrupt = |column| StoreError::corrupt("approvals", column, id);
    let decision: Option<String> = row.try_get("decision")?;
    let approval = Approval {
        id,
        kind: parsed(&row.try_get::<String, _>("kind")?).ok_or_else(|| corrupt("kind"))?,
        subject: serde_json::from_str(&row.try_get::<String, _>("subject")?).map_err(|_| corrupt("subject"))?,
        deadline: Timestamp(row.try_get("deadline")?),
        default: parsed(&row.try_get::<String, _>("default_decision")?).ok_or_else(|| corrupt("default_decision"))?,
        decision: decision.map(|word| parsed(&word).ok_or_else(|| corrupt("decision"))).transpose()?,
        decided_by: decided_by(row)?,
        note: row.try_get("note")?,
    };
    Ok(ApprovalRow { task: TaskId(row.try_get("task")?), approval, past_deadline: row.try_get("past")? })
}

fn decided_by(row: &PgRow) -> Result<Option<DecidedBy>, StoreError> {
    let user = row.try_get::<Option<uuid::Uuid>, _>("decided_by")?.map(|id| DecidedBy::User(UserId(id)));
    let model = row.try_get::<Option<String>, _>("decided_by_model")?.map(DecidedBy::Model);
    Ok(user.or(model))
}

/// A word as the domain's enum reads it from JSON.
fn parsed<T: serde::de::DeserializeOwned>(word: &str) -> Option<T> {
    serde_json::from_value(serde_json::Value::String(word.to_owned())).ok()
}
