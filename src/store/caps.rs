//! Caps on what a team and its members have in the queue. They are exact whoever adds at once: who is capped takes the team's
//! turn first. Caps on what runs are kept by [`super::jobs::claim_tasks`].

use super::{StoreError, TeamTx};
use crate::domain::UserId;
use sqlx::Row;

/// A queue that takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// `team` or `user`.
    pub of: &'static str,
    /// Tasks that wait in it.
    pub depth: i64,
    pub cap: i64,
}

/// Whether the queue of the user, or of the transaction's team, takes no more. What the transaction adds after it is counted
/// by whoever asks next.
pub async fn full(tx: &mut TeamTx, user: UserId) -> Result<Option<Full>, StoreError> {
    let Some((of_team, of_user)) = caps(tx, user).await? else { return Ok(None) };
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('queue ' || current_team()::text, 0))")
        .execute(tx.connection())
        .await?;
    let row = sqlx::query(
        "SELECT count(*) AS in_team, count(*) FILTER (WHERE user_id = $1) AS in_user FROM jobs
         WHERE kind = 'run_task' AND team = current_team() AND lease_replica IS NULL",
    )
    .bind(user.0)
    .fetch_one(tx.connection())
    .await?;
    for (of, column, cap) in [("user", "in_user", of_user), ("team", "in_team", of_team)] {
        let depth = row.try_get(column)?;
        if let Some(cap) = cap.filter(|cap| depth >= *cap) {
            return Ok(Some(Full { of, depth, cap }));
        }
    }
    Ok(None)
}

type Caps = (Option<i64>, Option<i64>);

/// The caps on the queue of the team and of the user, where there is any.
async fn caps(tx: &mut TeamTx, user: UserId) -> Result<Option<Caps>, StoreError> {
    let row = sqlx::query(
        "SELECT t.queued_tasks AS of_team, m.queued_tasks AS of_user
         FROM teams t LEFT JOIN members m ON m.team = t.id AND m.user_id = $1
         WHERE t.id = current_team() AND (t.queued_tasks IS NOT NULL OR m.queued_tasks IS NOT NULL)",
    )
    .bind(user.0)
    .fetch_optional(tx.connection())
    .await?;
    row.map(|row| Ok((row.try_get("of_team")?, row.try_get("of_user")?))).transpose()
}
