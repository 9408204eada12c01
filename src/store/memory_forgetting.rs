//! Deleting memories so that no trace of them stays: their rows and what goes with those, what was made from them alone,
//! and their texts in the logs of tasks that were shown them.
//!
//! A log is otherwise only appended to. Here the texts alone go: ids, seqs and everything else stay as they were.

use super::{StoreError, TeamTx};
use crate::domain::{MemoryId, Seq, TaskId};
use sqlx::Row;
use uuid::Uuid;

/// A text of a task's log that may tell of a memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub task: TaskId,
    pub seq: Seq,
    /// JSON texts.
    pub data: String,
    pub private: Option<String>,
}

/// The memories that were made from these alone, directly or by way of one another, and have no evidence of their own.
pub async fn made_from_alone(tx: &mut TeamTx, ids: &[MemoryId]) -> Result<Vec<MemoryId>, StoreError> {
    let mut gone: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    loop {
        let found: Vec<Uuid> = sqlx::query_scalar(
            "SELECT DISTINCT d.memory FROM memory_derivations d
             JOIN memories m ON m.team = d.team AND m.id = d.memory AND m.evidence IS NULL
             WHERE d.team = current_team() AND d.source = ANY($1) AND d.memory <> ALL($1) AND NOT EXISTS (
                SELECT 1 FROM memory_derivations o
                WHERE o.team = d.team AND o.memory = d.memory AND o.source <> ALL($1))",
        )
        .bind(&gone)
        .fetch_all(tx.connection())
        .await?;
        if found.is_empty() {
            return Ok(gone.into_iter().skip(ids.len()).map(MemoryId).collect());
        }
        gone.extend(found);
    }
}

/// The texts of memories, with their ids.
pub async fn texts(tx: &mut TeamTx, ids: &[MemoryId]) -> Result<Vec<(MemoryId, String)>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let mut texts: Vec<(Uuid, String)> =
        sqlx::query_as("SELECT id, text FROM memories WHERE team = current_team() AND id = ANY($1)")
            .bind(&ids)
            .fetch_all(tx.connection())
            .await?;
    // What it said before somebody changed it was shown as well.
    let earlier: Vec<(Uuid, String)> = sqlx::query_as(
        "SELECT memory, before::json ->> 'text' FROM memory_history
         WHERE team = current_team() AND memory = ANY($1) AND before::json ->> 'text' IS NOT NULL",
    )
    .bind(&ids)
    .fetch_all(tx.connection())
    .await?;
    texts.extend(earlier);
    Ok(texts.into_iter().map(|(id, text)| (MemoryId(id), text)).collect())
}

/// Tasks of the team that were shown one of these memories.
pub async fn shown_to(tx: &mut TeamTx, ids: &[MemoryId]) -> Result<Vec<TaskId>, StoreError> {
    let patterns: Vec<String> = ids.iter().map(|id| format!("%{id}%")).collect();
    let tasks: Vec<Uuid> = sqlx::query_scalar(
        "SELECT DISTINCT task FROM task_events
         WHERE team = current_team() AND kind = 'memory.used' AND length(data) > 20 AND data LIKE ANY($1)",
    )
    .bind(patterns)
    .fetch_all(tx.connection())
    .await?;
    Ok(tasks.into_iter().map(TaskId).collect())
}

/// The rows of tasks' logs that hold one of `words`, or are of a kind that tells of memories.
pub async fn told(tx: &mut TeamTx, tasks: &[TaskId], words: &[String]) -> Result<Vec<Told>, StoreError> {
    let tasks: Vec<Uuid> = tasks.iter().map(|task| task.0).collect();
    let rows = sqlx::query(
        "SELECT task, seq, data, private FROM task_events
         WHERE team = current_team() AND task = ANY($1) AND (kind IN ('memory.used', 'task.result') OR EXISTS (
            SELECT 1 FROM unnest($2::text[]) AS w (word)
            WHERE strpos(data, w.word) > 0 OR strpos(private, w.word) > 0))
         ORDER BY task, seq",
    )
    .bind(tasks)
    .bind(words)
    .fetch_all(tx.connection())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Told {
                task: TaskId(row.try_get("task")?),
                seq: row.try_get("seq")?,
                data: row.try_get("data")?,
                private: row.try_get("private")?,
            })
        })
        .collect()
}

/// Writes a row of a log as it is without what is forgotten.
pub async fn retell(tx: &mut TeamTx, told: &Told) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE task_events SET data = $3, private = $4 WHERE team = current_team() AND task = $1 AND seq = $2",
    )
    .bind(told.task.0)
    .bind(told.seq)
    .bind(&told.data)
    .bind(told.private.as_deref())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Takes a word out of what people were asked about in tasks, and of what they answered.
pub async fn in_approvals(tx: &mut TeamTx, tasks: &[TaskId], word: &str, in_place: &str) -> Result<(), StoreError> {
    let tasks: Vec<Uuid> = tasks.iter().map(|task| task.0).collect();
    sqlx::query(
        "UPDATE approvals SET subject = replace(subject, $2, $3), note = replace(note, $2, $3), answer = replace(answer, $2, $3)
         WHERE team = current_team() AND task = ANY($1)
            AND (strpos(subject, $2) > 0 OR strpos(note, $2) > 0 OR strpos(answer, $2) > 0)",
    )
    .bind(tasks)
    .bind(word)
    .bind(in_place)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// What the row of a task shows beside its columns, as JSON text.
pub async fn detail(tx: &mut TeamTx, task: TaskId) -> Result<Option<String>, StoreError> {
    Ok(sqlx::query_scalar("SELECT detail FROM tasks WHERE team = current_team() AND id = $1")
        .bind(task.0)
        .fetch_optional(tx.connection())
        .await?)
}

/// Writes it, and counts the change for the task's tag.
pub async fn set_detail(tx: &mut TeamTx, task: TaskId, detail: &str) -> Result<(), StoreError> {
    sqlx::query("UPDATE tasks SET detail = $2, edits = edits + 1 WHERE team = current_team() AND id = $1")
        .bind(task.0)
        .bind(detail)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Removes memories with all that their rows bring along, and what repeated requests would be answered of them: those
/// that made them, and others' that hold one of `words`.
pub async fn delete(tx: &mut TeamTx, ids: &[MemoryId], words: &[String], in_place: &str) -> Result<(), StoreError> {
    let uuids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let paths: Vec<String> = ids.iter().map(|id| format!("/v1/memories/{id}")).collect();
    sqlx::query("DELETE FROM memories WHERE team = current_team() AND id = ANY($1)")
        .bind(&uuids)
        .execute(tx.connection())
        .await?;
    sqlx::query(
        "UPDATE idempotency_keys SET status = 410, headers = NULL, body = $2
         WHERE team = current_team() AND headers = ANY($1)",
    )
    .bind(paths)
    .bind(GONE)
    .execute(tx.connection())
    .await?;
    for word in words {
        sqlx::query(
            "UPDATE idempotency_keys SET body = convert_to(replace(convert_from(body, 'UTF8'), $1, $2), 'UTF8')
             WHERE team = current_team() AND position(convert_to($1, 'UTF8') IN body) > 0",
        )
        .bind(word)
        .bind(in_place)
        .execute(tx.connection())
        .await?;
    }
    Ok(())
}

/// What a repeated request is answered that made a memory which is gone.
const GONE: &[u8] =
    br#"{"type":"about:blank","title":"Gone","status":410,"code":"gone","detail":"what this request made was deleted"}"#;
