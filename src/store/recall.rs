//! What recall reads: words and vectors of memories by the place where they are recalled, and what it does to those that it
//! found. A place is a user, a user in a repository, or a repository of a team.

use super::{Store, StoreError, memories};
use crate::domain::{
    MemoryId, TaskId, TeamId, UserId,
    memory::{Memory, MemoryKind, MemoryScope},
};
use sqlx::{PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

/// Memories of one place that are searched, those changed last.
const PLACE_MAX: i64 = 20_000;

/// A place and what tells whether something has changed there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub id: Uuid,
    pub scope: MemoryScope,
    pub stamp: Stamp,
}

/// Equal as long as nobody adds, changes or removes a memory of the place. That one was used changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(i64);

/// A memory as a search keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Searched {
    pub id: MemoryId,
    pub version: i64,
    pub kind: MemoryKind,
    /// Stems, by Postgres' text search.
    pub words: Vec<String>,
    pub vector: Option<Vec<f32>>,
}

/// Texts as the stems that Postgres' text search knows them by, identifiers also by their parts.
pub async fn stems(store: &Store, texts: &[&str]) -> Result<Vec<Vec<String>>, StoreError> {
    let rows = sqlx::query_scalar(
        "SELECT tsvector_to_array(to_tsvector('english', with_parts(text)))
         FROM unnest($1::text[]) WITH ORDINALITY AS t (text, place) ORDER BY place",
    )
    .bind(texts)
    .fetch_all(store.across())
    .await?;
    Ok(rows)
}

/// The places from which a task of `user` recalls, without those where nothing is.
pub async fn places(
    store: &Store,
    team: TeamId,
    user: UserId,
    repository: Option<&str>,
) -> Result<Vec<Place>, StoreError> {
    let rows = sqlx::query(
        "SELECT s.scope, p.place, p.version
         FROM unnest(CASE WHEN $3::text IS NULL THEN ARRAY['user']
            ELSE ARRAY['user', 'user_repository', 'team_repository'] END) AS s (scope)
            JOIN memory_places p ON p.team = $1 AND p.place = memory_place(s.scope, $2, $3)
         ORDER BY s.scope",
    )
    .bind(team.0)
    .bind(user.0)
    .bind(repository)
    .fetch_all(store.across())
    .await?;
    rows.iter().map(place).collect()
}

/// All places from which tasks of `user` could recall, whatever their repository; at most `limit`, those with the newest memories.
pub async fn all_places(store: &Store, team: TeamId, user: UserId, limit: u32) -> Result<Vec<Place>, StoreError> {
    let rows = sqlx::query(
        "WITH own AS (
            SELECT place, scope, newest FROM (
                SELECT place, min(scope) AS scope, max(version) AS newest FROM memories
                WHERE team = $1 AND user_id = $2 AND state = 'active' AND superseded_by IS NULL AND scope <> 'team_repository'
                GROUP BY place
                UNION ALL
                SELECT place, min(scope), max(version) FROM memories
                WHERE team = $1 AND scope = 'team_repository' AND state = 'active' AND superseded_by IS NULL
                GROUP BY place
            ) places ORDER BY newest DESC LIMIT $3
         )
         SELECT own.scope, p.place, p.version FROM own JOIN memory_places p ON p.team = $1 AND p.place = own.place
         ORDER BY own.scope, p.place",
    )
    .bind(team.0)
    .bind(user.0)
    .bind(i64::from(limit))
    .fetch_all(store.across())
    .await?;
    rows.iter().map(place).collect()
}

fn place(row: &PgRow) -> Result<Place, StoreError> {
    let id: Uuid = row.try_get("place")?;
    Ok(Place { id, scope: of_word(row.try_get("scope")?, "scope", id)?, stamp: Stamp(row.try_get("version")?) })
}

/// The memories of a place that are searched, with their versions.
pub async fn versions(store: &Store, team: TeamId, place: Uuid) -> Result<Vec<(MemoryId, i64)>, StoreError> {
    let rows: Vec<(Uuid, i64)> = sqlx::query_as(
        "SELECT id, version FROM memories
         WHERE team = $1 AND place = $2 AND state = 'active' AND superseded_by IS NULL
         ORDER BY version DESC LIMIT $3",
    )
    .bind(team.0)
    .bind(place)
    .bind(PLACE_MAX)
    .fetch_all(store.across())
    .await?;
    Ok(rows.into_iter().map(|(id, version)| (MemoryId(id), version)).collect())
}

/// Some of them, with words, and with the vectors that `model` made where there are any.
pub async fn searched(
    store: &Store,
    team: TeamId,
    ids: &[MemoryId],
    model: Option<&str>,
) -> Result<Vec<Searched>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query(
        "SELECT m.id, m.version, m.kind, tsvector_to_array(m.words) AS words, v.numbers
         FROM memories m LEFT JOIN memory_vectors v ON v.team = m.team AND v.memory = m.id AND v.model = $3
         WHERE m.team = $1 AND m.id = ANY($2)",
    )
    .bind(team.0)
    .bind(ids)
    .bind(model)
    .fetch_all(store.across())
    .await?;
    rows.iter()
        .map(|row| {
            let id: Uuid = row.try_get("id")?;
            Ok(Searched {
                id: MemoryId(id),
                version: row.try_get("version")?,
                kind: of_word(row.try_get("kind")?, "kind", id)?,
                words: row.try_get("words")?,
                vector: row.try_get("numbers")?,
            })
        })
        .collect()
}

/// Those of these memories that are active and not superseded now.
pub async fn active(store: &Store, team: TeamId, ids: &[MemoryId]) -> Result<Vec<Memory>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query(
        "SELECT id, team, user_id, text, kind, scope, repository, state, origin, evidence, used, helped, hurt,
            last_used_at, superseded_by, created_at, updated_at
         FROM memories WHERE team = $1 AND id = ANY($2) AND state = 'active' AND superseded_by IS NULL",
    )
    .bind(team.0)
    .bind(ids)
    .fetch_all(store.across())
    .await?;
    rows.iter().map(memories::memory_row).collect()
}

/// The nearest memories of some places and what all of them are like.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Nearest {
    /// Each with its cosine, best first.
    pub memories: Vec<(MemoryId, f32)>,
    /// Of all in the places, not of these alone.
    pub count: i64,
    pub mean: f32,
}

/// The nearest memories of some places by pgvector. Only where [`Store::has_pgvector`].
pub async fn nearest(
    store: &Store,
    team: TeamId,
    places: &[Uuid],
    model: &str,
    vector: &[f32],
    limit: u32,
) -> Result<Nearest, StoreError> {
    let rows: Vec<(Uuid, f64, i64, f64)> = sqlx::query_as(
        "WITH near AS MATERIALIZED (
            SELECT m.id, 1 - (v.numbers::vector <=> $4::real[]::vector) AS cosine
            FROM memories m JOIN memory_vectors v ON v.team = m.team AND v.memory = m.id AND v.model = $3
            WHERE m.team = $1 AND m.place = ANY($2) AND m.state = 'active' AND m.superseded_by IS NULL
                AND cardinality(v.numbers) = cardinality($4::real[])
         )
         SELECT id, cosine, all_of.count, all_of.mean FROM near, (SELECT count(*), avg(cosine) AS mean FROM near) all_of
         ORDER BY cosine DESC, id LIMIT $5",
    )
    .bind(team.0)
    .bind(places)
    .bind(model)
    .bind(vector)
    .bind(i64::from(limit))
    .fetch_all(store.across())
    .await?;
    let (count, mean) = rows.first().map_or((0, 0.0), |(_, _, count, mean)| (*count, *mean as f32));
    let memories = rows.into_iter().map(|(id, cosine, ..)| (MemoryId(id), cosine as f32)).collect();
    Ok(Nearest { memories, count, mean })
}

fn of_word<T: serde::de::DeserializeOwned>(word: String, column: &'static str, id: Uuid) -> Result<T, StoreError> {
    serde_json::from_value(serde_json::Value::String(word)).map_err(|_| StoreError::corrupt("memories", column, id))
}

/// What a recall does to the memories that it found, written with the event that tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewRecall {
    /// Those that went into the prompt.
    pub used: Vec<MemoryId>,
    /// Those that speak of files which are not what they were.
    pub stale: Vec<NewStale>,
}

/// A memory that is stale from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewStale {
    /// Of the entry in its history.
    pub entry: Uuid,
    pub memory: MemoryId,
    pub why: String,
}

/// Counts uses and makes stale, in the transaction of the event.
pub(super) async fn note(
    connection: &mut PgConnection,
    team: TeamId,
    task: TaskId,
    recall: &NewRecall,
) -> Result<(), StoreError> {
    if !recall.used.is_empty() {
        note_use(connection, team, &recall.used).await?;
    }
    // In one order, so that tasks that recall the same wait for each other in one direction.
    let mut stale: Vec<&NewStale> = recall.stale.iter().collect();
    stale.sort_by_key(|one| one.memory);
    for one in stale {
        make_stale(connection, team, task, one).await?;
    }
    Ok(())
}

async fn note_use(connection: &mut PgConnection, team: TeamId, ids: &[MemoryId]) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    sqlx::query(
        "WITH those AS (SELECT id FROM memories WHERE team = $1 AND id = ANY($2) ORDER BY id FOR UPDATE)
         UPDATE memories SET used = used + 1, last_used_at = now() FROM those
         WHERE memories.team = $1 AND memories.id = those.id",
    )
    .bind(team.0)
    .bind(ids)
    .execute(connection)
    .await?;
    Ok(())
}

/// Nothing where it is not active any more.
async fn make_stale(
    connection: &mut PgConnection,
    team: TeamId,
    task: TaskId,
    new: &NewStale,
) -> Result<(), StoreError> {
    sqlx::query(
        "WITH changed AS (
            UPDATE memories SET state = 'stale', updated_at = now() WHERE team = $1 AND id = $3 AND state = 'active'
            RETURNING team, id
         ), audited AS (
            INSERT INTO audit_log (team, id, actor, action, subject_kind, subject, detail)
            SELECT team, $2, 'service', 'memory.updated', 'memory', id::text, json_build_object('state', 'stale', 'task', $4::uuid)::text
            FROM changed
         )
         INSERT INTO memory_history (team, id, memory, what, task, detail, before, after)
         SELECT team, $2, id, 'stale', $4::uuid, $5, '{\"state\":\"active\"}', '{\"state\":\"stale\"}' FROM changed",
    )
    .bind(team.0)
    .bind(new.entry)
    .bind(new.memory.0)
    .bind(task.0)
    .bind(&new.why)
    .execute(connection)
    .await?;
    Ok(())
}
