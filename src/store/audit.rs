//! The audit log: rows are added and read, never changed. What is old goes through a function of the database's owner.

use super::{AcrossTx, Store, StoreError, TeamTx};
use crate::domain::{
    ApiKeyId, TeamId, Timestamp, UserId,
    audit::{Actor, ActorKind, AuditResult, Subject},
};
use sqlx::{PgConnection, Row, postgres::PgRow};
use std::time::Duration;
use time::OffsetDateTime;
use uuid::Uuid;

/// An entry to be written.
#[derive(Clone, Debug)]
pub struct NewEntry<'a> {
    /// The nil team for what concerns the whole instance.
    pub team: TeamId,
    pub id: Uuid,
    pub actor: Actor,
    pub action: &'a str,
    pub subject: &'a Subject,
    pub result: AuditResult,
    pub address: Option<String>,
    pub request: Option<Uuid>,
    /// JSON text of at most 4 KiB.
    pub detail: &'a str,
}

/// An entry as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRow {
    pub id: Uuid,
    pub at: Timestamp,
    pub actor: Actor,
    pub action: String,
    pub subject: Subject,
    pub result: AuditResult,
    pub address: Option<String>,
    pub request: Option<Uuid>,
    /// JSON text.
    pub detail: String,
}

/// Which entries a list shows; what is absent does not narrow it.
#[derive(Clone, Debug, Default)]
pub struct EntryFilter {
    pub actions: Vec<&'static str>,
    /// Who did it, or for whom it was done.
    pub user: Option<UserId>,
    /// The subject's id.
    pub subject: Option<String>,
    pub result: Option<AuditResult>,
    /// At or after.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

/// Writes an entry with the transaction's own changes.
pub async fn insert(tx: &mut TeamTx, entry: &NewEntry<'_>) -> Result<(), StoreError> {
    write(tx.connection(), entry).await
}

/// The same across teams.
pub async fn insert_across(tx: &mut AcrossTx, entry: &NewEntry<'_>) -> Result<(), StoreError> {
    write(tx.connection(), entry).await
}

async fn write(connection: &mut PgConnection, entry: &NewEntry<'_>) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO audit_log (team, id, actor, user_id, api_key, session, on_behalf_of, action, subject_kind, subject,
            result, address, request, detail)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .bind(entry.team.0)
    .bind(entry.id)
    .bind(entry.actor.kind.as_str())
    .bind(entry.actor.user.map(|id| id.0))
    .bind(entry.actor.api_key.map(|id| id.0))
    .bind(entry.actor.session)
    .bind(entry.actor.on_behalf_of.map(|id| id.0))
    .bind(entry.action)
    .bind(&*entry.subject.kind)
    .bind(&entry.subject.id)
    .bind(entry.result.as_str())
    .bind(entry.address.as_deref())
    .bind(entry.request)
    .bind(entry.detail)
    .execute(connection)
    .await?;
    Ok(())
}

/// Entries of the transaction's team, newest first, those before `before`.
pub async fn list(
    tx: &mut TeamTx,
    filter: &EntryFilter,
    before: Option<(Timestamp, Uuid)>,
    limit: u32,
) -> Result<Vec<EntryRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, at, actor, user_id, api_key, session, on_behalf_of, action, subject_kind, subject, result, address,
            request, detail
         FROM audit_log WHERE team = current_team()
            AND ($1::text[] IS NULL OR action = ANY($1)) AND ($2::uuid IS NULL OR user_id = $2 OR on_behalf_of = $2)
            AND ($3::text IS NULL OR subject = $3) AND ($4::text IS NULL OR result = $4)
            AND ($5::timestamptz IS NULL OR at >= $5) AND ($6::timestamptz IS NULL OR at < $6)
            AND ($7::timestamptz IS NULL OR (at, id) < ($7, $8))
         ORDER BY at DESC, id DESC LIMIT $9",
    )
    .bind((!filter.actions.is_empty()).then_some(&filter.actions))
    .bind(filter.user.map(|id| id.0))
    .bind(filter.subject.as_deref())
    .bind(filter.result.map(AuditResult::as_str))
    .bind(filter.since.map(|at| at.0))
    .bind(filter.until.map(|at| at.0))
    .bind(before.map(|(at, _)| at.0))
    .bind(before.map(|(_, id)| id))
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(entry_row).collect()
}

/// Removes what is older than `kept`, at most `limit` entries, and none that is younger than thirty days; how many.
pub async fn trim(store: &Store, kept: Duration, limit: u32) -> Result<u64, StoreError> {
    let gone: i64 = sqlx::query_scalar("SELECT trim_audit_log(now() - $1 * interval '1 second', $2)")
        .bind(kept.as_secs_f64())
        .bind(limit as i32)
        .fetch_one(store.across())
        .await?;
    Ok(gone as u64)
}

fn entry_row(row: &PgRow) -> Result<EntryRow, StoreError> {
    let id: Uuid = row.try_get("id")?;
    let corrupt = |column| StoreError::corrupt("audit_log", column, id);
    let kind = match row.try_get::<String, _>("actor")?.as_str() {
        "user" => ActorKind::User,
        "operator" => ActorKind::Operator,
        "service" => ActorKind::Service,
        _ => return Err(corrupt("actor")),
    };
    let result = match row.try_get::<String, _>("result")?.as_str() {
        "ok" => AuditResult::Ok,
        "refused" => AuditResult::Refused,
        _ => return Err(corrupt("result")),
    };
    Ok(EntryRow {
        id,
        at: Timestamp(row.try_get::<OffsetDateTime, _>("at")?),
        actor: Actor {
            kind,
            user: row.try_get::<Option<Uuid>, _>("user_id")?.map(UserId),
            api_key: row.try_get::<Option<Uuid>, _>("api_key")?.map(ApiKeyId),
            session: row.try_get("session")?,
            on_behalf_of: row.try_get::<Option<Uuid>, _>("on_behalf_of")?.map(UserId),
        },
        action: row.try_get("action")?,
        subject: Subject { kind: row.try_get::<String, _>("subject_kind")?.into(), id: row.try_get("subject")? },
        result,
        address: row.try_get("address")?,
        request: row.try_get("request")?,
        detail: row.try_get("detail")?,
    })
}
