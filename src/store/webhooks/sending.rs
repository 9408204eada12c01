//! What the loop that sends needs: claims, outcomes, secrets.

use crate::{
    domain::{
        TeamId, WebhookDeliveryId, WebhookEndpointId,
        secret::Sealed,
        webhook::{DISABLED_KIND, DeliveryState, DisabledReason},
    },
    store::{AcrossTx, Store, StoreError, sealed},
};
use sqlx::Row;
use std::time::Duration;
use uuid::Uuid;

/// A delivery that this process is to send, until its lease runs out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    pub team: TeamId,
    pub id: WebhookDeliveryId,
    pub endpoint: WebhookEndpointId,
    pub url: String,
    pub body: String,
    pub claim: i32,
    /// Attempts on this schedule before this one.
    pub round: u32,
    /// Its endpoint fails.
    pub failing: bool,
}

/// How many may be claimed.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    pub all: u32,
    /// Of endpoints that fail or are slow, all together.
    pub doubtful: u32,
    /// Of an endpoint of which nothing else is known.
    pub of_unknown: u32,
    /// Of a team, with what is under way of it.
    pub of_team: u32,
}

/// What this process knows of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub team: TeamId,
    pub endpoint: WebhookEndpointId,
    /// How many are on their way to it, and how many more may be.
    pub under_way: u32,
    pub room: u32,
    pub slow: bool,
}

/// Claims what is due: of each endpoint at most as many as `room` says, or as `places` has for it, and one at a time of an
/// endpoint that fails. Endpoints that neither fail nor are slow come first, then what has waited longest.
pub async fn claim(store: &Store, room: Room, places: &[Place], lease: Duration) -> Result<Vec<Claimed>, StoreError> {
    let rows = sqlx::query(
        "WITH RECURSIVE waiting AS (
            (SELECT team, endpoint FROM webhook_deliveries WHERE state = 'pending' ORDER BY team, endpoint LIMIT 1)
            UNION ALL
            SELECT n.team, n.endpoint FROM waiting w, LATERAL (
                SELECT team, endpoint FROM webhook_deliveries
                WHERE state = 'pending' AND (team, endpoint) > (w.team, w.endpoint) ORDER BY team, endpoint LIMIT 1) n
         ), wanted AS (
            SELECT e.team, e.id, e.url, e.failing_since IS NOT NULL AS failing,
                e.failing_since IS NOT NULL OR coalesce(p.slow, false) AS doubtful,
                CASE WHEN e.failing_since IS NULL THEN coalesce(p.places, $4) WHEN p.under_way > 0 THEN 0 ELSE 1 END AS places
            FROM waiting w JOIN webhook_endpoints e ON e.team = w.team AND e.id = w.endpoint AND e.enabled
            LEFT JOIN unnest($5::uuid[], $6::int[], $7::int[], $8::bool[]) AS p (endpoint, places, under_way, slow)
                ON p.endpoint = w.endpoint
         ), teams AS (
            SELECT team, sum(under_way) AS under_way FROM unnest($9::uuid[], $7::int[]) AS t (team, under_way) GROUP BY team
         ), due AS (
            SELECT w.team, w.url, w.failing, w.doubtful, d.id, d.due_at,
                row_number() OVER (PARTITION BY w.team ORDER BY w.doubtful, d.due_at) AS of_team
            FROM wanted w, LATERAL (
                SELECT id, due_at FROM webhook_deliveries
                WHERE team = w.team AND endpoint = w.id AND state = 'pending' AND due_at <= now()
                ORDER BY due_at LIMIT w.places FOR UPDATE SKIP LOCKED) d
            WHERE w.places > 0
         ), placed AS (
            SELECT due.team, id, url, failing, doubtful, due_at,
                row_number() OVER (PARTITION BY doubtful ORDER BY due_at) AS place
            FROM due LEFT JOIN teams USING (team) WHERE of_team + coalesce(teams.under_way, 0) <= $10
         ), chosen AS (
            SELECT team, id, url, failing FROM placed WHERE NOT doubtful OR place <= $2 ORDER BY doubtful, due_at LIMIT $1
         )
         UPDATE webhook_deliveries d SET claim = d.claim + 1, due_at = now() + $3 * interval '1 second'
         FROM chosen c WHERE d.team = c.team AND d.id = c.id
         RETURNING d.team, d.id, d.endpoint, c.url, d.body, d.claim, d.round, c.failing",
    )
    .bind(i64::from(room.all))
    .bind(i64::from(room.doubtful))
    .bind(lease.as_secs_f64())
    .bind(room.of_unknown as i32)
    .bind(places.iter().map(|place| place.endpoint.0).collect::<Vec<Uuid>>())
    .bind(places.iter().map(|place| place.room as i32).collect::<Vec<i32>>())
    .bind(places.iter().map(|place| place.under_way as i32).collect::<Vec<i32>>())
    .bind(places.iter().map(|place| place.slow).collect::<Vec<bool>>())
    .bind(places.iter().map(|place| place.team.0).collect::<Vec<Uuid>>())
    .bind(i64::from(room.of_team))
    .fetch_all(store.across())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Claimed {
                team: TeamId(row.try_get("team")?),
                id: WebhookDeliveryId(row.try_get("id")?),
                endpoint: WebhookEndpointId(row.try_get("endpoint")?),
                url: row.try_get("url")?,
                body: row.try_get("body")?,
                claim: row.try_get("claim")?,
                round: row.try_get::<i32, _>("round")? as u32,
                failing: row.try_get("failing")?,
            })
        })
        .collect()
}

/// What signs for an endpoint.
#[derive(Clone, Debug)]
pub struct SecretRow {
    pub team: TeamId,
    pub endpoint: WebhookEndpointId,
    pub name: String,
    pub sealed: Sealed,
}

/// The secrets that sign for these endpoints now, the newest first.
pub async fn secrets(store: &Store, endpoints: &[WebhookEndpointId]) -> Result<Vec<SecretRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT team, endpoint, name, key_id, wrapped_key, sealed FROM webhook_secrets
         WHERE (team, endpoint) IN (SELECT team, id FROM webhook_endpoints WHERE id = ANY($1))
            AND (ends_at IS NULL OR ends_at > now())
         ORDER BY endpoint, created_at DESC, name DESC LIMIT 10000",
    )
    .bind(endpoints.iter().map(|id| id.0).collect::<Vec<Uuid>>())
    .fetch_all(store.across())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(SecretRow {
                team: TeamId(row.try_get("team")?),
                endpoint: WebhookEndpointId(row.try_get("endpoint")?),
                name: row.try_get("name")?,
                sealed: sealed::of_row(row)?,
            })
        })
        .collect()
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub team: TeamId,
    pub id: WebhookDeliveryId,
    pub claim: i32,
    pub state: DeliveryState,
    /// Of one that stays pending.
    pub again_in: Duration,
    pub status_code: Option<u16>,
    pub error: Option<String>,
    pub answer: Option<String>,
    pub duration: Duration,
}

/// An endpoint of which nothing has arrived for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub team: TeamId,
    pub endpoint: WebhookEndpointId,
}

/// Writes outcomes, those alone of claims that hold, and since when their endpoints fail. Gives the enabled ones of which nothing
/// has arrived for `failing`.
pub async fn settle(store: &Store, outcomes: &[Outcome], failing: Duration) -> Result<Vec<Standing>, StoreError> {
    let seconds = outcomes.iter().map(|one| one.again_in.as_secs_f64()).collect::<Vec<f64>>();
    let rows = sqlx::query(
        "WITH given AS (
            SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::text[], $5::float8[], $6::int[], $7::text[], $8::text[],
                $9::int[]) AS g (team, id, claim, state, seconds, status_code, error, answer, duration_ms)
         ), done AS (
            UPDATE webhook_deliveries d SET state = g.state, attempts = d.attempts + 1, round = d.round + 1,
                due_at = CASE WHEN g.state = 'pending' THEN now() + g.seconds * interval '1 second' ELSE d.due_at END,
                attempted_at = now(), duration_ms = g.duration_ms, status_code = g.status_code, error = g.error,
                answer = g.answer, finished_at = CASE WHEN g.state <> 'pending' THEN now() END
            FROM given g WHERE d.team = g.team AND d.id = g.id AND d.claim = g.claim AND d.state = 'pending'
            RETURNING d.team, d.endpoint, d.state
         ), standing AS (
            SELECT team, endpoint, bool_or(state = 'delivered') AS well FROM done GROUP BY team, endpoint
         ), marked AS (
            UPDATE webhook_endpoints e SET failing_since = CASE WHEN NOT s.well THEN now() END
            FROM standing s WHERE e.team = s.team AND e.id = s.endpoint AND s.well = (e.failing_since IS NOT NULL)
         )
         SELECT e.team, e.id FROM standing s JOIN webhook_endpoints e ON e.team = s.team AND e.id = s.endpoint
         WHERE NOT s.well AND e.enabled AND e.failing_since < now() - $10 * interval '1 second'",
    )
    .bind(outcomes.iter().map(|one| one.team.0).collect::<Vec<Uuid>>())
    .bind(outcomes.iter().map(|one| one.id.0).collect::<Vec<Uuid>>())
    .bind(outcomes.iter().map(|one| one.claim).collect::<Vec<i32>>())
    .bind(outcomes.iter().map(|one| one.state.as_str()).collect::<Vec<&str>>())
    .bind(seconds)
    .bind(outcomes.iter().map(|one| one.status_code.map(i32::from)).collect::<Vec<Option<i32>>>())
    .bind(outcomes.iter().map(|one| one.error.as_deref()).collect::<Vec<Option<&str>>>())
    .bind(outcomes.iter().map(|one| one.answer.as_deref()).collect::<Vec<Option<&str>>>())
    .bind(outcomes.iter().map(|one| i32::try_from(one.duration.as_millis()).unwrap_or(i32::MAX)).collect::<Vec<i32>>())
    .bind(failing.as_secs_f64())
    .fetch_all(store.across())
    .await?;
    rows.iter()
        .map(|row| Ok(Standing { team: TeamId(row.try_get("team")?), endpoint: WebhookEndpointId(row.try_get("id")?) }))
        .collect()
}

/// Lets others send what this process has claimed and not sent: as if it had not been claimed.
pub async fn give_back(store: &Store, one: &Claimed) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE webhook_deliveries SET due_at = now() WHERE team = $1 AND id = $2 AND claim = $3 AND state = 'pending'",
    )
    .bind(one.team.0)
    .bind(one.id.0)
    .bind(one.claim)
    .execute(store.across())
    .await?;
    Ok(())
}

/// Disables an endpoint and puts that before the team's others that want to hear of it; false where it is not enabled any more.
pub async fn disable(
    tx: &mut AcrossTx,
    Standing { team, endpoint }: Standing,
    reason: DisabledReason,
) -> Result<bool, StoreError> {
    let disabled = sqlx::query(
        "UPDATE webhook_endpoints SET enabled = false, disabled_reason = $3, disabled_at = now(), updated_at = now()
         WHERE team = $1 AND id = $2 AND enabled",
    )
    .bind(team.0)
    .bind(endpoint.0)
    .bind(reason.as_str())
    .execute(tx.connection())
    .await?;
    if disabled.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "INSERT INTO webhook_deliveries (team, endpoint, kind, body)
         SELECT w.team, w.id, $3::text, json_build_object('type', $3::text, 'timestamp',
                to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),
                'data', json_build_object('team', w.team, 'webhook_endpoint', $2::uuid, 'reason', $4::text))::text
         FROM webhook_endpoints w WHERE w.team = $1 AND w.id <> $2 AND w.enabled
            AND w.events && ARRAY['*', $3::text, split_part($3::text, '.', 1) || '.*']",
    )
    .bind(team.0)
    .bind(endpoint.0)
    .bind(DISABLED_KIND)
    .bind(reason.as_str())
    .execute(tx.connection())
    .await?;
    Ok(true)
}
