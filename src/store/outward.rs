//! The ledger of what goes outward: a row is committed before an act is tried, and says afterwards what came of it. One
//! without an outcome may have happened: whoever goes on looks for it first.

use super::{Store, StoreError};
use crate::domain::{TaskId, TeamId};
use sqlx::Row;
use uuid::Uuid;

/// What is done outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActKind {
    Push,
    PullRequest,
    Comment,
}

impl ActKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::PullRequest => "pull_request",
            Self::Comment => "comment",
        }
    }
}

/// Which act it is: the same kind and key in a task are the same act.
#[derive(Clone, Copy, Debug)]
pub struct Act<'a> {
    pub team: TeamId,
    pub task: TaskId,
    pub kind: ActKind,
    pub key: &'a str,
}

/// An act as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActRow {
    pub id: Uuid,
    /// JSON.
    pub intent: String,
    /// JSON; absent where it is not known whether it happened.
    pub outcome: Option<String>,
    /// How often it was about to be tried.
    pub tries: u32,
}

pub async fn get(store: &Store, act: Act<'_>) -> Result<Option<ActRow>, StoreError> {
    let row = sqlx::query(
        "SELECT id, intent, outcome, tries FROM outward_acts WHERE team = $1 AND task = $2 AND kind = $3 AND key = $4",
    )
    .bind(act.team.0)
    .bind(act.task.0)
    .bind(act.kind.as_str())
    .bind(act.key)
    .fetch_optional(store.across())
    .await?;
    row.map(|row| {
        Ok(ActRow {
            id: row.try_get("id")?,
            intent: row.try_get("intent")?,
            outcome: row.try_get("outcome")?,
            tries: row.try_get::<i32, _>("tries")? as u32,
        })
    })
    .transpose()
}

/// Writes that an act is about to be tried, `id` where it is the first time. What came of an earlier try stays until it is
/// known what came of this one.
pub async fn intend(
    store: &Store,
    act: Act<'_>,
    id: Uuid,
    target: &str,
    intent: &serde_json::Value,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO outward_acts (team, id, task, kind, target, key, intent) VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT ON CONSTRAINT outward_acts_once
         DO UPDATE SET intent = excluded.intent, target = excluded.target, tries = outward_acts.tries + 1",
    )
    .bind(act.team.0)
    .bind(id)
    .bind(act.task.0)
    .bind(act.kind.as_str())
    .bind(target)
    .bind(act.key)
    .bind(intent.to_string())
    .execute(store.across())
    .await?;
    Ok(())
}

/// Writes what an act came to.
pub async fn came(store: &Store, act: Act<'_>, outcome: &serde_json::Value) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE outward_acts SET outcome = $5, done_at = now() WHERE team = $1 AND task = $2 AND kind = $3 AND key = $4",
    )
    .bind(act.team.0)
    .bind(act.task.0)
    .bind(act.kind.as_str())
    .bind(act.key)
    .bind(outcome.to_string())
    .execute(store.across())
    .await?;
    Ok(())
}

/// The intents of a task's acts of a kind at one place, the oldest first, whatever came of them.
pub async fn intents_at(
    store: &Store,
    team: TeamId,
    task: TaskId,
    kind: ActKind,
    target: &str,
) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar(
        "SELECT intent FROM outward_acts WHERE team = $1 AND task = $2 AND kind = $3 AND target = $4
         ORDER BY intended_at LIMIT 1000",
    )
    .bind(team.0)
    .bind(task.0)
    .bind(kind.as_str())
    .bind(target)
    .fetch_all(store.across())
    .await?)
}
