//! Erasures of users: asked for here, and how far they are. What goes is in [`super::erasure_steps`].

use super::{AcrossTx, Store, StoreError, TeamTx};
use crate::domain::{TeamId, Timestamp, UserId, event::GONE};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, Row, postgres::PgRow};
use std::time::Duration;
use uuid::Uuid;

/// How far an erasure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErasureState {
    Waiting,
    Running,
    Done,
}

impl ErasureState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
        }
    }
}

/// What has gone so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gone {
    pub api_keys: u64,
    pub tasks: u64,
    pub memories: u64,
    pub uploads: u64,
    pub feedback: u64,
    /// What he had written in tasks of others.
    pub said_elsewhere: u64,
    /// Of tasks and uploads, that nobody else holds.
    pub contents: u64,
    pub objects: u64,
    /// Teams in which he has left something.
    pub teams: Vec<TeamId>,
}

/// What is counted, by the name of its field in [`Gone`].
#[derive(Clone, Copy, Debug)]
pub enum Counted {
    Tasks,
    Memories,
    Uploads,
    Feedback,
    SaidElsewhere,
    Contents,
    Objects,
}

impl Counted {
    fn field(self) -> &'static str {
        match self {
            Self::Tasks => "tasks",
            Self::Memories => "memories",
            Self::Uploads => "uploads",
            Self::Feedback => "feedback",
            Self::SaidElsewhere => "said_elsewhere",
            Self::Contents => "contents",
            Self::Objects => "objects",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasureRow {
    /// Of the admin who asked for it; the nil team where it was the operator.
    pub team: TeamId,
    pub id: Uuid,
    pub user: UserId,
    pub state: ErasureState,
    pub gone: Gone,
    pub asked_at: Timestamp,
    /// Since when no worker may write to his tasks.
    pub fenced_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
}

/// Writes down that a user is to go, takes his access and his name at once, and makes that whoever comes with his identity
/// is somebody new. [`StoreError::Conflict`] of `erasures_open`: it was asked for already.
///
/// None where there is no such user.
pub async fn ask(tx: &mut AcrossTx, team: TeamId, id: Uuid, user: UserId) -> Result<Option<ErasureRow>, StoreError> {
    begin(tx.connection(), team, id, user).await
}

/// The same for an operator of the instance who is a user himself, in the transaction that is his.
pub async fn ask_as_operator(
    tx: &mut TeamTx,
    team: TeamId,
    id: Uuid,
    user: UserId,
) -> Result<Option<ErasureRow>, StoreError> {
    begin(tx.connection(), team, id, user).await
}

async fn begin(
    connection: &mut PgConnection,
    team: TeamId,
    id: Uuid,
    user: UserId,
) -> Result<Option<ErasureRow>, StoreError> {
    let teams = teams_of(&mut *connection, user).await?;
    let Some(api_keys) = access_taken(&mut *connection, user).await? else { return Ok(None) };
    let gone = Gone { api_keys, teams, ..Gone::default() };
    let row = sqlx::query(
        "INSERT INTO erasures (team, id, user_id, done) VALUES ($1, $2, $3, $4)
         RETURNING team, id, user_id, state, done, asked_at, fenced_at, finished_at",
    )
    .bind(team.0)
    .bind(id)
    .bind(user.0)
    .bind(serde_json::to_string(&gone).map_err(|_| StoreError::corrupt("erasures", "done", id))?)
    .fetch_one(connection)
    .await?;
    erasure_row(&row).map(Some)
}

/// Teams in which a user is or has left something.
async fn teams_of(connection: &mut PgConnection, user: UserId) -> Result<Vec<TeamId>, StoreError> {
    let teams: Vec<Uuid> = sqlx::query_scalar(
        "SELECT team FROM members WHERE user_id = $1 UNION SELECT team FROM tasks WHERE created_by = $1
         UNION SELECT team FROM memories WHERE user_id = $1 UNION SELECT team FROM uploads WHERE user_id = $1
         UNION SELECT team FROM feedback WHERE user_id = $1 UNION SELECT team FROM approvals WHERE decided_by = $1
         UNION SELECT team FROM task_events WHERE by_user = $1",
    )
    .bind(user.0)
    .fetch_all(connection)
    .await?;
    Ok(teams.into_iter().map(TeamId).collect())
}

/// His keys, his places in teams and his identity; how many keys there were. None where there is no such user.
async fn access_taken(connection: &mut PgConnection, user: UserId) -> Result<Option<u64>, StoreError> {
    let keys = sqlx::query("DELETE FROM api_keys WHERE user_id = $1").bind(user.0).execute(&mut *connection).await?;
    for statement in ["DELETE FROM members WHERE user_id = $1", "DELETE FROM sessions WHERE user_id = $1"] {
        sqlx::query(statement).bind(user.0).execute(&mut *connection).await?;
    }
    let known = sqlx::query(
        "UPDATE users SET issuer = 'erased', subject = id::text, name = $2, email = NULL, operator = false,
            deactivated_at = coalesce(deactivated_at, now()) WHERE id = $1",
    )
    .bind(user.0)
    .bind(GONE)
    .execute(&mut *connection)
    .await?;
    Ok((known.rows_affected() > 0).then_some(keys.rows_affected()))
}

/// Those of a user's teams that would be left without an admin.
pub async fn last_admin_of(tx: &mut AcrossTx, user: UserId) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar(
        "SELECT t.name FROM members m JOIN teams t ON t.id = m.team
         WHERE m.user_id = $1 AND m.role = 'admin' AND NOT EXISTS (
            SELECT 1 FROM members o WHERE o.team = m.team AND o.role = 'admin' AND o.user_id <> m.user_id)
         ORDER BY t.name LIMIT 100",
    )
    .bind(user.0)
    .fetch_all(tx.connection())
    .await?)
}

/// The one of a user that is not done.
pub async fn open_of(store: &Store, user: UserId) -> Result<Option<ErasureRow>, StoreError> {
    let row = sqlx::query(
        "SELECT team, id, user_id, state, done, asked_at, fenced_at, finished_at FROM erasures
         WHERE user_id = $1 AND state <> 'done'",
    )
    .bind(user.0)
    .fetch_optional(store.across())
    .await?;
    row.as_ref().map(erasure_row).transpose()
}

/// All of the instance, newest first, those asked for before `before`.
pub async fn all(store: &Store, before: Option<Uuid>, limit: u32) -> Result<Vec<ErasureRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT team, id, user_id, state, done, asked_at, fenced_at, finished_at FROM erasures
         WHERE $1::uuid IS NULL OR id < $1 ORDER BY id DESC LIMIT $2",
    )
    .bind(before)
    .bind(i64::from(limit))
    .fetch_all(store.across())
    .await?;
    rows.iter().map(erasure_row).collect()
}

/// Takes one that is not done and that no other replica has; the oldest first.
pub async fn claim(store: &Store, lease: Duration) -> Result<Option<ErasureRow>, StoreError> {
    let row = sqlx::query(
        "UPDATE erasures SET state = 'running', lease_until = now() + $1 * interval '1 millisecond'
         WHERE id = (
            SELECT id FROM erasures WHERE state <> 'done' AND (lease_until IS NULL OR lease_until < now())
            ORDER BY asked_at LIMIT 1 FOR UPDATE SKIP LOCKED)
         RETURNING team, id, user_id, state, done, asked_at, fenced_at, finished_at",
    )
    .bind(lease.as_millis() as i64)
    .fetch_optional(store.across())
    .await?;
    row.as_ref().map(erasure_row).transpose()
}

/// Keeps one that this replica does.
pub async fn keep(store: &Store, id: Uuid, lease: Duration) -> Result<(), StoreError> {
    sqlx::query("UPDATE erasures SET lease_until = now() + $2 * interval '1 millisecond' WHERE id = $1")
        .bind(id)
        .bind(lease.as_millis() as i64)
        .execute(store.across())
        .await?;
    Ok(())
}

/// Says that no worker may write to his tasks any more; and nobody looks at it for `pause`.
pub async fn fenced(store: &Store, id: Uuid, pause: Duration) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE erasures SET fenced_at = coalesce(fenced_at, now()), lease_until = now() + $2 * interval '1 millisecond'
         WHERE id = $1",
    )
        .bind(id)
        .bind(pause.as_millis() as i64)
        .execute(store.across())
        .await?;
    Ok(())
}

/// Counts what has gone, with what removes it.
pub(super) async fn count(
    connection: &mut PgConnection,
    id: Uuid,
    what: Counted,
    number: u64,
) -> Result<(), StoreError> {
    if number == 0 {
        return Ok(());
    }
    sqlx::query(
        "UPDATE erasures SET done = jsonb_set(done::jsonb, ARRAY[$2], to_jsonb(coalesce((done::jsonb ->> $2)::bigint, 0) + $3))::text
         WHERE id = $1",
    )
    .bind(id)
    .bind(what.field())
    .bind(number as i64)
    .execute(connection)
    .await?;
    Ok(())
}

/// The user's row goes with all that hangs on it, and the erasure is done. [`StoreError::Conflict`]: something of his has
/// come since.
pub async fn finish(tx: &mut AcrossTx, id: Uuid, user: UserId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM users WHERE id = $1").bind(user.0).execute(tx.connection()).await?;
    sqlx::query("UPDATE erasures SET state = 'done', finished_at = now(), lease_until = NULL WHERE id = $1")
        .bind(id)
        .execute(tx.connection())
        .await?;
    Ok(())
}

fn erasure_row(row: &PgRow) -> Result<ErasureRow, StoreError> {
    let id: Uuid = row.try_get("id")?;
    let gone: String = row.try_get("done")?;
    let state = match row.try_get::<String, _>("state")?.as_str() {
        "waiting" => ErasureState::Waiting,
        "running" => ErasureState::Running,
        "done" => ErasureState::Done,
        _ => return Err(StoreError::corrupt("erasures", "state", id)),
    };
    let time = |column| Ok::<_, StoreError>(row.try_get::<Option<time::OffsetDateTime>, _>(column)?.map(Timestamp));
    Ok(ErasureRow {
        team: TeamId(row.try_get("team")?),
        id,
        user: UserId(row.try_get("user_id")?),
        state,
        gone: serde_json::from_str(&gone).map_err(|_| StoreError::corrupt("erasures", "done", id))?,
        asked_at: Timestamp(row.try_get("asked_at")?),
        fenced_at: time("fenced_at")?,
        finished_at: time("finished_at")?,
    })
}
