//! What an erasure removes, in small transactions that can be done again. Each is told by what it leaves: what is there is
//! still to be done.

use super::{
    Store, StoreError,
    erasures::{self, Counted},
};
use crate::domain::{MemoryId, Seq, TaskId, TeamId, UserId};
use sqlx::{PgConnection, Postgres, Row, Transaction};
use uuid::Uuid;

/// Whoever holds a lock for longer is met in the next round.
const LOCK_WAIT: &str = "SET LOCAL lock_timeout = '5s'";

async fn begin(store: &Store) -> Result<Transaction<'static, Postgres>, StoreError> {
    let mut tx = store.begin().await?;
    sqlx::query(LOCK_WAIT).execute(&mut *tx).await?;
    Ok(tx)
}

/// Tasks of a user, oldest first; with `unfinished` those alone that may still be driven.
pub async fn tasks(
    store: &Store,
    user: UserId,
    unfinished: bool,
    after: Option<TaskId>,
    limit: u32,
) -> Result<Vec<(TeamId, TaskId)>, StoreError> {
    let rows: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "SELECT team, id FROM tasks WHERE created_by = $1 AND ($2::uuid IS NULL OR id > $2)
            AND (NOT $3 OR status IN ('queued', 'running', 'waiting')) ORDER BY id LIMIT $4",
    )
    .bind(user.0)
    .bind(after.map(|task| task.0))
    .bind(unfinished)
    .bind(i64::from(limit))
    .fetch_all(store.across())
    .await?;
    Ok(rows.into_iter().map(|(team, task)| (TeamId(team), TaskId(task))).collect())
}

/// Takes a task from whoever drives it, and out of the queue.
pub async fn fence(store: &Store, task: TaskId) -> Result<(), StoreError> {
    let mut tx = begin(store).await?;
    sqlx::query("UPDATE task_heads SET epoch = epoch + 1 WHERE task = $1").bind(task.0).execute(&mut *tx).await?;
    sqlx::query("DELETE FROM jobs WHERE id = $1").bind(task.0).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

/// Removes a task with its log. What it held is let go afterwards.
pub async fn delete_task(store: &Store, erasure: Uuid, team: TeamId, task: TaskId) -> Result<(), StoreError> {
    let mut tx = begin(store).await?;
    sqlx::query("SELECT 1 FROM task_heads WHERE task = $1 FOR UPDATE").bind(task.0).fetch_optional(&mut *tx).await?;
    for statement in [
        "DELETE FROM jobs WHERE id = $1",
        "DELETE FROM live_pieces WHERE task = $1",
        "DELETE FROM switch_holds WHERE task = $1",
        "DELETE FROM task_events WHERE task = $1",
    ] {
        sqlx::query(statement).bind(task.0).execute(&mut *tx).await?;
    }
    let gone = sqlx::query("DELETE FROM tasks WHERE team = $1 AND id = $2")
        .bind(team.0)
        .bind(task.0)
        .execute(&mut *tx)
        .await?;
    note_holder(&mut tx, erasure, team, task.0).await?;
    erasures::count(&mut tx, erasure, Counted::Tasks, gone.rows_affected()).await?;
    Ok(tx.commit().await?)
}

async fn note_holder(
    connection: &mut PgConnection,
    erasure: Uuid,
    team: TeamId,
    holder: Uuid,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO erasure_holders (erasure, team, holder) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
        .bind(erasure)
        .bind(team.0)
        .bind(holder)
        .execute(connection)
        .await?;
    Ok(())
}

/// Removes his uploads, what he thought of tasks, and what is kept to answer his requests again.
pub async fn delete_small(store: &Store, erasure: Uuid, user: UserId) -> Result<(), StoreError> {
    let mut tx = begin(store).await?;
    let uploads = sqlx::query(
        "WITH gone AS (DELETE FROM uploads WHERE user_id = $2 RETURNING team, id)
         INSERT INTO erasure_holders (erasure, team, holder) SELECT $1, team, id FROM gone ON CONFLICT DO NOTHING",
    )
    .bind(erasure)
    .bind(user.0)
    .execute(&mut *tx)
    .await?;
    let feedback = sqlx::query("DELETE FROM feedback WHERE user_id = $1").bind(user.0).execute(&mut *tx).await?;
    erasures::count(&mut tx, erasure, Counted::Uploads, uploads.rows_affected()).await?;
    erasures::count(&mut tx, erasure, Counted::Feedback, feedback.rows_affected()).await?;
    for statement in [
        "DELETE FROM merges WHERE user_id = $1",
        "UPDATE publishings SET title = NULL, body = NULL, composed = NULL
         WHERE user_id = $1 AND (title IS NOT NULL OR body IS NOT NULL)",
        "DELETE FROM tracker_deliveries WHERE user_id = $1",
        "DELETE FROM idempotency_keys WHERE user_id = $1",
        "UPDATE approvals SET note = NULL, answer = NULL WHERE decided_by = $1 AND (note IS NOT NULL OR answer IS NOT NULL)",
        // What was used stays, and of whom; not on what.
        "UPDATE usage_days SET labels = '{}', repository = NULL
         WHERE user_id = $1 AND (labels <> '{}' OR repository IS NOT NULL)",
    ] {
        sqlx::query(statement).bind(user.0).execute(&mut *tx).await?;
    }
    // His name at what he asked for in the stead of others.
    sqlx::query(
        r#"UPDATE task_events SET data = regexp_replace(data,
            '("requested_by":\{"id":"' || $1::text || '","name":")(?:[^"\\]|\\.)*"', '\1' || $2 || '"')
         WHERE seq = 1 AND kind = 'task.created' AND strpos(data, '"requested_by":{"id":"' || $1::text || '"') > 0
            AND EXISTS (SELECT 1 FROM audit_log WHERE user_id = $1 AND action = 'task.delegated')"#,
    )
    .bind(user.0)
    .bind(crate::domain::event::GONE)
    .execute(&mut *tx)
    .await?;
    sqlx::query("UPDATE team_instructions SET author_name = $2 WHERE author = $1 AND author_name <> $2")
        .bind(user.0)
        .bind(crate::domain::event::GONE)
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

/// Removes what is remembered of checks and of files: a command or a repository may have been his. It is found out anew.
pub async fn forget_caches(store: &Store, teams: &[TeamId]) -> Result<(), StoreError> {
    let teams: Vec<Uuid> = teams.iter().map(|team| team.0).collect();
    for statement in ["DELETE FROM baselines WHERE team = ANY($1)", "DELETE FROM analyses WHERE team = ANY($1)"] {
        sqlx::query(statement).bind(&teams).execute(store.across()).await?;
    }
    Ok(())
}

/// His memories, with their teams and texts.
pub async fn memories(
    store: &Store,
    user: UserId,
    after: Option<MemoryId>,
    limit: u32,
) -> Result<Vec<(TeamId, MemoryId, String)>, StoreError> {
    let rows: Vec<(Uuid, Uuid, String)> = sqlx::query_as(
        "SELECT team, id, text FROM memories WHERE user_id = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3",
    )
    .bind(user.0)
    .bind(after.map(|memory| memory.0))
    .bind(i64::from(limit))
    .fetch_all(store.across())
    .await?;
    Ok(rows.into_iter().map(|(team, id, text)| (TeamId(team), MemoryId(id), text)).collect())
}

/// Tasks of others that were shown one of these memories, and which.
pub async fn shown_to(
    store: &Store,
    team: TeamId,
    user: UserId,
    memories: &[MemoryId],
) -> Result<Vec<(TaskId, MemoryId)>, StoreError> {
    let ids: Vec<Uuid> = memories.iter().map(|memory| memory.0).collect();
    let rows: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "SELECT DISTINCT e.task, m.id FROM task_events e
         JOIN unnest($3::uuid[]) AS m (id) ON strpos(e.data, m.id::text) > 0
         JOIN tasks t ON t.team = e.team AND t.id = e.task AND t.created_by <> $2
         WHERE e.team = $1 AND e.kind = 'memory.used' AND length(e.data) > 20",
    )
    .bind(team.0)
    .bind(user.0)
    .bind(&ids)
    .fetch_all(store.across())
    .await?;
    Ok(rows.into_iter().map(|(task, memory)| (TaskId(task), MemoryId(memory))).collect())
}

/// Removes memories with what hangs on them.
pub async fn delete_memories(store: &Store, erasure: Uuid, memories: &[MemoryId]) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = memories.iter().map(|memory| memory.0).collect();
    let mut tx = begin(store).await?;
    let gone = sqlx::query("DELETE FROM memories WHERE id = ANY($1)").bind(&ids).execute(&mut *tx).await?;
    erasures::count(&mut tx, erasure, Counted::Memories, gone.rows_affected()).await?;
    Ok(tx.commit().await?)
}

/// Tasks of others in which he wrote something, after `after`.
pub async fn spoke_in(
    store: &Store,
    user: UserId,
    after: Option<TaskId>,
    limit: u32,
) -> Result<Vec<(TeamId, TaskId)>, StoreError> {
    let rows: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "SELECT DISTINCT e.team, e.task FROM task_events e JOIN tasks t ON t.team = e.team AND t.id = e.task
         WHERE e.by_user = $1 AND t.created_by <> $1 AND ($2::uuid IS NULL OR e.task > $2) ORDER BY e.task LIMIT $3",
    )
    .bind(user.0)
    .bind(after.map(|task| task.0))
    .bind(i64::from(limit))
    .fetch_all(store.across())
    .await?;
    Ok(rows.into_iter().map(|(team, task)| (TeamId(team), TaskId(task))).collect())
}

/// A row of a log that holds something of his.
#[derive(Clone, Debug)]
pub struct Said {
    pub seq: Seq,
    pub kind: String,
    /// JSON texts.
    pub data: String,
    pub private: Option<String>,
}

/// A task of somebody else, held while words are taken out of it. Nobody writes to its log meanwhile.
#[derive(Debug)]
pub struct Retelling {
    tx: Transaction<'static, Postgres>,
    team: TeamId,
    task: TaskId,
}

impl Retelling {
    /// None where the task is under way: its worker has read the words already, and is waited for; or is gone.
    pub async fn of_resting(store: &Store, team: TeamId, task: TaskId) -> Result<Option<Self>, StoreError> {
        let mut tx = begin(store).await?;
        sqlx::query("SELECT 1 FROM task_heads WHERE task = $1 FOR UPDATE")
            .bind(task.0)
            .fetch_optional(&mut *tx)
            .await?;
        let rests: Option<bool> =
            sqlx::query_scalar("SELECT status NOT IN ('queued', 'running') FROM tasks WHERE team = $1 AND id = $2")
                .bind(team.0)
                .bind(task.0)
                .fetch_optional(&mut *tx)
                .await?;
        Ok(rests.unwrap_or(false).then_some(Self { tx, team, task }))
    }

    /// What he wrote.
    pub async fn said_by(&mut self, user: UserId) -> Result<Vec<Said>, StoreError> {
        let rows = sqlx::query(
            "SELECT seq, kind, data, private FROM task_events WHERE task = $1 AND by_user = $2 ORDER BY seq",
        )
        .bind(self.task.0)
        .bind(user.0)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(said).collect()
    }

    /// What tells of memories and of questions that people were asked, and what holds one of these words, written as in
    /// JSON.
    pub async fn holding(&mut self, words: &[String]) -> Result<Vec<Said>, StoreError> {
        let rows = sqlx::query(
            "SELECT seq, kind, data, private FROM task_events WHERE task = $1 AND (
                kind IN ('memory.used', 'task.result', 'approval.requested')
                OR (kind = 'tool.completed' AND strpos(data, '\"ask_user\"') > 0)
                OR EXISTS (SELECT 1 FROM unnest($2::text[]) AS w (word) WHERE strpos(data, w.word) > 0 OR strpos(private, w.word) > 0))
             ORDER BY seq",
        )
        .bind(self.task.0)
        .bind(words)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(said).collect()
    }

    /// What tells of memories.
    pub async fn of_memories(&mut self) -> Result<Vec<Said>, StoreError> {
        let rows = sqlx::query(
            "SELECT seq, kind, data, private FROM task_events WHERE task = $1 AND kind IN ('memory.used', 'task.result') ORDER BY seq",
        )
        .bind(self.task.0)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(said).collect()
    }

    /// Writes a row as it is without his words.
    pub async fn retell(&mut self, said: &Said) -> Result<(), StoreError> {
        sqlx::query("UPDATE task_events SET data = $3, private = $4 WHERE task = $1 AND seq = $2")
            .bind(self.task.0)
            .bind(said.seq)
            .bind(&said.data)
            .bind(said.private.as_deref())
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// The words are out: answers that are kept of how the task was made go too.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM idempotency_keys WHERE team = $1 AND headers = '/v1/tasks/' || $2::text")
            .bind(self.team.0)
            .bind(self.task.0)
            .execute(&mut *self.tx)
            .await?;
        Ok(self.tx.commit().await?)
    }

    /// What the task's row shows beside its columns, as its log says it now.
    pub async fn show(mut self, detail: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE tasks SET detail = $3, edits = edits + 1 WHERE team = $1 AND id = $2 AND detail <> $3")
            .bind(self.team.0)
            .bind(self.task.0)
            .bind(detail)
            .execute(&mut *self.tx)
            .await?;
        Ok(self.tx.commit().await?)
    }

    /// What the task's row shows, as its log says it now; and with that he wrote nothing here.
    pub async fn settle(mut self, erasure: Uuid, user: UserId, row: &Retold<'_>) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE tasks SET detail = $3, title = coalesce($4, title), request = coalesce($5, request),
                spec = coalesce($6, spec), labels = CASE WHEN $6 IS NULL THEN labels ELSE '{}' END, edits = edits + 1
             WHERE team = $1 AND id = $2",
        )
        .bind(self.team.0)
        .bind(self.task.0)
        .bind(row.detail)
        .bind(row.title)
        .bind(row.request)
        .bind(row.spec)
        .execute(&mut *self.tx)
        .await?;
        let done = sqlx::query("UPDATE task_events SET by_user = NULL WHERE task = $1 AND by_user = $2")
            .bind(self.task.0)
            .bind(user.0)
            .execute(&mut *self.tx)
            .await?;
        erasures::count(&mut self.tx, erasure, Counted::SaidElsewhere, done.rows_affected()).await?;
        Ok(self.tx.commit().await?)
    }
}

/// What becomes of a task's row; what is absent stays.
#[derive(Clone, Copy, Debug)]
pub struct Retold<'a> {
    /// JSON text.
    pub detail: &'a str,
    pub title: Option<&'a str>,
    pub request: Option<&'a str>,
    /// JSON text.
    pub spec: Option<&'a str>,
}

fn said(row: &sqlx::postgres::PgRow) -> Result<Said, StoreError> {
    Ok(Said {
        seq: row.try_get("seq")?,
        kind: row.try_get("kind")?,
        data: row.try_get("data")?,
        private: row.try_get("private")?,
    })
}

/// Lets go of some of what his tasks and uploads held, and removes what nobody else holds; how many of both. While it
/// does nobody begins to hold anything: a content that another task is about to hold is seen to be held, or is stored anew.
pub async fn let_contents_go(store: &Store, erasure: Uuid, limit: u32) -> Result<u64, StoreError> {
    let mut tx = begin(store).await?;
    sqlx::query("LOCK TABLE blob_uses IN SHARE ROW EXCLUSIVE MODE").execute(&mut *tx).await?;
    let row = sqlx::query(
        "WITH mine AS (
            SELECT u.team, u.hash, u.holder FROM blob_uses u
            JOIN erasure_holders h ON h.holder = u.holder WHERE h.erasure = $1 LIMIT $2
         ), let_go AS (
            DELETE FROM blob_uses u USING mine m WHERE u.holder = m.holder AND u.hash = m.hash RETURNING u.team, u.hash
         ), gone AS (
            DELETE FROM blobs b USING (SELECT DISTINCT team, hash FROM mine) l
            WHERE b.team = l.team AND b.hash = l.hash AND NOT EXISTS (
                SELECT 1 FROM blob_uses u WHERE u.team = b.team AND u.hash = b.hash
                    AND NOT EXISTS (SELECT 1 FROM mine m WHERE m.holder = u.holder AND m.hash = u.hash))
            RETURNING b.team, b.hash, b.object, b.content IS NULL AS outside
         ), noted AS (
            INSERT INTO erasure_objects (erasure, key)
            SELECT $1, coalesce(object, team::text || '/' || left(hash, 2) || '/' || hash) FROM gone WHERE outside
            ON CONFLICT DO NOTHING
         )
         SELECT (SELECT count(*) FROM let_go) AS let_go, (SELECT count(*) FROM gone) AS gone",
    )
    .bind(erasure)
    .bind(i64::from(limit))
    .fetch_one(&mut *tx)
    .await?;
    erasures::count(&mut tx, erasure, Counted::Contents, row.try_get::<i64, _>("gone")? as u64).await?;
    tx.commit().await?;
    Ok(row.try_get::<i64, _>("let_go")? as u64)
}

/// Objects that no row names any more.
pub async fn objects(store: &Store, erasure: Uuid, limit: u32) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar("SELECT key FROM erasure_objects WHERE erasure = $1 ORDER BY key LIMIT $2")
        .bind(erasure)
        .bind(i64::from(limit))
        .fetch_all(store.across())
        .await?)
}

/// Says that an object was removed.
pub async fn object_removed(store: &Store, erasure: Uuid, key: &str) -> Result<(), StoreError> {
    let mut tx = begin(store).await?;
    let gone = sqlx::query("DELETE FROM erasure_objects WHERE erasure = $1 AND key = $2")
        .bind(erasure)
        .bind(key)
        .execute(&mut *tx)
        .await?;
    erasures::count(&mut tx, erasure, Counted::Objects, gone.rows_affected()).await?;
    Ok(tx.commit().await?)
}

/// Forgets who held what; all of it was let go.
pub async fn forget_holders(store: &Store, erasure: Uuid) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM erasure_holders WHERE erasure = $1").bind(erasure).execute(store.across()).await?;
    Ok(())
}
