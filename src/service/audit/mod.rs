//! The audit log: what privileged or outward is done writes one entry, in its own transaction.
//!
//! [`record`] is what every use case calls. Where a request comes from is told around it, by [`within`]; an entry that no
//! request asked for has neither an address nor a request's id. Entries hold ids and settings, never secrets or what
//! people wrote.

mod refusals;
mod view;

pub use crate::domain::audit::{Action, Subject};
pub(super) use refusals::Refusals;
pub use view::{AuditActor, AuditEntryView};

use super::{Error, Service, access, access::Right};
use crate::{
    clock,
    domain::{
        Principal, TeamId, Timestamp, UserId,
        audit::{Actor, ActorKind, AuditResult, DETAIL_BYTES_MAX},
    },
    store::{
        AcrossTx, TeamTx,
        audit::{self, EntryFilter, NewEntry},
    },
};
use serde_json::{Value, json};
use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
};
use uuid::Uuid;

/// Where a request comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The caller's own address, where it is known.
    pub address: Option<IpAddr>,
    pub request: Option<Uuid>,
}

#[derive(Debug, Default)]
struct Context {
    origin: Origin,
    caller: OnceLock<Arc<Principal>>,
}

tokio::task_local! {
    static CONTEXT: Context;
}

/// Does `work` for a request from there: what is recorded meanwhile, in the same task, says so.
pub async fn within<F: Future>(origin: Origin, work: F) -> F::Output {
    CONTEXT.scope(Context { origin, caller: OnceLock::new() }, work).await
}

/// Who the caller of this request has turned out to be.
pub fn identified(caller: &Arc<Principal>) {
    let _ = CONTEXT.try_with(|context| context.caller.set(Arc::clone(caller)));
}

/// The caller of this request, once it is known.
pub fn caller() -> Option<Arc<Principal>> {
    CONTEXT.try_with(|context| context.caller.get().cloned()).ok().flatten()
}

fn origin() -> Origin {
    CONTEXT.try_with(|context| context.origin).unwrap_or_default()
}

/// Writes an entry of a principal's doing with the transaction's own changes. `detail` has at most 4 KiB and no secrets;
/// what is longer is left out.
pub async fn record(
    tx: &mut TeamTx,
    principal: &Principal,
    action: Action,
    subject: Subject,
    detail: Value,
) -> Result<(), Error> {
    let detail = bounded(&detail);
    let entry = entry(principal.team, of(principal), action, &subject, &detail);
    Ok(audit::insert(tx, &entry).await?)
}

/// The same of what a principal does for somebody else.
pub async fn record_for(
    tx: &mut TeamTx,
    principal: &Principal,
    person: UserId,
    action: Action,
    subject: Subject,
) -> Result<(), Error> {
    let actor = Actor { on_behalf_of: Some(person), ..of(principal) };
    Ok(audit::insert(tx, &entry(principal.team, actor, action, &subject, "{}")).await?)
}

/// The same of what an operator of the instance does to another team than his own.
pub async fn record_in(
    tx: &mut TeamTx,
    principal: &Principal,
    team: TeamId,
    action: Action,
    subject: Subject,
    detail: Value,
) -> Result<(), Error> {
    let detail = bounded(&detail);
    Ok(audit::insert(tx, &entry(team, of(principal), action, &subject, &detail)).await?)
}

/// The same for an operator at the command line; without a team it is an entry of the whole instance.
pub async fn by_operator(
    tx: &mut AcrossTx,
    team: Option<TeamId>,
    action: Action,
    subject: Subject,
    detail: Value,
) -> Result<(), Error> {
    let detail = bounded(&detail);
    let team = team.unwrap_or(TeamId(Uuid::nil()));
    let entry = entry(team, Actor::OPERATOR, action, &subject, &detail);
    Ok(audit::insert_across(tx, &entry).await?)
}

/// The same within a team's transaction.
pub async fn by_operator_of(
    tx: &mut TeamTx,
    team: TeamId,
    action: Action,
    subject: Subject,
    detail: Value,
) -> Result<(), Error> {
    let detail = bounded(&detail);
    let entry = entry(team, Actor::OPERATOR, action, &subject, &detail);
    Ok(audit::insert(tx, &entry).await?)
}

/// Whom an entry names.
fn of(principal: &Principal) -> Actor {
    Actor {
        kind: ActorKind::User,
        user: Some(principal.user),
        api_key: principal.api_key,
        session: principal.session.map(|session| session.0),
        on_behalf_of: None,
    }
}

fn entry<'a>(team: TeamId, actor: Actor, action: Action, subject: &'a Subject, detail: &'a str) -> NewEntry<'a> {
    let Origin { address, request } = origin();
    NewEntry {
        team,
        id: clock::new_id(),
        actor,
        action: action.as_str(),
        subject,
        result: AuditResult::Ok,
        address: address.map(|address| address.to_string()),
        request,
        detail,
    }
}

fn bounded(detail: &Value) -> String {
    let text = if detail.is_null() { "{}".to_owned() } else { detail.to_string() };
    if text.len() <= DETAIL_BYTES_MAX { text } else { json!({ "left_out_bytes": text.len() }).to_string() }
}

impl Service {
    /// Entries of the team, newest first, those before `before`.
    pub async fn audit_log(
        &self,
        principal: &Principal,
        filter: &EntryFilter,
        before: Option<(Timestamp, Uuid)>,
        limit: u32,
    ) -> Result<Vec<AuditEntryView>, Error> {
        access::require(principal, Right::ReadAuditLog)?;
        let mut tx = self.store().team(principal.team).await?;
        let rows = audit::list(&mut tx, filter, before, limit).await?;
        let views = self.audit_views(&mut tx, principal, rows).await?;
        tx.commit().await?;
        Ok(views)
    }

    /// Says in the log that it is being taken out.
    pub async fn note_audit_export(&self, principal: &Principal, filter: &EntryFilter) -> Result<(), Error> {
        access::require(principal, Right::ReadAuditLog)?;
        let mut tx = self.store().team(principal.team).await?;
        let detail = json!({
            "actions": filter.actions, "user": filter.user, "subject": filter.subject, "since": filter.since,
            "until": filter.until,
        });
        record(&mut tx, principal, Action::AuditLogExported, Subject::new("team", principal.team), detail).await?;
        Ok(tx.commit().await?)
    }
}
