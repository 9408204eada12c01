//! Tasks whose log begins as another's: the prefix is copied row by row, as it
//! stands. Also those whose log comes from a file.

use super::{
    StoreError, TeamTx, blobs, log,
    tasks::{self, NewTask},
};
use crate::domain::{Seq, TaskId, event::Record};

/// Rows that one statement writes.
const ROWS_AT_ONCE: usize = 500;

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

/// Bytes of a log of the transaction's team, as it is stored.
pub async fn log_bytes(tx: &mut TeamTx, task: TaskId) -> Result<u64, StoreError> {
    let bytes: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(octet_length(data) + coalesce(octet_length(private), 0)), 0)::bigint
         FROM task_events WHERE team = current_team() AND task = $1",
    )
    .bind(task.0)
    .fetch_one(tx.connection())
    .await?;
    Ok(bytes as u64)
}

/// Makes a task whose log is that of `from` up to `last`. It is not in the queue, and its status is for the
/// events that follow to say. False where the other log is gone; the transaction is then to be dropped.
pub async fn create(tx: &mut TeamTx, new: &NewTask<'_>, from: TaskId, last: Seq) -> Result<bool, StoreError> {
    tasks::insert(tx, new).await?;
    let copied = sqlx::query(
        "INSERT INTO task_events (team, task, seq, run, turn, at, kind, data, private, by_user)
         SELECT team, $2, seq, run, turn, at, kind, data, private, by_user FROM task_events
         WHERE team = current_team() AND task = $1 AND seq <= $3",
    )
    .bind(from.0)
    .bind(new.id.0)
    .bind(last)
    .execute(tx.connection())
    .await?;
    blobs::share(tx, from, new.id).await?;
    set_last(tx, new.id, last).await?;
    Ok(copied.rows_affected() == last as u64)
}

/// Makes a task with this log. It is not in the queue; its status is for the caller to write.
pub async fn import(tx: &mut TeamTx, new: &NewTask<'_>, records: &[Record]) -> Result<(), StoreError> {
    tasks::insert(tx, new).await?;
    for records in records.chunks(ROWS_AT_ONCE) {
        let columns = log::Columns::of_records(records)?;
        let seqs: Vec<Seq> = records.iter().map(|record| record.event.seq).collect();
        let times: Vec<time::OffsetDateTime> = records.iter().map(|record| record.event.at.0).collect();
        sqlx::query(
            "INSERT INTO task_events (team, task, seq, run, turn, at, kind, data, private)
             SELECT $1, $2, e.seq, e.run, e.turn, e.at, e.kind, e.data, e.private
             FROM unnest($3::bigint[], $4::int[], $5::int[], $6::timestamptz[], $7::text[], $8::text[], $9::text[])
                AS e (seq, run, turn, at, kind, data, private)",
        )
        .bind(new.team.0)
        .bind(new.id.0)
        .bind(&seqs)
        .bind(&columns.runs)
        .bind(&columns.turns)
        .bind(&times)
        .bind(&columns.kinds)
        .bind(&columns.data)
        .bind(&columns.private)
        .execute(tx.connection())
        .await?;
    }
    set_last(tx, new.id, records.len() as Seq).await?;
    // What these runs did to memories nobody here has seen.
    sqlx::query("UPDATE tasks SET effects_after = $2 WHERE team = current_team() AND id = $1")
        .bind(new.id.0)
        .bind(records.last().map_or(0, |record| record.event.run as i32))
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Later appends count on from here, and write it into the task's row.
async fn set_last(tx: &mut TeamTx, task: TaskId, last: Seq) -> Result<(), StoreError> {
    sqlx::query("UPDATE task_heads SET last_seq = $2 WHERE team = current_team() AND task = $1")
        .bind(task.0)
        .bind(last)
        .execute(tx.connection())
        .await?;
    Ok(())
}
