//! What is said of tasks at their trackers: how far it has come, and what is new. `log::append` counts the news.

use super::turns::{answer_spacing, claim_in_turn};
use crate::{
    domain::{
        IntegrationId, TaskId, TeamId,
        integration::{Place, Seen},
    },
    store::{Store, StoreError, TeamTx},
};
use sqlx::{Row, postgres::PgRow};
use std::time::Duration;
use uuid::Uuid;

/// What is to be shown to have been seen of one task at a time.
const SEEN_MAX: i32 = 50;
/// Until one is tried again that could not be said, where something is new.
const NEWS_PAUSE: Duration = Duration::from_secs(30);

/// Where a task is answered.
#[derive(Clone, Copy, Debug)]
pub struct NewAnswer<'a> {
    pub team: TeamId,
    pub task: TaskId,
    pub id: Uuid,
    pub integration: IntegrationId,
    pub place: &'a Place,
    /// The agent session that waits.
    pub session: Option<&'a str>,
}

/// Has a task answered there, unless it is answered somewhere already, and notes what is to be shown to have been seen.
pub async fn note(tx: &mut TeamTx, new: NewAnswer<'_>, seen: Option<&Seen>) -> Result<(), StoreError> {
    let unwritable = |_| StoreError::corrupt("tracker_answers", "place", new.task);
    let place = serde_json::to_string(new.place).map_err(unwritable)?;
    let seen = serde_json::to_string(&seen.into_iter().collect::<Vec<_>>()).map_err(unwritable)?;
    sqlx::query(
        "INSERT INTO tracker_answers AS a (team, task, id, integration, place, seen, session)
         VALUES ($1, $2, $3, $4, $5, $6::jsonb, $8)
         ON CONFLICT (team, task) DO UPDATE SET news = a.news + 1, due_at = coalesce(a.due_at, now()),
            session = CASE WHEN a.integration = excluded.integration THEN coalesce(excluded.session, a.session) ELSE a.session END,
            seen = CASE WHEN jsonb_array_length(a.seen) < $7 THEN a.seen || excluded.seen ELSE a.seen END",
    )
    .bind(new.team.0)
    .bind(new.task.0)
    .bind(new.id)
    .bind(new.integration.0)
    .bind(place)
    .bind(seen)
    .bind(SEEN_MAX)
    .bind(new.session)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Has tasks answered where their issues are now; see [`super::issues::moved`].
pub async fn moved(tx: &mut TeamTx, integration: IntegrationId, from: &str, to: &str) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE tracker_answers SET
            place = jsonb_set(place::jsonb, '{issue}', to_jsonb($3 || substr(place::jsonb ->> 'issue', length($2) + 1)))::text,
            seen = coalesce((SELECT jsonb_agg(CASE
                    WHEN lower(s #>> '{place,issue}') = $2 OR starts_with(lower(s #>> '{place,issue}'), $2 || '#')
                    THEN jsonb_set(s, '{place,issue}', to_jsonb($3 || substr(s #>> '{place,issue}', length($2) + 1)))
                    ELSE s END) FROM jsonb_array_elements(seen) s), '[]'::jsonb)
         WHERE team = current_team() AND integration = $1
            AND (lower(place::jsonb ->> 'issue') = $2 OR starts_with(lower(place::jsonb ->> 'issue'), $2 || '#'))",
    )
    .bind(integration.0)
    .bind(from.to_lowercase())
    .bind(to)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// One that is being worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedAnswer {
    pub team: TeamId,
    pub task: TaskId,
    pub id: Uuid,
    pub integration: IntegrationId,
    pub place: Place,
    pub seen: Vec<Seen>,
    pub comment: Option<String>,
    pub session: Option<String>,
    pub said: Option<String>,
    pub news: i64,
    pub failures: u32,
    /// How often it has been claimed: it fences who no longer has it.
    attempts: i64,
}

/// Claims up to `limit` that are due and nobody has, the longest due first, of one integration no more than `of_integration` at once
/// on all replicas together.
pub async fn claim(
    store: &Store,
    lease: Duration,
    limit: u32,
    of_integration: u32,
) -> Result<Vec<ClaimedAnswer>, StoreError> {
    let rows = sqlx::query(claim_in_turn!(
        "tracker_answers",
        "task",
        "due_at",
        "due_at IS NOT NULL",
        "c.team, c.task, c.id, c.integration, c.place, c.seen::text AS seen, c.comment, c.session, c.said, c.news, c.failures, c.attempts"
    ))
    .bind(lease.as_millis() as i64)
    .bind(i64::from(limit))
    .bind(i64::from(of_integration))
    .fetch_all(store.across())
    .await?;
    rows.iter().map(claimed).collect()
}

fn claimed(row: &PgRow) -> Result<ClaimedAnswer, StoreError> {
    let task = TaskId(row.try_get("task")?);
    let corrupt = |column| move |_| StoreError::corrupt("tracker_answers", column, task);
    let (place, seen): (String, String) = (row.try_get("place")?, row.try_get("seen")?);
    Ok(ClaimedAnswer {
        team: TeamId(row.try_get("team")?),
        task,
        id: row.try_get("id")?,
        integration: IntegrationId(row.try_get("integration")?),
        place: serde_json::from_str(&place).map_err(corrupt("place"))?,
        seen: serde_json::from_str(&seen).map_err(corrupt("seen"))?,
        comment: row.try_get("comment")?,
        session: row.try_get("session")?,
        said: row.try_get("said")?,
        news: row.try_get("news")?,
        failures: row.try_get::<i32, _>("failures")? as u32,
        attempts: row.try_get("attempts")?,
    })
}

/// Holds one for `lease` more. False where somebody else has it by now.
pub async fn hold(store: &Store, one: &ClaimedAnswer, lease: Duration) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE tracker_answers SET lease_until = now() + $4 * interval '1 millisecond'
         WHERE team = $1 AND task = $2 AND attempts = $3",
    )
    .bind(one.team.0)
    .bind(one.task.0)
    .bind(one.attempts)
    .bind(lease.as_millis() as i64)
    .execute(store.across())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes that the first of what was seen has been shown.
pub async fn shown(store: &Store, one: &ClaimedAnswer) -> Result<(), StoreError> {
    sqlx::query("UPDATE tracker_answers SET seen = seen - 0 WHERE team = $1 AND task = $2 AND attempts = $3")
        .bind(one.team.0)
        .bind(one.task.0)
        .bind(one.attempts)
        .execute(store.across())
        .await?;
    Ok(())
}

/// Writes which comment is its.
pub async fn commented(store: &Store, one: &ClaimedAnswer, comment: &str) -> Result<(), StoreError> {
    sqlx::query("UPDATE tracker_answers SET comment = $4 WHERE team = $1 AND task = $2 AND attempts = $3")
        .bind(one.team.0)
        .bind(one.task.0)
        .bind(one.attempts)
        .bind(comment)
        .execute(store.across())
        .await?;
    Ok(())
}

/// What came of one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Came<'a> {
    /// The hash of what the comment says now; absent: as before.
    pub said: Option<&'a str>,
    pub reason: Option<&'a str>,
}

/// Lets go of one that was worked off. What has come meanwhile is due after a while.
pub async fn finish(store: &Store, one: &ClaimedAnswer, came: Came<'_>) -> Result<(), StoreError> {
    sqlx::query(concat!(
        "UPDATE tracker_answers SET lease_until = NULL, failures = 0, reason = $5, said = coalesce($4, said),
                said_at = CASE WHEN $4 IS NULL THEN said_at ELSE now() END,
                due_at = CASE WHEN news > $6 THEN now() + ",
        answer_spacing!(),
        " END
             WHERE team = $1 AND task = $2 AND attempts = $3"
    ))
    .bind(one.team.0)
    .bind(one.task.0)
    .bind(one.attempts)
    .bind(came.said)
    .bind(came.reason)
    .bind(one.news)
    .execute(store.across())
    .await?;
    Ok(())
}

/// Lets go of one that could not be worked off: it is due again after `pause`, and sooner where there is news.
pub async fn give_back(
    store: &Store,
    one: &ClaimedAnswer,
    said: Option<&str>,
    pause: Duration,
    reason: &str,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE tracker_answers SET lease_until = NULL, failures = failures + 1, reason = $4, said = coalesce($7, said),
            said_at = CASE WHEN $7 IS NULL THEN said_at ELSE now() END,
            due_at = now() + CASE WHEN news > $6 THEN least($5, $8) ELSE $5 END * interval '1 millisecond'
         WHERE team = $1 AND task = $2 AND attempts = $3",
    )
    .bind(one.team.0)
    .bind(one.task.0)
    .bind(one.attempts)
    .bind(reason)
    .bind(pause.as_millis() as i64)
    .bind(one.news)
    .bind(said)
    .bind(NEWS_PAUSE.as_millis() as i64)
    .execute(store.across())
    .await?;
    Ok(())
}
