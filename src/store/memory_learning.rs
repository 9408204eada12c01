//! Memories as learning writes them: found again, made once, borne out further, superseded, grown stale.
//!
//! Who decides what is new holds the lock of its owner: two workers never make the same memory beside each other.

use super::{Store, StoreError, TeamTx, memories};
use crate::domain::{
    MemoryId, TaskId, TeamId, UserId,
    memory::{MEMORY_EVIDENCE_MAX, Memory, MemoryEvidence, MemoryOrigins, MemoryState},
};
use sqlx::Row;
use std::{collections::HashMap, time::Duration};
use uuid::Uuid;

/// Held until the transaction ends by whoever makes memories for a user of a team.
pub async fn lock(tx: &mut TeamTx, user: UserId) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('memories ' || current_team()::text || $1::text, 0))")
        .bind(user.0)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Memories, of whatever state, that are a user's own without a repository or for this one, or the team's for this one:
/// those that have most words in common with `text` and the newest, `limit` of each.
pub async fn alike(
    tx: &mut TeamTx,
    user: UserId,
    repository: Option<&str>,
    text: &str,
    limit: u32,
) -> Result<Vec<Memory>, StoreError> {
    let rows = sqlx::query(
        "WITH q AS (SELECT replace(plainto_tsquery('english', $3)::text, ' & ', ' | ')::tsquery AS words),
         beside AS (
            SELECT m.id, m.search FROM memories m
            WHERE m.team = current_team()
                AND ((m.user_id = $1 AND m.scope = 'user')
                    OR (m.repository = $2 AND (m.user_id = $1 OR m.scope = 'team_repository')))
         ), found AS (
            (SELECT b.id FROM beside b, q WHERE b.search @@ q.words ORDER BY ts_rank(b.search, q.words) DESC, b.id DESC LIMIT $4)
            UNION (SELECT id FROM beside ORDER BY id DESC LIMIT $4)
         )
         SELECT id, team, user_id, text, kind, scope, repository, state, origin, evidence, used, helped, hurt,
            last_used_at, superseded_by, created_at, updated_at
         FROM memories WHERE team = current_team() AND id IN (SELECT id FROM found) ORDER BY id DESC",
    )
    .bind(user.0)
    .bind(repository)
    .bind(text)
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(memories::memory_row).collect()
}

/// How many memories wait for a user to decide about them.
pub async fn proposals(tx: &mut TeamTx, user: UserId) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar(
        "SELECT count(*) FROM memories WHERE team = current_team() AND user_id = $1 AND state = 'proposed'",
    );
    Ok(count.bind(user.0).fetch_one(tx.connection()).await?)
}

/// How many memories the agent's tool has proposed in a task.
pub async fn proposed_by_tool(tx: &mut TeamTx, task: TaskId) -> Result<i64, StoreError> {
    let count =
        sqlx::query_scalar("SELECT count(*) FROM memories WHERE team = current_team() AND starts_with(made_by, $1)");
    Ok(count.bind(format!("tool/{task}/")).fetch_one(tx.connection()).await?)
}

/// Those of `users` that are members of the team and may write.
pub async fn writers(tx: &mut TeamTx, users: &[UserId]) -> Result<Vec<UserId>, StoreError> {
    let ids: Vec<Uuid> = users.iter().map(|user| user.0).collect();
    let found: Vec<Uuid> = sqlx::query_scalar(
        "SELECT user_id FROM members WHERE team = current_team() AND user_id = ANY($1) AND role IN ('member', 'admin')",
    )
    .bind(ids)
    .fetch_all(tx.connection())
    .await?;
    Ok(found.into_iter().map(UserId).collect())
}

/// Writes a memory that `made_by` makes. False where it was made before.
pub async fn make(
    tx: &mut TeamTx,
    memory: &Memory,
    made_by: &str,
    replaces: Option<MemoryId>,
) -> Result<bool, StoreError> {
    let evidence = memory.evidence.as_ref().map(|evidence| written(evidence, memory.id)).transpose()?;
    let done = sqlx::query(
        "INSERT INTO memories (team, id, user_id, text, kind, scope, repository, state, origin, evidence, made_by, replaces)
         VALUES (current_team(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (team, made_by) WHERE made_by IS NOT NULL DO NOTHING",
    )
    .bind(memory.id.0)
    .bind(memory.user.0)
    .bind(&memory.text)
    .bind(memories::word(memory.kind))
    .bind(memories::word(memory.scope))
    .bind(memory.repository.as_deref())
    .bind(memories::word(memory.state))
    .bind(memories::word(memory.origin))
    .bind(evidence)
    .bind(made_by)
    .bind(replaces.map(|id| id.0))
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether its owner has a memory of the same text, scope and repository, of whatever state.
pub async fn holds(tx: &mut TeamTx, memory: &Memory) -> Result<bool, StoreError> {
    let found = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM memories WHERE team = current_team() AND user_id = $1 AND text = $2
            AND scope = $3 AND repository IS NOT DISTINCT FROM $4)",
    );
    let found = found.bind(memory.user.0).bind(&memory.text).bind(memories::word(memory.scope));
    Ok(found.bind(memory.repository.as_deref()).fetch_one(tx.connection()).await?)
}

/// The memory that `made_by` has made.
pub async fn made(tx: &mut TeamTx, made_by: &str) -> Result<Option<MemoryId>, StoreError> {
    let found: Option<Uuid> =
        sqlx::query_scalar("SELECT id FROM memories WHERE team = current_team() AND made_by = $1")
            .bind(made_by)
            .fetch_optional(tx.connection())
            .await?;
    Ok(found.map(MemoryId))
}

/// Writes what bears a memory out further, and its state with it. Evidence of a task that it has evidence of already
/// takes the place of that; of more than [`MEMORY_EVIDENCE_MAX`] pieces the newest stay.
pub async fn bear_out(
    tx: &mut TeamTx,
    memory: &Memory,
    evidence: MemoryEvidence,
    state: Option<MemoryState>,
) -> Result<(), StoreError> {
    let id = memory.id;
    let mut more = origins(tx, &[id]).await?.remove(&id).unwrap_or_default().more_evidence;
    more.retain(|known| known.task != evidence.task);
    more.push(evidence);
    more.drain(..more.len().saturating_sub(MEMORY_EVIDENCE_MAX));
    let more = serde_json::to_string(&more).map_err(|_| StoreError::corrupt("memories", "more_evidence", id))?;
    sqlx::query(
        "UPDATE memories SET more_evidence = $2, state = coalesce($3, state), updated_at = now()
         WHERE team = current_team() AND id = $1",
    )
    .bind(id.0)
    .bind(more)
    .bind(state.map(memories::word))
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Lets another memory take one's place.
pub async fn supersede(tx: &mut TeamTx, memory: MemoryId, by: MemoryId) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE memories SET superseded_by = $2, state = 'stale', updated_at = now()
         WHERE team = current_team() AND id = $1 AND id <> $2",
    )
    .bind(memory.0)
    .bind(by.0)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Writes who made a proposal active; what it was to replace is replaced by then.
pub async fn confirm(tx: &mut TeamTx, memory: MemoryId, by: UserId) -> Result<(), StoreError> {
    sqlx::query("UPDATE memories SET confirmed_by = $2, replaces = NULL WHERE team = current_team() AND id = $1")
        .bind(memory.0)
        .bind(by.0)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Writes that a memory was made from others.
pub async fn derive(tx: &mut TeamTx, memory: MemoryId, sources: &[MemoryId]) -> Result<(), StoreError> {
    let sources: Vec<Uuid> = sources.iter().map(|id| id.0).collect();
    sqlx::query(
        "INSERT INTO memory_derivations (team, memory, source)
         SELECT current_team(), $1, unnest($2::uuid[]) ON CONFLICT DO NOTHING",
    )
    .bind(memory.0)
    .bind(sources)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// What memories came from beside their first evidence.
pub async fn origins(tx: &mut TeamTx, ids: &[MemoryId]) -> Result<HashMap<MemoryId, MemoryOrigins>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query(
        "SELECT m.id, m.more_evidence, m.replaces, m.confirmed_by,
            ARRAY(SELECT d.source FROM memory_derivations d WHERE d.team = m.team AND d.memory = m.id ORDER BY d.source) AS sources
         FROM memories m WHERE m.team = current_team() AND m.id = ANY($1)",
    )
    .bind(ids)
    .fetch_all(tx.connection())
    .await?;
    rows.iter()
        .map(|row| {
            let id = MemoryId(row.try_get("id")?);
            let more: String = row.try_get("more_evidence")?;
            let more_evidence =
                serde_json::from_str(&more).map_err(|_| StoreError::corrupt("memories", "more_evidence", id))?;
            let origins = MemoryOrigins {
                more_evidence,
                replaces: row.try_get::<Option<Uuid>, _>("replaces")?.map(MemoryId),
                confirmed_by: row.try_get::<Option<Uuid>, _>("confirmed_by")?.map(UserId),
                derived_from: row.try_get::<Vec<Uuid>, _>("sources")?.into_iter().map(MemoryId).collect(),
            };
            Ok((id, origins))
        })
        .collect()
}

/// A memory that has grown stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decayed {
    pub team: TeamId,
    pub memory: MemoryId,
}

/// Lets memories grow stale that were learnt and neither used nor changed for `idle`, and proposals about which nobody
/// has decided for so long; the longest idle first, one for each of `ids`, which their histories' entries get. Those that
/// a person wrote himself stay as they are.
pub async fn decay(store: &Store, idle: Duration, ids: &[Uuid]) -> Result<Vec<Decayed>, StoreError> {
    let rows = sqlx::query(
        "WITH idle AS (
            SELECT team, id FROM memories
            WHERE coalesce(last_used_at, updated_at) < now() - $1 * interval '1 second'
                AND updated_at < now() - $1 * interval '1 second'
                AND (state = 'proposed' OR (state = 'active' AND origin <> 'user'))
            ORDER BY coalesce(last_used_at, updated_at) LIMIT cardinality($2::uuid[]) FOR UPDATE SKIP LOCKED
         ), changed AS (
            UPDATE memories SET state = 'stale', updated_at = now() FROM idle
            WHERE memories.team = idle.team AND memories.id = idle.id RETURNING memories.team, memories.id
         ), numbered AS (
            SELECT team, id, ($2::uuid[])[row_number() OVER ()] AS entry FROM changed
         ), audited AS (
            INSERT INTO audit_log (team, id, actor, action, subject_kind, subject, detail)
            SELECT team, entry, 'service', 'memory.updated', 'memory', id::text, '{\"state\":\"stale\"}' FROM numbered
         )
         INSERT INTO memory_history (team, id, memory, what, detail, after)
         SELECT team, entry, id, 'stale', 'it was not used for long', '{\"state\":\"stale\"}' FROM numbered
         RETURNING team, memory",
    )
    .bind(idle.as_secs_f64())
    .bind(ids)
    .fetch_all(store.across())
    .await?;
    rows.iter()
        .map(|row| Ok(Decayed { team: TeamId(row.try_get("team")?), memory: MemoryId(row.try_get("memory")?) }))
        .collect()
}

fn written(evidence: &MemoryEvidence, id: MemoryId) -> Result<String, StoreError> {
    serde_json::to_string(evidence).map_err(|_| StoreError::corrupt("memories", "evidence", id))
}
