//! Tasks whose log begins as another's: the prefix is copied row by row, as it stands.

use super::{
    StoreError, TeamTx, log,
    tasks::{self, NewTask},
};
use crate::domain::{Seq, TaskId, event::Record};

/// The events of a task of the transaction's team after `after`, at most `limit`, with their private parts.
pub async fn records(tx: &mut TeamTx, task: TaskId, after: Seq, limit: u32) -> Result<Vec<Record>, StoreError> {
    let rows = sqlx::query(
        "SELECT seq, run, turn, at, kind, data, private FROM task_events
         WHERE team = current_team() AND task = $1 AND seq > $2 ORDER BY seq LIMIT $3",
    )
    .bind(task.0)
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(|row| log::record(task, row)).collect()
}

/// Makes a task whose log is that of `from` up to `last`. It is not in the queue, and its status is for the
/// events that follow to say. False where the other log is gone; the transaction is then to be dropped.
pub async fn create(tx: &mut TeamTx, new: &NewTask<'_>, from: TaskId, last: Seq) -> Result<bool, StoreError> {
    tasks::insert(tx, new).await?;
    let copied = sqlx::query(
        "INSERT INTO task_events (team, task, seq, run, turn, at, kind, data, private)
         SELECT team, $2, seq, run, turn, at, kind, data, private FROM task_events
         WHERE team = current_team() AND task = $1 AND seq <= $3",
    )
    .bind(from.0)
    .bind(new.id.0)
    .bind(last)
    .execute(tx.connection())
    .await?;
    // Later appends count on from here, and write it into the task's row.
    sqlx::query("UPDATE task_heads SET last_seq = $2 WHERE team = current_team() AND task = $1")
        .bind(new.id.0)
        .bind(last)
        .execute(tx.connection())
        .await?;
    Ok(copied.rows_affected() == last as u64)
}
