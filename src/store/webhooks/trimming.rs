//! What of deliveries is kept.

use crate::store::{Store, StoreError};
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// How long deliveries are kept once nothing is done about them any more.
    pub age: Duration,
    /// Finished ones of each endpoint.
    pub of_endpoint: u32,
}

/// Removes deliveries that are finished, or wait for an endpoint that is disabled, for longer than they are kept; finished ones
/// beyond the number of an endpoint; and those whose endpoint is gone. At most `limit` of each; how many.
pub async fn trim(store: &Store, kept: Kept, limit: u32) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "WITH RECURSIVE waiting AS (
            (SELECT team, endpoint FROM webhook_deliveries WHERE state = 'pending' ORDER BY team, endpoint LIMIT 1)
            UNION ALL
            SELECT n.team, n.endpoint FROM waiting w, LATERAL (
                SELECT team, endpoint FROM webhook_deliveries
                WHERE state = 'pending' AND (team, endpoint) > (w.team, w.endpoint) ORDER BY team, endpoint LIMIT 1) n
         ), idle AS (
            SELECT w.team, w.endpoint, e.id IS NULL AS gone FROM waiting w
            LEFT JOIN webhook_endpoints e ON e.team = w.team AND e.id = w.endpoint WHERE e.enabled IS NOT TRUE
         ), old AS (
            (SELECT team, id FROM webhook_deliveries
             WHERE state <> 'pending' AND finished_at < now() - $1 * interval '1 second' ORDER BY finished_at LIMIT $3)
            UNION
            (SELECT d.team, d.id FROM webhook_endpoints e, LATERAL (
                SELECT team, id FROM webhook_deliveries WHERE team = e.team AND endpoint = e.id AND state <> 'pending'
                ORDER BY id DESC OFFSET $2 LIMIT $3) d LIMIT $3)
            UNION
            (SELECT d.team, d.id FROM idle i, LATERAL (
                SELECT team, id FROM webhook_deliveries WHERE team = i.team AND endpoint = i.endpoint AND state = 'pending'
                    AND (i.gone OR created_at < now() - $1 * interval '1 second')
                ORDER BY due_at LIMIT $3) d LIMIT $3)
         )
         DELETE FROM webhook_deliveries d USING old WHERE d.team = old.team AND d.id = old.id",
    )
    .bind(kept.age.as_secs_f64())
    .bind(i64::from(kept.of_endpoint))
    .bind(i64::from(limit))
    .execute(store.across())
    .await?;
    Ok(done.rows_affected())
}
