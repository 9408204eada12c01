//! What an operator has stopped, and the tasks that rest because of it. What is stopped is heeded by the statements that
//! claim; whoever drives a task looks every few seconds.

use super::{AcrossTx, Store, StoreError, TeamTx, jobs, log, task_views, tasks};
use crate::domain::{EventData, Status, TaskId, TeamId, Timestamp, WaitingFor, task::Control};
use sqlx::Row;
use uuid::Uuid;

/// Who writes what an operator does to a task.
pub const OPERATOR: &str = "operator";

/// What is stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Nothing new is claimed, of the instance or of one team; with `running` what runs rests too.
    Pause { team: Option<TeamId>, running: bool },
    /// All replicas give back what they run, and claim nothing.
    Drain,
    /// A model is not called.
    Model { name: String },
}

impl Switch {
    fn key(&self) -> (&'static str, Uuid, &str) {
        match self {
            Self::Pause { team, .. } => ("pause", team.map_or(Uuid::nil(), |team| team.0), ""),
            Self::Drain => ("drain", Uuid::nil(), ""),
            Self::Model { name } => ("model", Uuid::nil(), name),
        }
    }
}

/// A switch that is set, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetSwitch {
    pub switch: Switch,
    pub since: Timestamp,
}

/// Sets a switch; one that is set already keeps its time.
pub async fn set(tx: &mut AcrossTx, switch: &Switch) -> Result<(), StoreError> {
    let (kind, team, name) = switch.key();
    sqlx::query(
        "INSERT INTO switches (kind, team, name, running) VALUES ($1, $2, $3, $4)
         ON CONFLICT (kind, team, name) DO UPDATE SET running = excluded.running",
    )
    .bind(kind)
    .bind(team)
    .bind(name)
    .bind(matches!(switch, Switch::Pause { running: true, .. }))
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Takes a switch back; false where it was not set.
pub async fn lift(tx: &mut AcrossTx, switch: &Switch) -> Result<bool, StoreError> {
    let (kind, team, name) = switch.key();
    let done = sqlx::query("DELETE FROM switches WHERE kind = $1 AND team = $2 AND name = $3")
        .bind(kind)
        .bind(team)
        .bind(name)
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected() > 0)
}

/// All that are set.
pub async fn all(store: &Store) -> Result<Vec<SetSwitch>, StoreError> {
    let rows =
        sqlx::query("SELECT kind, team, name, running, set_at FROM switches ORDER BY kind, team, name LIMIT 10000")
            .fetch_all(store.across())
            .await?;
    rows.iter()
        .map(|row| {
            let (team, name): (Uuid, String) = (row.try_get("team")?, row.try_get("name")?);
            let switch = match row.try_get::<String, _>("kind")?.as_str() {
                "pause" => {
                    Switch::Pause { team: (!team.is_nil()).then_some(TeamId(team)), running: row.try_get("running")? }
                }
                "drain" => Switch::Drain,
                "model" => Switch::Model { name },
                _ => return Err(StoreError::corrupt("switches", "kind", name)),
            };
            Ok(SetSwitch { switch, since: Timestamp(row.try_get("set_at")?) })
        })
        .collect()
}

/// Whether a model is switched off, for a use case.
pub async fn is_off(tx: &mut TeamTx, model: &str) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM switches WHERE kind = 'model' AND name = $1)")
        .bind(model)
        .fetch_one(tx.connection())
        .await?)
}

/// Why a task rests that a switch puts to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBy<'a> {
    Pause,
    Model(&'a str),
}

/// Says that a task is about to rest because of a switch, so that it is woken once the switch is lifted.
pub async fn hold(store: &Store, team: TeamId, task: TaskId, by: HeldBy<'_>) -> Result<(), StoreError> {
    let (kind, name) = match by {
        HeldBy::Pause => ("pause", ""),
        HeldBy::Model(name) => ("model", name),
    };
    sqlx::query(
        "INSERT INTO switch_holds (team, task, kind, name) VALUES ($1, $2, $3, $4)
         ON CONFLICT (task) DO UPDATE SET kind = excluded.kind, name = excluded.name, held_at = now()",
    )
    .bind(team.0)
    .bind(task.0)
    .bind(kind)
    .bind(name)
    .execute(store.across())
    .await?;
    Ok(())
}

/// Wakes tasks whose switch was lifted, at most `limit`; how many. One that was woken, paused by a person, ended or deleted
/// meanwhile is left alone.
pub async fn wake(store: &Store, limit: u32) -> Result<usize, StoreError> {
    let rows = sqlx::query(
        "SELECT h.team, h.task, h.kind FROM switch_holds h
         WHERE NOT EXISTS (
            SELECT 1 FROM switches s WHERE s.kind = h.kind AND s.name = h.name
                AND s.team IN (h.team, '00000000-0000-0000-0000-000000000000') AND (s.running OR s.kind <> 'pause'))
         ORDER BY h.held_at LIMIT $1",
    )
    .bind(i64::from(limit))
    .fetch_all(store.across())
    .await?;
    let mut woken = 0;
    for row in &rows {
        let (team, task) = (TeamId(row.try_get("team")?), TaskId(row.try_get("task")?));
        let waits_for = match row.try_get::<String, _>("kind")?.as_str() {
            "pause" => WaitingFor::Paused,
            _ => WaitingFor::Capacity,
        };
        woken += usize::from(wake_one(store, team, task, waits_for).await?);
    }
    Ok(woken)
}

async fn wake_one(store: &Store, team: TeamId, task: TaskId, waits_for: WaitingFor) -> Result<bool, StoreError> {
    let mut tx = store.team(team).await?;
    let locked = log::lock(&mut tx, task).await?;
    let rests = |locked: &log::Locked| locked.status == Status::Waiting && locked.waiting_for == Some(waits_for);
    let mut rests = locked.filter(rests);
    // One that a person has paused since is his.
    if waits_for == WaitingFor::Paused && !paused_by_operator(&mut tx, task).await? {
        rests = None;
    }
    let Some(locked) = rests else {
        drop(tx);
        return let_go(store, task).await.map(|()| false);
    };
    let run = locked.run + 1;
    let event = |data| log::NewEvent { run, turn: 0, data, private: None };
    let events = [
        event(EventData::TaskControl { action: Control::Resume, author: OPERATOR.to_owned() }),
        event(EventData::TaskStatus { status: Status::Queued, waiting_for: None, error: None }),
    ];
    let change = log::TaskChange {
        status: Some((Status::Queued, None)),
        run: Some(run),
        cancel_requested: Some(false),
        ..log::TaskChange::default()
    };
    jobs::put(&mut tx, &tasks::run_task(team, task, locked.created_by, locked.priority)).await?;
    log::append_locked(&mut tx, team, task, &events, &change).await?;
    tx.commit().await?;
    sqlx::query("DELETE FROM switch_holds WHERE task = $1").bind(task.0).execute(store.across()).await?;
    Ok(true)
}

/// Whether the last word on the task's going on was an operator's.
async fn paused_by_operator(tx: &mut TeamTx, task: TaskId) -> Result<bool, StoreError> {
    #[derive(serde::Deserialize)]
    struct Said {
        action: Control,
        author: String,
    }
    let last = task_views::events_of_turn(tx, task, "task.control", None, None, 1).await?;
    let said = last.first().and_then(|(data, _)| serde_json::from_str::<Said>(data).ok());
    Ok(said.is_some_and(|said| said.action == Control::Pause && said.author == OPERATOR))
}

/// A hold of a task that rests for something else, or not at all, is of no use; one that may still come to rest keeps it.
async fn let_go(store: &Store, task: TaskId) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM switch_holds h WHERE task = $1
            AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.id = h.task AND t.status IN ('queued', 'running'))",
    )
    .bind(task.0)
    .execute(store.across())
    .await?;
    Ok(())
}

/// How many tasks replicas hold now, of one team where it is given.
pub async fn held(store: &Store, team: Option<TeamId>) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar(
        "SELECT count(*) FROM jobs WHERE kind = 'run_task' AND lease_replica IS NOT NULL AND lease_until > now()
            AND ($1::uuid IS NULL OR team = $1)",
    )
    .bind(team.map(|team| team.0))
    .fetch_one(store.across())
    .await?)
}
