//! Taking in what trackers send: whose hook it is, and writing it down. Those that come at the same time share a statement and
//! its commit, so that a flood costs little more than a trickle.

use super::{
    deliveries::{DeliveryRow, delivery_row},
    integrations::{self, Hook},
};
use crate::{
    domain::{DeliveryId, IntegrationId, TeamId, integration::DeliveryState},
    store::{Store, StoreError, together::Together},
};
use sqlx::Row;
use std::sync::Arc;
use uuid::Uuid;

/// Something that a tracker tells.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    pub team: TeamId,
    pub id: DeliveryId,
    pub integration: IntegrationId,
    pub delivery: String,
    pub meaning: Option<String>,
    pub event: String,
    pub sender: String,
    pub issue: Option<String>,
    /// JSON text.
    pub content: Option<String>,
    pub state: DeliveryState,
    pub reason: String,
}

/// What came of writing one down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted {
    New,
    /// This one is known by its id, or means the same.
    Known(DeliveryRow),
    /// One was known, and was removed while it was looked at.
    Gone,
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Intake {
    store: Store,
    hooks: Arc<Together<IntegrationId, Option<Arc<Hook>>>>,
    deliveries: Arc<Together<Arc<NewDelivery>, Inserted>>,
}

impl Intake {
    pub fn new(store: Store) -> Self {
        Self { store, hooks: Arc::default(), deliveries: Arc::default() }
    }

    /// The integration whose hook has this id, whatever its team.
    pub async fn hook(&self, id: IntegrationId) -> Result<Option<Arc<Hook>>, StoreError> {
        self.hooks.call(id, |ids| integrations::of_hooks(&self.store, ids)).await
    }

    /// Writes it down once, by its id and by what it means. It is committed then.
    pub async fn write_down(&self, new: NewDelivery) -> Result<Inserted, StoreError> {
        self.deliveries.call(Arc::new(new), |all| insert(&self.store, all)).await
    }
}

/// What came of each, in their order.
async fn insert(store: &Store, all: Vec<Arc<NewDelivery>>) -> Result<Vec<Inserted>, StoreError> {
    let texts = |of: fn(&NewDelivery) -> &str| all.iter().map(|new| of(new)).collect::<Vec<_>>();
    let options = |of: fn(&NewDelivery) -> Option<&str>| all.iter().map(|new| of(new)).collect::<Vec<_>>();
    let ids = |of: fn(&NewDelivery) -> Uuid| all.iter().map(|new| of(new)).collect::<Vec<_>>();
    // That the arrays' lengths are hidden has Postgres plan it once: else each length has a plan of its own, which takes longer
    // than what it does. It may do so while the table is empty: each part of what is known has an index of its own, where an OR
    // of both would go through all that an integration has.
    let rows = sqlx::query(
        "WITH given AS (
            SELECT * FROM unnest((SELECT $1::uuid[]), (SELECT $2::uuid[]), (SELECT $3::uuid[]), (SELECT $4::text[]),
                (SELECT $5::text[]), (SELECT $6::text[]), (SELECT $7::text[]), (SELECT $8::text[]), (SELECT $9::text[]),
                (SELECT $10::text[]), (SELECT $11::text[])) WITH ORDINALITY
                AS g (team, id, integration, delivery, meaning, event, sender, issue, content, state, reason, place)
         ), new AS (
            INSERT INTO tracker_deliveries (team, id, integration, delivery, meaning, event, sender, issue, content, state, reason, done_at)
            SELECT team, id, integration, delivery, meaning, event, sender, issue, content, state, reason,
                CASE WHEN state = 'waiting' THEN NULL ELSE now() END
            FROM given ORDER BY integration, delivery, place
            ON CONFLICT DO NOTHING RETURNING id
         )
         SELECT new.id IS NOT NULL AS is_new, known.id, known.delivery, known.event, known.sender, known.issue, known.state,
            known.reason, known.task, known.attempts, known.content IS NOT NULL AS has_content, known.received_at, known.done_at
         FROM given LEFT JOIN new ON new.id = given.id
            LEFT JOIN LATERAL (
                SELECT 0 AS place, d.id, d.delivery, d.event, d.sender, d.issue, d.state, d.reason, d.task, d.attempts, d.content,
                    d.received_at, d.done_at
                FROM tracker_deliveries d
                WHERE new.id IS NULL AND d.integration = given.integration AND d.delivery = given.delivery
                UNION ALL
                SELECT 1, d.id, d.delivery, d.event, d.sender, d.issue, d.state, d.reason, d.task, d.attempts, d.content,
                    d.received_at, d.done_at
                FROM tracker_deliveries d
                WHERE new.id IS NULL AND d.integration = given.integration AND d.meaning = given.meaning
                ORDER BY place LIMIT 1
            ) known ON true
         ORDER BY given.place",
    )
    .bind(ids(|new| new.team.0))
    .bind(ids(|new| new.id.0))
    .bind(ids(|new| new.integration.0))
    .bind(texts(|new| &new.delivery))
    .bind(options(|new| new.meaning.as_deref()))
    .bind(texts(|new| &new.event))
    .bind(texts(|new| &new.sender))
    .bind(options(|new| new.issue.as_deref()))
    .bind(options(|new| new.content.as_deref()))
    .bind(texts(|new| new.state.as_str()))
    .bind(texts(|new| &new.reason))
    .fetch_all(store.across())
    .await?;
    let mut came = Vec::with_capacity(all.len());
    for (new, row) in all.iter().zip(&rows) {
        came.push(if row.try_get("is_new")? {
            Inserted::New
        } else if row.try_get::<Option<Uuid>, _>("id")?.is_some() {
            Inserted::Known(delivery_row(row)?)
        } else {
            // It came at the same time, so that this statement has not seen it.
            known(store, new).await?.map_or(Inserted::Gone, Inserted::Known)
        });
    }
    Ok(came)
}

/// The one that is known by this id or means the same.
async fn known(store: &Store, new: &NewDelivery) -> Result<Option<DeliveryRow>, StoreError> {
    let row = sqlx::query(
        "SELECT d.id, d.delivery, d.event, d.sender, d.issue, d.state, d.reason, d.task, d.attempts,
            d.content IS NOT NULL AS has_content, d.received_at, d.done_at
         FROM (SELECT 0 AS place, id FROM tracker_deliveries WHERE integration = $1 AND delivery = $2
            UNION ALL SELECT 1, id FROM tracker_deliveries WHERE integration = $1 AND meaning = $3) known
            JOIN tracker_deliveries d ON d.team = $4 AND d.id = known.id
         ORDER BY known.place LIMIT 1",
    )
    .bind(new.integration.0)
    .bind(&new.delivery)
    .bind(&new.meaning)
    .bind(new.team.0)
    .fetch_optional(store.across())
    .await?;
    row.as_ref().map(delivery_row).transpose()
}
